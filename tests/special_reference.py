"""What the special functions are measured against: values and derivatives by mpmath.

Run as a script it writes `special_values.json`, which the tests read: mpmath takes minutes.
"""

import itertools
import json
import math
import sys
from pathlib import Path

import mpmath as mp

VALUES = Path(__file__).with_name("special_values.json")
DIGITS = 40
exp, log, pi = mp.exp, mp.log, mp.pi


def ndtr(x):
    return mp.erfc(-x / mp.sqrt(2)) / 2


def log_ndtr(x):
    return mp.log1p(-ndtr(-x)) if x > 0 else log(ndtr(x))


def by_series(sign, first):
    """first(x) Σ (2k - 1)!! (sign / 2x²)ᵏ, for large x."""

    def function(x):
        term = total = first(x)
        for k in range(1, 20):
            term *= sign * (2 * k - 1) / (2 * x * x)
            total += term
        return total

    return function


def erfcx(x):
    far = by_series(-1, lambda x: 1 / (x * mp.sqrt(pi)))
    return far(x) if x > 1e3 else exp(x * x) * mp.erfc(x)


def dawsn(x):
    far = by_series(1, lambda x: 1 / (2 * x))
    return far(x) if abs(x) > 1e3 else mp.sqrt(pi) / 2 * exp(-x * x) * mp.erfi(x)


def voigt(x, sigma, gamma):
    z = mp.mpc(x, gamma) / (sigma * mp.sqrt(2))
    return (exp(-z * z) * mp.erfc(mp.mpc(z.imag, -z.real))).real / (sigma * mp.sqrt(2 * pi))


def scaled(function, sign, order):
    """exp(±x) times a modified Bessel function, which mpmath has not for large x."""

    def of(x):
        if x < 200:
            return exp(sign * abs(x)) * function(order, x)
        term = total = mp.mpf(1)
        for k in range(30):
            term *= sign * (4 * order**2 - (2 * k + 1) ** 2) / (8 * (k + 1) * x)
            total += term
        return total / mp.sqrt(2 * pi * x) if sign < 0 else total * mp.sqrt(pi / (2 * x))

    return of


def gamma_p(a, x):
    return mp.gammainc(a, 0, x, regularized=True)


def gamma_q(a, x):
    return mp.gammainc(a, x, regularized=True)


def beta_i(a, b, x):
    return mp.betainc(a, b, 0, x, regularized=True)


def boxcox(x, lam):
    return mp.expm1(lam * log(x)) / lam if lam else log(x)


def inv_boxcox(y, lam):
    return exp(mp.log1p(lam * y) / lam) if lam else exp(y)


LINE = [-30.0, -7.5, -2.0, -0.7, -1e-3, 1e-8, 0.3, 1.0, 2.5, 6.0, 11.0, 25.5]
POSITIVE = [1e-10, 1e-3, 0.1, 0.5, 1.0, 1.5, 2.0, 3.7, 10.0, 50.0, 140.0]
NEGATIVE = [-0.3, -1.7, -2.5, -9.6, -30.25]
BESSEL = [1e-5, 0.5, 2.0, 7.5, 29.0]
SCALED = [1e-5, 0.5, 2.0, 7.5, 29.0, 31.0, 1e3, 1e6]
ELLIPTIC = [-1e5, -3.0, -0.26, -0.2, 1e-9, 0.24, 0.26, 0.7, 0.999]
PAIRS = [*itertools.product((1e-3, 0.4, 3.0, 60.0, 1e4), repeat=2), (1e8, 0.5), (2.0, 1e9)]
GAMMA = [
    (a, x)
    for a in (0.01, 0.3, 2.5, 16.0, 150.0, 1e4)
    for x in (1e-6, 0.9, 1.1, 0.3 * a, 1.05 * a, a + 4 * math.sqrt(a) + 9)
    if x > 1e-3 * a
]
BETA = [
    (a, b, x)
    for a, b in (
        (0.3, 0.4),
        (1.0, 3.0),
        (0.02, 5.0),
        (20.0, 0.5),
        (14.0, 17.0),
        (300.0, 500.0),
        (2.0, 1e4),
    )
    for x in (1e-3, 0.35, 1.1 * a / (a + b), 0.95)
    if x < 1 and (a < 100 or 0.2 < x < 0.6) and (b < 1e3 or x < 0.1)
]
ORDERS = [(v, x) for v in (0.0, 0.5, 1.0, 3.0, 4.25) for x in (0.2, 3.0, 28.0)]
LOSSES = [(0.3, 0.4), (2.0, 2.0000001), (1e-9, 3.0), (5.0, 1e-7), (70.0, 40.0)]

