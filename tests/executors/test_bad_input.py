"""Bad input: each mistake raises at the user's line, names the argument and says what to write."""

import math
import os
import re
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.linalg
import scipy.special

import gpuad as ad
from gpuad.errors import (
    ArgumentError,
    ConversionError,
    DTypeError,
    EscapedTracerError,
    GpuadError,
    InPlaceError,
    NotDifferentiableError,
    NotLinearError,
    UnknownValueError,
    UnsupportedError,
)

X = np.array([1.0, 2.0, 3.0])


class Table:
    """What has a shape and a dtype, as an array of another library has."""

    shape, dtype = (2,), np.dtype(float)

    def sum(self):
        return 1.0


F32 = X.astype(np.float32)
M = np.arange(6.0).reshape(2, 3)
INTS = np.arange(3)

jit = partial(ad.jit, executor="reference")


def total(w):
    return w.sum()


def double(w):
    return 2.0 * w


def product(w, x):
    return (w * x).sum()


def branch(w):
    return w if w > 0 else -w


def dotted(p):
    return (p["a"] * p["b"]).sum()


def cupy_kernel(x):
    """What a cupy.ElementwiseKernel does when it is called with a traced array."""
    return x.__cupy_override_elementwise_kernel__(SimpleNamespace(name="my_square"), x)


def cupy_reduction(x):
    kernel = SimpleNamespace(name="my_norm")
    return x.__cupy_override_reduction_kernel__(
        kernel, axis=0, dtype=None, out=None, keepdims=False
    )


