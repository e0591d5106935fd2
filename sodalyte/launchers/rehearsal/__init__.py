"""A stand-in for VASP: reads its inputs, computes with a potential, writes its outputs. None is a DFT result."""
