"""What each transform takes and returns; nests of them are in test_nesting.py."""

import collections
import functools
import inspect

import numpy as np
import pytest

import gpuad as ad
from gpuad import tree
from gpuad.errors import NotLinearError

X = np.array([0.3, -1.2, 2.0])
Y = np.array([1.5, 0.4, -0.7])
M = np.arange(1.0, 7.0).reshape(2, 3)
MODES = ("forward-over-reverse", "reverse-over-forward", "forward-over-forward")

Pair = collections.namedtuple("Pair", "a b")

# Most tests of jit are about what it records; this executor compiles nothing.
jit = functools.partial(ad.jit, executor="reference")


def same(found, expected, rtol=1e-13, atol=1e-15):
    """The same structure and values, as NumPy's arrays and scalars."""
    found, found_tree = tree.flatten(found)
    expected, expected_tree = tree.flatten(expected)
    assert found_tree == expected_tree
    for x, y in zip(found, expected, strict=True):
        assert isinstance(x, np.ndarray | np.generic)
        np.testing.assert_allclose(x, y, rtol=rtol, atol=atol)


def cubic(x):
    return (x**3).sum() / 6 + x[0] * x[1]


def cubic_hessian(x):
    return np.diag(x) + np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]])


# jvp, vjp, linearize, linear_transpose


def test_jvp_of_pytrees():
    def f(p, t):
        return {"product": p["a"] * p["rest"][0], "sum": Pair(t + p["a"].sum(), p["rest"][1])}

    p, p_dot = {"a": X, "rest": [Y, 2.0]}, {"a": Y, "rest": [X, 1.0]}
    y, y_dot = ad.jvp(f, (p, 1.0), (p_dot, 3.0))
    same(y, f(p, 1.0))
    same(y_dot, {"product": Y * Y + X * X, "sum": Pair(3.0 + Y.sum(), 1.0)})


def test_jvp_holds_none_constant():
    f = lambda p, q: p["a"] * p["b"] * q  # noqa: E731
    same(ad.jvp(f, ({"a": X, "b": Y}, 2.0), ({"a": X, "b": None}, None))[1], 2 * X * Y)
    # An argument of integers can be held constant.
    same(ad.jvp(lambda n, x: x * n, (np.arange(3), X), (None, Y))[1], Y * np.arange(3))


def test_a_result_that_does_not_move_has_zero_tangent():
    y, y_dot = ad.jvp(lambda x: (x, np.argmax(x), Y, 2.0), (X,), (Y,))
    same(y, (X, 2, Y, 2.0))
    same(y_dot, (Y, 0, np.zeros(3), 0.0))


def test_has_aux():
    f = lambda x: (x * x, {"seen": x + 1, "label": "squares", "n": 3})  # noqa: E731
    y, y_dot, aux = ad.jvp(f, (X,), (Y,), has_aux=True)
    same((y, y_dot, aux["seen"]), (X * X, 2 * X * Y, X + 1))
    assert (aux["label"], aux["n"]) == ("squares", 3)
    y, pullback, aux = ad.vjp(f, X, has_aux=True)
    same((y, pullback(Y), aux["seen"]), (X * X, (2 * X * Y,), X + 1))
    y, f_jvp, aux = ad.linearize(f, X, has_aux=True)
    same((y, f_jvp(Y), aux["seen"]), (X * X, 2 * X * Y, X + 1))
    loss = lambda x: (cubic(x), (x + 1, "label"))  # noqa: E731
    (value, aux), gradient = ad.value_and_grad(loss, has_aux=True)(X)
    same((value, gradient, aux[0]), (cubic(X), ad.grad(cubic)(X), X + 1))
    gradient, aux = ad.grad(loss, has_aux=True)(X)
    same((gradient, aux[0]), (ad.grad(cubic)(X), X + 1))
    assert aux[1] == "label"
    for jacobian in (ad.jacfwd, ad.jacrev):
        found, aux = jacobian(f, has_aux=True)(X)
        same((found, aux["seen"]), (np.diag(2 * X), X + 1))
    found, aux = ad.hessian(loss, has_aux=True)(X)
    same((found, aux[0]), (cubic_hessian(X), X + 1))


