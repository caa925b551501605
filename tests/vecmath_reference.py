"""What vecmath is measured against: samples of each function's domain and its values by mpmath.

float32 functions are compared with NumPy in float64, which is right to 2^-28 of their last place.
"""

import math
from functools import cache

import mpmath
import numpy as np
import scipy.special
from gpuad.kernels import vecmath
from gpuad.kernels.vecmath_trig import BOUND
from numba import njit


def continued(y, first):
    """y + first/(y + (first + 1)/(y + …))."""
    f = y
    for k in range(200, first - 1, -1):
        f = y + k / f
    return f


def upper_tail(y):
    """The normal distribution's upper tail over its density, the ratio of Mills, for y ≥ 0."""
    if y > 20:
        return 1 / continued(y, 1)
    whole = mpmath.exp(y * y / 2) * mpmath.erfc(y / mpmath.sqrt(2))
    return mpmath.sqrt(mpmath.pi / 2) * whole


def density(x):
    return mpmath.exp(-x * x / 2) / mpmath.sqrt(2 * mpmath.pi)


def ndtr(x):
    tail = upper_tail(abs(x)) * density(x)
    return 1 - tail if x > 0 else tail


def log_ndtr(x):
    tail = upper_tail(abs(x))
    if x > 0:
        return mpmath.log1p(-tail * density(x))
    return mpmath.log(tail) - x * x / 2 - mpmath.log(2 * mpmath.pi) / 2


def inverse_mills(x):
    return density(x) / ndtr(x) if x > 0 else 1 / upper_tail(-x)


def inverse_mills_excess(x):
    return 1 / continued(-x, 2) if x < -20 else x + inverse_mills(x)


def scaled_bessel(order, x):
    """exp(-|x|) I(|x|), beyond 200 by its asymptotic series."""
    y = abs(x)
    if y < 200:
        return mpmath.exp(-y) * mpmath.besseli(order, y)
    term = total = mpmath.mpf(1)
    for k in range(1, 200):
        term *= -(4 * order**2 - (2 * k - 1) ** 2) / (8 * k * y)
        total += term
    return total / mpmath.sqrt(2 * mpmath.pi * y)


def bessel(part):
    """What part(I₀, I₁, I₁/x, I₂/x) is of x, with digits enough for its differences."""

    def exact(x):
        with mpmath.workprec(200 + 3 * max(0, mpmath.mag(x))):
            y = abs(x)
            first = scaled_bessel(1, y)
            ratios = (first / y, scaled_bessel(2, y) / y) if y else (mpmath.mpf(1) / 2, 0)
            return part(scaled_bessel(0, y), first, *ratios)

    return exact


with mpmath.workprec(200):
    EXACT = {
        "exp": mpmath.exp,
        "exp2": lambda x: mpmath.mpf(2) ** x,
        "expm1": mpmath.expm1,
        "sigmoid": lambda x: mpmath.exp(min(x, 0)) / (1 + mpmath.exp(-abs(x))),
        "softplus": lambda x: max(x, 0) + mpmath.log1p(mpmath.exp(-abs(x))),
        "sinh": mpmath.sinh,
        "cosh": mpmath.cosh,
        "tanh": mpmath.tanh,
        "log": mpmath.log,
        "log2": lambda x: mpmath.log(x) / mpmath.log(2),
        "log10": mpmath.log10,
        "log1p": mpmath.log1p,
        "arcsinh": mpmath.asinh,
        "arccosh": mpmath.acosh,
        "arctanh": mpmath.atanh,
        "sin": mpmath.sin,
        "cos": mpmath.cos,
        "tan": mpmath.tan,
        "arcsin": mpmath.asin,
        "arccos": mpmath.acos,
        "arctan": mpmath.atan,
        "arctan2": mpmath.atan2,
        # mpmath's series fail for the smallest and the largest arguments.
        "erf": lambda x: 2 * x / mpmath.sqrt(mpmath.pi) if abs(x) < 1e-40 else mpmath.erf(x),
        "erfc": lambda x: mpmath.erfc(x) if 1e-40 < abs(x) < 40 else 1 - max(-1, min(x, 1)),
        "cbrt": lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)),
        "rsqrt": lambda x: 1 / mpmath.sqrt(x),
        "gammaln": lambda x: mpmath.re(mpmath.loggamma(x)),
        "digamma": mpmath.digamma,
        "trigamma": lambda x: mpmath.psi(1, x),
        "tetragamma": lambda x: mpmath.psi(2, x),
        "ndtr": ndtr,
        "log_ndtr": log_ndtr,
        "inverse_mills": inverse_mills,
        "inverse_mills_excess": inverse_mills_excess,
        "i0e": bessel(lambda zero, one, by_x, two: zero),
        "i1e": lambda x: mpmath.sign(x) * scaled_bessel(1, x),
        "i0e_minus_i1e": bessel(lambda zero, one, by_x, two: zero - one),
        "i0e_curvature": bessel(lambda zero, one, by_x, two: 2 * (zero - one) - by_x),
        "i1e_over_x": bessel(lambda zero, one, by_x, two: by_x),
        "i1e_over_x_slope": bessel(lambda zero, one, by_x, two: by_x - two),
        "power": mpmath.power,
        "hypot": mpmath.hypot,
    }


