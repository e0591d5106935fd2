"""Results as a finished run would leave them, written by hand: numbers are of a realistic size, not computed here."""

from __future__ import annotations

import hashlib
import math
from typing import Any

from sodalyte.analysis.results import Guard, Result, Subject, judge

LEVEL = "CHGNet 0.3.0 (chgnet 0.4.2, MP2020-corrected PBE/PBE+U)"
HOP_LENGTH = 3.6

SB_STAIRCASE = [
    (0.0, 0.56, {"Na3Sb": 1.0, "Na2S": 4.0}, 8.0),
    (0.56, 0.75, {"NaSb": 1.0, "Na2S": 4.0}, 6.0),
    (0.75, 1.62, {"Sb": 1.0, "Na2S": 4.0}, 5.0),
    (1.62, 1.83, {"Na3SbS3": 1.0, "Na2S": 1.0}, 2.0),
    (1.83, 1.90, {"Na3SbS4": 1.0}, 0.0),
    (1.90, 2.05, {"NaSbS2": 1.0, "Na2S2": 0.5, "Na2S5": 0.2}, -0.6),
    (2.05, 2.31, {"NaSbS2": 1.0, "Na2S5": 0.4}, -1.2),
    (2.31, 2.42, {"NaSbS2": 1.0, "S": 2.0}, -2.0),
    (2.42, None, {"Sb2S3": 0.5, "S": 2.5}, -3.0),
]
P_STAIRCASE = [
    (0.0, 0.35, {"Na3P": 1.0, "Na2S": 4.0}, 8.0),
    (0.35, 0.61, {"NaP": 1.0, "Na2S": 4.0}, 6.0),
    (0.61, 0.90, {"Na3P11": 1 / 11, "Na2S": 4.0}, 5.2727),
    (0.90, 1.27, {"P": 1.0, "Na2S": 4.0}, 5.0),
    (1.27, 1.39, {"Na4P2S6": 0.5, "Na2S": 1.0}, 1.0),
    (1.39, 2.45, {"Na3PS4": 1.0}, 0.0),
    (2.45, 2.75, {"Na2P2S6": 0.5, "S": 1.0}, -2.0),
    (2.75, None, {"P2S5": 0.5, "S": 1.5}, -3.0),
]


def uuids(*seeds: str) -> tuple[str, ...]:
    digests = [hashlib.sha256(seed.encode()).hexdigest() for seed in seeds]
    return tuple(f"{d[:8]}-{d[8:12]}-{d[12:16]}-{d[16:20]}-{d[20:32]}" for d in digests)


def subject(material: str, polymorph: str, *, recipe: str, step: str, level: str = LEVEL, jobs: int = 1) -> Subject:
    calculations = uuids(*(f"{material} {polymorph} {recipe} {step} {job}" for job in range(jobs)))
    return Subject(material=material, polymorph=polymorph, level=level, recipe=recipe, calculations=calculations)


def cell(who: dict[str, Any], lengths: dict[str, tuple[float, float | None]], *, source: str) -> list[Result]:
    units = {"lattice_a": "angstrom", "lattice_c": "angstrom", "density": "g/cm^3"}
    guard = Guard(name="space group", passed=True, detail="space group 114 before and after the relaxation")
    return [
        judge(
            subject(**who, step="relaxation"),
            guards=(guard,),
            property=name,
            unit=units[name],
            value=value,
            data={
                "experiment": experiment,
                "deviation_percent": None if experiment is None else 100 * (value / experiment - 1),
                "source": source,
            },
        )
        for name, (value, experiment) in lengths.items()
    ]