def test_aux_of_an_inner_transform_is_differentiated_by_the_outer():
    def outer(x):
        gradient, aux = ad.grad(lambda y: ((x * y**2).sum(), x * y), has_aux=True)(x)
        return (gradient * aux).sum()  # Σ 2x² · x²

    same(ad.grad(outer)(X), 8 * X**3)


def test_a_pullback_is_called_again_and_again():
    value, pullback = ad.vjp(lambda x, y: (x * y, y.sum()), X, Y)
    same(value, (X * Y, Y.sum()))
    for u in (np.ones(3), X):
        same(pullback((u, 2.0)), (u * Y, u * X + 2))
    same(ad.vmap(pullback)((np.eye(3), np.zeros(3))), (np.diag(Y), np.diag(X)))
    same(jit(pullback)((X, 0.0)), (X * Y, X * X))


def test_vjp_takes_no_cotangent_seriously_that_integers_have():
    value, pullback = ad.vjp(lambda x: (x * 2, np.argsort(x)), X)
    same(value, (2 * X, np.argsort(X)))
    same(pullback((Y, np.zeros(3, int))), (2 * Y,))


def test_linearize_computes_the_primal_part_once():
    calls = []

    def host(x):
        calls.append(1)
        return np.cos(x)

    slope = ad.external(host, out=lambda x: x)

    @ad.custom_jvp
    def f(x):
        return np.sin(x)

    @f.defjvp
    def rule(primals, tangents):
        return np.sin(primals[0]), slope(primals[0]) * tangents[0]

    y, f_jvp = ad.linearize(f, X)
    same(y, np.sin(X))
    before = len(calls)
    for t in (X, Y, np.ones(3)):
        same(f_jvp(t), np.cos(X) * t)
    assert before and len(calls) == before


def test_linear_transpose():
    def f(x, y):
        z = np.zeros_like(x)
        z[1:] = 3 * x[:-1]
        return {"z": z, "w": y @ M}

    back = ad.linear_transpose(f, X, np.ones(2))
    same(back({"z": X, "w": Y}), (np.array([3 * X[1], 3 * X[2], 0]), M @ Y))
    for not_linear in (lambda x: x * x, lambda x: x + 1, np.sin, lambda x: np.maximum(x, -x)):
        with pytest.raises(NotLinearError):
            ad.linear_transpose(not_linear, X)


# grad


def three(x, y, *, k=1.0):
    return (x["w"] * y).sum() * k


def test_argnums_and_argnames():
    x = {"w": X}
    same(ad.grad(three)(x, Y), {"w": Y})
    same(ad.grad(three, argnums=1)(x, Y), X)
    same(ad.grad(three, argnums=-1)(x, Y), X)
    same(ad.grad(three, argnums=(1, 0))(x, Y, k=2.0), (2 * X, {"w": 2 * Y}))
    same(ad.grad(three, argnums=(0,))(x, Y), ({"w": Y},))
    same(ad.grad(three, argnames="k")(x, Y, k=2.0), {"k": X @ Y})
    same(ad.grad(three, argnums=1, argnames="k")(x, Y, k=2.0), ((2 * X,), {"k": X @ Y}))
    same(ad.value_and_grad(three, argnums=1)(x, Y), (X @ Y, X))


def test_other_arguments_may_be_anything():
    def f(x, how, options):
        assert isinstance(options["n"], int)
        return (x ** options["n"]).sum() if how == "power" else x.sum()

    same(ad.grad(f)(X, "power", {"n": 2, "unused": None}), 2 * X)


def test_gradient_of_pytrees_has_their_structure():
    p = {"a": [X, (1.5, None)], "b": Pair(Y, {})}
    gradient = ad.grad(lambda p: (p["a"][0] * p["b"].a).sum() * p["a"][1][0])(p)
    same(gradient, {"a": [1.5 * Y, (X @ Y, None)], "b": Pair(1.5 * X, {})})


def test_methods_partials_and_builtins():
    class Model:
        scale = 2.0

        def loss(self, x):
            return (self.scale * x**2).sum()

    same(ad.grad(Model().loss)(X), 4 * X)
    same(ad.grad(functools.partial(three, {"w": X}))(Y), X)
    same(ad.grad(np.sum)(X), np.ones(3))
    same(ad.grad(abs)(-2.0), -1.0)


