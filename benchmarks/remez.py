"""Regenerate `kernels/vecmath_coefficients.py`: `python -m benchmarks.remez [NAME ...]`.

Each polynomial is the weighted minimax fit found by Remez exchange (E. Ya. Remez, 1934) in 60-digit
arithmetic. Coefficients are rounded one at a time, lowest power first, and the rest fitted again
around each rounded one, so that rounding costs little accuracy.
With names, prints those fits and their errors and writes nothing.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mpmath
from mpmath import mp, mpf

mp.dps = 60
TARGET = Path(__file__).resolve().parent.parent / "kernels" / "vecmath_coefficients.py"
Function = Callable[[mpf], mpf]


@dataclass(frozen=True)
class Fit:
    """A polynomial near `function` on `interval`; `weight` makes its error that of the result.

    `degree` is per format. With `wide`, the float32 function computes in float64; with
    `double`, the constant coefficient is stored as the sum of two floats.
    """

    function: Function
    weight: Function
    interval: tuple[mpf, mpf]
    degree: dict[str, int]
    wide: bool = False
    double: bool = False


def chebyshev_grid(interval, count):
    low, high = interval
    middle, radius = (low + high) / 2, (high - low) / 2
    return [middle - radius * mpmath.cos(mpmath.pi * k / (count - 1)) for k in range(count)]


def alternation(errors, count):
    """Indices of `count` extrema of alternating sign, the smallest dropped from the ends."""
    chosen = []
    for k, e in enumerate(errors):
        if chosen and (e > 0) == (errors[chosen[-1]] > 0):
            if abs(e) > abs(errors[chosen[-1]]):
                chosen[-1] = k
        else:
            chosen.append(k)
    while len(chosen) > count:
        drop = 0 if abs(errors[chosen[0]]) < abs(errors[chosen[-1]]) else -1
        chosen.pop(drop)
    return chosen


def remez(values, weights, points, powers):
    """Minimax coefficients of `powers` on the grid `points`."""
    size = len(powers)
    basis = [[w * x**p for p in powers] for x, w in zip(points, weights, strict=True)]
    targets = [w * v for w, v in zip(weights, values, strict=True)]
    chosen = [round(k * (len(points) - 1) / size) for k in range(size + 1)]
    for _ in range(30):
        system = mpmath.matrix(size + 1, size + 1)
        for row, k in enumerate(chosen):
            for column in range(size):
                system[row, column] = basis[k][column]
            system[row, size] = mpf(-1) ** row
        solution = mpmath.lu_solve(system, mpmath.matrix([targets[k] for k in chosen]))
        coefficients = list(solution)[:size]
        errors = [t - mpmath.fdot(b, coefficients) for t, b in zip(targets, basis, strict=True)]
        worst, level = max(map(abs, errors)), abs(solution[size])
        following = alternation(errors, size + 1)
        if worst <= level * mpf("1.02") or len(following) <= size:
            break
        chosen = following
    return coefficients


def least_squares(values, weights, points, powers):
    """Coefficients of `powers` where these vanish inside the interval, which Remez cannot have."""
    basis = [[w * x**p for x, w in zip(points, weights, strict=True)] for p in powers]
    targets = [w * v for w, v in zip(weights, values, strict=True)]
    normal = mpmath.matrix([[mpmath.fdot(a, b) for b in basis] for a in basis])
    return list(mpmath.lu_solve(normal, mpmath.matrix([mpmath.fdot(b, targets) for b in basis])))


def rounded(value, bits):
    """`value` to `bits` significant bits, half to even."""
    scale = mpf(2) ** (mpmath.floor(mpmath.log(abs(value), 2)) - (bits - 1))
    return float(mpmath.nint(value / scale) * scale)


def fit(spec, form):
    """The rounded coefficients of `spec` and the weighted error of the polynomial they make."""
    terms, bits = spec.degree[form] + 1, 24 if form == "f32" and not spec.wide else 53
    crosses_zero = spec.interval[0] < 0 < spec.interval[1]
    points = chebyshev_grid(spec.interval, (10 if crosses_zero else 40) * terms)
    points = [x or mpf(10) ** -20 for x in points]
    values, weights = [spec.function(x) for x in points], [spec.weight(x) for x in points]
    coefficients, remaining = [], values
    for power in range(terms):
        solve = least_squares if power and crosses_zero else remez
        best = solve(remaining, weights, points, range(power, terms))[0]
        pieces = [rounded(best, bits)]
        if spec.double and not power:
            pieces.append(rounded(best - mpf(pieces[0]), bits))
        coefficients += pieces
        best = sum(map(mpf, pieces))
        remaining = [v - best * x**power for v, x in zip(remaining, points, strict=True)]
    return coefficients, max(abs(w * v) for w, v in zip(weights, remaining, strict=True))


def of_square(function: Function) -> Function:
    return lambda z: function(mpmath.sqrt(z))


def erfc_tail(shift, low, high, degree, absolute=False):
    """(x + ½) exp(x²) erfc(x) = P(t), t = (x - shift)/(x + shift)."""

    def back(t):
        return shift * (1 + t) / (1 - t)

    def function(t):
        return (back(t) + mpf(0.5)) * mpmath.exp(back(t) ** 2) * mpmath.erfc(back(t))

    def weight(t):
        return (mpmath.erfc(back(t)) if absolute else 1) / function(t)

    interval = tuple((mpf(x) - shift) / (mpf(x) + shift) for x in (low, high))
    return Fit(function, weight, interval, degree, double=True)


half_log2 = mpmath.log(2) / 2 * mpf("1.001")
quarter_pi = mpmath.pi / 4 * mpf("1.01")
log_square = (3 - 2 * mpmath.sqrt(2)) ** 2
fits = {
    "EXP": Fit(  # exp r = 1 + r + r² P(r)
        lambda r: (mpmath.expm1(r) - r) / r**2,
        lambda r: abs(r * r / mpmath.expm1(r)),
        (-half_log2, half_log2),
        {"f32": 5, "f64": 10},
    ),
    "EXP2": Fit(  # 2^r = 1 + r P(r)
        lambda r: mpmath.expm1(r * mpmath.log(2)) / r,
        lambda r: abs(r),
        (-mpf("0.501"), mpf("0.501")),
        {"f32": 5, "f64": 10},
    ),
    "SINH": Fit(  # sinh r = r + r³ P(r²)
        of_square(lambda r: (mpmath.sinh(r) / r - 1) / r**2),
        lambda z: z,
        (mpf(0), half_log2**2),
        {"f32": 2, "f64": 4},
    ),
    "COSH": Fit(  # cosh r = 1 + r² P(r²)
        of_square(lambda r: (mpmath.cosh(r) - 1) / r**2),
        lambda z: z,
        (mpf(0), half_log2**2),
        {"f32": 2, "f64": 4},
    ),
    "LOG": Fit(  # log((1+s)/(1-s)) = 2s + s³ P(s²)
        of_square(lambda s: (2 * mpmath.atanh(s) / s - 2) / s**2),
        lambda z: z / 2,
        (mpf(0), log_square),
        {"f32": 2, "f64": 6},
    ),
    "LOG1P_UNIT": Fit(  # log(1 + x) = x + x² P(x), 0 ≤ x ≤ 1
        lambda x: (mpmath.log1p(x) - x) / x**2,
        lambda x: x**2 / mpmath.log1p(x),
        (mpf(0), mpf("1.001")),
        {"f32": 8},
    ),
    "LOG1P_NEAR": Fit(  # the same, -¼ ≤ x ≤ ½; log 2 is added where x < 0
        lambda x: (mpmath.log1p(x) - x) / x**2,
        lambda x: x**2 / (mpmath.log1p(x) if x > 0 else mpmath.log(mpf("1.5"))),
        (-mpf("0.2501"), mpf("0.5001")),
        {"f32": 7},
    ),
    "LOG_TAIL": Fit(  # atanh s = s + s³/3 + s⁵ P(s²)
        of_square(lambda s: ((mpmath.atanh(s) / s - 1) / s**2 - mpf(1) / 3) / s**2),
        lambda z: z * z,
        (mpf(0), log_square),
        {"f64": 7},
    ),
    "LOG2_WIDE": Fit(  # log2((1+s)/(1-s)) = s P(s²)
        of_square(lambda s: 2 * mpmath.atanh(s) / s / mpmath.log(2)),
        lambda z: mpf("0.35"),
        (mpf(0), log_square),
        {"f32": 4},
        wide=True,
    ),
    "EXP2_WIDE": Fit(  # 2^r = P(r)
        lambda r: mpf(2) ** r,
        lambda r: mpf(2) ** -r,
        (-mpf("0.501"), mpf("0.501")),
        {"f32": 6},
        wide=True,
    ),
    "SIN": Fit(  # sin r = r + r³ P(r²)
        of_square(lambda r: (mpmath.sin(r) / r - 1) / r**2),
        lambda z: z,
        (mpf(0), quarter_pi**2),
        {"f32": 2, "f64": 5},
    ),
    "COS": Fit(  # cos r = 1 - r²/2 + r⁴ P(r²)
        of_square(lambda r: (mpmath.cos(r) - 1 + r * r / 2) / r**4),
        lambda z: z * z,
        (mpf(0), quarter_pi**2),
        {"f32": 2, "f64": 5},
    ),
    "ARCTAN": Fit(  # arctan t = t + t³ P(t²)
        of_square(lambda t: (mpmath.atan(t) / t - 1) / t**2),
        lambda z: z,
        (mpf(0), mpf("0.4143") ** 2),
        {"f32": 4, "f64": 10},
    ),
    "ARCSIN": Fit(  # arcsin x = x + x³ P(x²)
        of_square(lambda x: (mpmath.asin(x) / x - 1) / x**2),
        lambda z: z,
        (mpf(0), mpf("0.25")),
        {"f32": 5, "f64": 12},
    ),
    "TANH": Fit(  # tanh x = x + x³ P(x²)
        of_square(lambda x: (mpmath.tanh(x) / x - 1) / x**2),
        of_square(lambda x: x**3 / mpmath.tanh(x)),
        (mpf(0), mpf("0.56") ** 2),
        {"f32": 4, "f64": 10},
    ),
    "ERF": Fit(  # erf x = x + x P(x²)
        of_square(lambda x: mpmath.erf(x) / x - 1),
        lambda z: mpf("0.9"),
        (mpf(0), mpf("0.25")),
        {"f32": 4, "f64": 9},
    ),
    "ERF_FURTHER": Fit(  # the same further out
        of_square(lambda x: mpmath.erf(x) / x - 1),
        of_square(lambda x: x / mpmath.erf(x)),
        (mpf(0), mpf("0.8") ** 2),
        {"f32": 5},
    ),
    "ERFC_EXPONENT": Fit(  # erfc x = exp(-x P(x))
        lambda x: -mpmath.log(mpmath.erfc(x)) / x,
        lambda x: x * mpmath.erfc(x) / mpmath.erf(x),
        (mpf("0.79"), mpf("4.2")),
        {"f32": 6},
    ),
    "ERF_TAIL": erfc_tail(3, "0.5", "6.2", {"f64": 14}, absolute=True),
    "ERFC_TAIL_F32": erfc_tail(2, "0.5", "10.3", {"f32": 9}),
    "ERFC_TAIL_F64": erfc_tail(3, "0.5", "27.5", {"f64": 22}),
    "CBRT": Fit(  # m^(-1/3) ≈ P(m), the start of an iteration
        lambda m: m ** (-mpf(1) / 3),
        lambda m: m ** (mpf(1) / 3),
        (mpmath.sqrt(mpf(0.5)), mpmath.sqrt(2)),
        {"f32": 3, "f64": 3},
    ),
}

HEADER = '''"""Coefficients of the polynomials of vecmath, lowest power first, per format.

Written by `python -m benchmarks.remez`, which holds each polynomial's meaning; not by hand.
"""

'''


def write(fits, header, target, names):
    """Writes the fits to a file, or prints only those with these names."""
    lines = [header]
    for name in names or fits:
        spec = fits[name]
        lines.append(f"{name} = {{\n")
        for form in spec.degree:
            coefficients, error = fit(spec, form)
            print(f"{name} {form}: 2^{float(mpmath.log(error, 2)):.1f}", *coefficients[:2])
            numbers = "".join(f"        {c!r},\n" for c in coefficients)
            lines.append(f'    "{form}": (\n{numbers}    ),\n')
        lines.append("}\n")
    if not names:
        target.write_text("".join(lines))


if __name__ == "__main__":
    write(fits, HEADER, TARGET, sys.argv[1:])
