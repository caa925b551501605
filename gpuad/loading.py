"""Late imports of what compiles: executors and, through them, plans and generated code.

These are half of all modules, and a program that compiles nothing needs none of them. So each is
imported when an attribute of it is first used. Other modules import it from here, as they import
any other name. Modules of gpuad are imported late nowhere else, but for `gpuad.scipy` (in
`gpuad/__init__.py`). A type checker, and the test of the layers, read the imports of the first
branch.
"""

import importlib
from typing import TYPE_CHECKING, Any


class Late:
    """A module that is imported when an attribute of it is first asked for.

    Threads may ask at the same time: an import waits for the same import in another thread.
    """

    def __init__(self, module: str):
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._module), name)


if TYPE_CHECKING:
    from gpuad.codegen.cuda import compilers
    from gpuad.executors import by_operation, disk_cache
    from gpuad.executors.cuda import compile_cache as kernels
    from gpuad.executors.cuda import executor as cuda
    from gpuad.executors.native import executor as native
else:
    compilers = Late("gpuad.codegen.cuda.compilers")
    by_operation = Late("gpuad.executors.by_operation")
    disk_cache = Late("gpuad.executors.disk_cache")
    kernels = Late("gpuad.executors.cuda.compile_cache")
    cuda = Late("gpuad.executors.cuda.executor")
    native = Late("gpuad.executors.native.executor")

__all__ = ["by_operation", "compilers", "cuda", "disk_cache", "kernels", "native"]