CASES = {
    # Shapes
    "tangent of another shape": (
        lambda: ad.jvp(double, (X,), (X[:2],)),
        ArgumentError,
        r"jvp: the tangent of w has shape \(2,\), and w has shape \(3,\)\. Give a tangent of shape",
    ),
    "tangent of a part": (
        lambda: ad.jvp(dotted, ({"a": X, "b": X},), ({"a": X, "b": M},)),
        ArgumentError,
        r"jvp: the tangent of p\['b'\] has shape \(2, 3\), and p\['b'\] has shape \(3,\)",
    ),
    "some tangents are several": (
        lambda: ad.hvp(product, (X, X), (np.eye(3), X)),
        ArgumentError,
        r"hvp: the tangent of w has shape \(3, 3\).*K of them at once for every argument",
    ),
    "tangent given to linearize": (
        lambda: ad.linearize(double, X)[1](X[:2]),
        ArgumentError,
        r"linearize: the tangent of w has shape \(2,\), and w has shape \(3,\)",
    ),
    "cotangent of another shape": (
        lambda: ad.vjp(total, X)[1](X),
        ArgumentError,
        r"vjp: the cotangent of the result of total has shape \(3,\).*Give a cotangent",
    ),
    "cotangent of a transpose": (
        lambda: ad.linear_transpose(double, X)(X[:2]),
        ArgumentError,
        r"linear_transpose: the cotangent of the result of double has shape \(2,\)",
    ),
    "operands that do not broadcast": (
        lambda: ad.grad(lambda w: (w + np.ones(4)).sum())(X),
        ArgumentError,
        r"add: shapes \(3,\) and \(4,\) do not broadcast together; insert axes",
    ),
    "matmul": (
        lambda: ad.grad(lambda w: (w @ np.ones(4)).sum())(X),
        ArgumentError,
        r"matmul: shapes \(3,\) and \(4,\) do not match.*transpose or reshape",
    ),
    "axis out of range": (
        lambda: ad.grad(lambda w: w.sum(axis=2))(X),
        ArgumentError,
        r"sum: axis 2 is out of range for an array with 1 axes; use -1 to 0",
    ),
    "samples of different number": (
        lambda: ad.vmap(product)(M, X),
        ArgumentError,
        r"vmap: x has 3 samples along axis 0 and w has 2\. Give arrays with the same number",
    ),
    "samples of different number, by name": (
        lambda: ad.vmap(lambda x, a, b: x + a + b)(X, b=np.ones(5), a=X),
        ArgumentError,
        r"vmap: b has 5 samples along axis 0 and a has 3\. Give arrays with the same number",
    ),
    "a table for an array": (
        lambda: jit(lambda s: s.sum())(Table()),
        ArgumentError,
        r"jit of <lambda>: s has a Table .* where an array is expected\. Pass arrays and numbers",
    ),
    "an external that sorts its argument": (
        lambda: jit(ad.external(lambda x: x.sort() or x, lambda x: x))(X),
        ArgumentError,
        r"external <lambda> changes an array in place .*\(.*read-only\)\. Let it work on a copy",
    ),
    "no axis of samples": (
        lambda: ad.vmap(total)(1.0),
        ArgumentError,
        r"vmap: w has shape \(\) and no axis 0; give in_axes=None",
    ),
    "nothing to map over": (
        lambda: ad.vmap(total, in_axes=None)(X),
        ArgumentError,
        r"vmap: no argument has an axis of samples; give axis_size=",
    ),
    "out_axes out of range": (
        lambda: ad.vmap(double, out_axes=5)(M),
        ArgumentError,
        r"vmap: out_axes has 5 for a result of double of shape \(3,\).*give -2 to 1",
    ),
    "out_axes of None for what differs": (
        lambda: ad.vmap(double, out_axes=None)(M),
        ArgumentError,
        r"vmap: out_axes has None for a result of double that differs between samples; give",
    ),
    # Structures
    "primals are no tuple": (
        lambda: ad.jvp(double, X, (X,)),
        ArgumentError,
        r"jvp: primals is a ndarray; give a tuple with one entry for each argument.*\(primal,\)",
    ),
    "tangents are no tuple": (
        lambda: ad.hvp(total, (X,), X),
        ArgumentError,
        r"hvp: tangents is a ndarray; give a tuple.*\(tangent,\)",
    ),
    "as many tangents as primals": (
        lambda: ad.jvp(double, (X,), (X, X)),
        ArgumentError,
        r"jvp: primals has 1 entries and tangents 2; give one tangent for each primal",
    ),
    "tangent of another structure": (
        lambda: ad.jvp(dotted, ({"a": X, "b": X},), ({"a": X, "c": X},)),
        ArgumentError,
        r"jvp: the tangent of p has the structure \{'a': \*, 'c': \*\}, and p \{'a': \*, 'b': \*\}",
    ),
    "list for an array": (
        lambda: ad.jvp(double, (X,), ([1.0, 2.0, 3.0],)),
        ArgumentError,
        r"jvp: the tangent of w has the structure \[\*, \*, \*\], and w \*",
    ),
    "one array for several": (
        lambda: ad.jvp(dotted, ({"a": X, "b": X},), (X,)),
        ArgumentError,
        r"jvp: the tangent of p has one array where p has 2\. Give the same tuples",
    ),
    "tangents given to linearize": (
        lambda: ad.linearize(double, X)[1](X, X),
        ArgumentError,
        r"linearize: the tuple of tangents has the structure \(\*, \*\), and the tuple of primals",
    ),
    "cotangent of another structure": (
        lambda: ad.vjp(lambda w: (w, {"y": w}), X)[1]((X, X)),
        ArgumentError,
        r"vjp: the cotangent has the structure \(\*, \*\), and the result of <lambda> "
        r"\(\*, \{'y': \*\}\)",
    ),
    "in_axes of another structure": (
        lambda: ad.vmap(dotted, in_axes=({"a": 0},))({"a": M, "b": M}),
        ArgumentError,
        r"vmap: in_axes\[0\] has the structure \{'a': \*\}, and the argument \{'a': \*, 'b': \*\}",
    ),
    "in_axes of another length": (
        lambda: ad.vmap(product, in_axes=(0,))(M, M),
        ArgumentError,
        r"vmap: in_axes has 1 entries and the function was called with 2 positional arguments",
    ),
    "in_axes that is no axis": (
        lambda: ad.vmap(total, in_axes=0.5)(M),
        ArgumentError,
        r"vmap: in_axes\[0\] has 0\.5; give an axis \(an int\), None",
    ),
    "string for an array": (
        lambda: ad.grad(dotted)({"a": X, "b": "weights"}),
        ArgumentError,
        r"grad: p\['b'\] has a str \('weights'\) where an array is expected\. Pass NumPy",
    ),
    "string returned": (
        lambda: ad.vjp(lambda w: (w, "done"), X),
        ArgumentError,
        r"<lambda> returned a str \('done'\) where an array is expected\. Return arrays",
    ),
    "aux without a pair": (
        lambda: ad.grad(total, has_aux=True)(X),
        ArgumentError,
        r"total returned Tracer; with has_aux=True a function returns a pair \(value, aux\)",
    ),
    "one array for a container of one": (
        lambda: ad.jvp(lambda p: p["a"], ({"a": X},), (X,)),
        ArgumentError,
        r"jvp: the tangent of p has the structure \*, and p \{'a': \*\}",
    ),
    "one tangent for a list of one": (
        lambda: ad.hvp(lambda p: p[0].sum(), ([X],), (X,)),
        ArgumentError,
        r"hvp: the tangent of p has the structure \*, and p \[\*\]",
    ),
    "a tuple for a list": (
        lambda: ad.linearize(lambda p: p[0], [X])[1]((X,)),
        ArgumentError,
        r"linearize: the tangent of p has the structure \(\*,\), and p \[\*\]",
    ),
    "a tangent for None": (
        lambda: ad.jvp(lambda p: p["a"], ({"a": X, "b": None},), ({"a": X, "b": X},)),
        ArgumentError,
        r"the tangent of p has the structure \{'a': \*, 'b': \*\}, and p \{'a': \*, 'b': None\}",
    ),
    "a tangent too deep": (
        lambda: ad.jvp(double, (X,), ({"a": X},)),
        ArgumentError,
        r"the tangent of w has the structure \{'a': \*\}, and w \*",
    ),
    "one cotangent for a container of one": (
        lambda: ad.vjp(lambda w: [w], X)[1](X),
        ArgumentError,
        r"vjp: the cotangent has the structure \*, and the result of <lambda> \[\*\]",
    ),
    "a container for a cotangent": (
        lambda: ad.linear_transpose(double, X)((X,)),
        ArgumentError,
        r"linear_transpose: the cotangent has the structure \(\*,\), and the result of double \*",
    ),
    "a string for a cotangent": (
        lambda: ad.vjp(double, X)[1]("w"),
        ArgumentError,
        r"vjp: the cotangent of the result of double has a str",
    ),
    "a cotangent of integers of another shape": (
        lambda: ad.vjp(lambda w: (w, np.argmax(w)), X)[1]((X, X)),
        ArgumentError,
        r"the cotangent of the result of <lambda>\[1\] has shape \(3,\).*Give zeros of that shape",
    ),
    # Integers and dtypes
    "integers to grad": (
        lambda: ad.grad(total)(INTS),
        DTypeError,
        r"grad: w has dtype int64.*Pass floats \(3\.0 instead of 3, or w\.astype\(float\)\)",
    ),
    "an int to grad": (
        lambda: ad.grad(lambda w: w * 2.0)(3),
        DTypeError,
        r"grad: w has dtype int64",
    ),
    "integers in a dict": (
        lambda: ad.value_and_grad(dotted)({"a": X, "b": INTS}),
        DTypeError,
        r"value_and_grad: p\['b'\] has dtype int64.*p\['b'\]\.astype\(float\)",
    ),
    "booleans to grad": (lambda: ad.grad(total)(X > 1), DTypeError, r"grad: w has dtype bool"),
    "integers to the second argument": (
        lambda: ad.grad(product, argnums=1)(X, INTS),
        DTypeError,
        r"grad: x has dtype int64",
    ),
    "integers to vjp": (lambda: ad.vjp(product, X, INTS), DTypeError, r"vjp: x has dtype int64"),
    "integers to jvp": (
        lambda: ad.jvp(product, (X, INTS), (X, X)),
        DTypeError,
        r"jvp: x has dtype int64",
    ),
    "integers to hvp": (
        lambda: ad.hvp(total, (INTS,), (INTS,)),
        DTypeError,
        r"hvp: w has dtype int64",
    ),
    "integers to jacfwd": (
        lambda: ad.jacfwd(double)(INTS),
        DTypeError,
        r"jacfwd: w has dtype int64",
    ),
    "integers to linearize": (
        lambda: ad.linearize(double, INTS),
        DTypeError,
        r"linearize: w has dtype int64",
    ),
    "tangent of another dtype": (
        lambda: ad.jvp(double, (X,), (F32,)),
        DTypeError,
        r"jvp: the tangent of w has dtype float32, and w has dtype float64; .*"
        r"Write tangent\.astype\(np\.float64\)",
    ),
    "tangent of integers": (
        lambda: ad.hvp(total, (X,), (INTS,)),
        DTypeError,
        r"hvp: the tangent of w has dtype int64, and w has dtype float64",
    ),
    "complex tangent of a float": (
        lambda: ad.jvp(double, (2.0,), (1j,)),
        DTypeError,
        r"jvp: the tangent of w has dtype complex128, and w has dtype float64",
    ),
    "double tangent of a float32": (
        lambda: ad.jvp(double, (np.float32(2),), (np.float64(1),)),
        DTypeError,
        r"the tangent of w has dtype float64, and w has dtype float32",
    ),
    "cotangent of another dtype": (
        lambda: ad.vjp(double, X)[1](F32),
        DTypeError,
        r"cotangent of the result of double has dtype float32.*cotangent\.astype\(np\.float64\)",
    ),
    "complex Jacobian": (
        lambda: ad.jacrev(double)(X * 1j),
        DTypeError,
        r"jacrev: a complex argument needs holomorphic=True",
    ),
    "Jacobian of integers": (
        lambda: ad.jacfwd(np.argsort)(X),
        DTypeError,
        r"jacfwd: argsort returned int64, which has no derivative\. Return floats",
    ),
    "objects": (
        lambda: ad.grad(lambda w: (w * np.array([1, None, "a"], dtype=object)).sum())(X),
        ArgumentError,
        r"the array has dtype object; gpuad works on numbers and booleans\. Convert it",
    ),
    "a masked array": (
        lambda: ad.grad(lambda w: (w * np.ma.array(X)).sum())(X),
        UnsupportedError,
        r"is a MaskedArray, whose own rules gpuad does not know; pass numpy\.asarray",
    ),
    # Results of grad
    "result that is no scalar": (
        lambda: ad.grad(double)(X),
        ArgumentError,
        r"grad takes a function with a scalar result; double returned shape \(3,\)\. Reduce it",
    ),
    "hvp of what is no scalar": (
        lambda: ad.hvp(double, (X,), (X,)),
        ArgumentError,
        r"hvp takes a function with a scalar result; double returned shape \(3,\)",
    ),
    "several results": (
        lambda: ad.grad(lambda w: (w.sum(), w))(X),
        ArgumentError,
        r"grad takes a function with one scalar result; <lambda> returned \(\*, \*\)\. .*has_aux",
    ),
    "no result": (
        lambda: ad.grad(lambda w: None)(X),
        ArgumentError,
        r"<lambda> returned None\. Return one scalar",
    ),
    "complex result": (
        lambda: ad.value_and_grad(lambda w: w.sum() * 1j)(X),
        DTypeError,
        r"value_and_grad takes a function with a real result; <lambda> returned complex128",
    ),
    "integer result": (
        lambda: ad.grad(lambda w: np.argmax(w))(X),
        DTypeError,
        r"grad takes a function with a real result; <lambda> returned int64",
    ),
    # Which argument
    "no function": (
        lambda: ad.grad(X),
        ArgumentError,
        r"grad takes a function, got a ndarray\. Write grad\(f\) and then call",
    ),
    "no function for jvp": (
        lambda: ad.jvp(3, (X,), (X,)),
        ArgumentError,
        r"jvp takes a function, got a int\. Write jvp\(f, primals, tangents\)\.",
    ),
    "no rule": (
        lambda: ad.custom_jvp(total).defjvp(3),
        ArgumentError,
        r"defjvp takes a function, got a int\. Write f\.defjvp\(rule\)\.",
    ),
    "no axis": (
        lambda: ad.grad(lambda w: w.sum(axis="a"))(X),
        ArgumentError,
        r"sum: axis='a'; give an int, a tuple of ints, or None",
    ),
    "half an axis": (
        lambda: ad.grad(lambda w: np.cumsum(w, axis=0.5).sum())(X),
        ArgumentError,
        r"cumsum: axis=0\.5; give an int",
    ),
    "argnums out of range": (
        lambda: ad.grad(total, argnums=1)(X),
        ArgumentError,
        r"grad: argnums=1 and the function was called with 1 positional arguments",
    ),
    "argnums by name": (
        lambda: ad.grad(total, argnums="w")(X),
        ArgumentError,
        r"grad: argnums='w'; give the position of an argument",
    ),
    "argnums twice": (
        lambda: ad.grad(product, argnums=(0, -2))(X, X),
        ArgumentError,
        r"argnums=\(0, -2\) names an argument twice",
    ),
    "argnames not given": (
        lambda: ad.grad(product, argnames="x")(X, X),
        ArgumentError,
        r"grad: argnames has 'x', which was not given as a keyword argument",
    ),
    "only keywords": (
        lambda: ad.grad(total)(w=X),
        ArgumentError,
        r"grad of total called without positional arguments.*or use argnames",
    ),
    "only keywords where there are no argnames": (
        lambda: ad.jacfwd(double)(w=X),
        ArgumentError,
        r"jacfwd of double called without positional arguments.*pass w by its position\.$",
    ),
    "no arguments": (
        lambda: ad.jacrev(double)(),
        ArgumentError,
        r"jacrev of double called without positional arguments.*pass w by its position\.$",
    ),
    "a Hessian by keywords": (
        lambda: ad.hessian(total)(w=X),
        ArgumentError,
        r"hessian of total called without positional arguments.*pass w by its position\.$",
    ),
    "a Hessian by an argument that is not there": (
        lambda: ad.hessian(total, argnums=1)(X),
        ArgumentError,
        r"hessian: argnums=1 and the function was called .*count them from 0\.$",
    ),
    "a Jacobian by name": (
        lambda: ad.jacrev(double, argnums="w")(X),
        ArgumentError,
        r"jacrev: argnums='w'; give the position of an argument.*a tuple of them\.$",
    ),
    "a Hessian by integers": (
        lambda: ad.hessian(total)(INTS),
        DTypeError,
        r"hessian: w has dtype int64",
    ),
    "a complex Hessian": (
        lambda: ad.hessian(total)(X + 0j),
        DTypeError,
        r"hessian: a complex argument needs holomorphic=True",
    ),
    "a Hessian of integers": (
        lambda: ad.hessian(lambda w: np.argmax(w))(X),
        DTypeError,
        r"hessian: <lambda> returned int64, which has no derivative",
    ),
    "a graph of no array": (
        lambda: ad.make_graph(total)("text"),
        ArgumentError,
        r"make_graph: w has a str \('text'\) where an array is expected\. Pass NumPy",
    ),
    "a graph of a part that is no array": (
        lambda: ad.make_graph(dotted)(p={"a": X, "b": len}),
        ArgumentError,
        r"make_graph: p\['b'\] has a builtin_function_or_method",
    ),
    "mode": (
        lambda: ad.hvp(total, (X,), (X,), mode="reverse"),
        ArgumentError,
        r"hvp: mode='reverse'; choose one of 'forward-over-reverse'",
    ),
    "no linear function": (
        lambda: ad.linear_transpose(lambda w: w * w, X),
        NotLinearError,
        r"the operation mul \(.*test_bad_input\.py:\d+ in <lambda>\) is not linear",
    ),
    "an affine function": (
        lambda: ad.linear_transpose(lambda w: 2 * w + 1, X),
        NotLinearError,
        r"linear_transpose: <lambda> is not zero at zero.*Leave the constant out, or take vjp",
    ),
    "argnums of another kind": (
        lambda: ad.grad(total, argnums=0.5),
        ArgumentError,
        r"grad: argnums=0\.5; give the position of an argument \(an int\)",
    ),
    "argnums that is a bool": (
        lambda: ad.hessian(total, argnums=True),
        ArgumentError,
        r"hessian: argnums=True; give the position of an argument",
    ),
    "argnames that is a position": (
        lambda: ad.value_and_grad(total, argnames=(0,)),
        ArgumentError,
        r"value_and_grad: argnames=\(0,\); give the name of an argument.*positions go in argnums",
    ),
    "chunk_size that is a string": (
        lambda: ad.vmap(total, chunk_size="2"),
        ArgumentError,
        r"vmap: chunk_size='2'; give a positive number of samples \(an int\), or None",
    ),
    "chunk_size that is a float": (
        lambda: ad.vmap(total, chunk_size=2.0),
        ArgumentError,
        r"vmap: chunk_size=2\.0; give a positive number",
    ),
    "axis_size that is a bool": (
        lambda: ad.vmap(total, axis_size=True),
        ArgumentError,
        r"vmap: axis_size=True; give a number of samples",
    ),
    "out_axes that is no axis": (
        lambda: ad.vmap(total, out_axes={"a": "first"}),
        ArgumentError,
        r"vmap: out_axes\[0\]\['a'\] has 'first'; give an axis \(an int\)",
    ),
    "static_argnums by name": (
        lambda: ad.jit(total, static_argnums="w"),
        ArgumentError,
        r"jit: static_argnums='w'; give the position.*names go in static_argnames",
    ),
    "static_argnames by position": (
        lambda: ad.jit(total, static_argnames=0),
        ArgumentError,
        r"jit: static_argnames=0; give the name of an argument.*positions go in static_argnums",
    ),
    "donate_argnums of another kind": (
        lambda: ad.jit(total, donate_argnums=[0.5]),
        ArgumentError,
        r"jit: donate_argnums=\[0\.5\]; give the position",
    ),
    "nondiff_argnums by name": (
        lambda: ad.custom_jvp(total, nondiff_argnums="w"),
        ArgumentError,
        r"custom_jvp: nondiff_argnums='w'; give the position of an argument",
    ),
    "nondiff_argnums out of range": (
        lambda: ad.custom_vjp(total, nondiff_argnums=(5,)),
        ArgumentError,
        r"custom_vjp: nondiff_argnums has 5, and total takes 1 arguments; count them from 0",
    ),
    # jit
    "if under jit": (
        lambda: jit(branch)(2.0),
        UnknownValueError,
        r"value of a traced array \(f64\[\], the argument w\) was asked for under 'jit'.*"
        r"Write np\.where\(c, a, b\) for an `if`.*static_argnums",
    ),
    "if under grad under jit": (
        lambda: jit(ad.grad(branch))(2.0),
        UnknownValueError,
        r"under 'jit'.*np\.where",
    ),
    "if under vmap": (
        lambda: ad.vmap(branch)(X),
        UnknownValueError,
        r"\(f64\[\], the argument w\) was asked for under 'vmap'.*in_axes=None for an argument",
    ),
    "if on a captured value under jit": (
        lambda: ad.grad(lambda s: jit(lambda x: x * s if s > 0 else x)(2.0))(2.0),
        UnknownValueError,
        r"under 'jit'",
    ),
    "while under jit": (
        lambda: jit(lambda p: [p["a"] for _ in iter(lambda: bool(p["a"][0] > 5), True)])({"a": X}),
        UnknownValueError,
        r"\(f64\[3\], the argument p\['a'\]\).*a loop of a known number of steps for a `while`",
    ),
    "range under jit": (
        lambda: jit(lambda n: sum(range(n)))(3),
        UnknownValueError,
        r"\(i64\[\], the argument n\).*static_argnums",
    ),
    "math under jit": (lambda: jit(lambda w: math.sin(w))(2.0), UnknownValueError, r"argument w"),
    "format under jit": (
        lambda: jit(lambda w: f"{w:.3f}")(2.0),
        UnknownValueError,
        r"argument w\) was asked for under 'jit'.*Print the results outside of the function",
    ),
    "a size under jit": (
        lambda: jit(lambda n: np.ones(n))(3),
        UnknownValueError,
        r"\(i64\[\], the argument n\).*Sizes, positions.*x\.shape\[0\].*static_argnums",
    ),
    "a number of repeats under jit": (
        lambda: jit(lambda x, n: np.repeat(x, n))(X, 3),
        UnknownValueError,
        r"\(i64\[\].*Sizes, positions.*static_argnums",
    ),
    "a size among others under vmap": (
        lambda: ad.vmap(lambda n: np.zeros((2, n)))(INTS),
        UnknownValueError,
        r"under 'vmap'.*take them from shapes",
    ),
    "a size that is a float": (
        lambda: ad.grad(lambda w: np.empty(w).sum())(2.0),
        DTypeError,
        r"only an integer without axes can be an index or a size, not f64\[\]",
    ),
    "a string to jit": (
        lambda: jit(lambda x, how: x)(X, "sum"),
        ArgumentError,
        r"jit of <lambda>: how has a str \('sum'\).*jit\(f, static_argnames='how'\)",
    ),
    "a static argument that cannot be hashed": (
        lambda: jit(lambda x, sizes: x, static_argnames="sizes")(X, [1, 2]),
        ArgumentError,
        r"jit of <lambda>: the static argument sizes is a list, which cannot be hashed\. Pass",
    ),
    "a static argument that is traced": (
        lambda: ad.grad(lambda w: jit(lambda x, n: x * n, static_argnums=1)(2.0, w))(2.0),
        ArgumentError,
        r"the static argument n is a traced array\. .*make it an ordinary argument",
    ),
    "an unknown static name": (
        lambda: ad.jit(total, static_argnames="how"),
        ArgumentError,
        r"jit: static_argnames has 'how', which total does not take; its parameters are w",
    ),
    "an unknown executor": (
        lambda: ad.jit(total, executor="gpu"),
        ArgumentError,
        r"jit: executor='gpu'; choose one of 'auto'",
    ),
    # Plain arrays made of traced ones
    "np.array of traced values": (
        lambda: ad.grad(lambda w: np.array([w[0], w[1]]).sum())(X),
        ConversionError,
        r"a traced array \(f64\[\]\) was about to become a NumPy array, which would lose its "
        r"derivative\. Write gpuad\.numpy\.array, or np\.stack\(\[\.\.\.\]\) for a list",
    ),
    "np.array under jit": (
        lambda: jit(lambda w: np.array([w, w]))(X),
        ConversionError,
        r"np\.stack\(\[\.\.\.\]\)",
    ),
    "np.asarray": (lambda: ad.grad(lambda w: np.asarray(w).sum())(X), ConversionError, r"f64\[3\]"),
    "a function of SciPy's": (
        lambda: ad.grad(lambda w: scipy.linalg.solve(np.eye(3), w).sum())(X),
        ConversionError,
        r"a traced array \(f64\[3\]\) was about to become a NumPy array in scipy\.linalg\.\S*solve",
    ),
    "np.vectorize": (
        lambda: ad.grad(lambda w: np.vectorize(math.sin)(w).sum())(X),
        ConversionError,
        r"a NumPy array in numpy\.\S*vectorize",
    ),
    # Unsupported functions
    "np.histogram": (
        lambda: ad.grad(lambda w: np.histogram(w)[0].sum())(X),
        UnsupportedError,
        r"histogram counts elements, and counts have no derivative; .*gpuad\.external",
    ),
    "np.packbits": (
        lambda: ad.grad(lambda w: w[0] * np.packbits(w > 0))(X),
        UnsupportedError,
        r"numpy\.packbits cannot be recorded by gpuad\. Write it with .*gpuad\.external",
    ),
    "a ufunc": (
        lambda: ad.grad(lambda w: np.isnat(w).sum())(X),
        UnsupportedError,
        r"numpy\.isnat cannot be recorded by gpuad",
    ),
    "a ufunc of SciPy's": (
        lambda: ad.grad(lambda w: scipy.special.kolmogorov(w).sum())(X),
        UnsupportedError,
        r"scipy\.special\.kolmogorov cannot be recorded by gpuad",
    ),
    "a CuPy kernel": (
        lambda: ad.grad(lambda w: cupy_kernel(w).sum())(X),
        UnsupportedError,
        r"the CuPy kernel 'my_square' cannot be recorded by gpuad\. .*gpuad\.external",
    ),
    "a CuPy reduction": (
        lambda: ad.grad(lambda w: cupy_reduction(w).sum())(X),
        UnsupportedError,
        r"the CuPy kernel 'my_norm' cannot be recorded",
    ),
    "an option": (
        lambda: ad.grad(lambda w: np.sin(w, where=X > 1).sum())(X),
        UnsupportedError,
        r"sin\(where=\.\.\.\) without out=.*write np\.where\(mask, f\(x\), y\), or give out",
    ),
    "a function of SciPy's that gpuad has": (
        lambda: ad.grad(scipy.special.logsumexp)(X),
        ConversionError,
        r"in scipy\.special\.\S*logsumexp.*Write gpuad\.scipy\.special\.logsumexp\.",
    ),
    "a function that gpuad.numpy's group has not": (
        lambda: ad.grad(lambda w: ad.numpy.linalg.test(w).sum())(X),
        AttributeError,
        r"gpuad\.numpy has no 'linalg\.test'.* call numpy\.linalg\.test through gpuad\.external",
    ),
    "x.view": (
        lambda: ad.grad(lambda w: w.view(np.int64).sum())(X),
        UnsupportedError,
        r"bits of a traced array of float64.*x\.astype\(dtype\)",
    ),
    "x.to_device": (
        lambda: ad.grad(lambda w: w.to_device("gpu").sum())(X),
        ArgumentError,
        r"to_device\('gpu'\).*move the arguments of the transform",
    ),
    "an attribute": (
        lambda: ad.grad(lambda w: w.tobytes())(X),
        AttributeError,
        r"a traced array has no attribute 'tobytes'",
    ),
    "external code without a rule": (
        lambda: ad.grad(lambda w: ad.external(np.sin, lambda x: x)(w).sum())(X),
        NotDifferentiableError,
        r"external sin has no derivative rule\. Wrap it in custom_jvp or custom_vjp",
    ),
    "external result of another shape": (
        lambda: jit(ad.external(total, ad.ShapeDtype((3,), float)))(X),
        ArgumentError,
        r"external total returned f64\[\] and declared f64\[3\]; declare in out what it returns",
    ),
    "external result of another structure": (
        lambda: jit(ad.external(lambda w: (w, w), lambda w: w))(X),
        ArgumentError,
        r"external <lambda> returned \(\*, \*\) and declared \*",
    ),
    "external without shape": (
        lambda: jit(ad.external(total, 3.0))(X),
        ArgumentError,
        r"external total: out has a float \(3\.0\); declare each result with gpuad\.ShapeDtype",
    ),
    "external with a dtype that is none": (
        lambda: jit(ad.external(total, ad.ShapeDtype((), "number")))(X),
        ArgumentError,
        r"external total: out declares the dtype 'number'.*such as numpy\.float64",
    ),
    "external that returns text": (
        lambda: jit(ad.external(total, ad.ShapeDtype((), str)))(X),
        ArgumentError,
        r"external total: out declares the dtype <class 'str'>.*such as numpy\.float64",
    ),
    "external with a shape that is none": (
        lambda: jit(ad.external(total, ad.ShapeDtype(3, float)))(X),
        ArgumentError,
        r"external total: out declares the shape 3; give the length of each axis.*such as \(3,\)",
    ),
    "external with a length that is none": (
        lambda: jit(ad.external(total, ad.ShapeDtype((3, -1), float)))(X),
        ArgumentError,
        r"external total: out declares the shape \(3, -1\)",
    ),
    "external code with tangents": (
        lambda: ad.external(math.sin, ad.ShapeDtype((), float))(ad.DualArray(1.0, 1.0)),
        NotDifferentiableError,
        r"external sin: x is a DualArray.*x\.primal.*custom_jvp",
    ),
    "external code with tangents, by name": (
        lambda: ad.external(product, ad.ShapeDtype((), float))(X, ad.DualArray(X, X)),
        NotDifferentiableError,
        r"external product: x is a DualArray.*x\.primal",
    ),
}


