"""How scripts/install builds GPAW: as C++, with libxc, OpenBLAS and FFTW, and with MPI where its compiler is found.

GPAW's setup.py executes this file (environment variable GPAW_CONFIG). Without it GPAW 26.7 hands C++ to a C compiler.
"""

import shutil

libraries = ["xc", "openblas", "fftw3"]
fftw = True
mpi = shutil.which("mpic++") is not None
compiler = "mpic++" if mpi else "g++"
