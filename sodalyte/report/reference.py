"""Published numbers that stand beside ours, as facts with their sources."""

from __future__ import annotations

from dataclasses import dataclass

from sodalyte.analysis.figures.notation import quantity


@dataclass(frozen=True)
class Citation:
    """A source, with what it is cited for."""

    key: str
    text: str
    doi: str
    role: str = ""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """One published number.

    Attributes
    ----------
    polymorph
        None where the source does not state it; the number is then shown for every polymorph, and says so.
    low, high
        Equal for a single value; ``high`` is None for a number given as "more than ``low``".
    kind
        What kind of number it is: measured how, computed how, or quoted from where.
    citation
        Key of a :class:`Citation`.
    """

    material: str
    polymorph: str | None
    property: str
    low: float
    high: float | None
    unit: str
    kind: str
    citation: str
    uncertainty: float | None = None

    @property
    def text(self) -> str:
        """The number as written, without its unit."""
        if self.high is None:
            return f"> {self.low:g}"
        if self.uncertainty is not None:
            return quantity(self.low, self.uncertainty)
        return f"{self.low:g}" if self.low == self.high else f"{self.low:g} to {self.high:g}"


CITATIONS = (
    Citation("paper", "Energy Environ. Sci. 18, 4288 (2025)", "10.1039/d4ee06171c", "the comparison that this report follows"),
    Citation("chgnet", "B. Deng et al., Nat. Mach. Intell. 5, 1031 (2023)", "10.1038/s42256-023-00716-3", "CHGNet"),
    Citation("mp2020", "A. Wang et al., Sci. Rep. 11, 15496 (2021)", "10.1038/s41598-021-94550-5", "MP2020 corrections"),
    Citation("pymatgen", "S. P. Ong et al., Comput. Mater. Sci. 68, 314 (2013)", "10.1016/j.commatsci.2012.10.028", "pymatgen"),
    Citation("richards", "W. D. Richards et al., Chem. Mater. 28, 266 (2016)", "10.1021/acs.chemmater.5b04082", "window of a solid electrolyte"),
    Citation("mouhat", "F. Mouhat and F.-X. Coudert, Phys. Rev. B 90, 224104 (2014)", "10.1103/PhysRevB.90.224104", "elastic stability"),
    Citation("hill", "R. Hill, Proc. Phys. Soc. A 65, 349 (1952)", "10.1088/0370-1298/65/5/307", "mean of Voigt and Reuss"),
    Citation("pugh", "S. F. Pugh, Philos. Mag. 45, 823 (1954)", "10.1080/14786440808520496", "G/B and ductility"),
    Citation("kinisi", "A. R. McCluskey, S. W. Coles and B. J. Morgan, J. Chem. Theory Comput. 21, 79 (2025)", "10.1021/acs.jctc.4c01249", "diffusivity and its uncertainty (kinisi)"),
    Citation("he", "X. He, Y. Zhu, A. Epstein and Y. Mo, npj Comput. Mater. 4, 18 (2018)", "10.1038/s41524-018-0074-y", "how many hops a diffusivity needs"),
    Citation("deng2016", "Z. Deng et al., J. Electrochem. Soc. 163, A67 (2016)", "10.1149/2.0061602jes", "published moduli"),
    Citation("hayashi2014", "A. Hayashi et al., J. Power Sources 258, 420 (2014)", "", "published conductivity"),
    Citation("hayashi2019", "A. Hayashi et al., Nat. Commun. 10, 5266 (2019)", "10.1038/s41467-019-13178-2", "published cell, conductivity and activation energy"),
    Citation("zhu2015", "Z. Zhu, I.-H. Chu, Z. Deng and S. P. Ong, Chem. Mater. 27, 8318 (2015)", "10.1021/acs.chemmater.5b03656", "published activation energy"),
    Citation("jansen", "M. Jansen and U. Henseler, J. Solid State Chem. 99, 110 (1992)", "", "published cell"),
    Citation("graf", "H. A. Graf and H. Schäfer, Z. Anorg. Allg. Chem. 425, 67 (1976), ICSD 44707", "", "published cell"),
    Citation("nishimura", "S. Nishimura et al., J. Mater. Chem. A 5, 25025 (2017), COD 7229733", "", "published cell"),
)  # fmt: skip

_QUOTED = "computed (DFT); quoted by the paper"
_QUOTED_RATIO = "computed elsewhere; quoted by the paper"
_MEASURED = "measured at room temperature, as the paper states it"
_PBESOL = "computed (PBEsol), Hill mean"
_DIFFRACTION = "measured (diffraction)"