def stability(
    who: dict[str, Any],
    *,
    scheme: str,
    limits: tuple[float, float],
    spread: float,
    staircase: list[tuple[float, float | None, dict[str, float], float]],
    missing: str = "",
) -> list[Result]:
    about = subject(**who, step="stability", jobs=14)
    guards = (
        Guard(name="one level", passed=True, detail="14 entries, all at one level of theory"),
        Guard(
            name="required phases",
            passed=not missing,
            detail=f"missing phase {missing}" if missing else "all 12 required phases are present",
        ),
    )
    width = limits[1] - limits[0]
    basis = "Monte Carlo over entry energies, 500 samples"

    def number(name: str, value: float, uncertainty: float) -> Result:
        return judge(
            about,
            guards=guards,
            property=name,
            unit="V",
            scheme=scheme,
            value=value,
            uncertainty=uncertainty,
            interval_95=(value - 1.8 * uncertainty, value + 2.2 * uncertainty),
            uncertainty_basis=basis,
        )

    return [
        judge(
            about,
            guards=guards[:1],
            property="e_above_hull",
            unit="eV/atom",
            scheme=scheme,
            value=0.0,
            data={"decomposes_to": {who["material"]: 1.0}},
        ),
        number("reduction_limit", limits[0], spread),
        number("oxidation_limit", limits[1], spread),
        number("window_width", width, 1.4 * spread),
        judge(
            about,
            guards=guards,
            property="decomposition",
            unit="V",
            scheme=scheme,
            data={
                "staircase": [
                    {"voltage_low": low, "voltage_high": high, "products": products, "na_exchanged": taken}
                    for low, high, products, taken in staircase
                ],
                "phases": [
                    {"id": "Na2S", "formula": "Na2S", "e_form_per_atom": -1.19, "e_above_hull": 0.0},
                    {"id": "Na2S2", "formula": "Na2S2", "e_form_per_atom": -0.98, "e_above_hull": 0.004},
                ],
            },
        ),
    ]


def elasticity(
    who: dict[str, Any], *, bulk: tuple[float, float], shear: tuple[float, float], warn: bool = False
) -> list[Result]:
    about = subject(**who, step="elasticity", jobs=17)
    guards = (
        Guard(name="born stability", passed=True, detail="smallest eigenvalue 4.1 GPa"),
        Guard(
            name="linearity",
            passed=not warn,
            required=False,
            detail=f"slopes at 0.5 % and 1 % strain differ by {18 if warn else 2} %",
        ),
    )

    def bounds(pair: tuple[float, float]) -> dict[str, float]:
        return {"voigt": pair[1], "reuss": pair[0], "hill": sum(pair) / 2}

    ratio = {
        "voigt": shear[1] / bulk[1],
        "reuss": shear[0] / bulk[0],
        "hill": sum(shear) / sum(bulk),
    }
    tensor = [[0.0] * 6 for _ in range(6)]
    for row in range(6):
        tensor[row][row] = 32.4 if row < 3 else 8.1
    for row, column in ((0, 1), (0, 2), (1, 2)):
        tensor[row][column] = tensor[column][row] = 7.2
    common = {"guards": guards, "uncertainty_basis": "scatter of the fit over strains"}
    return [
        judge(
            about,
            **common,
            property="elastic_tensor",
            unit="GPa",
            data={"tensor": tensor, "r_squared": 0.9994, "relative_residual": 0.012, "poisson_ratio": 0.27},
        ),
        judge(
            about,
            **common,
            property="bulk_modulus",
            unit="GPa",
            value=sum(bulk) / 2,
            uncertainty=0.31,
            data=bounds(bulk),
        ),
        judge(
            about,
            **common,
            property="shear_modulus",
            unit="GPa",
            value=sum(shear) / 2,
            uncertainty=0.18,
            data=bounds(shear),
        ),
        judge(
            about,
            **common,
            property="pugh_ratio",
            unit="1",
            value=ratio["hill"],
            uncertainty=0.021,
            data={**ratio, "ductile": ratio["hill"] < 0.571},
        ),
    ]


