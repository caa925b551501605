"""``noalias``, which Numba's compiler knows and its decorators do not: no two arrays given overlap.

It may be said where arrays that do overlap are only read. Without it LLVM compares the ends of all
arrays before it runs a vectorised loop, and gives up where there are many.
"""

from numba.core.cpu import CPUTargetOptions

CPUTargetOptions.noalias = CPUTargetOptions.Mapping("noalias")
