"""Transforms in transforms, against JAX in float64: one text for both, nested in any order."""

import functools

import numpy as np
import pytest

import gpuad as ad
from gpuad import tree

jax = pytest.importorskip("jax", reason="the oracle of these tests: pip install gpuad[test]")


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


X = np.array([0.3, -1.2, 2.0])
Y = np.array([1.5, 0.4, -0.7])
M = np.array([[0.5, -1.0, 0.2], [1.1, 0.3, -0.4]])

# The operation-by-operation executor: the compiled one has its own tests, and compiles for seconds.
reference_jit = functools.partial(ad.jit, executor="reference")


class Ours:
    """gpuad under the names that the programs use."""

    np = np
    jit = staticmethod(reference_jit)
    grad, vmap, jvp, vjp = ad.grad, ad.vmap, ad.jvp, ad.vjp
    jacfwd, jacrev, hessian = ad.jacfwd, ad.jacrev, ad.hessian
    linearize, linear_transpose, value_and_grad = (
        ad.linearize,
        ad.linear_transpose,
        ad.value_and_grad,
    )
    checkpoint, stop_gradient = ad.checkpoint, ad.stop_gradient
    custom_jvp, custom_vjp = ad.custom_jvp, ad.custom_vjp


class Jaxs:
    """JAX under the same names."""

    np = jax.numpy
    jit, grad, vmap, jvp, vjp = jax.jit, jax.grad, jax.vmap, jax.jvp, jax.vjp
    jacfwd, jacrev, hessian = jax.jacfwd, jax.jacrev, jax.hessian
    linearize, value_and_grad = jax.linearize, jax.value_and_grad
    linear_transpose = jax.linear_transpose
    checkpoint, stop_gradient = jax.checkpoint, jax.lax.stop_gradient
    custom_jvp = jax.custom_jvp


def hvp(T, f, primals, tangents):
    return ad.hvp(f, primals, tangents) if T is Ours else T.jvp(T.grad(f), primals, tangents)[1:]


def loss(T):
    """A scalar function of a vector, none of whose derivatives vanish."""
    return lambda x: (T.np.sin(x) * T.np.exp(-x * x)).sum() + T.np.prod(x)


def curve(T):
    """A scalar function of a scalar."""
    return lambda t: T.np.sin(t * t) * T.np.exp(t / 3)


def vector(T):
    """A vector function of a vector."""
    return lambda x: T.np.stack([x[0] * x[1], T.np.tanh(x).sum(), x[2] ** 3 / x[0]])


def custom(T):
    """A function with a JVP rule that differs from its derivative, so that one sees it used."""

    @T.custom_jvp
    def f(x):
        return T.np.sin(x)

    @f.defjvp
    def rule(primals, tangents):
        (x,), (t,) = primals, tangents
        return f(x), 2 * T.np.cos(x) * t

    return f


def custom_back(T):
    """The same with a VJP rule. JAX, which refuses it in forward mode, gets the JVP rule."""
    if T is Jaxs:
        return custom(T)

    @T.custom_vjp
    def f(x):
        return T.np.sin(x)

    f.defvjp(lambda x: (f(x), x), lambda x, u: (2 * T.np.cos(x) * u,))
    return f


