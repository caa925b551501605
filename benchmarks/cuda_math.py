"""Accuracy of the functions that CUDA kernels have of their own: `python -m benchmarks.cuda_math`.

The source in `kernels/cuda_math.py` is compiled for the CPU, with fused multiply-add, and run on
all 2^32 float32 (quotients: on so many random ones, and on subnormal, huge and special ones). Every
function is run with the hardware's approximations as accurate as the type allows, and with all of
them too large, too small, or wrong at random by what the PTX ISA documents. The errors are in units
in the last place, beside NumPy in float64, which is right to 2^-28 of them.
"""

import argparse
import math
import time
import types
from pathlib import Path

import numpy as np
from gpuad.kernels import cuda_instructions, cuda_math, vecmath_instructions
from numba import njit

WRONG = ("exact", "too large", "too small", "at random")
"""What the approximations are: the nearest number; the largest or smallest that is as many units
away as their documented error, rounded up; one of those between."""
f32, i32 = np.float32, np.int32


@njit
def bits(x):
    return f32(x).view(i32)


@njit
def bit_is_clear(x, k):
    return (bits(x) & i32(1 << k)) == 0


@njit
def larger_number(x, y):
    return x if x > y or y != y else y


@njit
def power_near(x):
    below = (i32(cuda_instructions.BELOW) - bits(x)) & i32(-cuda_instructions.ONE_POWER)
    return i32(below + i32(cuda_instructions.FOUR_BITS)).view(f32), f32(below)


@njit
def flushed(x):
    return f32(math.copysign(0.0, x)) if abs(x) < f32(2.0**-126) else x


@njit
def rarely_in_f64(x, bound, function, otherwise):
    if abs(x) > bound:
        r, t = function(np.float64(x))
        return f32(r), f32(t)
    return otherwise


@njit
def shifted(x, units):
    """x moved by so many units in the last place, away from zero; zeros and infinities stay."""
    if units == 0 or x == 0 or not abs(x) < np.inf:
        return x
    return i32(bits(x) + i32(units)).view(f32)


@njit
def root(x):
    return math.sqrt(x) if x >= 0 else np.nan


EXACT = {
    "ex2_approx": njit(lambda x: 2.0**x),
    "rcp_approx": njit(lambda x: 1 / x if x != 0 else math.copysign(np.inf, x)),
    "rsqrt_approx": njit(lambda x: 1 / root(x) if x != 0 else math.copysign(np.inf, x)),
    "sqrt_approx": njit(lambda x: root(x) if x != 0 else x),
    "exp": njit(lambda x: math.exp(x) if x < 800 or x != x else np.inf),
}
UNITS = {name: math.ceil(units) for name, units in cuda_instructions.WRONG_BY.items()} | {"exp": 1}


def approximation(name, wrong):
    """An approximation that is wrong in one of the ways."""
    exact, most, flushes = EXACT[name], UNITS[name], name != "exp"
    kind = WRONG.index(wrong)

    @njit
    def approximate(x):
        value = exact(np.float64(flushed(x) if flushes else x))
        y = f32(value)
        y = flushed(y) if flushes else y
        up = most if abs(y) <= abs(value) else most - 1
        down = most if abs(y) >= abs(value) else most - 1
        if kind == 3:
            hashed = (np.int64(bits(x)) * 2654435761 >> 13) % (up + down + 1)
            return shifted(y, hashed - down)
        return shifted(y, (0, up, -down, 0)[kind])

    return approximate


def compiled(wrong):
    """The functions of cuda_math, by name, with such approximations."""
    outer = dict(vars(cuda_math))
    outer |= {
        k: getattr(vecmath_instructions, k) for k in "absolute copysign fma horner where".split()
    }
    outer |= {"rint": vecmath_instructions.rint, "bit_is_clear": bit_is_clear}
    outer |= {"larger_number": larger_number, "rarely_in_f64": rarely_in_f64}
    outer["power_near"] = power_near
    outer |= {name: approximation(name, wrong) for name in EXACT}
    for name, value in vars(cuda_math).items():
        if isinstance(value, types.FunctionType) and value.__module__ == cuda_math.__name__:
            outer[name] = njit(types.FunctionType(value.__code__, outer, name))
    root_of, inverse_of_root = outer["sqrt_without_zero"], outer["inverse_of_root"]
    outer["inverse_of_root"] = njit(lambda x: inverse_of_root(root_of(x), x))
    return outer