PACKAGE = str(Path(ad.__file__).parent)


def last_line(tb):
    """The innermost line of the traceback that is neither gpuad's nor another library's."""
    lines = traceback.extract_tb(tb)
    return [
        f
        for f in lines
        if not f.filename.startswith(PACKAGE)
        and "site-packages" not in f.filename
        and os.path.isfile(f.filename)
    ][-1]


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_named_at_the_users_line(name):
    mistake, error, message = CASES[name]
    with pytest.raises(error, match=re.compile(message, re.DOTALL)) as caught:
        mistake()
    assert last_line(caught.tb).filename == __file__
    assert isinstance(caught.value, GpuadError | AttributeError)


def test_messages_end_with_what_to_do():
    for name, (mistake, error, _) in CASES.items():
        with pytest.raises(error) as caught:
            mistake()
        assert len(str(caught.value).split()) >= 8, name


# Escaped Tracers


def escaped(transform=ad.grad):
    box = []
    transform(lambda w: box.append(w) or w.sum())(X)
    return box[0]


@pytest.mark.parametrize("use", [
    lambda t: t + 1, lambda t: np.sin(t), lambda t: t[0], lambda t: float(t.sum()),
    lambda t: bool((t > 0).all()), lambda t: ad.grad(total)(t), lambda t: jit(total)(t),
    lambda t: ad.grad(lambda y: (y * t).sum())(X), lambda t: ad.grad(lambda y: t.sum())(X),
    lambda t: ad.vmap(lambda y: y * t)(X), lambda t: t.__setitem__(0, 1.0),
    lambda t: np.stack([t, X]), lambda t: ad.vjp(double, X)[1](t),
])  # fmt: skip
@pytest.mark.parametrize("transform", [ad.grad, jit], ids=["grad", "jit"])
def test_an_escaped_tracer(use, transform):
    tracer = escaped(transform)
    with pytest.raises(
        EscapedTracerError,
        match=r"a traced array \(f64\[3\]\) of '<lambda>' is used after that transform has ended\. "
        r"Return it from the function",
    ):
        use(tracer)


