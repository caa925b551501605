"""Functions whose kernels the emulator and GPUs run, with the families that each must take."""

import contextlib
import itertools
from importlib import import_module

import numpy as np

import gpuad as ad
import gpuad.numpy as gnp
from gpuad.ir.half import epsilon

rng = np.random.default_rng(7)


def normal(*shape, dtype=np.float32):
    return rng.standard_normal(shape).astype(dtype)


def hvp(function):
    """The Hessian-vector product by the first argument; the second one is the direction."""
    return lambda x, v, *rest: ad.jvp(ad.grad(lambda x: function(x, *rest)), (x,), (v,))[1]


def chain(x):
    return gnp.sum(gnp.tanh(gnp.sin(x) * gnp.exp(-x * x)) + gnp.log1p(x * x))


def rosenbrock(x):
    head, tail = x[..., :-1], x[..., 1:]
    step, rest = tail - head * head, 1.0 - head
    return gnp.sum(100.0 * step * step + rest * rest)


def hessians(x, units):
    """Of each row, its columns in front: (3, rows, 3)."""
    return ad.vmap(lambda v: hvp(rosenbrock)(x, gnp.broadcast_to(v, x.shape)))(units)


def logistic(w, x, y):
    z = x @ w
    return gnp.sum(gnp.logaddexp(0, z) - y * z)


def logsumexp(x):
    return gnp.sum(gnp.logsumexp(x, 1))


def potential(p):
    x, y = p[:, 0], p[:, 1]
    dx, dy = x[:, None] - x[None, :], y[:, None] - y[None, :]
    s = 1.0 / (dx * dx + dy * dy + 0.5)
    return gnp.sum(s * s * s - s)


def skewed(p):
    """Of pairs that are not symmetric: sums over both axes are needed."""
    x, y = p[:, 0], p[:, 1]
    dx, dy = 2 * x[:, None] - x[None, :], y[:, None] - y[None, :]
    s = 1.0 / (dx * dx + dy * dy + 0.5)
    return gnp.sum(s * s * s - s)


def statistics(x, mask):
    y = gnp.where(mask, x, 2 * x)
    return gnp.max(y, 1), gnp.min(y, 1), gnp.sum(y, 0), gnp.mean(y), y.astype(np.float64), y > 0


def extremes(x):
    return gnp.sum(gnp.max(x, 1) * gnp.min(gnp.abs(x), 1))


def maxima(x):
    largest = gnp.max(x, 1)[:, None]
    return gnp.sum(gnp.exp(x - largest), 1) + gnp.mean(x, 1), gnp.sum(x * largest, 0)


def helpers(x, y):
    whole = gnp.floor_divide(x, y) + gnp.remainder(x, y) + gnp.fmod(x, y)
    return whole, gnp.sign(x) * gnp.copysign(y, x), gnp.maximum(x, y) - gnp.fmin(x, y), gnp.erf(x)


def likelihood(x):
    f = ad.scipy.special
    near = f.gammaln(x * x + 0.5) + f.log_ndtr(3 * x) + f.i0e(x) * f.ndtr(x)
    return gnp.sum(near + f.i1e(5 * x) * f.digamma(gnp.abs(x) + 0.1))


def moved(x):
    turned = gnp.concatenate([x[:, ::-1], 2 * x], 1)
    return gnp.sum(turned * turned.reshape(-1, 2, 3)[:, 1, 0][:, None], 1), turned[:, 1:5:2]


def neighbours(x):
    """Lanes read at other places: what was computed, and what is in memory."""
    y = x * x
    turned = y[:, ::-1] + gnp.concatenate([y[:, 3:], x[:, :2], y[:, :1]], 1)
    halves = gnp.reshape(y, (y.shape[0], -1, 2))
    return gnp.sum(turned, 0), turned, gnp.sum(halves, 1), gnp.pad(gnp.exp(y), ((0, 0), (2, 1)))


def shifted(x, y):
    """Lanes in memory that are read several times: a few lanes apart, many, and every other one."""
    near = x[:, :, 1:] * x[:, :, :-1]
    far = x[:, 0, 32:] - x[:, 0, 7:-25] * x[:, 0, :-32] + x[:, 1, 16:-16]
    even = y[:, 2::2] * y[:, :-2:2] - y[:, 1:-1:2]
    return gnp.sum(near, 2), far, gnp.sum(far, 1), even, gnp.max(even, 1)