PROGRAMS = {
    # Two deep: every pair that differentiates or batches.
    "grad grad": (lambda T: T.grad(T.grad(curve(T))), 0.7),
    "grad jvp": (lambda T: T.grad(lambda t: T.jvp(curve(T), (t,), (t * t,))[1]), 0.7),
    "jvp grad": (lambda T: lambda x: T.jvp(T.grad(loss(T)), (x,), (Y,)), X),
    "jvp vjp": (lambda T: lambda x: T.jvp(lambda x: T.vjp(vector(T), x)[1](x)[0], (x,), (Y,)), X),
    "vjp jvp": (lambda T: lambda x: T.vjp(lambda x: T.jvp(vector(T), (x,), (x,))[1], x)[1](Y), X),
    "vjp vjp": (lambda T: lambda x: T.vjp(lambda u: T.vjp(vector(T), x)[1](u)[0], Y)[1](x), X),
    "jacfwd jacrev": (lambda T: T.jacfwd(T.jacrev(vector(T))), X),
    "jacrev jacfwd": (lambda T: T.jacrev(T.jacfwd(vector(T))), X),
    "jacrev jacrev": (lambda T: T.jacrev(T.jacrev(vector(T))), X),
    "jacfwd jacfwd": (lambda T: T.jacfwd(T.jacfwd(vector(T))), X),
    "hessian of vmap": (lambda T: T.hessian(lambda x: T.vmap(curve(T))(x).prod()), X),
    "vmap hessian": (lambda T: T.vmap(T.hessian(loss(T))), M),
    "vmap vmap": (lambda T: T.vmap(T.vmap(curve(T), in_axes=0), in_axes=1, out_axes=1), M),
    "vmap vmap outer product": (
        lambda T: T.vmap(T.vmap(lambda a, b: T.np.sin(a * b), (None, 0)), (0, None)),
        X,
        Y,
    ),
    "grad linearize": (
        lambda T: T.grad(lambda x: (T.linearize(vector(T), x)[1](x * x) * Y).sum()),
        X,
    ),
    "linearize grad": (lambda T: lambda x: T.linearize(T.grad(loss(T)), x)[1](Y), X),
    "linear_transpose of linearize": (
        lambda T: lambda x: T.linear_transpose(T.linearize(vector(T), x)[1], x)(Y),
        X,
    ),
    "vmap of a pullback": (lambda T: lambda x: T.vmap(T.vjp(vector(T), x)[1])(np.eye(3)), X),
    "grad through a pullback": (
        lambda T: lambda x: T.grad(lambda u: (T.vjp(vector(T), x)[1](u)[0] ** 2).sum())(Y),
        X,
    ),
    "value_and_grad in grad": (
        lambda T: T.grad(lambda x: sum(map(T.np.sum, T.value_and_grad(loss(T))(x)))),
        X,
    ),
    "checkpoint grad grad": (lambda T: T.grad(T.grad(T.checkpoint(curve(T)))), 0.7),
    "grad of checkpoint of grad": (
        lambda T: T.grad(T.checkpoint(lambda x: (T.grad(T.checkpoint(loss(T)))(x) ** 2).sum())),
        X,
    ),
    "jacfwd checkpoint": (lambda T: T.jacfwd(T.checkpoint(vector(T))), X),
    "vmap checkpoint grad": (lambda T: T.vmap(T.grad(T.checkpoint(loss(T)))), M),
    "custom under hessian": (lambda T: T.hessian(lambda x: custom(T)(x * x).sum()), X),
    "custom_vjp under jacrev": (lambda T: T.jacrev(lambda x: custom_back(T)(x * Y)), X),
    "custom under vmap grad grad": (lambda T: T.vmap(T.grad(T.grad(custom(T)))), X),
    "custom_vjp under vmap grad grad": (lambda T: T.vmap(T.grad(T.grad(custom_back(T)))), X),
    "stop_gradient in hessian": (
        lambda T: T.hessian(lambda x: (x**3 * T.stop_gradient(x * x)).sum()),
        X,
    ),
    # Three and more.
    "third derivative": (lambda T: T.grad(T.grad(T.grad(curve(T)))), 0.7),
    "fourth derivative, mixed": (
        lambda T: T.jacfwd(T.grad(T.jacfwd(T.grad(curve(T))))),
        0.7,
    ),
    "grad of hvp": (lambda T: T.grad(lambda x: hvp(T, loss(T), (x,), (Y,))[0].sum()), X),
    "hvp of hvp": (
        lambda T: (
            lambda x: hvp(T, lambda x: (hvp(T, loss(T), (x,), (Y,))[0] * x).sum(), (x,), (Y,))
        ),
        X,
    ),
    "vmap of hvp by tangents": (
        lambda T: lambda x: T.vmap(lambda v: hvp(T, loss(T), (x,), (v,))[0])(np.eye(3)),
        X,
    ),
    "jit vmap grad jit": (lambda T: T.jit(T.vmap(T.grad(T.jit(loss(T))))), M),
    "grad jit vmap jit": (lambda T: T.grad(T.jit(lambda x: T.vmap(T.jit(curve(T)))(x).sum())), X),
    "vmap jit jvp jit": (
        lambda T: T.vmap(T.jit(lambda x: T.jvp(T.jit(vector(T)), (x,), (Y,))[1])),
        M,
    ),
    "jit grad jit grad jit": (lambda T: T.jit(T.grad(T.jit(T.grad(T.jit(curve(T)))))), 0.7),
    "jit jacfwd vmap jacrev": (
        lambda T: T.jit(T.jacfwd(lambda m: T.vmap(T.jacrev(loss(T)))(m).sum(0))),
        M,
    ),
    "grad vmap jvp": (
        lambda T: T.grad(lambda s: T.vmap(lambda x: T.jvp(curve(T), (x * s,), (s,))[1])(X).sum()),
        1.3,
    ),
    "jit hessian checkpoint vmap": (
        lambda T: T.jit(T.hessian(T.checkpoint(lambda x: T.vmap(curve(T))(x).prod()))),
        X,
    ),
    "vmap grad vmap grad vmap": (
        lambda T: T.vmap(
            lambda a: T.grad(
                lambda b: T.vmap(lambda c: T.grad(lambda d: curve(T)(a * b * c * d))(0.6))(X).sum()
            )(1.1)
        ),
        Y,
    ),
    "grad jit custom vmap": (
        lambda T: T.grad(lambda x: T.jit(T.vmap(custom(T)))(x * x).sum()),
        X,
    ),
    "jit vmap hessian custom_vjp checkpoint": (
        lambda T: T.jit(T.vmap(T.hessian(T.checkpoint(lambda x: custom_back(T)(x).prod())))),
        M,
    ),
    "linearize jit vmap grad": (
        lambda T: lambda m: T.linearize(T.jit(T.vmap(T.grad(loss(T)))), m)[1](m * m),
        M,
    ),
    "vjp vmap linearize": (
        lambda T: lambda m: T.vjp(T.vmap(lambda x: T.linearize(vector(T), x)[1](Y)), m)[1](m + 1),
        M,
    ),
}


