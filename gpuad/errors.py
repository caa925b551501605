"""The errors and warnings of gpuad.

Each is also the built-in error that NumPy code would expect to catch, and each message ends with
what to do next.
"""


class GpuadError(Exception):
    """Base of every error that gpuad raises on purpose."""


class ArgumentError(GpuadError, ValueError):
    """An argument that has a wrong value, shape or structure."""


class IntegerRangeError(ArgumentError, OverflowError):
    """A Python integer that is larger than any dtype of integers holds."""


class BadIndexError(GpuadError, IndexError):
    """A key that an array cannot be indexed with, or one that is out of range."""


class DTypeError(GpuadError, TypeError):
    """An argument of a dtype that the operation cannot use."""


class UnknownValueError(GpuadError, TypeError):
    """A value was asked for where only shape and dtype are known (``jit``, ``vmap``)."""


class EscapedTracerError(GpuadError, TypeError):
    """A Tracer was used after the transform that made it had ended."""


class ConversionError(GpuadError, TypeError):
    """A Tracer was about to become a plain array or number, which would lose its derivative."""


class UnsupportedError(GpuadError, TypeError):
    """A NumPy or CuPy function that gpuad cannot record."""


class NotDifferentiableError(GpuadError, TypeError):
    """A derivative was asked for where none is declared."""


class NotLinearError(GpuadError, ValueError):
    """A function that should be linear is not."""


class InPlaceError(GpuadError, TypeError):
    """An in-place update that cannot be recorded without changing its meaning."""


class GradientCheckError(GpuadError, AssertionError):
    """A derivative differs from its check by more than the tolerance."""


class MemoryLimitError(GpuadError, MemoryError):
    """A computation that does not fit in the memory it was given."""


class LibraryError(GpuadError, RuntimeError):
    """A library of the GPU that cannot be loaded, started or called."""


class CompilerError(GpuadError, RuntimeError):
    """A sweep or kernel that a compiler refused, or for which there is no compiler."""


class GraphError(GpuadError, AssertionError):
    """A graph that is not legal: a fault in a rule or a transform."""


class CacheWarning(UserWarning):
    """Compiled code cannot be kept on disk."""


class ExecutorWarning(UserWarning):
    """A jitted function runs without compiled sweeps."""