def test_an_escaped_tracer_can_still_be_looked_at():
    tracer = escaped()
    assert (tracer.shape, tracer.dtype, len(tracer)) == ((3,), np.float64, 3)
    assert repr(tracer) == "Tracer<f64[3] of '<lambda>'>"


def test_an_update_of_an_outer_array_by_an_inner_value_escapes():
    def outer(x):
        ad.grad(lambda y: x.__setitem__(0, y[0]) or (x * y).sum())(x * 1.0)
        return x.sum()

    with pytest.raises(EscapedTracerError, match="is used after that transform has ended"):
        ad.grad(outer)(X)


# Captured arrays that change


CHANGED = r"a captured array \(float64\[3\]\) was changed in place after '\w+' had recorded its use"


@pytest.mark.parametrize("transform", [
    ad.grad, ad.hessian, jit, ad.vmap, ad.checkpoint, lambda f: ad.grad(ad.checkpoint(f)),
    lambda f: jit(ad.grad(f)), lambda f: lambda x: ad.jvp(f, (x,), (x,)),
])  # fmt: skip
def test_a_captured_array_changed_while_recording(transform):
    def changes(x):
        a = np.ones(3)
        y = (x * a).sum()
        a[0] = 5.0
        return y

    def changes_back(x):
        a = np.zeros(3)
        y = (x * a).sum()
        a[0] = 1.0
        y = y + (x * a).sum()
        a[0] = 0.0
        return y

    for f in (changes, changes_back):
        if transform is ad.checkpoint:  # without a trace around it, it is the function itself
            assert transform(f)(X) == f(X)
            continue
        with pytest.raises(InPlaceError, match=CHANGED + ".*Update a copy"):
            transform(f)(np.stack([X, X]) if transform is ad.vmap else X)


