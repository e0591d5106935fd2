"""A potential whose energies hold the MP2020 correction, as CHGNet's do, and which needs no torch."""

from dataclasses import dataclass

from sodalyte.inputs.einstein import EinsteinCrystal


@dataclass(frozen=True)
class Corrected(EinsteinCrystal):
    """An Einstein crystal that pretends."""

    contained_correction = "mp2020"