def divided(x):
    """More than one kernel may hold: its parts are put together as far as they go."""
    y = x
    for k in range(5):
        y = gnp.sin(y * gnp.max(y, 1)[:, None]) + gnp.cos(x * (k + 1))
    return y, gnp.sum(y * x, 0), gnp.mean(y, 1)


def transposed(x, y):
    """A view of what a sweep makes, read by another sweep along its rows."""
    z = gnp.tanh(x * gnp.mean(gnp.exp(y) * x, 0))
    mean = gnp.mean(z, 0)
    return gnp.sum(z.T * mean[:, None], 0), z.T @ y


def half(x):
    """In half precision: read, moved, written, summed over lanes and rows, and rounded between."""
    y = gnp.exp(x) * x
    rounded = ((y + 1).astype(x.dtype) * x.astype(np.float32)).astype(x.dtype)
    moved = gnp.concatenate([x[:, ::-1], x[:, :1]], 1)
    return y, moved, gnp.sum(x * x, 1), gnp.sum(y, 0), rounded


def scattered(x, u, i):
    return gnp.sum(ad.grad(lambda x: gnp.sum(gnp.exp(x[i]) * u))(x) * x, 1)


def layered(x, w1, b, w2, w3):
    """A network with its gradient and a tangent at each point: rows by small matrices."""

    def values(x):
        return (gnp.tanh(gnp.tanh(x @ w1 + b) @ w2) @ w3)[:, 0]

    value, tangent = ad.jvp(values, (x,), (gnp.ones_like(x),))
    return value, tangent, ad.grad(lambda x: gnp.sum(values(x)))(x)


def layers(n, *widths, dtype=np.float32):
    """Arguments of `layered`."""
    first, second, third, last = widths
    arrays = [
        normal(n, first),
        normal(first, second) / 3,
        normal(second),
        normal(second, third) / 3,
    ]
    return tuple([x.astype(dtype) for x in (*arrays, normal(third, last))])


def trained(w1, w2, w3, x):
    """The gradient by the weights of a network whose tangents are part of the loss."""

    def loss(*weights):
        value, tangent, _ = layered(x, weights[0], 0.1, *weights[1:])
        return gnp.sum(value * value) + gnp.sum(tangent * tangent)

    return ad.grad(loss, argnums=(0, 1, 2))(w1, w2, w3)


def weights(n, *widths, dtype=np.float32):
    """Arguments of `trained`."""
    pairs = itertools.pairwise(widths)
    arrays = [*[normal(a, b) / a**0.5 for a, b in pairs], normal(n, widths[0])]
    return tuple([x.astype(dtype) for x in arrays])


def mixture(q, x):
    """The likelihood of clusters, of which each has a small matrix."""
    k, d, _ = q.shape
    z = (x @ q.reshape(k * d, d).T).reshape(-1, k, d)
    return gnp.sum(gnp.logsumexp(-0.5 * gnp.sum(z * z, 2), 1))


def shares(x):
    """Lanes with a short axis that lies together in memory."""
    weights = gnp.softmax(gnp.sum(x * x, 2), 1)
    return x * weights[:, :, None], gnp.sum(x, (0, 1)), x > weights[:, :, None]


def classifier(w, x, labels):
    z = x @ w
    return gnp.sum(gnp.logsumexp(z, 1) - gnp.sum(z * labels, 1))


def classes(n, d, k, dtype=np.float32):
    """Arguments of the Hessian-vector product of `classifier`."""
    arrays = normal(d, k) / d**0.5, normal(d, k), normal(n, d), normal(n, k)
    return tuple([x.astype(dtype) for x in arrays])


def several(x, u, v):
    """Sums of products with one operand in common, of which one goes over a further axis."""
    y = gnp.sin(v)
    return gnp.einsum("nk,nsm->ksm", gnp.cos(x), y), gnp.einsum("nsk,nsm->km", gnp.exp(u), y)


def heads(x, w, q):
    """Many products with a matrix of what has no lanes."""
    z = gnp.einsum("nj,kij->nki", x @ w, q)
    return z, x * gnp.sum(z * z, (1, 2))[:, None]


def directions(w, v, x, y):
    """Hessian-vector products in several directions."""
    return ad.vmap(lambda v: hvp(logistic)(w, v, x, y))(v)


def regression(n, d, *shape):
    return normal(d) / d**0.5, normal(*shape, d), normal(n, d), normal(n)


def propagated(z, h, p):
    """Complex values as pairs of real ones: read, turned, measured and left."""
    u = z * h * gnp.exp(1j * p)
    return u / (1 + gnp.abs(u)), gnp.sum(gnp.abs(u) ** 2, 1)