REFERENCE = {
    "gamma": (mp.gamma, [*POSITIVE, *NEGATIVE]),
    "gammaln": (
        lambda x: mp.loggamma(x).real,
        [*POSITIVE, 1e6, 1e15, 0.999, 1.001, 2.001, *NEGATIVE],
    ),
    "loggamma": (mp.loggamma, [*POSITIVE, 1e6, 1e15]),
    "rgamma": (mp.rgamma, [*POSITIVE, *NEGATIVE, 0.0, -1.0, -2.0, -5.0, -3.0000001]),
    "digamma": (mp.digamma, [*POSITIVE, 1.4616, 1e6, 1e15, *NEGATIVE]),
    "polygamma_1": (lambda x: mp.polygamma(1, x), [*POSITIVE, 1e6, *NEGATIVE]),
    "polygamma_2": (lambda x: mp.polygamma(2, x), [*POSITIVE, 1e6, *NEGATIVE]),
    "multigammaln_3": (
        lambda a: sum([mp.loggamma(a - mp.mpf(j) / 2).real for j in range(3)]) + 1.5 * log(pi),
        [1.001, 1.5, 4.0, 1e3],
    ),
    "factorial": (lambda x: mp.gamma(x + 1), [0.0, 0.5, 3.0, 100.0]),
    "beta": (mp.beta, [p for p in PAIRS if max(p) < 1e4 or min(p) < 1]),
    "betaln": (
        lambda a, b: (mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)).real,
        PAIRS,
    ),
    "poch": (mp.rf, [(0.5, 0.3), (3.0, 2.5), (1e6, 1e-3), (40.0, 0.5), (-0.5, 2.25), (-2.0, 4.5)]),
    "binom": (
        mp.binomial,
        [(0.5, 0.3), (10.0, 3.0), (1e6, 2.5), (60.5, 30.0), (3.0, 5.0), (3.0, -1.0)],
    ),
    "gammainc": (gamma_p, GAMMA),
    "gammaincc": (gamma_q, [p for p in GAMMA if p[1] > 0.5 * p[0]]),
    "betainc": (beta_i, BETA),
    "zeta": (mp.zeta, [(1.01, 1.0), (1.5, 1e-3), (2.5, 0.5), (7.0, 3.0), (30.0, 2.5), (3.0, 1e6)]),
    "riemann_zeta": (mp.zeta, [-7.5, -4.0, -0.5, 0.3, 0.99, 1.01, 2.0, 30.0]),
    "ndtr": (ndtr, [-37.0, *LINE[:-2]]),
    "log_ndtr": (log_ndtr, [-1e3, -40.0, *LINE]),
    "erfcx": (
        erfcx,
        [-20.0, -5.0, -0.5, 0.0, 0.3, 0.49, 0.51, 0.9, 1.5, 3.0, 10.0, 100.0, 1e5, 1e8],
    ),
    "erfi": (mp.erfi, [x for x in LINE if abs(x) < 26]),
    "dawsn": (dawsn, [0.0, 0.3, 0.99, 1.01, 1.5, -2.5, 4.0, 6.3, 6.4, 10.0, -100.0, 1e5]),
    "voigt_profile": (
        voigt,
        [
            (0.3, 1.0, 0.5),
            (2.0, 1.0, 0.01),
            (5.0, 1.0, 1e-4),
            (-9.0, 1.0, 1.0),
            (0.0, 0.1, 3.0),
            (30.0, 0.5, 20.0),
            (30.0, 2.0, 0.1),
            (1.0, 0.5, 0.7),
        ],
    ),
    "j0": (lambda x: mp.besselj(0, x), BESSEL),
    "j1": (lambda x: mp.besselj(1, x), BESSEL),
    "y0": (lambda x: mp.bessely(0, x), BESSEL),
    "y1": (lambda x: mp.bessely(1, x), BESSEL),
    "i0": (lambda x: mp.besseli(0, x), [*BESSEL, 600.0]),
    "i1": (lambda x: mp.besseli(1, x), [*BESSEL, 600.0]),
    "k0": (lambda x: mp.besselk(0, x), [*BESSEL, 600.0]),
    "k1": (lambda x: mp.besselk(1, x), [*BESSEL, 600.0]),
    "i0e": (scaled(mp.besseli, -1, 0), [-5.0, *SCALED]),
    "i1e": (scaled(mp.besseli, -1, 1), [-5.0, *SCALED]),
    "k0e": (scaled(mp.besselk, 1, 0), SCALED),
    "k1e": (scaled(mp.besselk, 1, 1), SCALED),
    "kv": (mp.besselk, [p for p in ORDERS if p[0]]),
    "kve": (
        lambda v, x: exp(x) * mp.besselk(v, x),
        [*[p for p in ORDERS if p[0]], (1.5, 1e-6), (30.0, 0.5), (0.5, 300.0), (-2.5, 0.7)],
    ),
    "expi": (mp.ei, [-30.0, -2.0, 1e-5, 0.5, 3.0, 50.0]),
    "exp1": (mp.e1, [1e-5, 0.5, 1.0, 3.0, 50.0, 600.0]),
    "expn_1": (lambda x: mp.expint(1, x), [0.1, 1.0, 20.0]),
    "expn_4": (lambda x: mp.expint(4, x), [0.1, 1.0, 20.0]),
    "exprel": (
        lambda x: mp.expm1(x) / x,
        [-1e3, -50.0, -3.0, -1e-5, 1e-9, 0.3, 5.0, 39.0, 41.0, 700.0],
    ),
    "exp10": (lambda x: mp.mpf(10) ** x, [-300.0, -2.5, 0.3, 200.5]),
    "cosm1": (lambda x: mp.cos(x) - 1, [1e-9, 0.1, 2.0, 50.0]),
    "spence": (
        lambda x: mp.polylog(2, 1 - x).real,
        [1e-12, 0.2, 0.5, 0.9, 1.0 + 1e-9, 1.4, 3.0, 1e5],
    ),
    "ellipk": (mp.ellipk, ELLIPTIC),
    "ellipkm1": (lambda p: mp.ellipk(1 - p), [1e-20, 1e-3, 0.3, 0.8, 0.999, 5.0]),
    "ellipe": (mp.ellipe, ELLIPTIC),
    "rel_entr": (lambda x, y: x * log(x / y), LOSSES),
    "kl_div": (lambda x, y: x * log(x / y) - x + y, LOSSES),
    "pseudo_huber": (
        lambda d, r: d * d * (mp.sqrt(1 + (r / d) ** 2) - 1),
        [(0.3, 0.4), (2.0, -1e-5), (1e-3, 3.0), (5.0, 1.0)],
    ),
    "boxcox": (boxcox, [(0.3, 0.4), (2.0, -1e-5), (1e-9, 3.0), (5.0, 1e-7), (70.0, -4.0)]),
    "boxcox1p": (
        lambda x, lam: boxcox(1 + x, lam),
        [(0.3, 0.4), (2.0, -1e-5), (1e-9, 3.0), (70.0, -4.0)],
    ),
    "inv_boxcox": (inv_boxcox, [(0.3, 0.4), (2.0, -1e-5), (-0.3, 3.0), (5.0, 1e-7), (-9.0, -4.0)]),
    "inv_boxcox1p": (
        lambda y, lam: inv_boxcox(y, lam) - 1,
        [(0.3, 0.4), (2.0, -1e-5), (-0.3, 3.0), (-9.0, -4.0)],
    ),
    "lambertw": (lambda z: mp.lambertw(z), [-0.36, -1e-9, 1e-5, 0.5, 3.0, 1e10]),
}
for _name, _function in {
    "jv": mp.besselj, "yv": mp.bessely, "iv": mp.besseli,
    "ive": lambda v, x: exp(-x) * mp.besseli(v, x),
}.items():  # fmt: skip
    for _v in (0.5, 3.0, 4.25):
        REFERENCE[f"{_name}_{_v}"] = (
            lambda x, f=_function, v=_v: f(mp.mpf(v), x),
            [0.2, 3.0, 28.0, 45.0, *([900.0] if _name.endswith("e") else [])],
        )


def partials(count):
    """The orders of the value, the first and the second derivatives by so many arguments."""
    orders = [o for o in itertools.product(range(3), repeat=count) if sum(o) <= 2]
    return sorted(orders, key=lambda o: (sum(o), o[::-1]))


def row(function, point):
    """The value and derivatives at a point."""
    point = tuple(map(mp.mpf, point))
    found = []
    for order in partials(len(point)):
        f = function(*point) if not any(order) else mp.diff(function, point, order)
        found.append(float(f.real if isinstance(f, mp.mpc) else f))
    return found


def table(name):
    function, points = REFERENCE[name]
    points = [p if isinstance(p, tuple) else (p,) for p in points]
    with mp.workdps(DIGITS):
        return [[*p, *row(function, p)] for p in points]


def main(names):
    known = json.loads(VALUES.read_text()) if VALUES.exists() else {}
    for name in names or REFERENCE:
        known[name] = table(name)
    lines = [
        f'"{name}": [\n' + ",\n".join(map(json.dumps, known[name])) + "\n]"
        for name in REFERENCE
        if name in known
    ]
    VALUES.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