def transport(
    who: dict[str, Any], *, temperature: float, diffusivity: float, n_hops: int, length_ps: float = 30.0
) -> list[Result]:
    """One temperature: the curve always, the numbers only from 50 hops up."""
    about = subject(**who, step=f"dynamics {temperature}", jobs=3)
    lag = [length_ps * 0.7 * (i + 1) / 200 for i in range(200)]
    msd = [1.1 * (1 - math.exp(-t / 0.15)) + 6e4 * diffusivity * t + 0.05 * math.sin(3 * t) for t in lag]
    guards = (
        Guard(name="temperature", passed=True, detail=f"mean {temperature + 4:.0f} K, 0.4 % from the target"),
        Guard(
            name="hops",
            passed=n_hops >= 50,
            detail=f"not diffusive in this run: {n_hops} independent hops, 50 are needed"
            if n_hops < 50
            else f"{n_hops} independent hops",
        ),
        Guard(name="framework", passed=True, required=False, detail="framework RMSD 0.31 angstrom"),
    )
    number = {"guards": guards, "temperature": temperature, "uncertainty_basis": "posterior of kinisi"}
    conductivity = diffusivity * 3.1e7 * 300 / temperature
    return [
        judge(
            about,
            property="mean_squared_displacement",
            unit="angstrom^2",
            temperature=temperature,
            guards=guards[:1],
            data={
                "lag_ps": lag,
                "msd": msd,
                "low": [y * (1 - 0.25 * t / lag[-1]) for t, y in zip(lag, msd, strict=True)],
                "high": [y * (1 + 0.25 * t / lag[-1]) for t, y in zip(lag, msd, strict=True)],
                "fit_start_ps": 0.2 * lag[-1],
                "fit_stop_ps": 0.8 * lag[-1],
                "n_hops": n_hops,
                "hop_length": HOP_LENGTH,
                "length_ps": length_ps,
                "n_mobile": 47,
            },
        ),
        judge(
            about,
            **number,
            property="diffusivity",
            unit="cm^2/s",
            value=diffusivity,
            uncertainty=0.22 * diffusivity,
            interval_95=(0.62 * diffusivity, 1.5 * diffusivity),
            data={
                "block_value": 1.1 * diffusivity,
                "block_uncertainty": 0.3 * diffusivity,
                "n_hops": n_hops,
            },
        ),
        judge(
            about,
            **number,
            property="conductivity",
            unit="mS/cm",
            value=conductivity,
            uncertainty=0.22 * conductivity,
        ),
    ]


def extrapolation(
    who: dict[str, Any], *, temperatures: list[float], energy: float, ln_d0: float, conductivity: float
) -> list[Result]:
    about = subject(**who, step="arrhenius", jobs=15)
    guards = (Guard(name="temperatures", passed=True, detail=f"{len(temperatures)} temperatures, one phase"),)
    diffusivities = [math.exp(ln_d0 - energy / (8.617333e-5 * t)) for t in temperatures]
    return [
        judge(
            about,
            guards=guards,
            property="arrhenius",
            unit="eV",
            data={
                "temperatures": temperatures,
                "diffusivities": diffusivities,
                "uncertainties": [0.2 * d for d in diffusivities],
                "ln_d0": ln_d0,
                "activation_energy": energy,
                "covariance": [[0.0900, 0.0054], [0.0054, 0.0004]],
            },
        ),
        judge(about, guards=guards, property="activation_energy", unit="eV", value=energy, uncertainty=0.02),
        judge(
            about,
            guards=guards,
            property="conductivity_300K",
            unit="mS/cm",
            value=conductivity,
            interval_95=(conductivity / 2.1, conductivity * 2.3),
        ),
    ]


def na3sbs4(recipe: str = "paper") -> list[Result]:
    """Everything was run: five temperatures, narrow window with one scheme, wide with the other."""
    who = {"material": "Na3SbS4", "polymorph": "tetragonal", "recipe": recipe}
    edges = {1.83: 1.80, 1.90: 2.46, 2.42: 2.46}
    wide = [
        (edges.get(low, low), edges.get(high, high), *rest) for low, high, *rest in SB_STAIRCASE[:5] + SB_STAIRCASE[8:]
    ]
    source = "Hayashi et al., Nat. Commun. 10, 5266 (2019)"
    lengths = {"lattice_a": (7.2321, 7.1708), "lattice_c": (7.6099, 7.2376), "density": (2.661, 2.846)}
    return [
        *cell(who, lengths, source=source),
        *stability(who, scheme="mp2020", limits=(1.83, 1.90), spread=0.055, staircase=SB_STAIRCASE),
        *stability(who, scheme="polysulfide_charge", limits=(1.80, 2.46), spread=0.06, staircase=wide),
        *elasticity(who, bulk=(11.9, 13.4), shear=(4.2, 6.0), warn=True),
        *(
            result
            for temperature in (600.0, 700.0, 800.0, 900.0, 1000.0)
            for result in transport(
                who,
                temperature=temperature,
                diffusivity=math.exp(-6.9 - 0.22 / (8.617333e-5 * temperature)),
                n_hops=int(temperature / 2),
            )
        ),
        *extrapolation(
            who, temperatures=[600.0, 700.0, 800.0, 900.0, 1000.0], energy=0.22, ln_d0=-6.9, conductivity=1.42
        ),
    ]