def in_scipy_gammaln(x):
    """SciPy's, which is infinite for subnormal numbers."""
    return np.where(np.abs(x) < 1e-300, -np.log(np.abs(x)), scipy.special.gammaln(x))


def in_scipy_tetragamma(x):
    """By reflection below 0, where SciPy's zeta loses digits and takes |x| steps."""
    d = np.pi * np.where(x > -1e15, x - np.rint(x), 0)
    c = np.where(np.abs(d) == np.pi / 2, 0, np.cos(d))
    series = -2 * scipy.special.zeta(3.0, np.where(x < 0, 1 - x, x))
    return np.where(x < 0, series - 2 * np.pi**3 * c / np.sin(d) ** 3, series)


IN_NUMPY = {
    "sigmoid": lambda x: np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x))),
    "softplus": lambda x: np.logaddexp(np.zeros_like(x), x),
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "erf": np.vectorize(math.erf, otypes=[float]),
    "erfc": np.vectorize(math.erfc, otypes=[float]),
    "gammaln": in_scipy_gammaln,
    "digamma": scipy.special.digamma,
    "trigamma": lambda x: scipy.special.zeta(2.0, x),
    "tetragamma": in_scipy_tetragamma,
    "ndtr": scipy.special.ndtr,
    "log_ndtr": scipy.special.log_ndtr,
    "i0e": scipy.special.i0e,
    "i1e": lambda x: np.copysign(scipy.special.i1e(x), x),
}
NO_LIBRARY_HAS = (
    "inverse_mills", "inverse_mills_excess", "i0e_minus_i1e", "i0e_curvature", "i1e_over_x",
    "i1e_over_x_slope",
)  # fmt: skip
"""Of these float32 is compared with our own float64, which mpmath has been asked about."""
GAMMA = ("gammaln", "digamma", "trigamma", "tetragamma")
UNIT = ("arcsin", "arccos", "arctanh")
POSITIVE = ("log", "log2", "log10", "rsqrt", "arccosh", "log1p")


def in_numpy(name):
    if name in NO_LIBRARY_HAS:
        return lambda x: evaluate(name, [x.astype(np.float64)])
    return IN_NUMPY.get(name) or getattr(np, name)


def operands_of(name):
    """How many operands a function, or the `_slow` or `_inside` of one, takes."""
    return vecmath.FUNCTIONS[name.removesuffix("_slow").removesuffix("_inside")].operands


@cache
def loop(name, dtype):
    """`out[i] = name(x[i], ...)`, compiled the way generated sweeps are: text and globals."""
    operands = "xyz"[: operands_of(name)]
    arguments = ", ".join(f"{x}[i]" for x in operands)
    text = f"def loop({', '.join(operands)}, out):\n"
    text += f"    for i in range(out.size):\n        out[i] = {name}({arguments})\n"
    names = vecmath.namespace(dtype)
    exec(text, names)
    return njit(names["loop"])


def evaluate(name, operands, dtype=None):
    """The function over arrays; `dtype` is that of the result, where it is not the operands'."""
    out = np.empty(operands[0].shape, dtype or operands[0].dtype)
    loop(name, operands[0].dtype.type)(*operands, out)
    return out