BUFFERS = {
    "an element": (np.zeros(5000), lambda a, k: a.__setitem__(k + 1000, 1.0)),
    "a tenth": (np.zeros(5000), lambda a, k: a.__setitem__(slice(500), float(k))),
    "of booleans": (np.zeros(5000, bool), lambda a, k: a.__setitem__(k, True)),
    "out": (np.zeros(5000), lambda a, k: np.add(a, 1, out=a)),
    "sorted": (np.arange(5000.0)[::-1].copy(), lambda a, k: a.sort()),
    "shuffled": (np.arange(5000.0), lambda a, k: np.random.default_rng(k).shuffle(a)),
    "a part that is a view": (np.zeros((2, 5000))[1], lambda a, k: a.fill(k)),
}


@pytest.mark.parametrize("transform", [
    ad.grad, jit, lambda f: jit(ad.grad(f)), lambda f: ad.grad(ad.checkpoint(f)),
    lambda f: lambda x: ad.hvp(f, (x,), (x,)), lambda f: ad.grad(jit(f)),
])  # fmt: skip
@pytest.mark.parametrize("name", BUFFERS)
def test_a_large_captured_array_changed_while_recording(transform, name):
    a, change = BUFFERS[name]

    def changes(x):
        y = 0.0
        for k in range(3):
            y = y + (x * a).sum()
            change(a, k)
        return y

    before = a.copy()
    with pytest.raises(InPlaceError, match=r"read-only.*while '\w+' is traced.*Update a copy") as e:
        transform(changes)(np.arange(5000.0))
    assert last_line(e.tb).filename == __file__
    np.testing.assert_array_equal(a, before)
    assert a.flags.writeable


