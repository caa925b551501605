"""What the functions of a scalar text are in a CUDA kernel.

Elementary functions are libdevice's, chosen by dtype. The others are scalar texts of those, or have
the source of vecmath.
`namespace` has the globals of generated text.
"""

import importlib

import numpy as np

# By NumPy's name, libdevice's name for float64; that for float32 has an f at its end.
LIBDEVICE = {
    "absolute": "fabs",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctan2": "atan2",
    "arctanh": "atanh",
    "cbrt": "cbrt",
    "ceil": "ceil",
    "copysign": "copysign",
    "cos": "cos",
    "cosh": "cosh",
    "erf": "erf",
    "erfc": "erfc",
    "erfcinv": "erfcinv",
    "erfinv": "erfinv",
    "exp": "exp",
    "exp2": "exp2",
    "expm1": "expm1",
    "floor": "floor",
    "fma": "fma",
    "fmod": "fmod",
    "hypot": "hypot",
    "larger_number": "fmax",
    "log": "log",
    "log10": "log10",
    "log1p": "log1p",
    "log2": "log2",
    "nextafter": "nextafter",
    "power": "pow",
    "rint": "rint",
    "rsqrt": "rsqrt",
    "sin": "sin",
    "sinh": "sinh",
    "sqrt": "sqrt",
    "tan": "tan",
    "tanh": "tanh",
    "trunc": "trunc",
}

APPROXIMATIONS = {
    "ex2_approx": "ex2.approx.ftz.f32",
    "lg2_approx": "lg2.approx.ftz.f32",
    "rcp_approx": "rcp.approx.ftz.f32",
    "rsqrt_approx": "rsqrt.approx.ftz.f32",
    "sqrt_approx": "sqrt.approx.ftz.f32",
}
"""Of one operand, 2^x, log2 x, 1/x, 1/√x and √x: by name, what they are in PTX. In the text of
kernels `_f32` follows their names."""

# Values of 64 bits: their halves as int32, and the same bits as a value of the other type.
BITS = {
    "high_half": "double2hiint",
    "low_half": "double2loint",
    "from_halves": "hiloint2double",
    "as_f64": "longlong_as_double",
    "as_i64": "double_as_longlong",
}

# Half precision is stored as int16: conversions from and to float32, and the bits of a float32.
HALF = ("from_f16", "to_f16", "from_bf16", "to_bf16")
BFLOAT16 = ("from_bf16", "to_bf16")

_FLOORED = "where({r} == 0, copysign(0, y), where(({r} < 0) != (y < 0), {r} + y, {r}))"
_WHOLE = "((x - fmod(x, y)) / y - where((fmod(x, y) != 0) & ((fmod(x, y) < 0) != (y < 0)), 1, 0))"

# Functions as scalar texts, with NumPy's meaning.
WRITTEN_OUT = {
    "maximum": "where((x > y) | (x != x), x, y)",
    "minimum": "where((x < y) | (x != x), x, y)",
    "fmax": "where((x >= y) | (y != y), x, y)",
    "fmin": "where((x <= y) | (y != y), x, y)",
    "sign": "where(x > 0, 1, where(x < 0, -1, where(x == 0, 0, nan)))",
    "signbit": "copysign(1, x) < 0",
    "isnan": "x != x",
    "isinf": "absolute(x) == inf",
    "isfinite": "absolute(x) < inf",
    "sigmoid": "where(x >= 0, 1, exp(-absolute(x))) / (1 + exp(-absolute(x)))",
    "softplus": "maximum(x, 0) + log1p(exp(-absolute(x)))",
    "remainder": _FLOORED.format(r="fmod(x, y)"),
    "floor_divide": (
        f"where(y == 0, x / y, where({_WHOLE} == 0, copysign(0, x / y), "
        f"floor({_WHOLE}) + where({_WHOLE} - floor({_WHOLE}) > 0.5, 1, 0)))"
    ),
}

# Functions that are written out from the source of vecmath.
INLINED = frozenset(
    "digamma gammaln i0e i0e_curvature i0e_minus_i1e i1e i1e_over_x i1e_over_x_slope inverse_mills "
    "inverse_mills_excess log_ndtr ndtr tetragamma trigamma".split()
)


def namespace(cuda, libdevice):
    """The globals of generated text for the compiler that these modules belong to."""
    names = {"cuda": cuda, "f32": np.float32, "f64": np.float64}
    names |= {
        "i32": np.int32,
        "i64": np.int64,
        "b1": np.bool_,
        "u8": np.uint8,
        "i16": np.int16,
        "f16": np.int16,
        "bf16": np.int16,
        "from_f16": libdevice.half2float,
        "to_f16": libdevice.float2half_rn,
        "bits_as_f32": libdevice.int_as_float,
        "f32_as_bits": libdevice.float_as_int,
        "inf": np.inf,
        "nan": np.nan,
    }
    names |= {f"{name}_f32": f for name, f in _approximations(cuda, libdevice).items()}
    for name, function in LIBDEVICE.items():
        names[f"{name}_f32"] = getattr(libdevice, f"{function}f")
        names[f"{name}_f64"] = getattr(libdevice, function)
    return names | {name: getattr(libdevice, function) for name, function in BITS.items()}


def _approximations(cuda, libdevice):
    """The instructions that approximate. For numba-cuda-mlir, which has no way to write one, they
    are libdevice's functions that are at least as accurate."""
    if not cuda.__name__.startswith("numba."):
        return {
            "ex2_approx": libdevice.exp2f,
            "lg2_approx": libdevice.fast_log2f,
            "rcp_approx": libdevice.frcp_rn,
            "rsqrt_approx": libdevice.rsqrtf,
            "sqrt_approx": libdevice.fsqrt_rn,
        }
    extending = importlib.import_module("numba.cuda.extending")
    return {name: _instruction(extending, text) for name, text in APPROXIMATIONS.items()}


def _instruction(extending, text):
    """An instruction of PTX of a float32 that gives another one."""
    from llvmlite import ir

    def operation(typing, x):
        def build(context, builder, signature, arguments):
            kind = ir.FunctionType(ir.FloatType(), [ir.FloatType()])
            code = ir.InlineAsm(kind, f"{text} $0, $1;", "=f,f")
            return builder.call(code, arguments)

        return x(x), build

    return extending.intrinsic(operation)