def test_the_wrapped_function_keeps_its_name():
    for transform in (ad.grad, ad.value_and_grad, ad.vmap, ad.jit, ad.checkpoint, ad.hessian):
        assert transform(cubic).__name__ == "cubic"
        assert list(inspect.signature(transform(cubic)).parameters) == ["x"]


# hvp and whole matrices


@pytest.mark.parametrize("mode", MODES)
def test_hvp(mode):
    same(ad.hvp(cubic, (X,), (Y,), mode), (cubic_hessian(X) @ Y,))
    # K tangents at once, scalars and pytrees, some held constant.
    same(ad.hvp(cubic, (X,), (np.eye(3),), mode), (cubic_hessian(X),))

    def f(p, q, c):
        return (p["x"] ** 2 * q).sum() * p["s"] * c

    v = np.array([[1.0, 0, 0], [0, 2, 0]])
    found = ad.hvp(f, ({"x": X, "s": 2.0}, Y, 3.0), ({"x": v, "s": np.ones(2)}, None, None), mode)
    expected = [3 * 2 * (2 * v * Y) + 3 * 2 * X * Y, 3 * 2 * (v * X * Y).sum(1)]
    same(found, ({"x": expected[0], "s": expected[1]}, None, None))
    found = ad.hvp(f, ({"x": X, "s": 2.0}, Y, 3.0), ({"x": None, "s": 1.0}, X, None), mode)
    same(found, ({"x": None, "s": 3 * (X**2 * X).sum()}, 3 * X**2, None))


@pytest.mark.parametrize("mode", MODES)
def test_hvp_of_what_is_not_curved_is_zero(mode):
    same(ad.hvp(lambda x: x.sum(), (X,), (Y,), mode), (np.zeros(3),))
    same(ad.hvp(lambda x: 3.0, (X,), (Y,), mode), (np.zeros(3),))
    same(ad.hvp(lambda x, y: x @ y, (X, Y), (Y, X), mode), (X, Y))
    same(ad.hvp(cubic, (X,), (None,), mode), (None,))


@pytest.mark.parametrize("mode", MODES)
def test_hvp_of_complex_arguments(mode):
    """The derivative along v of ∂f/∂x − i ∂f/∂y; the results have the dtype of the tangents."""
    z, v, w = np.array([1 + 2j, 0.5 - 1j]), np.array([0.3 + 0.1j, 0.2 - 1j]), np.array([2 - 1j, 1j])

    def f(z, s):
        return np.sum(np.real(w * z**3) + np.abs(z) ** 2 * s)

    found = ad.hvp(f, (z, 2.0), (v, 0.5), mode)
    by_z = 6 * w * z * v + 4 * v.conj() + 2 * z.conj() * 0.5
    same(found, (by_z, np.sum(2 * np.real(z.conj() * v))))
    found = ad.hvp(f, (z, 2.0), (np.stack([v, 1j * v]), None), mode)
    same(found, (np.stack([6 * w * z * u + 4 * u.conj() for u in (v, 1j * v)]), None))


def test_jacobians_of_pytrees():
    def f(p, q):
        return {"y": p["w"] @ p["x"] * q, "z": p["x"].sum()}

    p = {"w": M, "x": X}
    w_to_y = np.einsum("ik,j->ikj", np.eye(2), X) * 2.0
    expected = {
        "y": {"w": w_to_y, "x": 2.0 * M},
        "z": {"w": np.zeros((2, 3)), "x": np.ones(3)},
    }
    for jacobian in (ad.jacfwd, ad.jacrev):
        same(jacobian(f)(p, 2.0), expected)
        same(jacobian(f, argnums=1)(p, 2.0), {"y": M @ X, "z": 0.0})
        both = jacobian(f, argnums=(1, 0))(p, 2.0)
        same(both, {k: ({"y": M @ X, "z": 0.0}[k], expected[k]) for k in "yz"})


def test_hessian_of_several_arguments():
    def f(x, y):
        return (x**2).sum() * y[0]

    found = ad.hessian(f, argnums=(0, 1))(X, Y[:1])
    same(found[0], (np.eye(3) * 2 * Y[0], 2 * X[:, None]))
    same(found[1], (2 * X[None], np.zeros((1, 1))))


# vmap