def test_captured_arrays_can_be_written_to_afterwards():
    base = np.ones((3, 5000))
    view, unwritable, small = base[1:], np.ones(5000), np.ones(3)
    unwritable.flags.writeable = False
    arrays = [view, base, unwritable, small]

    def f(x, order=(0, 1, 2, 3)):
        y = sum((x * arrays[k]).sum() for k in order)
        assert [a.flags.writeable for a in arrays] == [False, False, False, True]
        return y + ad.grad(lambda x: (x * base).sum())(x)

    for order in ((0, 1, 2, 3), (1, 0, 2, 3), (3, 2, 0, 1)):
        ad.grad(partial(f, order=order))(2.0)
        assert [a.flags.writeable for a in arrays] == [True, True, False, True]
    with pytest.raises(ZeroDivisionError):
        ad.grad(lambda x: (x * base).sum() * (1 / 0))(2.0)
    assert base.flags.writeable


def test_captured_results_of_jit_can_be_written_to_afterwards():
    results = [
        jit(lambda x: x * 2.0)(np.ones(200_000)),
        ad.jit(lambda x: x + 1.0)(np.ones(200_000)),
        ad.jit(lambda x: x + 1.0, donate_argnums=0)(np.ones(200_000)),
    ]
    results.append(results[1].reshape(-1, 2))
    for order in (results, results[::-1]):
        ad.grad(lambda x, order=order: sum([(x * a).sum() for a in order]))(2.0)
        assert all(a.flags.writeable for a in results)


