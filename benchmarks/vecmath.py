"""Accuracy and speed of the vector math: `python -m benchmarks.vecmath [NAME ...]`.

Accuracy: the largest error in units in the last place over each function's whole domain, float32
against float64 and float64 against mpmath. Speed: nanoseconds per element on 4096 elements, one
thread, beside NumPy's function (SciPy's where NumPy has none) and a compiled loop that calls the C
library.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from numba import njit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from vecmath_reference import (
    EXACT,
    GAMMA,
    IN_NUMPY,
    NO_LIBRARY_HAS,
    POSITIVE,
    errors,
    in_numpy,
    loop,
    samples,
)

SIZE = 4096
COLUMNS = ("name", "dtype", "max_ulp", "ns", "numpy_ns", "libm_ns")
IN_LIBM = {
    "sigmoid": "1 / (1 + math.exp(-x))",
    "softplus": "max(x, 0) + math.log1p(math.exp(-abs(x)))",
    "rsqrt": "1 / math.sqrt(x)",
    "erf": "math.erf(x)",
    "erfc": "math.erfc(x)",
    "gammaln": "math.lgamma(x)",
    "power": "x**y",
}
NOT_IN_NUMPY = ("erf", "erfc", *NO_LIBRARY_HAS)
NOT_IN_LIBM = {*NO_LIBRARY_HAS, *IN_NUMPY} - {*IN_LIBM}


def libm_loop(name):
    """The loop that calls the C library's function on each element."""
    two = name in ("power", "hypot", "arctan2")
    call = IN_LIBM.get(name, f"np.{name}(x, y)" if two else f"np.{name}(x)")
    names = {"np": np, "math": __import__("math")}
    text = f"def loop(xs, {'ys, ' if two else ''}out):\n    for i in range(out.size):\n"
    text += "        x = xs[i]\n" + ("        y = ys[i]\n" if two else "")
    exec(f"{text}        out[i] = {call}\n", names)
    return njit(names["loop"], error_model="numpy")


def nanoseconds(function, *arguments):
    """The best of several timings, per element."""
    function(*arguments)
    best = float("inf")
    for _ in range(15):
        start = time.perf_counter()
        for _ in range(30):
            function(*arguments)
        best = min(best, time.perf_counter() - start)
    return best / 30 / SIZE * 1e9


def inputs(name, dtype):
    """Ordinary arguments in the function's domain."""
    random = np.random.default_rng(1)
    x = random.normal(size=(2, SIZE))
    if name in ("arcsin", "arccos", "arctanh"):
        x = random.uniform(-1, 1, (1, SIZE))
    if name in (*POSITIVE, *GAMMA, "power"):
        x[0] = np.abs(x[0])
    if name == "arccosh":
        x += 1
    return list(x[: 2 if name in ("power", "hypot", "arctan2") else 1].astype(dtype))


def measure(name, dtype, count):
    """One row of the table."""
    operands = inputs(name, dtype)
    out = np.empty_like(operands[0])
    numpy_ns = libm_ns = None
    if name not in NOT_IN_NUMPY:
        numpy_ns = nanoseconds(in_numpy(name), *operands)
    if name not in NOT_IN_LIBM:
        libm_ns = nanoseconds(libm_loop(name), *operands, out)
    return {
        "name": name,
        "dtype": np.dtype(dtype).name,
        "max_ulp": float(errors(name, samples(name, dtype, count)).max()),
        "ns": nanoseconds(loop(name, dtype), *operands, out),
        "numpy_ns": numpy_ns,
        "libm_ns": libm_ns,
    }


def markdown(rows):
    """The rows as a table."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for row in rows:
        cells = ("–" if row[c] is None else row[c] for c in COLUMNS)
        cells = (f"{c:.2f}" if isinstance(c, float) else c for c in cells)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vecmath", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="functions (default: all)")
    parser.add_argument("--points", type=int, default=10_000, help="float64 samples; float32: ×100")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table")
    options = parser.parse_args()
    rows = []
    for name in options.names or EXACT:
        for dtype, count in ((np.float32, 100 * options.points), (np.float64, options.points)):
            rows.append(measure(name, dtype, count))
            print(markdown(rows).splitlines()[-1], flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if options.markdown:
        options.markdown.write_text(markdown(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