def _fact(
    what: tuple[str, str | None, str],
    number: float | tuple[float, float | None],
    unit: str,
    source: tuple[str, str],
    *,
    uncertainty: float | None = None,
) -> Reference:
    low, high = number if isinstance(number, tuple) else (number, number)
    return Reference(
        material=what[0],
        polymorph=what[1],
        property=what[2],
        low=low,
        high=high,
        unit=unit,
        kind=source[0],
        citation=source[1],
        uncertainty=uncertainty,
    )


REFERENCES = (
    _fact(("Na3SbS4", None, "reduction_limit"), 1.83, "V", (_QUOTED, "paper")),
    _fact(("Na3SbS4", None, "oxidation_limit"), 1.90, "V", (_QUOTED, "paper")),
    _fact(("Na3SbS4", None, "window_width"), 0.07, "V", (_QUOTED, "paper")),
    _fact(("Na3PS4", None, "reduction_limit"), 1.39, "V", (_QUOTED, "paper")),
    _fact(("Na3PS4", None, "oxidation_limit"), 2.45, "V", (_QUOTED, "paper")),
    _fact(("Na3PS4", None, "window_width"), 1.06, "V", (_QUOTED, "paper")),
    _fact(("Na3SbS4", None, "pugh_ratio"), 0.19, "1", (_QUOTED_RATIO, "paper")),
    _fact(("Na3PS4", None, "pugh_ratio"), 0.458, "1", (_QUOTED_RATIO, "paper")),
    _fact(("Na3PS4", "tetragonal", "pugh_ratio"), 0.52, "1", (_PBESOL, "deng2016")),
    _fact(("Na3PS4", "tetragonal", "bulk_modulus"), 25.3, "GPa", (_PBESOL, "deng2016")),
    _fact(("Na3PS4", "tetragonal", "shear_modulus"), 13.1, "GPa", (_PBESOL, "deng2016")),
    _fact(("Na3PS4", "cubic", "pugh_ratio"), 0.61, "1", (_PBESOL, "deng2016")),
    _fact(("Na3PS4", "cubic", "bulk_modulus"), 21.5, "GPa", (_PBESOL, "deng2016")),
    _fact(("Na3PS4", "cubic", "shear_modulus"), 13.1, "GPa", (_PBESOL, "deng2016")),
    _fact(("Na3SbS4", None, "conductivity_300K"), (1.0, None), "mS/cm", (_MEASURED, "paper")),
    _fact(("Na3PS4", None, "conductivity_300K"), (0.1, 0.4), "mS/cm", (_MEASURED, "paper")),
    _fact(("Na3SbS4", None, "conductivity_300K"), 2.1, "mS/cm", ("measured (impedance, cold pressed)", "hayashi2019")),
    _fact(("Na3SbS4", None, "activation_energy"), 0.27, "eV", ("measured (impedance, cold pressed)", "hayashi2019")),
    _fact(("Na3PS4", "cubic", "conductivity_300K"), 0.46, "mS/cm", ("measured (glass-ceramic)", "hayashi2014")),
    _fact(
        ("Na3PS4", "cubic", "activation_energy"),
        0.256,
        "eV",
        ("computed (PBE dynamics, one extra Na in 48)", "zhu2015"),
    ),
    _fact(("Na3SbS4", "tetragonal", "lattice_a"), 7.1708, "angstrom", (_DIFFRACTION, "hayashi2019"), uncertainty=0.0012),
    _fact(("Na3SbS4", "tetragonal", "lattice_c"), 7.2376, "angstrom", (_DIFFRACTION, "hayashi2019"), uncertainty=0.0002),
    _fact(("Na3SbS4", "cubic", "lattice_a"), 7.17, "angstrom", (_DIFFRACTION, "graf"), uncertainty=0.01),
    _fact(("Na3PS4", "tetragonal", "lattice_a"), 6.952, "angstrom", (_DIFFRACTION, "jansen")),
    _fact(("Na3PS4", "tetragonal", "lattice_c"), 7.0757, "angstrom", (_DIFFRACTION, "jansen")),
    _fact(
        ("Na3PS4", "cubic", "lattice_a"),
        7.06985,
        "angstrom",
        ("measured (diffraction, high-temperature phase)", "nishimura"),
        uncertainty=0.00004,
    ),
)  # fmt: skip
"""All published numbers, the paper's first."""


def references(material: str, polymorph: str, name: str) -> tuple[Reference, ...]:
    """Give the published numbers for a property of a material, those of another polymorph left out."""
    return tuple(
        fact
        for fact in REFERENCES
        if (fact.material, fact.property) == (material, name) and fact.polymorph in (None, polymorph)
    )


def citation(key: str) -> Citation:
    """Give a citation by its key."""
    return next(source for source in CITATIONS if source.key == key)