def test_in_axes_and_out_axes():
    f = lambda x, p: {"dot": x @ p["w"], "sum": x + p["b"]}  # noqa: E731
    p = {"w": X, "b": np.array([10.0, 20.0])}
    found = ad.vmap(f, in_axes=(0, {"w": None, "b": 0}), out_axes={"dot": 0, "sum": 1})(M, p)
    same(found, {"dot": M @ X, "sum": (M + p["b"][:, None]).T})
    same(ad.vmap(np.sum, in_axes=1)(M), M.sum(0))
    same(ad.vmap(np.sum, in_axes=-1)(M), M.sum(0))
    same(ad.vmap(np.outer, in_axes=(None, 0), out_axes=-1)(X, M), np.einsum("i,nj->ijn", X, M))
    same(ad.vmap(lambda a, b: a @ b, in_axes=[0, None])(M, X), M @ X)


def test_results_that_do_not_differ_between_samples():
    f = lambda x, y: (x.sum(), y * 2, 3.0)  # noqa: E731
    same(ad.vmap(f, in_axes=(0, None))(M, X), (M.sum(1), np.stack([2 * X] * 2), np.full(2, 3.0)))
    same(ad.vmap(f, (0, None), (0, None, None))(M, X), (M.sum(1), 2 * X, 3.0))
    same(ad.vmap(f, (0, None), (0, None, 0))(M, X), (M.sum(1), 2 * X, np.full(2, 3.0)))


def test_keyword_arguments_and_axis_size():
    same(ad.vmap(lambda x, *, k: x @ k)(M, k=M), (M * M).sum(1))
    same(ad.vmap(lambda: np.ones(2), axis_size=3)(), np.ones((3, 2)))
    same(ad.vmap(lambda x: 2 * x, in_axes=None, axis_size=2)(X), np.stack([2 * X] * 2))
    same(ad.vmap(np.sum)(np.ones((0, 3))), np.ones(0))


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 9])
def test_chunks(chunk):
    batch = np.arange(15.0).reshape(5, 3)
    f = lambda x, w: (x @ w, x * 2, 3.0)  # noqa: E731
    whole = ad.vmap(f, in_axes=(0, None), out_axes=(0, 1, None))
    parts = ad.vmap(f, in_axes=(0, None), out_axes=(0, 1, None), chunk_size=chunk)
    same(parts(batch, X), whole(batch, X))
    total = lambda w: (parts(batch, w)[0] ** 2).sum()  # noqa: E731
    same(jit(ad.grad(total))(X), 2 * batch.T @ (batch @ X))


def test_arguments_that_are_not_mapped_are_known():
    def f(x, n, how):
        return x.reshape(n, -1).sum() if how == "sum" else x[0]

    same(ad.vmap(f, in_axes=(0, None, None))(M, 3, "sum"), M.sum(1))
    same(ad.vmap(lambda x, s: x * s if s > 1 else x, (0, None))(X, 2.0), 2 * X)


# jit


def test_jit_static_arguments():
    traced = []

    @jit(static_argnums=1, static_argnames="how")
    def f(x, n, how="sum"):
        traced.append((n, how))
        return getattr(np, how)(x**n)

    for _ in range(2):
        same(f(X, 2), (X**2).sum())
        same(f(X, n=3), (X**3).sum())
        same(f(X, 2, how="max"), (X**2).max())
        same(f(X, 2, "max"), (X**2).max())
    assert traced == [(2, "sum"), (3, "sum"), (2, "max"), (2, "max")]
    assert f.retraces == [
        "a static argument changed, n: its default after 2, n: 3 after its default",
        "a static argument changed, n: its default after 3, n: 2 after its default, "
        "how: 'max' after its default",
        "a static argument changed, how: its default after 'max', how: 'max' after its default",
    ]


def test_jit_names_the_argument_that_changed():
    @jit
    def f(p, x):
        return p["w"] * x

    f({"w": X}, 2.0)
    f({"w": X}, 3.0)
    f({"w": 2 * X}, -1.0)
    assert f.retraces == []
    f({"w": X}, 2)
    f({"w": X.astype(np.float32)}, 2)
    f({"w": X[:2]}, 2)
    f({"w": X[:2]}, X[:2])
    f({"w": X[:2], "unused": 1.0}, X[:2])
    assert f.retraces == [
        "x: int after float",
        "p['w']: float32[3] after float64[3]",
        "p['w']: float64[2] after float32[3]",
        "x: float64[2] after int",
        "the structure of the arguments changed from ({'w': *}, *) to ({'w': *, 'unused': *}, *)",
    ]