def compare(found, expected):
    """The same structure, dtypes and values."""
    found, found_tree = tree.flatten(found)
    expected, expected_tree = tree.flatten(jax.tree.map(np.asarray, expected))
    assert found_tree == expected_tree
    for x, y in zip(found, expected, strict=True):
        assert isinstance(x, np.ndarray | np.generic)
        assert x.dtype == y.dtype
        np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_nest_of_transforms_is_jaxs(name):
    build, *args = PROGRAMS[name]
    # Jitted as a whole: JAX would compile each of its operations by itself.
    compare(build(Ours)(*args), jax.jit(build(Jaxs))(*args))


@pytest.mark.parametrize("name", ["jit vmap grad jit", "jit hessian checkpoint vmap"])
def test_compiled_nests_are_the_same(name):
    build, *args = PROGRAMS[name]

    class Compiled(Ours):
        jit = staticmethod(ad.jit)

    np.testing.assert_allclose(build(Compiled)(*args), build(Ours)(*args), rtol=1e-12)


# Random nests: each transform takes a scalar function of a scalar to another.

WRAPPERS = {
    "grad": lambda T, f: T.grad(f),
    "jvp": lambda T, f: lambda t: T.jvp(f, (t,), (T.np.cos(t),))[1],
    "vjp": lambda T, f: lambda t: T.vjp(f, t)[1](t)[0],
    "jit": lambda T, f: T.jit(f),
    "vmap": lambda T, f: lambda t: T.vmap(f)(t * T.np.asarray([0.5, 1.0, 1.5])).sum(),
    "vmap captured": lambda T, f: (
        lambda t: T.vmap(lambda s: f(s) * t)(T.np.asarray([0.4, 0.9])).sum()
    ),
    "checkpoint": lambda T, f: T.checkpoint(f),
    "linearize": lambda T, f: lambda t: T.linearize(f, t)[1](t),
    "jacfwd": lambda T, f: T.jacfwd(f),
    "captured": lambda T, f: lambda t: T.grad(lambda s: f(s * t) * t)(t),
    "custom": lambda T, f: lambda t: custom(T)(f(t)),
    "custom_vjp": lambda T, f: lambda t: custom_back(T)(f(t)),
    "hvp": lambda T, f: lambda t: hvp(T, f, (t,), (t,))[0],
}