def na3ps4(recipe: str = "paper") -> list[Result]:
    """Two temperatures, one of them not diffusive; no Arrhenius fit."""
    who = {"material": "Na3PS4", "polymorph": "tetragonal", "recipe": recipe}
    edges = {1.39: 1.36, 2.45: 2.31}
    narrow = [(edges.get(low, low), edges.get(high, high), *rest) for low, high, *rest in P_STAIRCASE]
    source = "Jansen and Henseler, J. Solid State Chem. 99, 110 (1992)"
    lengths = {"lattice_a": (7.0944, 6.952), "lattice_c": (7.2495, 7.0757), "density": (2.077, None)}
    return [
        *cell(who, lengths, source=source),
        *stability(who, scheme="mp2020", limits=(1.39, 2.45), spread=0.06, staircase=P_STAIRCASE),
        *stability(who, scheme="polysulfide_charge", limits=(1.36, 2.31), spread=0.06, staircase=narrow),
        *elasticity(who, bulk=(13.0, 14.6), shear=(6.0, 6.9)),
        *transport(who, temperature=600.0, diffusivity=4e-8, n_hops=3),
        *transport(who, temperature=1000.0, diffusivity=2.4e-5, n_hops=310),
    ]


LONG_REASON = "the stress is not linear in the strain: " + ", ".join(
    f"the cell strained by {component} along axis {axis} lies {axis + 0.25} meV below the unstrained one"
    for axis in range(1, 7)
    for component in (-0.01, -0.005, 0.005, 0.01)
)


def refused(material: str = "Na3PS4", polymorph: str = "tetragonal", recipe: str = "quick") -> list[Result]:
    """Every analysis was run at one temperature and refused, one of them at length."""
    who = {"material": material, "polymorph": polymorph, "recipe": recipe}
    missing = stability(who, scheme="mp2020", limits=(1.2, 2.4), spread=0.06, staircase=P_STAIRCASE, missing="Na4P2S6")
    elastic = subject(**who, step="elasticity", jobs=17)
    guard = Guard(name="linearity", passed=False, detail=LONG_REASON)
    units = {"elastic_tensor": "GPa", "bulk_modulus": "GPa", "shear_modulus": "GPa", "pugh_ratio": "1"}
    return [
        *(result for result in missing if result.property != "e_above_hull"),
        *(judge(elastic, property=name, unit=unit, guards=(guard,)) for name, unit in units.items()),
        *transport(who, temperature=1000.0, diffusivity=4e-8, n_hops=3, length_ps=1.5),
    ]


def unstable(material: str = "Na3PS4", polymorph: str = "tetragonal", recipe: str = "quick") -> list[Result]:
    """Elasticity of a crystal that falls under shear: no moduli, and the symmetric answer apart."""
    who = {"material": material, "polymorph": polymorph, "recipe": recipe}
    reason = (
        "the tetragonal polymorph is unstable against shear e_yz: the cell strained by e_yz +0.01 lies 12 meV per "
        "formula unit below the unstrained one"
    )
    failed = Guard(name="unstrained cell lowest", passed=False, detail=reason)
    warning = Guard(
        name="crystal stays symmetric",
        passed=False,
        detail=f"symmetric answer only: {reason}",
        required=False,
    )
    symmetric = elasticity(who, bulk=(12.3, 13.5), shear=(4.1, 4.9))
    energies = {"unstrained": (0.0, 0.0), "e_xx -0.01": (1.4, 1.4), "e_yz +0.01": (0.6, -12.0)}
    return [
        *(
            judge(
                subject(**who, step="elasticity", jobs=17),
                property=result.property,
                unit=result.unit,
                guards=(failed,),
            )
            for result in symmetric
        ),
        *(
            result.model_copy(update={"property": f"symmetric_{result.property}", "guards": (*result.guards, warning)})
            for result in symmetric
        ),
        judge(
            subject(**who, step="elasticity", jobs=17),
            property="structural_instability",
            unit="meV/f.u.",
            value=12.0,
            uncertainty=0.08,
            data={
                "stable_unstrained": True,
                "unstable_against": ["shear e_yz"],
                "loses_symmetry_under": ["shear e_yz"],
                "formula_units_per_cell": 2.0,
                "strain_energies": [
                    {"label": label, "symmetric": kept, "relaxed": free} for label, (kept, free) in energies.items()
                ],
            },
        ),
    ]


def relaxed_only(material: str, polymorph: str = "cubic") -> list[Result]:
    """Only the relaxation was run, of a material without experiment."""
    who = {"material": material, "polymorph": polymorph, "recipe": "quick"}
    return cell(who, {"lattice_a": (7.3121, None), "density": (2.61, None)}, source="none")