def test_clear_cache():
    traced = []
    f = jit(lambda x: traced.append(1) or x * 2)
    f(X), f(X)
    assert len(traced) == 1
    ad.clear_cache()
    same(f(X), 2 * X)
    assert len(traced) == 2


def test_jit_of_methods_and_decorators():
    class Model:
        scale = 2.0

        @jit(static_argnums=0)
        def scaled(self, x):
            return x * self.scale

        @staticmethod
        @jit
        def twice(x):
            return x * 2

    same((Model().scaled(X), Model.twice(X)), (2 * X, 2 * X))


def test_jit_of_what_needs_no_operation():
    same(jit(lambda x: (x, Y, 2.0, None))(X), (X, Y, 2.0, None))
    same(jit(lambda: np.ones(2))(), np.ones(2))
    same(ad.grad(lambda x: jit(lambda x: x)(x) * 3)(2.0), 3.0)


def test_jit_follows_captured_values():
    def total(w):
        return jit(lambda x: (x * w).sum())(X)

    same(ad.grad(total)(Y), X)
    same(jit(total)(Y), X @ Y)
    same(ad.vmap(total)(M), M @ X)


def test_compiled_and_reference_executors_agree():
    f = lambda w: np.logaddexp(0, M @ w).sum()  # noqa: E731
    same(ad.jit(ad.hessian(f))(X), jit(ad.hessian(f))(X))


# checkpoint, external, stop_gradient, make_graph


def test_checkpoint_takes_what_the_function_takes():
    @ad.checkpoint
    def f(x, how, *, k):
        return {"y": np.sin(x["a"]) * k if how == "sin" else x["a"]}

    same(f({"a": X}, "sin", k=2.0), {"y": 2 * np.sin(X)})
    loss = lambda x, k: f({"a": x}, "sin", k=k)["y"].sum()  # noqa: E731
    same(ad.grad(loss, argnums=(0, 1))(X, 2.0), (2 * np.cos(X), np.sin(X).sum()))


def test_checkpoint_computes_again():
    calls = []

    def counted(function):
        host = ad.external(lambda x: calls.append(1) or np.sin(x), out=lambda x: x)
        rule = ad.custom_jvp(lambda x: host(x))
        rule.defjvp(lambda primals, tangents: (host(primals[0]), np.cos(primals[0]) * tangents[0]))
        return function(lambda x: np.exp(rule(x)))

    def calls_of(function):
        calls.clear()
        gradient = ad.grad(lambda x: counted(function)(x).sum())(X)
        same(gradient, np.exp(np.sin(X)) * np.cos(X))
        return len(calls)

    assert calls_of(lambda f: f) == 1
    assert calls_of(ad.checkpoint) == 2


def test_external():
    def host(x, y):
        assert type(x) is type(y) is np.ndarray
        return {"sum": x + y, "total": np.float64(x.sum())}

    out = {"sum": ad.ShapeDtype((3,), np.float64), "total": ad.ShapeDtype((), np.float64)}
    f = ad.external(host, out=out)
    expected = {"sum": X + Y, "total": X.sum()}
    same(f(X, Y), expected)
    same(jit(f)(X, Y), expected)
    rows = ad.vmap(f, in_axes=(0, None))(np.stack([X, Y]), Y)
    same(rows, {"sum": np.stack([X + Y, 2 * Y]), "total": np.array([X.sum(), Y.sum()])})
    # Of constants: its value may be used in what is.
    same(ad.grad(lambda x: (x * f(X, Y)["sum"]).sum())(X), X + Y)
    stopped = lambda x: (x * f(ad.stop_gradient(x), Y)["sum"]).sum()  # noqa: E731
    same(ad.grad(stopped)(X), X + Y)


def test_external_that_returns_the_same_array_at_every_call():
    buffer = np.empty(3)
    f = ad.external(lambda x: np.multiply(x, 2, out=buffer), lambda x: x)
    same(ad.vmap(f)(M), 2 * M)
    for g in (jit(lambda x: (f(x), f(x + 1))), ad.jit(lambda x: (f(x), np.sin(f(x + 1))))):
        first, second = g(X)
        same(first, 2 * X)
        assert not np.shares_memory(first, buffer) and not np.shares_memory(second, buffer)