def differentiates(name):
    return name in ("grad", "jvp", "vjp", "linearize", "jacfwd", "captured", "hvp")


def nests(count, depth):
    rng = np.random.default_rng(17)
    names = list(WRAPPERS)
    while count:
        nest = tuple(names[i] for i in rng.integers(len(names), size=depth))
        if sum(map(differentiates, nest)) + ("hvp" in nest) <= 4:
            count -= 1
            yield nest


@pytest.mark.parametrize("nest", list(nests(40, 5)), ids=" ".join)
def test_a_random_nest_is_jaxs(nest):
    def nested(T):
        f = lambda t: T.np.sin(t) + 0.3 * t * t * t  # noqa: E731
        for name in nest:
            f = WRAPPERS[name](T, f)
        return f

    expected = np.asarray(jax.jit(nested(Jaxs))(0.8))
    np.testing.assert_allclose(nested(Ours)(0.8), expected, rtol=1e-10)


# Perturbation confusion: tangents of different derivatives must not mix.


def test_siskind_and_pearlmutters_example():
    # d/dx (x · d/dy (x + y)) at y = 1 is 1, and 2 where the perturbations are confused.
    assert ad.grad(lambda x: x * ad.grad(lambda y: x + y)(1.0))(1.0) == 1.0
    forward = lambda f: lambda t: ad.jvp(f, (t,), (1.0,))[1]  # noqa: E731
    assert forward(lambda x: x * forward(lambda y: x + y)(1.0))(1.0) == 1.0
    assert forward(lambda x: x * ad.grad(lambda y: x + y)(1.0))(1.0) == 1.0
    assert ad.grad(lambda x: x * forward(lambda y: x + y)(1.0))(1.0) == 1.0


@pytest.mark.parametrize("inner", ["grad", "jvp", "vjp", "jit grad", "vmap grad"])
def test_an_outer_value_is_constant_to_an_inner_derivative(inner):
    derive = {
        "grad": ad.grad,
        "jvp": lambda f: lambda y: ad.jvp(f, (y,), (1.0,))[1],
        "vjp": lambda f: lambda y: ad.vjp(f, y)[1](1.0)[0],
        "jit grad": lambda f: reference_jit(ad.grad(f)),
        "vmap grad": lambda f: lambda y: ad.vmap(ad.grad(f))(np.stack([1.0, y]))[1],
    }[inner]
    # d/dy (x y²) at y = x is 2x²; its derivative 4x. Taking d/dy of x too would give 3x², 6x.
    outer = lambda x: derive(lambda y: x * y * y)(x)  # noqa: E731
    np.testing.assert_allclose(outer(3.0), 18.0)
    np.testing.assert_allclose(ad.grad(outer)(3.0), 12.0)
    np.testing.assert_allclose(ad.jvp(outer, (3.0,), (2.0,))[1], 24.0)
    np.testing.assert_allclose(ad.grad(ad.grad(outer))(3.0), 4.0)


def test_one_function_differentiated_by_two_closures():
    # The curried function of Manzyuk et al. (2019): the derivative of a function-valued function.
    def shifted(u):
        return lambda f: lambda x: f(x + u)

    def derivative(f):
        return lambda u: lambda g: lambda x: ad.jvp(lambda u: f(u)(g)(x), (u,), (1.0,))[1]

    at_zero = derivative(shifted)(0.0)
    twice = at_zero(at_zero(np.exp))
    np.testing.assert_allclose(twice(1.0), np.e, rtol=1e-14)
