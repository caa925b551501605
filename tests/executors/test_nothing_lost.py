"""Nothing is lost in silence: derivatives, copies of traced arrays, what transforms return."""

import array
import collections
import copy
import functools
import math
import pickle
import statistics
import types
from functools import partial

import numpy as np
import optree
import pytest
import scipy.integrate
import scipy.optimize

import gpuad as ad
from gpuad.errors import ConversionError, EscapedTracerError, UnknownValueError

X = np.array([1.0, 2.0, 3.0])
jit = partial(ad.jit, executor="reference")
MEANT = r"ad\.stop_gradient\(x\) if its derivative is meant to be lost"


def store(w):
    a = np.zeros(2)
    a[1] = w
    return a[1]


def store_slice(w):
    a = np.zeros(2)
    a[:] = w
    return a[1]


def fill(w):
    a = np.zeros(2)
    a.fill(w)
    return a[1]


def quad(w):
    return scipy.integrate.quad(lambda t: w * t, 0, 1)[0]


def minimum(w):
    return scipy.optimize.minimize(lambda t: ((t - w) ** 2).sum(), [0.0]).x[0]


LOSING = {
    "float": float,
    "int": int,
    "complex": lambda w: complex(w).real,
    "item": lambda w: w.item(),
    "tolist": lambda w: w.reshape(1).tolist()[0],
    "math": math.sin,
    "math.floor": math.floor,
    "math.fsum": lambda w: math.fsum(np.stack([w, w])),
    "statistics": lambda w: statistics.fmean([w, w]),
    "array.array": lambda w: array.array("d", [w])[0],
    "%": lambda w: len("%f" % w),  # noqa: UP031
    "np.float64": np.float64,
    "np.float32": np.float32,
    "np.int64": np.int64,
    "np.fromiter": lambda w: np.fromiter([w, w], float)[0],
    "np.fromiter of a generator": lambda w: np.fromiter((v for v in np.stack([w, w])), float)[0],
    "np.array": lambda w: np.array([w, w])[0],
    "np.asarray": lambda w: np.asarray(w)[()],
    "np.full": lambda w: np.full(3, w)[0],
    "np.vectorize": lambda w: np.vectorize(math.sin)(w)[()],
    "a method of ndarray": lambda w: X.dot(np.stack([w, w, w])),
    "random": lambda w: np.random.default_rng(0).normal(w),
    "fill": fill,
    "store": store,
    "store of a slice": store_slice,
    "an integrand": quad,
    "a limit": lambda w: scipy.integrate.quad(lambda t: t, 0, w)[0],
    "an objective": minimum,
    "a bracketed function": lambda w: scipy.optimize.toms748(lambda t: t - w, -9, 9),
    "a system": lambda w: scipy.optimize.fsolve(lambda t: t.sum() - w, [0.0])[0],
    "an ODE": lambda w: scipy.integrate.solve_ivp(lambda t, y: -w * y, (0, 1), [1.0]).y[0, -1],
    "after a comparison": lambda w: float(w) if w > 0 else w,
    "of a function of it": lambda w: float(np.exp(w) + 1),
    "through jit": lambda w: float(jit(np.sin)(w)),
    "through a custom function": lambda w: float(doubled(w)),
}


@ad.custom_jvp
def doubled(w):
    return 2 * w


doubled.defjvp(lambda p, t: (doubled(p[0]), 2 * t[0]))

WRAPPED = {
    "plain": lambda f: f,
    "checkpoint": ad.checkpoint,
    "captured": lambda f: lambda w: ad.grad(lambda t: t * f(w))(1.0),
    "vmap": lambda f: lambda w: ad.vmap(lambda t, w: t * f(w), (0, None))(X, w).sum(),
}


@pytest.mark.parametrize("name", LOSING)
@pytest.mark.parametrize("wrap", WRAPPED)
def test_a_value_that_would_lose_its_derivative_raises(name, wrap):
    f = LOSING[name]
    wrapped = WRAPPED[wrap](lambda w: f(w) * w)
    transforms = [ad.grad, ad.hessian, lambda f: lambda w: ad.jvp(f, (w,), (1.0,))]
    transforms += [lambda f: partial(ad.vjp, f), lambda f: partial(ad.linearize, f)]
    transforms += [lambda f: lambda w: ad.hvp(f, (w,), (1.0,))]
    for transform in transforms if wrap == "plain" else transforms[:1]:
        with pytest.raises(ConversionError, match=MEANT):
            transform(wrapped)(1.3)