# name: (function, arguments, families that its kernels have)
PROGRAMS = {
    "chain": (hvp(chain), (normal(300), normal(300)), {"flat"}),
    "likelihood": (hvp(likelihood), (normal(300), normal(300)), {"flat"}),
    "likelihood, float64": (likelihood, (normal(300, dtype=float),), {"flat"}),
    "sum": (chain, (normal(1100),), {"flat"}),
    "sum, float64": (chain, (normal(50, dtype=float),), {"flat"}),
    "rosenbrock": (hvp(rosenbrock), (normal(300, 4), normal(300, 4)), {"sample"}),
    "moved": (moved, (normal(70, 3),), {"sample"}),
    "helpers": (helpers, (normal(70), normal(70)), {"flat"}),
    "mixed": (statistics, (normal(70, 5), normal(70, 5) > 0), {"sample"}),
    "logistic": (
        hvp(logistic),
        (normal(33), normal(33), normal(40, 33), normal(40)),
        {"row"},
    ),
    "logsumexp": (hvp(logsumexp), (normal(20, 33), normal(20, 33)), {"row"}),
    "neighbours": (neighbours, (normal(20, 40),), {"row"}),
    "neighbours, a block for a row": (neighbours, (normal(5, 140),), {"row"}),
    "rosenbrock, lanes": (hvp(rosenbrock), (normal(20, 33), normal(20, 33)), {"row"}),
    "rosenbrock, a block for a row": (
        hvp(rosenbrock),
        (normal(5, 140), normal(5, 140)),
        {"row"},
    ),
    "shifted": (shifted, (normal(20, 2, 70), normal(20, 70, dtype=float)), {"row"}),
    "shifted, a block for a row": (
        shifted,
        (normal(3, 2, 300), normal(3, 300, dtype=float)),
        {"row"},
    ),
    "divided": (divided, (normal(40, 33),), {"row"}),
    "hessians": (hessians, (normal(70, 3), np.eye(3, dtype=np.float32)), {"sample"}),
    "transposed": (transposed, (normal(30, 20), normal(30, 20)), {"row"}),
    "extremes": (extremes, (normal(40, 33),), {"row"}),
    "mixed lanes": (statistics, (normal(20, 33), normal(20, 33) > 0), {"row"}),
    "block for a row": (maxima, (normal(150, 140),), {"row"}),
    "scatter": (
        scattered,
        (normal(5, 3), normal(300, 3), rng.integers(0, 5, 300)),
        {"sample"},
    ),
    "scatter of many": (
        scattered,
        (normal(2, 1), normal(2600, 1), rng.integers(0, 2, 2600)),
        {"flat"},
    ),
    "scatter by a sort": (
        scattered,
        (normal(5000, 2), normal(9001, 2), rng.integers(0, 5000, 9001)),
        {"sample"},
    ),
    "small matrices": (
        hvp(lambda a, b: gnp.sum(np.linalg.solve(a, b) ** 2)),
        (normal(70, 3, 3) + 3 * np.eye(3, dtype=np.float32), normal(70, 3, 3), normal(70, 3, 1)),
        {"sample"},
    ),
    "pair": (hvp(potential), (normal(140, 2), normal(140, 2)), {"row"}),
    "skewed pair": (hvp(skewed), (normal(140, 2), normal(140, 2)), {"row", "sample"}),
    "complex": (
        propagated,
        (normal(40, 33) + np.complex64(1j), np.complex64(1j) * normal(40, 33), normal(33)),
        {"row"},
    ),
    "layers": (layered, layers(300, 5, 32, 24, 1), {"tile"}),
    "layers of 64": (layered, layers(103, 3, 64, 64, 1), {"tile"}),
    "layers, float64": (layered, layers(103, 5, 24, 32, 1, dtype=float), {"tile"}),
    "vectors": (hvp(logistic), regression(203, 64), {"row"}),
    "vectors, a block for a row": (hvp(logistic), regression(601, 512), {"row"}),
    "vectors, value": (ad.value_and_grad(logistic), regression(203, 64)[1:], {"row"}),
    "vectors, extremes": (statistics, (normal(143, 64), normal(143, 64) > 0), {"row"}),
    "vectors, logsumexp": (hvp(logsumexp), (normal(100, 128), normal(100, 128)), {"row"}),
    "vectors, float64": (
        hvp(logistic),
        [x.astype(float) for x in regression(133, 64)],
        {"row"},
    ),
    "directions": (directions, regression(103, 64, 3), {"row"}),
    "clusters": (hvp(mixture), (normal(9, 6, 6), normal(9, 6, 6), normal(203, 6)), {"row"}),
    "clusters, float64": (
        hvp(mixture),
        (normal(17, 5, 5, dtype=float), normal(17, 5, 5, dtype=float), normal(101, 5, dtype=float)),
        {"row"},
    ),
    "short axes": (shares, (normal(34, 33, 8),), {"row"}),
    "short axes, float64": (shares, (normal(34, 33, 6, dtype=float),), {"row"}),
    "classes": (hvp(classifier), classes(203, 128, 9), {"row"}),
    "classes, odd lanes": (hvp(classifier), classes(203, 101, 9), {"row"}),
    "weights": (trained, weights(203, 5, 32, 24, 1), {"tile"}),
    "weights of 64": (trained, weights(130, 3, 64, 32, 1), {"tile"}),
    "weights, float64": (trained, weights(103, 5, 24, 33, 1, dtype=float), {"tile"}),
    "heads": (heads, (normal(70, 40), normal(40, 8), normal(4, 8, 8)), {"row"}),
    "several sums": (several, (normal(70, 12), normal(70, 3, 12), normal(70, 3, 17)), {"row"}),
    "softmax over many lanes": (
        lambda x: gnp.softmax(x, 1) * gnp.mean(x, 1)[:, None],
        (normal(34, 33),),
        {"row"},
    ),
}

