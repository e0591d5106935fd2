"""How scripts/install builds GPAW: as C++, with libxc, OpenBLAS and FFTW, and with MPI where that and ScaLAPACK are.

Without ScaLAPACK GPAW 26.7 fails when there are more ranks than k-points.

GPAW's setup.py executes this file (environment variable GPAW_CONFIG). Without it GPAW 26.7 hands C++ to a C compiler.
"""

import shutil
from ctypes.util import find_library

libraries = ["xc", "openblas", "fftw3"]
fftw = True
mpi = scalapack = shutil.which("mpic++") is not None and find_library("scalapack-openmpi") is not None
compiler = "mpic++" if mpi else "g++"
if mpi:
    libraries.append("scalapack-openmpi")