REFERENCES = {
    "cos": njit(lambda x: math.cos(x) if abs(x) < np.inf else np.nan),
    "sigmoid": njit(lambda x: 1 / (1 + math.exp(-x)) if x > -700 or x != x else 0.0),
    "softplus": njit(lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x))) if x == x else x),
    "sin": njit(lambda x: math.sin(x) if abs(x) < np.inf else np.nan),
    "sqrt": EXACT["sqrt_approx"],
    "tanh": njit(lambda x: math.tanh(x)),
}
REFERENCES |= {
    "cos_of_small": REFERENCES["cos"],
    "inverse": EXACT["rcp_approx"],
    "inverse_of_large": EXACT["rcp_approx"],
    "inverse_of_root": EXACT["rsqrt_approx"],
    "log1p_of_positive": njit(lambda x: math.log1p(x)),
    "sin_of_small": REFERENCES["sin"],
    "sqrt_without_zero": REFERENCES["sqrt"],
}
MAGNITUDES = {
    "cos_of_small": (0, math.pi / 4),
    "inverse": (2.0**-64, 2.0**64),
    "inverse_of_large": (2.0**-64, math.inf),
    "inverse_of_root": (2.0**-64, math.inf),
    "log1p_of_positive": (0, math.inf),
    "sin_of_small": (0, math.pi / 4),
    "sqrt_without_zero": (2.0**-64, math.inf),
}
"""Of the numbers that these functions take."""


@njit
def error(got, exact):
    """In units in the last place of the exact value; infinite where only one of both is special or
    a sign of zero differs."""
    expected = f32(exact)
    if expected != expected or abs(expected) == np.inf or expected == 0:
        same = bits(got) == bits(expected) or (got != got and expected != expected)
        # The largest number and what rounds to infinity are neighbours.
        near = abs(got) > f32(3.4028e38) and abs(expected) == np.inf and got * expected > 0
        return (
            0.0
            if same
            else 1.0
            if near
            else abs(np.float64(got)) * 2.0**149
            if got == got
            else np.inf
        )
    exponent = np.int64(np.float64(exact).view(np.int64) & (2047 << 52)) - (23 << 52)
    unit = max(np.int64(exponent).view(np.float64), 2.0**-149)
    return abs(np.float64(got) - exact) / unit


def over_all(function, exact):
    """The loop over every so manyth of float32: the worst error, and where it is."""

    @njit
    def loop(low, high, step):
        worst, place = -1.0, f32(0)
        for k in range(low, high, step):
            x = i32(k).view(f32)
            found = error(function(x), exact(np.float64(x)))
            if found > worst:
                worst, place = found, x
        return worst, place

    return loop


PART = 1 << 24


NEGATIVE = ("sigmoid", "softplus")
"""Functions that are tried for negative numbers; others are odd or even, as their source is, or NaN
for them."""
WITHOUT_APPROXIMATIONS = ("cos", "cos_of_small", "log1p_of_positive", "sin", "sin_of_small")


EVENTFUL = ("sigmoid", "softplus", "tanh")
"""Nearly linear or constant where |x| < 2^-29 or |x| ≥ 128: there, one number of 17."""


def worst_of(name, outer, every):
    """The largest error over every so manyth of all float32."""
    loop = over_all(outer[name], REFERENCES[name])
    found = []
    first, last = [int(f32(x).view(i32)) for x in MAGNITUDES.get(name, (0, np.nan))]
    last = last if name in MAGNITUDES else (1 << 31) - 1
    for sign in [0, *[-(1 << 31)] * (name in NEGATIVE)]:
        for low in range(first, last + 1, PART):
            exponent = (low >> 23) - 127
            few = name in EVENTFUL and not -30 <= exponent < 7
            end = min(low + PART, last + 1)
            found.append(loop(low + sign, end + sign, every * 17 if few else every))
    return max(found, key=lambda x: x[0])


