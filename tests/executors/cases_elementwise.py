"""Cases of the elementwise primitives, generated from what each declares of itself."""

import mpmath
import numpy as np
import scipy.special

from executors.case import Case
from gpuad import numpy as gnp
from gpuad import scipy as gsp
from gpuad.ir.aval import Aval
from gpuad.ir.primitive import CATALOGUE
from gpuad.ir.scalar_text import OPERANDS
from gpuad.primitives.declare import TEXT_NAMES
from vecmath_reference import EXACT, NO_LIBRARY_HAS, in_numpy

assert gnp and gsp  # importing them has filled the catalogue

_ORDERS = [{"n": n} for n in (1, 2)]
PARAMS = {
    "betainc_by": [{"i": 1, "j": 0}, {"i": 0, "j": 1}],
    "cast": [{"dtype": np.dtype(d)} for d in (np.float32, np.complex128, np.int64, np.bool_)],
    "narrow": [{"dtype": np.dtype(np.float32)}],
    "complex_psi": [{"n": n} for n in (0, 1, 2)],
    "dawsn_derivative": _ORDERS,
    "ellipe_derivative": _ORDERS,
    "ellipk_derivative": _ORDERS,
    "ellipkm1_derivative": _ORDERS,
    "erfcx_derivative": _ORDERS,
    "exp_of_square": [{"c": c} for c in (0.5, 1.0)],
    "exprel": [{"n": n} for n in (0, 1, 2)],
    "gammainc_by_a": _ORDERS,
    "integer_power": [{"n": n} for n in (-2, 0, 1, 3, 7)],
    "ive_derivative": _ORDERS,
    "keep": [{"guard": False}],
    "kve_derivative": [{"n": n, "m": m} for n, m in ((1, 0), (0, 1), (1, 1))],
    "lambertw": [{"k": k, "tol": 1e-8} for k in (0, -1)],
    "log1p_ratio": [{"n": n} for n in (0, 1, 2)],
    "polygamma_difference": [{"n": n} for n in (0, 1, 2)],
    "power_of_log": [{"n": n, "limit": n > 1} for n in (1, 2)],
    "root_of_powers": [{"p": p} for p in (1.5, 3.0)],
    "share": [{"larger": a, "nan_wins": b} for a in (True, False) for b in (True, False)],
    "psi": [{"n": n} for n in (0, 1, 2, 3)],
    "sinc": [{"n": n} for n in (0, 1, 2, 5)],
    "voigt_profile": [{"n": 0, "k": 0}, {"n": 1, "k": 1}],
    "wofz": [{"n": n} for n in (0, 1, 2)],
    "zeta_by_exponent": _ORDERS,
}
FIXED = "expn expn_below iv ive ive_derivative jv kn yn yv".split()
"""Operations that are not differentiated by their first operand, their order."""


def _scalar(exact, at_infinity):
    """A function of one number by mpmath, and its limits at -inf and inf."""

    def function(x):
        if np.isfinite(x):
            with mpmath.workprec(200):
                return type(x)(exact(mpmath.mpf(float(x))))
        return type(x)(x if np.isnan(x) else at_infinity[int(x > 0)])

    return function


_OTHER_NAMES = {
    "cast": None,  # to the dtype of the result: given for each case
    "complex": lambda x, y: complex(x, y),
    "conj": np.conjugate,
    "erf": scipy.special.erf,
    "erfc": scipy.special.erfc,
    "erfcinv": scipy.special.erfcinv,
    "erfinv": scipy.special.erfinv,
    "fma": lambda x, y, z: type(x)(np.longdouble(x) * y + z),
    # Of scalars NumPy takes sqrt(x) for x**0.5, which differs at -inf.
    **{n: getattr(scipy.special, n) for n in "digamma gammaln i0e i1e log_ndtr ndtr".split()},
    **{n: _scalar(EXACT[n], (0, 0)) for n in NO_LIBRARY_HAS},
    "inverse_mills": _scalar(EXACT["inverse_mills"], (np.inf, 0)),
    "inverse_mills_excess": _scalar(EXACT["inverse_mills_excess"], (0, np.inf)),
    "polygamma": lambda n, x: scipy.special.polygamma(n, x).astype(x.dtype)[()],
    "tetragamma": lambda x: type(x)(in_numpy("tetragamma")(np.float64(x))),
    "trigamma": lambda x: type(x)(in_numpy("trigamma")(np.float64(x))),
    "power": lambda x, y: np.power(np.full(2, x), np.full(2, y, x.dtype))[0],
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sigmoid": scipy.special.expit,
    "softplus": lambda x: np.logaddexp(x, 0),
    "where": lambda c, x, y: x if c else y,
}
SCALARS = {n: _OTHER_NAMES.get(n) or getattr(np, n, None) for n in TEXT_NAMES}
"""What the names of scalar texts mean: NumPy's functions of one number."""


def by_text(text, dtype):
    """The function of arrays that evaluates a scalar text for each element by itself."""
    code = compile(text, "<scalar text>", "eval")
    names = {**SCALARS, "cast": lambda x: (x.real if dtype.kind not in "cb" else x).astype(dtype)}

    def function(*arrays):
        with np.errstate(all="ignore"):
            arrays = np.broadcast_arrays(*arrays)
            out = np.empty(arrays[0].shape, dtype)
            for i in np.ndindex(out.shape):
                scalars = {n: a[i] for n, a in zip(OPERANDS, arrays, strict=False)}
                out[i] = eval(code, names, scalars)
        return out

    return function


def draw_operand(primitive, position, kind, draw, shape=(3, 4)):
    """An operand of a kind of dtype, from the interval where the primitive is smooth."""
    if position < primitive.scalars_like or kind == "b":
        return draw.random(shape) < 0.5
    if kind in "iu":
        return draw.integers(1, 5, shape).astype(np.int64 if kind == "i" else np.uint8)
    x = draw.uniform(*primitive.domain, shape)
    return x + 1j * draw.uniform(-0.5, 0.5, shape) if kind == "c" else x


def _result_dtype(primitive, operands, params):
    avals = [Aval(x.shape, x.dtype) for x in operands]
    return primitive.infer(*avals, **params).dtype


def _cases_of(primitive):
    draw = np.random.default_rng(sum(map(ord, primitive.name)))
    for params in PARAMS.get(primitive.name, [{}]):
        for kind in primitive.dtypes:
            operands = [draw_operand(primitive, i, kind, draw) for i in range(primitive.arity)]
            dtype = _result_dtype(primitive, operands, params)
            opaque = primitive.text is None
            expected = None if opaque else by_text(primitive.scalar_text(params), dtype)
            name = "-".join([primitive.name, *map(str, params.values()), kind])
            if primitive.name in FIXED:
                yield Case(primitive, (3.0, *operands[1:]), params, expected, name)
                continue
            yield Case(primitive, tuple(operands), params, expected, name)
            several = kind == "f" and primitive.arity - primitive.scalars_like > 1
            for i, x in enumerate(operands) if several else ():
                with_number = (*operands[:i], x[0, 0].item(), *operands[i + 1 :])
                yield Case(primitive, with_number, params, expected, f"{name}-number{i}")


CASES = [
    case
    for primitive in CATALOGUE.values()
    if primitive.kind == "elementwise"
    for case in _cases_of(primitive)
]
_draw = np.random.default_rng(1)
_add = CATALOGUE["add"]
CASES += [
    Case(_add, (_draw.random(shape), _draw.random(shape)), {}, np.add, f"add-{shape}")
    for shape in [(), (0,), (1,), (2, 0)]
]