HALF = [np.dtype(np.float16)]
with contextlib.suppress(ImportError):
    HALF.append(np.dtype(import_module("ml_dtypes").bfloat16))
PROGRAMS |= {f"{t.name}, few lanes": (half, (normal(70, 3, dtype=t),), {"sample"}) for t in HALF}
PROGRAMS |= {
    "float16, flat": (hvp(chain), (normal(300, dtype=HALF[0]),) * 2, {"flat"}),
    "float16, lanes": (half, (normal(20, 33, dtype=HALF[0]),), {"row"}),
}

# Numbers of the planner by which a program of this size takes other kernels, and their families.
SEVERAL_ROWS = {"FILLED": 1}
"""With this a group of threads takes several rows at a time, however few there are."""
MANY_SUMS = SEVERAL_ROWS | {"HELD_SUMS": 500}
"""With this matrices and sums of few elements have too many for the threads of a row."""
PARKED = {"MANY_LINES": 0, "MOST_WAITING": 0, "PARKED": 40}
"""With this most values of a row wait in shared memory."""
SETTINGS = {
    "divided": ({"COST": 160}, {"row"}),
    "pair": ({"MOST_LANES": 30, "MANY_ROWS": 1}, {"pair"}),
    "skewed pair": ({"MOST_LANES": 30, "MANY_ROWS": 1}, {"pair", "sample"}),
    "classes": (MANY_SUMS, {"row"}),
    "classes, odd lanes": (MANY_SUMS, {"row"}),
    "weights": (PARKED, {"tile"}),
    "weights of 64": (PARKED | {"LONG": 0}, {"tile"}),
    "weights, float64": (PARKED | {"LONG": 0}, {"tile"}),
    "softmax over many lanes": ({"SLOTS": 1, "MOST_LANES": 30, "MANY_ROWS": 1}, {"pair"}),
}
OF_ROWS = ["clusters", "directions", "heads", *[x for x in PROGRAMS if x.startswith("vectors")]]
SETTINGS |= {name: (SEVERAL_ROWS, {"row"}) for name in OF_ROWS}


FINER = 8
"""A unit of half precision counts as so many: only the reference executor rounds in between."""


def units(got, expected):
    """The largest difference, in units in the last place of the largest expected value."""
    got, expected = np.asarray(got), np.asarray(expected)
    if got.dtype != expected.dtype or got.shape != expected.shape:
        return float("inf")
    if got.dtype.kind == "c":
        return max(units(got.real, expected.real), units(got.imag, expected.imag))
    dtype = got.dtype
    if dtype in HALF:
        got, expected = got.astype(float), expected.astype(float)
        error = np.abs(got - expected).max() / np.abs(expected).max()
        return float(error / epsilon(dtype)) * FINER
    if got.dtype.kind != "f":
        return 0.0 if np.array_equal(got, expected) else float("inf")
    if not got.size:
        return 0.0
    scale = np.spacing(np.abs(expected).max().astype(got.dtype))
    return float(np.abs(got - expected).max() / scale)