def test_external_of_no_samples():
    f = ad.external(lambda x: x.sum(), out=ad.ShapeDtype((), np.float64))
    same(ad.vmap(f)(np.ones((0, 3))), np.ones(0))


def test_external_called_once_for_a_batch():
    shapes = []
    f = ad.external(lambda x: shapes.append(x.shape) or 2 * x, lambda x: x, vectorized=True)
    same(ad.vmap(ad.vmap(f))(M), 2 * M)
    assert shapes == [(2, 3)]


def test_stop_gradient():
    f = lambda p: (ad.stop_gradient(p)["a"] * p["a"] * p["b"]).sum()  # noqa: E731
    same(ad.grad(f)({"a": X, "b": Y}), {"a": X * Y, "b": X * X})
    same(ad.jvp(lambda x: ad.stop_gradient(x) * 2, (X,), (Y,)), (2 * X, np.zeros(3)))
    assert ad.stop_gradient((X, 1.0, None)) == (X, 1.0, None)


def test_make_graph_shows_each_equation():
    def f(x, p):
        return (np.sin(x) * p["k"]).sum()

    assert repr(ad.make_graph(f)(X, {"k": 2.0})) == (
        "f(a: f64[3], b: f64[]) {\n"
        "  c: f64[3] = sin a\n"
        "  d: f64[3] = broadcast[shape=(3,), dims=()] b\n"
        "  e: f64[3] = mul c d\n"
        "  f: f64[] = reduce_sum[axes=(0,)] e\n"
        "  return f\n"
        "}"
    )


# Python's control flow


def newton(a):
    x = a
    while abs(x * x - a) > 1e-12 * a:
        x = (x + a / x) / 2
    return x


def branches(x):
    if x.sum() > 0 and x[0] < 1:
        return (x**2).sum()
    return np.sin(x).sum() if x.max() > 0 else -x.sum()


@pytest.mark.parametrize("wrap", [lambda f: f, ad.checkpoint], ids=["plain", "checkpoint"])
def test_control_flow_on_values(wrap):
    root = wrap(newton)
    slope = 0.5 / np.sqrt(2.0)
    same(ad.grad(root)(2.0), slope, rtol=1e-12)
    same(ad.jvp(root, (2.0,), (3.0,)), (np.sqrt(2.0), 3 * slope), rtol=1e-12)
    f = wrap(branches)
    same([ad.grad(f)(x) for x in (X, Y, -M[0])], [2 * X, np.cos(Y), -np.ones(3)])
    same(ad.hvp(f, (X,), (Y,)), (2 * Y,))
    same(ad.hessian(f)(Y), -np.diag(np.sin(Y)))
    same(ad.linearize(f, X)[1](Y), 2 * X @ Y)


def test_control_flow_by_counts_and_lookups():
    def f(x, n):
        table = [np.sin, np.cos, np.tanh]
        for _ in range(int(n)):
            x = table[np.argmax(x) % 3](x)
        return max(x) * sum(x)

    assert np.argmax(X) == 2 and np.argmax(np.tanh(X)) == 2
    y = np.tanh(np.tanh(X))
    dy = (1 - np.tanh(np.tanh(X)) ** 2) * (1 - np.tanh(X) ** 2)
    same(ad.grad(f)(X, 2), dy * (y.sum() * (y == y.max()) + y.max()))


def test_values_of_an_outer_function_are_known_to_an_inner_one():
    def outer(s):
        def inner(x):
            return (x * s).sum() if s > 1 else x.sum()

        return ad.grad(inner)(X).sum()

    same(ad.grad(outer)(2.0), 3.0)
    same(ad.grad(lambda s: ad.vmap(lambda x: x * s if s > 1 else x)(X).sum())(2.0), X.sum())


# In-place updates; and whose memory it is


def updated(x):
    x[0] = x[1]
    x *= 2
    x[1:] -= x[:-1]
    x[x > 3] = 0.5
    for row in x.reshape(3, 1):
        row = row + 1  # another name for another value: nothing is written
    return (x**3).sum()


