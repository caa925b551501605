"""The language of scalar texts: a line of code for one element, which every target can write.

A text is a Python expression in the operands ``x, y, z``, numbers, operators with the meaning that
NumPy scalars give them (so 1 / 0 is inf), and the functions below, with NumPy's meaning. `cast` is
to the dtype of the result; `inf` and `nan` are constants. A number has the dtype of the operands.
"""

from dataclasses import dataclass

from gpuad.errors import GraphError

OPERANDS = ("x", "y", "z")


@dataclass(frozen=True)
class TextFunction:
    """A function that a scalar text may call."""

    size: str = "function"
    """How much code it becomes: a "selection" is one or two instructions, a "long function" has a
    formula for each of several intervals."""
    bounded: bool = False
    """Whether the CPU's fast form is right only within bounds; then there is a slow form too."""
    integers: bool = False
    """Whether kernels for a GPU may call it with integers too."""


def _functions(names: str, **facts: bool | str) -> dict[str, TextFunction]:
    return {name: TextFunction(**facts) for name in names.split()}  # type: ignore[arg-type]


FUNCTIONS: dict[str, TextFunction] = {
    **_functions("where maximum minimum cast", size="selection", integers=True),
    **_functions(
        "fmax fmin absolute copysign sqrt sign floor ceil trunc rint isnan isinf isfinite signbit",
        size="selection",
    ),
    **_functions(
        "arccos arccosh arcsin arcsinh arctan arctan2 arctanh cbrt cosh exp exp2 expm1 fma hypot "
        "log log10 log1p log2 power rsqrt sigmoid sinh softplus tanh"
    ),
    **_functions("sin cos tan fmod remainder floor_divide", bounded=True),
    **_functions("erf erfc", size="long function"),
    **_functions(
        "digamma gammaln i0e i0e_curvature i0e_minus_i1e i1e i1e_over_x i1e_over_x_slope "
        "inverse_mills inverse_mills_excess log_ndtr ndtr tetragamma trigamma",
        size="long function",
    ),
    # Not every target has these. Where one is missing, the operation stays outside sweeps.
    **_functions("complex conj erfcinv erfinv gcd imag lcm nextafter polygamma real"),
}
CONSTANTS = frozenset(["inf", "nan"])

TEXT_NAMES = FUNCTIONS.keys() | CONSTANTS
"""The names that a scalar text may use beside its operands."""


def check_text(name: str, text: str, arity: int) -> None:
    """Raises `GraphError` if a text uses a name that is no operand, function or constant of
    texts."""
    unknown = set(compile(text, name, "eval").co_names).difference(TEXT_NAMES, OPERANDS[:arity])
    if unknown:
        raise GraphError(
            f"{name}: the text {text!r} uses {', '.join(sorted(unknown))}; write it in the "
            f"operands {', '.join(OPERANDS[:arity])} and the functions of gpuad.ir.scalar_text."
        )