def quotients(outer):
    """x/y by a reciprocal in each of its forms, for random bits and for special numbers."""
    reciprocal, quotient = outer["reciprocal"], outer["quotient"]
    large, plain = outer["reciprocal_of_large"], outer["plain_reciprocal"]
    plain_quotient = outer["plain_quotient"]

    @njit
    def worst_quotient(x, y):
        s, high, low = reciprocal(y)
        exact = (
            np.float64(x) / np.float64(y)
            if y != 0
            else (np.nan if x == 0 or x != x else math.copysign(np.inf, x) * math.copysign(1.0, y))
        )
        found = error(quotient(x, s, high, low), exact)
        if abs(y) >= f32(2.0**-64) or y != y:
            s, high, low = large(y)
            found = max(found, error(quotient(x, s, high, low), exact))
        if f32(2.0**-80) <= abs(y) <= f32(2.0**64) or y == 0 or abs(y) == np.inf:
            high, low = plain(y)
            found = max(found, error(plain_quotient(x, high, low), exact))
        return found

    @njit
    def loop(xs, ys):
        worst, place = -1.0, (f32(0), f32(0))
        for k in range(len(xs)):
            found = worst_quotient(xs[k], ys[k])
            if found > worst:
                worst, place = found, (xs[k], ys[k])
        return worst, place

    return loop


def pairs(rng, count):
    """Random bits, numbers near one another, multiples, and special numbers in all pairs."""
    x, y = rng.integers(0, 1 << 32, (2, count), np.uint64).astype(np.uint32).view(f32)
    special = np.array([0, 1, 3, 2.0**-149, 2.0**-127, 2.0**-126, 2.0**127, np.inf, np.nan], f32)
    special = np.concatenate([special, -special, [np.finfo(f32).max, 1.0000001, 0.99999994]])
    a, b = np.meshgrid(special.astype(f32), special.astype(f32))
    whole = rng.integers(1, 4096, (2, count)).astype(f32)
    return (
        np.concatenate([x, whole[0] * whole[1], a.ravel(), np.resize(x, count)]),
        np.concatenate([y, whole[1], b.ravel(), np.resize(special.astype(f32), count)]),
    )


def rows(names, every):
    """Name, worst error and its place with each kind of approximations."""
    namespaces = {wrong: compiled(wrong) for wrong in WRONG}
    for name in names:
        start, cells = time.perf_counter(), []
        for outer in namespaces.values():
            with np.errstate(all="ignore"):
                if name == "quotient":
                    loop, seeds = quotients(outer), range(max(1, 128 // every))
                    found = [loop(*pairs(np.random.default_rng(k), 1 << 20)) for k in seeds]
                    cells.append(max(found, key=lambda x: x[0]))
                elif cells and name in WITHOUT_APPROXIMATIONS:
                    cells.append(cells[0])
                else:
                    cells.append(worst_of(name, outer, every))
        worst = ", ".join([f"{e:.3f}" for e, _ in cells])
        print(f"{name}: {worst} in {time.perf_counter() - start:.0f} s", flush=True)
        yield name, cells


def markdown(found, every):
    all_of = "all float32" if every == 1 else f"one of {every} float32"
    lines = ["# Functions of float32 in CUDA kernels", ""]
    lines += ["`python -m benchmarks.cuda_math`: largest errors in units in the last place, over"]
    lines += [f"{all_of}, and where they are, with the hardware's approximations as PTX"]
    lines += [
        "documents them. Of sigmoid, softplus and tanh one number of 17 where they are nearly"
    ]
    lines += ["linear or constant; of quotients 4·10^8 random and special ones.", ""]
    lines += [f"| function | {' | '.join(WRONG)} |", "|---|" + "--:|" * len(WRONG)]
    for name, cells in found:
        texts = [f"{e:.3f} at {_said(place)}" for e, place in cells]
        lines.append(f"| {name} | {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"


def _said(place):
    if isinstance(place, tuple):
        return " / ".join(f"{x:.9g}" for x in place)
    return f"{place:.9g}"


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cuda_math", description=__doc__)
    names = [*REFERENCES, "quotient"]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="one number of N")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table")
    options = parser.parse_args()
    found = list(rows(options.names or names, options.every))
    print(markdown(found, options.every))
    if options.markdown:
        options.markdown.write_text(markdown(found, options.every), encoding="utf-8")


if __name__ == "__main__":
    main()