def test_in_place_updates_are_numpys_on_a_copy():
    before = X.copy()
    copy = X.copy()
    value = updated(copy)
    found, gradient = ad.value_and_grad(updated)(X)
    same(found, value)
    h = 1e-6
    slopes = [(updated(X + h * e) - updated(X - h * e)) / (2 * h) for e in np.eye(3)]
    same(gradient, np.array(slopes), rtol=1e-7, atol=1e-7)
    for transform in (
        jit(updated),
        lambda x: ad.jvp(updated, (x,), (Y,)),
        lambda x: ad.hvp(updated, (x,), (Y,)),
        lambda x: ad.vmap(updated)(np.stack([x, x])),
        lambda x: ad.linearize(updated, x)[1](Y),
        ad.hessian(ad.checkpoint(updated)),
    ):
        transform(X)
        np.testing.assert_array_equal(X, before)


def test_captured_tracers_are_updated_in_a_copy():
    def outer(x):
        def inner(y):
            z = x * 1.0
            z[0] = y[0]
            return (z * y).sum()

        return (ad.grad(inner)(x) * x).sum()  # 2y₀, x₁, x₂

    same(ad.grad(outer)(X), np.array([4 * X[0], 2 * X[1], 2 * X[2]]))


CONSTANT = np.array([4.0, 5.0, 6.0])

RESULTS = {
    "jit": jit(lambda x: (x, x[1:], x.T, x * 1.0, x * 1.0, (x * 2)[:2], (x * 2)[1:])),
    "compiled": ad.jit(lambda x: (x, x * 2, x * 2, (x * 2)[1:])),
    "jit of captured": jit(lambda x: (CONSTANT, x + CONSTANT)),
    "jit of broadcast": jit(lambda x: np.broadcast_to(x, (2, 3))),
    "jvp": lambda x: ad.jvp(lambda x: (x, x, CONSTANT), (x,), (CONSTANT,)),
    "grad": ad.grad(lambda x: (x * CONSTANT).sum()),
    "grad of sum": ad.grad(np.sum),
    "grad by two": lambda x: ad.grad(lambda x, y: (x + y).sum(), argnums=(0, 1))(x, CONSTANT),
    "vjp": lambda x: ad.vjp(lambda x, y: (x + y, x), x, CONSTANT)[1]((CONSTANT, CONSTANT)),
    "linearize": lambda x: ad.linearize(lambda x: (x, x), x)[1](CONSTANT),
    "linear_transpose": lambda x: ad.linear_transpose(lambda x: x, x)(CONSTANT),
    "vmap": lambda x: ad.vmap(lambda x, c: (x, c), (0, None), (0, None))(x, CONSTANT),
    "jacrev": ad.jacrev(lambda x: (x, x)),
    "hvp": lambda x: ad.hvp(lambda x: x @ x / 2, (x,), (CONSTANT,)),
    "aux": lambda x: ad.grad(lambda x: (x.sum(), (x, x)), has_aux=True)(x),
}


@pytest.mark.parametrize("name", RESULTS)
def test_results_have_memory_of_their_own(name):
    x = X.copy()
    results = [r for r in tree.flatten(RESULTS[name](x))[0] if isinstance(r, np.ndarray)]
    kept = [r.copy() for r in results]
    for i, r in enumerate(results):
        np.testing.assert_array_equal(r, kept[i])
        r += 100.0
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(CONSTANT, [4.0, 5.0, 6.0])


# dtypes


def test_float32_stays_float32():
    x, v = X.astype(np.float32), Y.astype(np.float32)
    m = M.astype(np.float32)

    def f(x):
        scaled = 2 * x / 3.0 + np.float32(1.5)
        return (np.sin(scaled) * x.mean() + np.linalg.norm(x)).sum() * 0.5

    results = [
        ad.value_and_grad(f)(x), ad.jvp(f, (x,), (v,)), ad.hvp(f, (x,), (v,)), ad.hessian(f)(x),
        ad.vjp(np.tanh, x)[1](v), ad.linearize(np.tanh, x)[1](v), ad.jacrev(np.tanh)(x),
        ad.vmap(ad.grad(f))(m), jit(ad.grad(f))(x), ad.grad(ad.checkpoint(f))(x),
        ad.jit(ad.grad(f))(x), ad.grad(lambda s: (s * x).sum())(np.float32(2)),
    ]  # fmt: skip
    assert {r.dtype for r in tree.flatten(results)[0]} == {np.dtype(np.float32)}