@pytest.mark.parametrize("method", ["brentq", "brenth", "bisect", "ridder"])
def test_a_root_by_a_method_written_in_c_raises(method):
    """These call the function once more while the error of the first call is pending.

    CPython then finds no operator of a class that has left its cache of attributes: by chance its
    TypeError ("unsupported operand type(s) for -") takes the place of the advice.
    """

    def f(w):
        return getattr(scipy.optimize, method)(lambda t: t - w, -9.0, 9.0)

    with pytest.raises((ConversionError, TypeError)):
        ad.grad(f)(1.3)
    assert ad.grad(lambda w: f(ad.stop_gradient(w)) * w)(1.3) == pytest.approx(1.3)


@pytest.mark.parametrize("name", LOSING)
@pytest.mark.parametrize("wrap", ["plain", "checkpoint", "vmap"])
def test_a_value_without_a_derivative_is_given(name, wrap):
    f = LOSING[name]
    g = WRAPPED[wrap](lambda w: f(ad.stop_gradient(w)) * w)
    count = 1 if wrap != "vmap" else X.sum()
    expected = float(f(np.float64(1.3)) if name not in _METHODS else _METHODS[name])
    np.testing.assert_allclose(ad.grad(g)(1.3), count * expected, rtol=1e-6)


_METHODS = {"item": 1.3, "tolist": 1.3}


def test_what_has_no_derivative_may_be_converted():
    def f(w, constant):
        index = int(np.argmax(np.stack([w, w + 1]))) + int(np.floor(w)) + int(w > 0)
        table = np.asarray(np.argsort(np.stack([w, w])))
        if w > 0 and w != 1 and f"{w:.2f}" == "2.00":
            return w * index * float(constant) * [1.0, 5.0][int(table[1])]
        return w

    assert ad.grad(f)(2.0, 3.0) == 60.0
    assert float(ad.grad(lambda w: w * 2.0)(1.0)) == 2.0
    ad.make_graph(lambda w: w * float(w))(2.0)


def test_only_what_moves_has_a_derivative_to_lose():
    scaled = lambda x, n: x * float(n) * int(n)  # noqa: E731
    value, tangent = ad.jvp(scaled, (X, 2.0), (X, None))
    np.testing.assert_array_equal(value, 4 * X)
    np.testing.assert_array_equal(tangent, 4 * X)
    with pytest.raises(ConversionError, match=MEANT):
        ad.jvp(scaled, (X, 2.0), (X, 1.0))


def test_the_array_of_a_value_is_ones_own():
    def f(x):
        a = np.asarray(ad.stop_gradient(x))
        a[0] = 9.0
        return x[0] * a[0]

    x = X.copy()
    np.testing.assert_array_equal(ad.grad(f)(x), [9, 0, 0])
    np.testing.assert_array_equal(x, X)


@pytest.mark.parametrize("f", [float, int, math.sin, store, fill, np.asarray, lambda w: w.tolist()])
def test_values_are_not_known_under_jit_and_vmap(f):
    for transform, x in ((jit, 2.0), (ad.vmap, X)):
        for g in (f, lambda w: f(ad.stop_gradient(w)) * w, ad.grad(lambda w: f(w) * w)):
            with pytest.raises((UnknownValueError, ConversionError), match=r"np\.zeros_like"):
                transform(g)(x)


# Copies


class Model:
    def __init__(self, w):
        self.w = w