def test_an_array_captured_by_several_threads():
    a = np.ones(5000)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(50):
            found = pool.map(lambda x: ad.grad(lambda x: (x * a).sum())(x), [1.0, 2.0, 3.0, 4.0])
            assert list(found) == [5000.0] * 4
            assert a.flags.writeable


def test_a_captured_array_changed_between_jitted_calls():
    a = np.ones(3)

    def weighted(x):
        return (x * a).sum()

    f = jit(weighted)
    assert f(X) == 6.0
    a[1] = 3.0
    with pytest.raises(InPlaceError, match=CHANGED + r".*or pass the array as an argument"):
        f(X)
    a[1] = 1.0
    assert f(X) == 6.0


def test_a_large_captured_array_is_read_anew():
    # Changes of a few elements of a large array are not looked for: the array is read at each call.
    a = np.ones(5000)
    f = jit(lambda x: x * a)
    f(2.0)
    a[1] = 7.0
    assert f(2.0)[1] == 14.0
    a[:] = 3.0
    with pytest.raises(InPlaceError, match=r"captured array \(float64\[5000\]\) was changed"):
        f(2.0)


# Stores of traced values into plain arrays


def plain_add(x):
    a = np.zeros(3)
    a += x
    return a.sum()


def plain_out(x):
    a = np.zeros(3)
    np.multiply(x, 2.0, out=a)
    return a.sum()