def test_numbers_are_weak_and_numpys_scalars_are_not():
    x = X.astype(np.float32)
    cases = [(2, np.float32), (2.0, np.float32), (np.float32(2), np.float32)]
    cases += [(np.float64(2), np.float64), (np.ones(()), np.float64), (2j, np.complex64)]
    for number, dtype in cases:
        assert (x * number).dtype == dtype
        assert jit(lambda x, n=number: x * n)(x).dtype == dtype
        assert jit(lambda x, n: x * n)(x, number).dtype == dtype
        assert ad.jvp(lambda x, n=number: x * n, (x,), (x,))[1].dtype == dtype
        assert ad.vmap(lambda x, n: x * n, (0, None))(x, number).dtype == dtype


def test_a_numpy_scalar_that_changes_makes_no_new_graph():
    def graph(scale):
        return ad.make_graph(lambda x: x * scale)(X).graph

    graphs = [graph(np.float64(s)) for s in (0.5, 0.25)]
    assert graphs[0] is graphs[1]


# Complex numbers: JAX's convention


Z = np.array([0.5 + 1j, -1.2 - 0.3j])
W = np.array([1j, 2 - 0.5j])


def test_jacobians_of_complex_results_by_real_arguments():
    x, z = np.array([1.0, 2.0, 3.0]), np.array([1 + 1j, 2.0])

    def turned(x):
        return np.exp(1j * x[0] * x[1])

    for f in (np.fft.fft, turned, lambda x: (np.fft.rfft(x), x * 2)):
        same(ad.jacrev(f)(x), ad.jacfwd(f)(x))
    same(ad.hessian(turned)(x), ad.jacfwd(ad.jacfwd(turned))(x))
    both = [
        jacobian(lambda z, x: z * x[0] * 1j, argnums=(0, 1), holomorphic=True)(z, x)
        for jacobian in (ad.jacrev, ad.jacfwd)
    ]
    same(*both)


def test_complex_derivatives():
    same(ad.jvp(np.exp, (Z,), (W,)), (np.exp(Z), np.exp(Z) * W))
    # The pullback is the transpose, without conjugation.
    same(ad.vjp(np.exp, Z)[1](W), (np.exp(Z) * W,))
    same(ad.vjp(np.conj, Z)[1](W), (np.conj(W),))
    # grad of a real function of z = x + iy is ∂f/∂x − i ∂f/∂y.
    same(ad.grad(lambda z: (abs(z) ** 2).sum())(Z), 2 * np.conj(Z))
    same(ad.grad(lambda z: z.imag.sum())(Z), np.full(2, -1j))
    same(ad.vjp(np.real, Z)[1](np.ones(2)), (np.ones(2) + 0j,))
    for jacobian in (ad.jacfwd, ad.jacrev):
        same(jacobian(np.sin, holomorphic=True)(Z), np.diag(np.cos(Z)))


COMPLEX = {
    "exp": lambda np, z: np.exp(z),
    "conj product": lambda np, z: z * np.conj(z[::-1]),
    "abs": lambda np, z: abs(z) * z,
    "real and imaginary": lambda np, z: np.real(z) * np.imag(z) + 1j * np.real(z),
    "power": lambda np, z: z**3 / (1 + z),
    "matmul": lambda np, z: np.outer(z, z) @ z,
    "log": lambda np, z: np.log(z) * np.angle(z),
}


@pytest.mark.parametrize("name", COMPLEX)
def test_complex_derivatives_are_jaxs(name):
    jax = pytest.importorskip("jax", reason="the oracle of this test: pip install gpuad[test]")
    ours = functools.partial(COMPLEX[name], np)
    theirs = functools.partial(COMPLEX[name], jax.numpy)
    loss = lambda f: lambda z: (f(z) * f(z).conj()).real.sum()  # noqa: E731
    with jax.enable_x64(True):
        value, dot = jax.jvp(theirs, (Z,), (W,))
        u = np.asarray(W, value.dtype) if value.dtype.kind == "c" else W.real
        expected = value, dot, jax.vjp(theirs, Z)[1](u), jax.grad(loss(theirs))(Z)
        expected = jax.tree.map(np.asarray, expected)
    found = *ad.jvp(ours, (Z,), (W,)), ad.vjp(ours, Z)[1](u), ad.grad(loss(ours))(Z)
    same(found, expected, rtol=1e-11)
    assert [x.dtype for x in tree.flatten(found)[0]] == [x.dtype for x in tree.flatten(expected)[0]]