COPIES = {
    "deepcopy": lambda x: copy.deepcopy(x),
    "copy": lambda x: copy.copy(x),
    "deepcopy of a list": lambda x: copy.deepcopy([x, {"w": x}])[1]["w"],
    "deepcopy of an object": lambda x: copy.deepcopy(Model(x)).w,
    "deepcopy of a slice": lambda x: copy.deepcopy(x[::-1])[::-1],
}


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_of_a_traced_array_is_traced(name):
    copied = COPIES[name]
    np.testing.assert_array_equal(ad.grad(lambda x: (copied(x) ** 2).sum())(X), 2 * X)
    np.testing.assert_array_equal(ad.hessian(lambda x: (copied(x) ** 2).sum())(X), 2 * np.eye(3))
    np.testing.assert_array_equal(ad.vmap(lambda x: copied(x) ** 2)(np.stack([X, X]))[1], X**2)
    np.testing.assert_array_equal(jit(lambda x: copied(x) ** 2)(X), X**2)
    assert ad.grad(lambda x: copy.deepcopy(x) ** 2)(3.0) == 6.0


def test_a_copy_is_apart_from_what_it_copies():
    def f(x):
        y = copy.copy(x)
        y[0] = 5.0
        return (x * y).sum()

    np.testing.assert_array_equal(ad.grad(f)(X), [5, 4, 6])


def test_a_traced_array_is_not_pickled():
    for f in (pickle.dumps, lambda x: pickle.dumps({"x": [x]}), lambda x: pickle.dumps(Model(x))):
        with pytest.raises(ConversionError, match=r"cannot be pickled.*Return it and pickle the"):
            ad.grad(f)(X)


# What a transform returns


class Slotted:
    __slots__ = ("x",)

    def __init__(self, x):
        self.x = x


class Node:
    """A pytree with an array and something beside it."""

    def __init__(self, x, beside):
        self.x, self.beside = x, beside


optree.register_pytree_node(
    Node, lambda n: ((n.x,), n.beside), lambda beside, c: Node(c[0], beside), namespace="gpuad"
)


def object_array(x):
    a = np.empty(2, dtype=object)
    a[1] = [x]
    return a


HIDDEN = {
    "an object": Model,
    "an object in a list": lambda x: [1, {"m": Model(x)}],
    "an object in an object": lambda x: Model([Model({"x": x})]),
    "slots": Slotted,
    "a namespace": lambda x: types.SimpleNamespace(x=x),
    "a closure": lambda x: lambda: x,
    "a default": lambda x: lambda y=x: y,
    "a partial function": lambda x: functools.partial(max, x),
    "a method": lambda x: x.sum,
    "a generator": lambda x: (y for y in [x]),
    "an iterator": lambda x: iter([x]),
    "a map": lambda x: map(abs, [x]),
    "a view of a dict": lambda x: {"a": x}.values(),
    "a set": lambda x: frozenset([Model(x)]),
    "a user's dict": lambda x: collections.UserDict(a=x),
    "an array of objects": object_array,
    "an exception": ValueError,
    "a pullback": lambda x: ad.vjp(np.sin, x)[1],
    "a linear function": lambda x: ad.linearize(np.sin, x)[1],
    "a jitted function": lambda x: jit(lambda y: y * x),
    "beside a pytree": lambda x: Node(x, Model(x)),
}
WITH_AUX = {
    "grad": lambda f: ad.grad(f, has_aux=True)(X),
    "value_and_grad": lambda f: ad.value_and_grad(f, has_aux=True)(X),
    "jvp": lambda f: ad.jvp(f, (X,), (X,), has_aux=True),
    "vjp": lambda f: ad.vjp(f, X, has_aux=True),
    "linearize": lambda f: ad.linearize(f, X, has_aux=True),
    "jacfwd": lambda f: ad.jacfwd(f, has_aux=True)(X),
    "jacrev": lambda f: ad.jacrev(f, has_aux=True)(X),
    "hessian": lambda f: ad.hessian(f, has_aux=True)(X),
}
LEFT = (
    r"aux\S* that \S+ returned is a .* holds a traced array \(f64\[3\]\).*Return the array itself"
)


@pytest.mark.parametrize("name", HIDDEN)
@pytest.mark.parametrize("transform", WITH_AUX)
def test_no_traced_array_is_left_in_a_result(name, transform):
    if transform not in ("grad", "hessian") and name not in ("an object", "a closure"):
        return
    with pytest.raises(EscapedTracerError, match=LEFT):
        WITH_AUX[transform](lambda x: (x.sum(), HIDDEN[name](x)))