def plain_at(x):
    a = np.zeros(3)
    np.add.at(a, [0, 1], x[:2])
    return a.sum()


def plain_slice(x):
    a = np.zeros(3)
    a[:] = x
    return a.sum()


def plain_row(x):
    a = np.zeros((2, 3))
    a[0] = x
    return a.sum()


@pytest.mark.parametrize("transform", [ad.grad, jit, ad.hessian], ids=["grad", "jit", "hessian"])
@pytest.mark.parametrize(
    ("f", "message"),
    [
        (plain_add, r"in-place operator such as a \+= x.*Write a = a \+ x, or start from gpuad"),
        (plain_out, r"written into a plain array \(out=, np\.add\.at.*gpuad\.numpy\.zeros"),
        (plain_at, r"written into a plain array \(out=, np\.add\.at"),
        (plain_slice, r"store into x = np\.zeros_like\(traced\) or use gpuad\.numpy\.zeros"),
        (plain_row, r"a traced array \(f64\[3\]\).*use gpuad\.numpy\.zeros"),
    ],
)
def test_a_store_into_a_plain_array(f, message, transform):
    with pytest.raises((InPlaceError, ConversionError), match=message) as caught:
        transform(f)(X)
    assert last_line(caught.tb).name == f.__name__


@pytest.mark.parametrize("transform", [
    ad.grad, jit, ad.hessian, lambda f: lambda x: ad.vmap(f)(np.stack([x, x])),
    lambda f: lambda x: jit(ad.vmap(ad.grad(f)))(np.stack([x, x])),
    lambda f: ad.grad(lambda x: ad.vmap(f)(np.stack([x, x])).sum()),
], ids=["grad", "jit", "hessian", "vmap", "jit vmap grad", "grad vmap"])  # fmt: skip
@pytest.mark.parametrize("store", ["element", "fill", "fromiter"])
def test_a_store_into_an_element_of_a_plain_array(transform, store):
    captured = np.zeros(3)

    def f(x):
        if store == "element":
            captured[0] = x[0]
        elif store == "fill":
            captured.fill(x[0])
        else:
            return np.fromiter(x, float).sum()
        return captured.sum()

    # NumPy raises "setting an array element with a sequence", which helps nobody.
    with pytest.raises((ConversionError, UnknownValueError)) as caught:
        transform(f)(X)
    assert re.search(r"np\.zeros_like\(.*gpuad\.numpy\.zeros", str(caught.value))
    assert "sequence" not in str(caught.value)
    assert last_line(caught.tb).name == "f"


def test_stores_that_work():
    def into_zeros_like(x):
        a = np.zeros_like(x)
        a[0] = x[0]
        return a.sum()

    def into_ours(x):
        a = ad.numpy.zeros(3)
        a = a + 0 * x
        a[0] = x[0]
        return a.sum()

    def into_a_list(x):
        a = [0.0] * 3
        a[0] = x[0]
        return sum(a)

    def a_log(x):
        log = np.zeros(1)
        log[0] = ad.stop_gradient(x[1])
        assert log[0] == 2.0
        return x[0]

    for f in (into_zeros_like, into_ours, into_a_list, a_log):
        np.testing.assert_array_equal(ad.grad(f)(X), [1, 0, 0])


def test_an_update_that_does_not_fit():
    def iadd(x):
        x += np.ones((2, 3))
        return x.sum()

    def complex_iadd(x):
        x += 1j
        return x.real.sum()

    def shape(x):
        x[0] = np.ones(2)
        return x.sum()

    with pytest.raises(
        InPlaceError, match=r"a result of shape \(2, 3\).*of shape \(3,\).*x = x \+ y"
    ):
        ad.grad(iadd)(X)
    with pytest.raises(
        InPlaceError, match=r"dtype complex128 in an array of dtype float64.*astype"
    ):
        ad.grad(complex_iadd)(X)
    with pytest.raises(ArgumentError, match=r"shape \(2,\) into shape \(\)"):
        ad.grad(shape)(X)
