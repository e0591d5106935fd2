"""VASP: input sets, potentials, supervision, and reading what it wrote."""
