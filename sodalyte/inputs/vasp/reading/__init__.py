"""What a VASP run has written: ionic steps of any number, also of a run that was killed."""

from sodalyte.inputs.vasp.reading.frames import Frame, VaspFrames, unwrapped
from sodalyte.inputs.vasp.reading.reader import iter_frames, read_dynamics

__all__ = ["Frame", "VaspFrames", "iter_frames", "read_dynamics", "unwrapped"]
