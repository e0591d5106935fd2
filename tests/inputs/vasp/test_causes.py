"""Why VASP ended, and what launchers make of it."""

import pytest

from sodalyte.errors import CalculationError, DiskFullError, OutOfMemoryError
from sodalyte.inputs.vasp.causes import as_error, final_cause


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=7.1.", OutOfMemoryError),
        ("srun: error: n1: task 0: Out Of Memory", OutOfMemoryError),
        ("forrtl: No space left on device", DiskFullError),
        ("vasp_std: command not found", CalculationError),
    ],
)
def test_memory_and_disk_are_told_from_what_is_wrong_with_the_job(tmp_path, said, kind):
    (tmp_path / "std_err.txt").write_text(said)
    assert type(as_error(final_cause(tmp_path))) is kind