@np.errstate(over="ignore")
def samples(name, dtype, count):
    """About `count` points, on a logarithmic scale, around 1, and where the function is hard."""
    random = np.random.default_rng(7)
    form = vecmath.FORMATS[np.dtype(dtype)]
    top, bottom = form.bias + 1, -form.bias - form.fraction_bits + 1

    def signed(low, high, size=count // 3):
        return np.exp2(random.uniform(low, high, size)) * random.choice((-1, 1), size)

    def near(radius):
        return random.uniform(-radius, radius, count // 3)

    wide, last = signed(bottom, top), 2.0**-form.fraction_bits
    match name:
        case "power":
            x = np.exp2(np.r_[random.uniform(bottom, top, count // 2), near(1)])
            y = random.uniform(bottom, top, x.size) / np.log2(x)
            operands = [x, np.where(random.random(x.size) < 0.3, signed(-3, 3, x.size), y)]
        case "arctan2" | "hypot":
            x = np.r_[wide, near(3), wide]
            operands = [x, np.r_[random.permutation(wide), near(3), wide * signed(-3, 3)]]
        case "sin" | "cos" | "tan":
            limit = math.log2(BOUND[form.name])
            poles = np.rint(np.exp2(random.uniform(0, limit - 1, count // 4))) * (np.pi / 2)
            poles *= random.choice((1 - last, 1, 1 + last), poles.size)
            operands = [np.r_[signed(bottom, limit), near(10), poles]]
        case _ if name in GAMMA:  # not near their other zeros, which are negative
            wide = np.exp2(random.uniform(-40 if top > 128 else -20, 40, count // 3))
            few = random.uniform(-0.4, 22, count // 3)
            operands = [np.r_[wide, few, 1 + near(0.1), 2 + near(1e-3), 1.4616321 + near(1e-3)]]
        case _ if name in UNIT:
            x = np.r_[near(1), signed(bottom, 0)]
            operands = [np.r_[x, 1 - np.exp2(random.uniform(-form.fraction_bits, 0, count // 3))]]
        case "arccosh":
            operands = [
                1 + np.r_[np.exp2(random.uniform(-form.fraction_bits, 9, count)), np.abs(wide)]
            ]
        case "log1p":
            x = np.r_[np.abs(wide), near(1), 3 * near(1) ** 2]
            operands = [np.r_[x, last - np.exp2(random.uniform(-40, 0, count // 3))]]
        case _ if name in POSITIVE:
            operands = [np.abs(np.r_[wide, 1 + near(1), 1 + near(0.1)])]
        case _:  # the exponentials' whole range, in bits or in powers of e; erfc's
            edges = random.uniform(1.01 * bottom, 1.01 * top, count // 3)
            edges *= 1 if name == "exp2" else math.log(2)
            operands = [np.r_[wide, near(3), edges, near(40), near(27.3 if top > 128 else 10.2)]]
    return [x.astype(dtype) for x in operands]


def last_place(x):
    """The spacing of floats at x, infinity taken for the largest of them."""
    largest = np.finfo(x.dtype).max
    return np.spacing(np.minimum(np.abs(x), largest))


def reference(name, operands):
    """The exact value rounded, and what is left over in units of its last place."""
    dtype = operands[0].dtype
    if dtype == np.float32:
        with np.errstate(all="ignore"):
            exact = in_numpy(name)(*(x.astype(np.float64) for x in operands))
            rounded = exact.astype(dtype)
            return rounded, (exact - rounded) / last_place(rounded)
    rounded, rest = np.zeros((2, operands[0].size))
    with mpmath.workprec(200):
        for i, point in enumerate(zip(*(x.tolist() for x in operands), strict=True)):
            exact = EXACT[name](*map(mpmath.mpf, point))
            rounded[i] = float(exact)
            if math.isfinite(rounded[i]):
                rest[i] = float((exact - rounded[i]) / float(last_place(rounded[i])))
    return rounded, rest


def errors(name, operands):
    """|result - exact| in units in the last place; infinite where one is NaN and the other not."""
    result, (rounded, rest) = evaluate(name, operands), reference(name, operands)
    with np.errstate(all="ignore"):
        difference = (result.astype(float) - rounded.astype(float)) / last_place(rounded) - rest
    same = (result == rounded) | (np.isnan(result) & np.isnan(rounded))
    difference = np.where(same, np.where(np.isfinite(rounded), -rest, 0), difference)
    return np.where(np.isnan(difference), np.inf, np.abs(difference))
