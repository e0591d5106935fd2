"""The <parameters> of vasprun.xml: their groups, order, types and VASP's defaults.

A line is ``NAME type default``, with i, l, s, f for int, logical, string and real, and F for a vector of reals;
``> group`` opens a group, deeper where it is indented more.
"""

PARAMETERS = """
> general
 SYSTEM s unknown system
 LCOMPAT l F
> electronic
 PREC s normal
 ENMAX f 0
 ENAUG f 0
 EDIFF f 0.0001
 IALGO i 38
 IWAVPR i 11
 NBANDS i 0
 NBANDSLOW i -1
 NBANDSHIGH i -1
 NELECT f 0
 TURBO i 0
 IRESTART i 0
 NREBOOT i 0
 NMIN i 0
 EREF f 0
 > electronic smearing
  ISMEAR i 1
  SIGMA f 0.2
  KSPACING f 0.5
  KGAMMA l T
 > electronic projectors
  LREAL l F
  ROPT F 0
  LMAXPAW i -100
  LMAXMIX i 2
  NLSPLINE l F
 > electronic startup
  ISTART i 0
  ICHARG i 2
  INIWAV i 1
 > electronic spin
  ISPIN i 1
  LNONCOLLINEAR l F
  MAGMOM F 1
  NUPDOWN f -1
  LSORBIT l F
  SAXIS F 0 0 1
  LSPIRAL l F
  QSPIRAL F 0 0 0
  LZEROZ l F
 > electronic exchange-correlation
  LASPH l F
  LMETAGGA l F
 > electronic convergence
  NELM i 60
  NELMDL i -5
  NELMIN i 2
  ENINI f 0
  > electronic convergence detail
   LDIAG l T
   LSUBROT l F
   WEIMIN f 0.001
   EBREAK f 0
   DEPER f 0.3
   NRMM i 4
   TIME f 0.4
 > electronic mixer
  AMIX f 0.4
  BMIX f 1
  AMIN f 0.1
  AMIX_MAG f 1.6
  BMIX_MAG f 1
  > electronic mixer details
   IMIX i 4
   MIXFIRST l F
   MAXMIX i -45
   WC f 100
   INIMIX i 1
   MIXPRE i 1
   MREMOVE i 5
 > electronic dipolcorrection
  LDIPOL l F
  LMONO l F
  IDIPOL i 0
  EPSILON f 1
  DIPOL F -100 -100 -100
  EFIELD f 0
> grids
 NGX i 0
 NGY i 0
 NGZ i 0
 NGXF i 0
 NGYF i 0
 NGZF i 0
 ADDGRID l F
> ionic
 NSW i 0
 IBRION i -1
 MDALGO i 0
 ISIF i 2
 PSTRESS f 0
 EDIFFG f 0.001
 NFREE i 1
 POTIM f 0.5
 SMASS f -3
 SCALEE f 1
> ionic md
 TEBEG f 0
 TEEND f 0
 NBLOCK i 1
 KBLOCK i 1
 NPACO i 256
 APACO f 16
> symmetry
 ISYM i 2
 SYMPREC f 1e-05
> dos
 LORBIT i 0
 RWIGS F -1
 NEDOS i 301
 EMIN f 10
 EMAX f -10
 EFERMI f 0
> writing
 NWRITE i 2
 LWAVE l T
 LDOWNSAMPLE l F
 LCHARG l T
 LPARD l F
 LVTOT l F
 LVHAR l F
 LELF l F
 LOPTICS l F
> performance
 NPAR i 1
 NSIM i 4
 NBLK i -1
 LPLANE l T
 LSCALAPACK l T
 LSCAAWARE l F
 LSCALU l F
 LASYNC l F
 LORBITALREAL l F
> miscellaneous
 IDIOT i 3
 LMUSIC l F
 POMASS F 1
 LCORR l T
GGA_COMPAT l T
LBERRY l F
ICORELEVEL i 0
LDAU l F
I_CONSTRAINED_M i 0
> electronic exchange-correlation
 GGA s --
 VOSKOWN i 0
 LHFCALC l F
 LHFONE l F
 LTHOMAS l F
 LMODELHF l F
 AEXX f 0
 ALDAX f 1
 AGGAX f 1
 ALDAC f 1
 AGGAC f 1
 HFSCREEN f 0
> vdW DFT
 LUSE_VDW l F
> linear response parameters
 LEPSILON l F
 LRPA l F
 LNABLA l F
 LVEL l F
> orbital magnetization
 LCHIMAG l F
"""

IALGO = {"v": 48, "f": 68, "n": 38, "a": 58, "d": 53, "c": 58}
"""IALGO by the first letter of ALGO."""
