"""A POTCAR library without licence: headers only, typed from public facts, and no data of VASP's."""

from __future__ import annotations

from pathlib import Path

from sodalyte.errors import ConfigurationError, suggestion

MARK = "REHEARSAL"
"""Stands in every title, and hence in every document made with this library."""

FOLDERS = {
    "PBE": "POT_GGA_PAW_PBE",
    "PBE_52": "POT_GGA_PAW_PBE_52",
    "PBE_54": "POT_GGA_PAW_PBE_54",
    "PBE_64": "POT_PAW_PBE_64",
}
"""Folder of each functional in a library laid out as pymatgen's PMG_VASP_PSP_DIR."""

SYMBOLS = """
H 1 1.000 250 | He 2 4.000 479 | Li_sv 3 7.010 499 | Be_sv 4 9.013 309 | B 3 10.811 319 | C 4 12.011 400
N 5 14.001 400 | O 6 16.000 400 | F 7 18.998 400 | Na 1 22.990 102 | Na_pv 7 22.990 260 | Mg 2 24.305 200
Mg_pv 8 24.305 404 | Al 3 26.982 240 | Si 4 28.085 245 | P 5 30.974 255 | S 6 32.066 259 | Cl 7 35.453 262
K_sv 9 39.098 259 | Ca_sv 10 40.078 267 | Sc_sv 11 44.956 223 | Ti_pv 10 47.880 222 | V_pv 11 50.941 264
V_sv 13 50.941 264 | Cr_pv 12 51.996 266 | Mn_pv 13 54.938 270 | Fe_pv 14 55.847 293 | Co 9 58.933 268
Ni_pv 16 58.690 368 | Cu_pv 17 63.546 369 | Zn 12 65.390 277 | Ga_d 13 69.723 283 | Ge_d 14 72.610 310
As 5 74.922 209 | Se 6 78.960 212 | Br 7 79.904 216 | Rb_sv 9 85.468 220 | Sr_sv 10 87.620 229 | Y_sv 11 88.906 203
Zr_sv 12 91.224 230 | Nb_pv 11 92.900 209 | Mo_pv 12 95.940 225 | Tc_pv 13 98.906 264 | Ru_pv 14 101.070 240
Rh_pv 15 102.906 247 | Pd 10 106.420 251 | Ag 11 107.868 250 | Cd 12 112.411 274 | In_d 13 114.820 239
Sn_d 14 118.710 241 | Sb 5 121.750 172 | Te 6 127.600 175 | I 7 126.904 176 | Cs_sv 9 132.900 220
Ba_sv 10 137.327 187 | La 11 138.900 219 | Ce 12 140.115 273 | Nd_3 11 144.240 183 | Gd 18 157.250 256
Hf_pv 10 178.490 220 | Ta_pv 11 180.948 224 | W_pv 12 183.850 223 | W_sv 14 183.850 223 | W 6 183.850 223
Re_pv 13 186.207 226 | Os_pv 14 190.200 228 | Ir 9 192.220 211 | Pt 10 195.080 230 | Au 11 196.966 230
Hg 12 200.590 233 | Tl_d 13 204.380 237 | Pb_d 14 207.200 238 | Bi 5 208.980 105 | Bi_d 15 208.980 243
"""
"""Symbol, valence electrons, mass (u) and ENMAX (eV, rounded) of Materials Project's choices and some more."""

_TEXT = """  PAW_PBE {symbol} {mark}
   {valence:.6f}
 parameters from PSCTR are:
   VRHFIN ={element}: not a pseudopotential
   LEXCH  = PE
   EATOM  =     0.0000 eV,    0.0000 Ry

   TITEL  = PAW_PBE {symbol} {mark}
   LULTRA =        F    use ultrasoft PP ?
   IUNSCR =        1    unscreen: 0-lin 1-nonlin 2-no
   RPACOR =    0.000    partial core radius
   POMASS = {mass:8.3f}; ZVAL   = {valence:8.3f}    mass and valenz
   RCORE  =    2.000    outmost cutoff radius
   RWIGS  =    2.000; RWIGS  =    1.058    wigner-seitz radius (au A)
   ENMAX  = {enmax:8.3f}; ENMIN  = {enmin:8.3f} eV
   LCOR   =        T    correct aug charges
   LPAW   =        T    paw PP
   EAUG   =  400.000
   DEXC   =    0.000
   RMAX   =    2.000    core radius for proj-oper
   RAUG   =    1.300    factor for augmentation sphere
   RDEP   =    2.000    radius for radial grids
   RDEPT  =    2.000    core radius for aug-charge

END of PSCTR-controll parameters
 NOT A DFT RESULT: the header of a rehearsal, without data
   0.0
 End of Dataset
"""


def write_library(folder: Path, functional: str = "PBE") -> Path:
    """Write the library of one functional, unless it is there, and return ``folder`` for PMG_VASP_PSP_DIR.

    Raises
    ------
    ConfigurationError
        The functional is unknown.
    """
    if functional not in FOLDERS:
        raise ConfigurationError(f"there are no potentials of {functional!r}; {suggestion(functional, FOLDERS)}")
    target = folder / FOLDERS[functional]
    target.mkdir(parents=True, exist_ok=True)
    for symbol, text in _potcars().items():
        path = target / f"POTCAR.{symbol}"
        if not path.exists() or path.read_text() != text:
            temporary = path.with_name(f".{path.name}.{id(path)}")
            temporary.write_text(text)
            temporary.replace(path)
    return folder


def _potcars() -> dict[str, str]:
    potcars = {}
    for entry in SYMBOLS.replace("\n", " | ").split("|"):
        if words := entry.split():
            symbol, valence, mass, enmax = words
            potcars[symbol] = _TEXT.format(
                symbol=symbol,
                element=symbol.partition("_")[0],
                mark=MARK,
                valence=float(valence),
                mass=float(mass),
                enmax=float(enmax),
                enmin=0.75 * float(enmax),
            )
    return potcars