@pytest.mark.parametrize("transform", [jit, ad.vmap, lambda f: lambda x: ad.jvp(f, (x,), (x,))])
def test_no_traced_array_is_left_beside_a_result(transform):
    with pytest.raises(EscapedTracerError, match=r"the result\S* that .* returned is a Model"):
        transform(lambda x: (x, [Node(x, Model(x))]))(X)
    found = transform(lambda x: (x, [Node(2 * x, "beside")]))(X)
    node = found[-1][0] if isinstance(found[-1], list) else found[0][1][0]
    assert node.beside == "beside"
    np.testing.assert_array_equal(node.x, 2 * X)


def test_what_holds_no_traced_array_comes_back():
    extra = {"n": 3, "f": np.sin, "closure": (lambda n: lambda: n)(X), "o": Model(X), "s": {1, 2}}
    found = ad.grad(lambda x: (x.sum(), {**extra, "x": [x, (x,)]}), has_aux=True)(X)[1]
    assert all(found[k] is v for k, v in extra.items())
    np.testing.assert_array_equal(found["x"][1][0], X)


def test_a_value_of_an_outer_function_may_be_left_for_it():
    def outer(x):
        model = ad.grad(lambda y: ((x * y).sum(), Model(x)), has_aux=True)(x)[1]
        return (model.w**2).sum()

    np.testing.assert_array_equal(ad.grad(outer)(X), 2 * X)


def escaped():
    box = []
    ad.grad(lambda w: box.append(w) or w.sum())(X)
    return box[0]


def late(linear, f):
    """A pullback or linear function that is kept after the function that it was made in."""
    box = []
    ad.grad(lambda x: box.append(linear(f, x)[1]) or x.sum())(X)
    return box[0]


ENDED = {
    "jvp": lambda t: ad.jvp(lambda x: x, (t,), (X,)),
    "a constant of jvp": lambda t: ad.jvp(lambda x, y: y, (X, t), (X, None)),
    "a tangent": lambda t: ad.jvp(lambda x: x, (X,), (t,)),
    "vjp": lambda t: ad.vjp(lambda x: x, t),
    "a cotangent": lambda t: ad.vjp(lambda x: x, X)[1](t),
    "linearize": lambda t: ad.linearize(lambda x: x, t),
    "linear_transpose": lambda t: ad.linear_transpose(lambda x: x, X)(t),
    "grad": lambda t: ad.grad(lambda x: x.sum())(t),
    "hvp": lambda t: ad.hvp(lambda x: (x * x).sum(), (X,), (t,)),
    "jit": lambda t: jit(lambda x: x)(t),
    "vmap": lambda t: ad.vmap(lambda x: x)(t),
    "checkpoint": lambda t: ad.checkpoint(lambda x: x)(t),
    "checkpoint of a closure": lambda t: ad.checkpoint(lambda x: t)(X),
    "stop_gradient": lambda t: ad.stop_gradient(t),
    "external": lambda t: ad.external(lambda x: x, lambda x: x)(t),
    "custom_jvp": lambda t: doubled(t),
    "a closure of jit": lambda t: jit(lambda x: t)(X),
    "a closure of vmap": lambda t: ad.vmap(lambda x: t)(X),
    "aux": lambda t: ad.grad(lambda x: (x.sum(), t), has_aux=True)(X),
    "a late pullback": lambda t: late(ad.vjp, np.sin)(X),
    "a late pullback of a constant": lambda t: late(ad.vjp, np.floor)(X),
    "a late linear function": lambda t: late(ad.linearize, np.sin)(X),
    "float": lambda t: float(t[0]),
    "np.asarray": np.asarray,
    "tolist": lambda t: t.tolist(),
    "a copy": lambda t: copy.deepcopy(t) + 1,
}


@pytest.mark.parametrize("name", ENDED)
def test_no_transform_takes_or_gives_what_has_ended(name):
    with pytest.raises(EscapedTracerError, match="is used after that transform has ended"):
        ENDED[name](escaped())
