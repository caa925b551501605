"""custom_jvp and custom_vjp: every form of rule under every transform, and wrong rules by name.

Rules that differ on purpose from the derivative, by a factor of 10 or 100, show which was used.
"""

import collections
import functools
import types

import numpy as np
import pytest

import gpuad as ad
from gpuad import tree
from gpuad.errors import (
    ArgumentError,
    ConversionError,
    GradientCheckError,
    InPlaceError,
    NotDifferentiableError,
    NotLinearError,
)
from gpuad.testing import check_grads

X = np.array([0.3, -1.2, 2.0])
Y = np.array([1.5, 0.4, -0.7])

jit = functools.partial(ad.jit, executor="reference")


def same(found, expected, rtol=1e-13, atol=1e-15):
    found, found_tree = tree.flatten(found)
    expected, expected_tree = tree.flatten(expected)
    assert found_tree == expected_tree
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=atol)


def sine_jvp(factor=10.0):
    @ad.custom_jvp
    def sine(x):
        return np.sin(x)

    @sine.defjvp
    def rule(primals, tangents):
        (x,), (x_dot,) = primals, tangents
        return sine(x), factor * np.cos(x) * x_dot

    return sine


def sine_vjp(factor=100.0):
    @ad.custom_vjp
    def sine(x):
        return np.sin(x)

    sine.defvjp(lambda x: (sine(x), x), lambda x, y_bar: (factor * np.cos(x) * y_bar,))
    return sine


def sine_both():
    """A JVP rule with factor 10 and a VJP rule with factor 100."""
    sine = sine_jvp()
    sine.defvjp(lambda x: (sine(x), x), lambda x, y_bar: (100.0 * np.cos(x) * y_bar,))
    return sine


# One rule serves both modes; of two rules each serves its own


@pytest.mark.parametrize(
    ("function", "forward", "reverse"),
    [(sine_jvp(), 10, 10), (sine_vjp(), 100, 100), (sine_both(), 10, 100)],
    ids=["jvp", "vjp", "both"],
)
def test_which_rule_is_used(function, forward, reverse):
    same(function(X), np.sin(X))
    same(ad.jvp(function, (X,), (Y,)), (np.sin(X), forward * np.cos(X) * Y))
    same(ad.linearize(function, X)[1](Y), reverse * np.cos(X) * Y)
    same(ad.jacfwd(function)(X), np.diag(forward * np.cos(X)))
    same(ad.vjp(function, X)[1](Y), (reverse * np.cos(X) * Y,))
    same(ad.grad(lambda x: function(x).sum())(X), reverse * np.cos(X))
    same(ad.jacrev(function)(X), np.diag(reverse * np.cos(X)))


NESTS = {
    "jit": jit,
    "checkpoint": ad.checkpoint,
    "vmap": ad.vmap,
    "jit vmap": lambda f: jit(ad.vmap(f)),
    "vmap jit": lambda f: ad.vmap(jit(f)),
    "checkpoint jit vmap": lambda f: ad.checkpoint(jit(ad.vmap(f))),
    "jit checkpoint vmap checkpoint": lambda f: jit(ad.checkpoint(ad.vmap(ad.checkpoint(f)))),
    "vmap of two axes": lambda f: lambda x: ad.vmap(ad.vmap(f))(x[:, None])[:, 0],
}


@pytest.mark.parametrize("nest", NESTS)
@pytest.mark.parametrize("make", [sine_jvp, sine_vjp], ids=["jvp", "vjp"])
def test_rules_under_transforms(nest, make):
    # The rule's factor is taken once at the first order; the second differentiates the rule.
    factor = {sine_jvp: 10.0, sine_vjp: 100.0}[make]
    f = NESTS[nest](make())
    loss = lambda x: f(x).sum()  # noqa: E731
    same(f(X), np.sin(X))
    same(ad.grad(loss)(X), factor * np.cos(X))
    same(ad.jvp(f, (X,), (Y,))[1], factor * np.cos(X) * Y)
    same(ad.hvp(loss, (X,), (Y,)), (-factor * np.sin(X) * Y,))
    same(jit(ad.hessian(loss))(X), np.diag(-factor * np.sin(X)))
    same(NESTS[nest](ad.grad(make()))(X) if "vmap" in nest else factor * np.cos(X),
         factor * np.cos(X))  # fmt: skip


@pytest.mark.parametrize("mode", ["forward-over-reverse", "reverse-over-forward",
                                  "forward-over-forward"])  # fmt: skip
@pytest.mark.parametrize("make", [sine_jvp, sine_vjp], ids=["jvp", "vjp"])
def test_second_order_in_every_mode(make, mode):
    f = make(1.0)
    same(ad.hvp(lambda x: f(x * x).sum(), (X,), (Y,), mode),
         (Y * (2 * np.cos(X**2) - 4 * X**2 * np.sin(X**2)),))  # fmt: skip


@pytest.mark.parametrize("make", [sine_jvp, sine_vjp], ids=["jvp", "vjp"])
def test_third_and_fourth_order(make):
    f = make(1.0)
    third, fourth = -np.cos(0.7), np.sin(0.7)
    forward = lambda f: lambda x: ad.jvp(f, (x,), (1.0,))[1]  # noqa: E731
    for a in (ad.grad, forward):
        for b in (ad.grad, forward):
            for c in (ad.grad, forward):
                same(a(b(c(f)))(0.7), third)
    same(ad.grad(forward(ad.grad(forward(f))))(0.7), fourth)
    same(jit(ad.vmap(ad.grad(ad.grad(ad.grad(f)))))(X), -np.cos(X))


def test_a_rule_that_calls_custom_functions():
    """sin and cos, each the derivative of the other, by rules alone: every order."""
    sine = ad.custom_jvp(lambda x: np.sin(x))
    cosine = ad.custom_vjp(lambda x: np.cos(x))
    sine.defjvp(lambda p, t: (sine(p[0]), cosine(p[0]) * t[0]))
    cosine.defvjp(lambda x: (cosine(x), x), lambda x, u: (-sine(x) * u,))
    f, expected = sine, [np.sin, np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x), np.sin]
    for derivative in expected:
        same(f(0.7), derivative(0.7))
        same(ad.vmap(f)(X), derivative(X))
        f = ad.grad(f)


# Arguments and results


def test_pytrees_and_none_for_no_cotangent():
    @ad.custom_vjp
    def f(p, n, scale):
        return {"y": p["a"] * p["b"][0] * scale, "n": n + 1}

    def forward(p, n, scale):
        return f(p, n, scale), (p, scale, "residuals may be anything")

    def backward(residuals, cotangent):
        p, scale, _ = residuals
        y_bar = cotangent["y"]
        return {"a": y_bar * p["b"][0] * scale, "b": [None]}, None, (y_bar * p["a"]).sum()

    f.defvjp(forward, backward)
    p = {"a": X, "b": [Y]}
    same(f(p, 3, 2.0), {"y": 2 * X * Y, "n": 4})
    loss = lambda p, n, s: f(p, n, s)["y"].sum()  # noqa: E731
    same(ad.grad(loss)(p, 3, 2.0), {"a": 2 * Y, "b": [np.zeros(3)]})
    same(ad.grad(loss, argnums=2)(p, 3, 2.0), X.sum())
    moves = {"a": Y, "b": [X]}
    _, y_dot = ad.jvp(lambda p, s: f(p, 3, s), (p, 2.0), (moves, 1.0))
    same(y_dot, {"y": 2 * Y * Y + X, "n": 0})


def test_a_jvp_rule_gets_zeros_for_what_does_not_move():
    seen = []

    @ad.custom_jvp
    def f(x, y):
        return x * y

    @f.defjvp
    def rule(primals, tangents):
        (x, y), (x_dot, y_dot) = primals, tangents
        seen.append((x_dot.shape, y_dot.shape, y_dot.dtype))
        return x * y, {"wrong": 0} if x_dot.shape != x.shape else x_dot * y + x * y_dot

    same(ad.jvp(lambda x: f(x, Y), (X,), (Y,))[1], Y * Y)
    same(ad.grad(lambda y: f(X, y).sum())(Y), X)
    assert set(seen) == {((3,), (3,), np.dtype(float))}


def test_a_tangent_of_none_is_zero():
    @ad.custom_jvp
    def split(x):
        return x * 2, np.floor(x)

    @split.defjvp
    def rule(primals, tangents):
        return split(primals[0]), (2 * tangents[0], None)

    same(ad.jvp(split, (X,), (Y,))[1], (2 * Y, np.zeros(3)))
    same(ad.grad(lambda x: sum(split(x)).sum())(X), np.full(3, 2.0))


def test_results_of_integers():
    @ad.custom_vjp
    def f(x):
        return x * 2, np.argmax(x)

    f.defvjp(lambda x: (f(x), None), lambda _, u: (10 * u[0],))
    same(ad.grad(lambda x: f(x)[0][f(x)[1]])(X), [0, 0, 10] * np.ones(3))
    same(ad.jvp(f, (X,), (Y,))[1], (10 * Y, 0))


def test_nondiff_arguments():
    @functools.partial(ad.custom_vjp, nondiff_argnums=(0, 2))
    def apply(function, x, n):
        return function(x) * n

    def forward(function, x, n):
        return apply(function, x, n), x

    def backward(function, n, x, y_bar):
        assert function in (np.sin, np.exp)
        return (100.0 * n * y_bar * function(x),)

    apply.defvjp(forward, backward)

    @functools.partial(ad.custom_jvp, nondiff_argnums=(1,))
    def power(x, n):
        return x**n

    @power.defjvp
    def rule(n, primals, tangents):
        return power(primals[0], n), 10.0 * n * primals[0] ** (n - 1) * tangents[0]

    for transform in (lambda f: f, jit, ad.checkpoint):
        loss = transform(lambda x: apply(np.exp, x, 3).sum())
        same(ad.grad(loss)(X), 300 * np.exp(X))
        same(ad.grad(transform(lambda x: power(x, n=3).sum()))(X), 30 * X**2)
    same(ad.jvp(lambda x: apply(np.sin, x, n=2), (X,), (Y,))[1], 200 * np.sin(X) * Y)
    same(ad.vmap(ad.grad(lambda x: power(x, 2)))(X), 20 * X)
    with pytest.raises(
        ArgumentError, match=r"power: n is named in nondiff_argnums and is a traced"
    ):
        ad.grad(lambda n: power(2.0, n))(3.0)


def test_keyword_arguments_and_defaults():
    @ad.custom_jvp
    def f(x, scale=2.0):
        return x * scale

    f.defjvp(lambda p, t: (f(*p), t[0] * p[1] * 10 + t[1] * p[0]))
    same(ad.grad(lambda x: f(x=x, scale=3.0))(2.0), 30.0)
    same(ad.grad(lambda s: f(4.0, scale=s))(2.0), 4.0)


def test_methods():
    class Layer:
        scale = 3.0

        @functools.partial(ad.custom_vjp, nondiff_argnums=(0,))
        def __call__(self, x):
            return self.scale * x

        __call__.defvjp(lambda self, x: (self(x), None), lambda self, _, u: (100 * self.scale * u,))

    same(ad.grad(lambda x: Layer().__call__(x))(2.0), 300.0)


# Values that rules close over


def scaled(s, kind):
    """x ↦ s·x with a rule that closes over s, and has a factor of 10."""
    f = {"jvp": ad.custom_jvp, "vjp": ad.custom_vjp}[kind](lambda x: x * 2.0)
    if kind == "jvp":
        f.defjvp(lambda p, t: (f(p[0]), 10.0 * s * t[0]))
    else:
        f.defvjp(lambda x: (f(x), None), lambda _, u: (10.0 * s * u,))
    return f


@pytest.mark.parametrize("kind", ["jvp", "vjp"])
def test_rules_close_over_traced_values(kind):
    slope = lambda s: ad.grad(scaled(s, kind))(1.0)  # noqa: E731
    forward = lambda s: ad.jvp(scaled(s, kind), (1.0,), (1.0,))[1]  # noqa: E731
    for take in (slope, forward):
        same(take(3.0), 30.0)
        same(jit(take)(3.0), 30.0)
        same(ad.vmap(take)(X), 10 * X)
        same(jit(ad.vmap(take))(X), 10 * X)
        same(ad.vmap(jit(take))(X), 10 * X)
        same(ad.grad(take)(3.0), 10.0)
        same(ad.grad(ad.checkpoint(jit(take)))(3.0), 10.0)
        same(ad.jvp(take, (3.0,), (2.0,)), (30.0, 20.0))


@pytest.mark.parametrize("kind", ["jvp", "vjp"])
def test_the_derivative_by_a_value_that_only_a_rule_sees_is_refused(kind):
    def loss(s):
        return scaled(s, kind)(s * 1.0)

    message = r"closes over a value that is being differentiated.*Pass the value as an argument"
    for transform in (ad.grad, jit, ad.checkpoint):
        with pytest.raises(NotDifferentiableError, match=message):
            ad.grad(transform(loss) if transform is not ad.grad else loss)(3.0)
    with pytest.raises(NotDifferentiableError, match=message):
        ad.jvp(loss, (3.0,), (1.0,))
    # A constant to the rule: stop_gradient says so.
    constant = lambda s: scaled(ad.stop_gradient(s), kind)(s * 1.0)  # noqa: E731
    same(ad.grad(constant)(3.0), 30.0)


def test_a_function_that_closes_over_a_traced_value():
    def loss(s, x):
        f = ad.custom_jvp(lambda x: x * s)
        f.defjvp(lambda p, t: (f(p[0]), 10.0 * t[0]))
        return f(x)

    same(ad.grad(loss, argnums=1)(3.0, 2.0), 10.0)
    same(ad.vmap(ad.grad(loss, argnums=1))(X, Y), np.full(3, 10.0))
    same(jit(loss)(3.0, 2.0), 6.0)
    with pytest.raises(NotDifferentiableError, match=r"<lambda> has a custom derivative rule"):
        ad.grad(loss)(3.0, 2.0)


def test_defaults_of_a_rule_are_closed_over_too():
    def slope(s):
        f = ad.custom_jvp(lambda x: x * 1.0)

        @f.defjvp
        def rule(primals, tangents, s=s):
            return primals[0] * 1.0, 10.0 * s * tangents[0]

        return ad.grad(f)(1.0)

    same(jit(slope)(3.0), 30.0)
    same(ad.vmap(slope)(X), 10 * X)


def test_arrays_that_a_rule_closes_over():
    weights = np.array([1.0, 2.0, 3.0])
    f = ad.custom_vjp(lambda x: (x * weights).sum())
    f.defvjp(lambda x: (f(x), None), lambda _, u: (100.0 * weights * u,))
    same(ad.grad(f)(X), 100 * weights)
    same(jit(ad.grad(f))(X), 100 * weights)
    same(ad.vmap(ad.grad(f))(np.stack([X, Y])), np.stack([100 * weights] * 2))


# A backward rule that is not linear in the cotangent


def clipped_gradient():
    @ad.custom_vjp
    def identity(x):
        return x * 1.0

    identity.defvjp(lambda x: (identity(x), None), lambda _, u: (np.clip(u, -1.0, 1.0),))
    return identity


def test_a_nonlinear_backward_rule_works_in_reverse():
    f = clipped_gradient()
    loss = lambda x: (f(x) * Y * 2).sum()  # noqa: E731
    expected = np.clip(2 * Y, -1, 1)
    for transform in (lambda f: f, jit, ad.checkpoint):
        same(ad.grad(transform(loss))(X), expected)
    same(ad.vmap(ad.grad(loss))(np.stack([X, Y])), np.stack([expected] * 2))
    same(ad.jacrev(f)(X), np.eye(3))
    same(ad.vjp(f, X)[1](5 * Y), (np.clip(5 * Y, -1, 1),))


def test_a_nonlinear_backward_rule_is_refused_in_forward_mode():
    message = r"backward rule of identity is not linear in the cotangent.*with defjvp"
    f = clipped_gradient()
    for transform in (lambda f: f, jit, ad.checkpoint, ad.vmap):
        with pytest.raises(NotDifferentiableError, match=message):
            ad.jvp(transform(f), (X,), (Y,))
    with pytest.raises(NotDifferentiableError, match=message):
        ad.jacfwd(f)(X)
    f.defjvp(lambda p, t: (f(p[0]), t[0]))
    same(ad.jvp(f, (X,), (Y,))[1], Y)


# Rules that forget the tangent, or add something to it


FORGETTING = {
    "JVP rule returns": lambda p, t: 2 * p[0],
    "JVP rule returns ones": lambda p, t: np.ones(3),
    "JVP rule adds": lambda p, t: 2 * p[0] * t[0] + 1.0,
    "JVP rule adds an array": lambda p, t: 2 * p[0] * (t[0] - np.sin(p[0])),
}


@pytest.mark.parametrize("name", FORGETTING)
def test_a_jvp_rule_with_a_constant_part_is_refused(name):
    @ad.custom_jvp
    def f(x):
        return x**2

    f.defjvp(lambda p, t: (p[0] ** 2, FORGETTING[name](p, t)))
    message = rf"the JVP rule of .*f {name.split()[2]} what does not depend on the tangent"
    for derivative in (
        lambda: ad.jvp(f, (X,), (Y,)),
        lambda: ad.grad(lambda x: f(x).sum())(X),
        lambda: jit(ad.jacfwd(f))(X),
    ):
        with pytest.raises(NotLinearError, match=message):
            derivative()


def test_a_backward_rule_that_forgets_the_cotangent_is_refused():
    @ad.custom_vjp
    def f(x):
        return x**2

    f.defvjp(lambda x: (x**2, x), lambda x, u: (2 * x,))
    for derivative in (lambda: ad.grad(lambda x: f(x).sum())(X), lambda: ad.jvp(f, (X,), (Y,))):
        with pytest.raises(NotLinearError, match=r"backward rule of .* on the cotangent"):
            derivative()


def test_a_backward_rule_may_add_noise_in_reverse():
    @ad.custom_vjp
    def noisy(x):
        return x * 1.0

    noisy.defvjp(lambda x: (x * 1.0, None), lambda _, u: (u + Y,))
    same(ad.grad(lambda x: (noisy(x) * 2).sum())(X), 2 + Y)
    with pytest.raises(NotDifferentiableError, match="not linear in the cotangent"):
        ad.jvp(noisy, (X,), (Y,))


ZEROS = {
    "zeros_like": lambda x: np.zeros_like(x),
    "zeros": lambda x: np.zeros(3),
    "zero times": lambda x: 0.0 * x,
    "None": lambda x: None,
    "under jit": lambda x: ad.jit(np.zeros_like)(x),
    "where": lambda x: np.where(x > 0, 0.0, np.zeros(3)),
    "a sum": lambda x: x * np.zeros_like(x).sum(),
    "a quotient": lambda x: 0.0 / x,
    "stacked": lambda x: np.stack([np.zeros_like(x[0])] * 3),
    "of another dtype": lambda x: np.zeros(3, np.float32).astype(x.dtype),
}


@pytest.mark.parametrize("name", ZEROS)
def test_rules_may_return_zeros(name):
    @ad.custom_jvp
    def f(x):
        return np.floor(x)

    f.defjvp(lambda p, t: (np.floor(p[0]), ZEROS[name](p[0])))

    @ad.custom_vjp
    def g(x):
        return np.floor(x)

    g.defvjp(lambda x: (np.floor(x), x), lambda x, u: (ZEROS[name](x),))
    for h in (f, g):
        same(ad.grad(lambda x, h=h: (h(x) * x).sum())(X), np.floor(X))
        same(ad.jvp(h, (X,), (Y,))[1], np.zeros(3))


def test_a_zero_of_a_backward_rule_drops_nothing_else():
    @ad.custom_vjp
    def f(x, y):
        return np.sin(y), np.cos(y)

    f.defvjp(
        lambda x, y: (f(x, y), y),
        lambda y, u: (0.0 * u[0], u[0] * np.cos(y) - u[1] * np.sin(y)),
    )

    def g(p, x, y, t):
        return (np.log(p) * ad.jvp(f, (x, y), (0 * x, t))[1][0]).sum()

    p, t = np.array([1.0, 2.0, 3.0]), np.ones(3)
    for derivative in (ad.grad(g), ad.grad(ad.jit(g)), ad.jit(ad.grad(ad.jit(g)))):
        same(derivative(p, X, Y, t), np.cos(Y) / p)


def test_a_rule_whose_value_and_tangent_come_from_one_checkpoint():
    @ad.custom_jvp
    def f(x):
        return np.sin(x)

    f.defjvp(lambda p, t: ad.jvp(ad.checkpoint(np.sin), p, t))
    for loss, plain in (
        (lambda x: f(x).sum(), lambda x: np.sin(x).sum()),
        (lambda x: (f(x) ** 2).sum(), lambda x: (np.sin(x) ** 2).sum()),
        (lambda x: ad.jit(f)(x).sum(), lambda x: np.sin(x).sum()),
    ):
        for derivative in (
            ad.grad, ad.jacrev, ad.jacfwd, ad.hessian, lambda f: ad.jit(ad.grad(f)),
            lambda f: lambda x: ad.linearize(f, x)[1](Y),
            lambda f: ad.grad(lambda x: (ad.grad(f)(x) * Y).sum()),
        ):  # fmt: skip
            same(derivative(loss)(X), derivative(plain)(X))


def test_a_rule_with_another_value_is_found():
    @ad.custom_jvp
    def f(x):
        return np.sin(x)

    f.defjvp(lambda p, t: (np.cos(p[0]), np.cos(p[0]) * t[0]))

    @ad.custom_vjp
    def g(x):
        return np.sin(x)

    g.defvjp(lambda x: (np.cos(x), x), lambda x, u: (np.cos(x) * u,))
    for h, mode in ((f, "fwd"), (g, "rev")):
        with pytest.raises(GradientCheckError, match=f"the value by {mode} at order 1"):
            check_grads(h, (X,), modes=(mode,))
    with pytest.raises(ArgumentError, match="order=0; give 1"):
        check_grads(np.sin, (X,), order=0)


# Recursion, and a function without a rule


def test_a_recursive_function():
    @functools.partial(ad.custom_jvp, nondiff_argnums=(1,))
    def power(x, n):
        return x * power(x, n - 1) if n else x * 0 + 1.0

    @power.defjvp
    def rule(n, primals, tangents):
        (x,), (x_dot,) = primals, tangents
        return power(x, n), n * power(x, n - 1) * x_dot if n else x_dot * 0

    same(ad.grad(power)(2.0, 5), 80.0)
    same(ad.grad(ad.grad(power))(2.0, 5), 160.0)
    same(jit(ad.vmap(ad.grad(lambda x: power(x, 3))))(X), 3 * X**2)


def test_a_function_without_a_rule():
    for make in (ad.custom_jvp, ad.custom_vjp):
        f = make(np.sin)
        with pytest.raises(NotDifferentiableError, match=r"sin is a custom_.* without a rule.*def"):
            f(1.0)


# Wrong rules


def total(f):
    return lambda x: f(x).sum()


def with_jvp(rule):
    f = ad.custom_jvp(lambda x: x * 2.0)
    f.__name__ = "doubled"
    f.defjvp(rule)
    return f


def with_vjp(forward, backward):
    f = ad.custom_vjp(lambda x: x * 2.0)
    f.__name__ = "doubled"
    f.defvjp(forward, backward)
    return f


WRONG = {
    "no pair": (
        with_jvp(lambda p, t: t[0]),
        r"the JVP rule of doubled returned a Tracer; return a pair \(value, tangent\)",
    ),
    "another structure": (
        with_jvp(lambda p, t: ((p[0], p[0]), (t[0], t[0]))),
        r"the JVP rule of doubled returned a value of structure \(\*, \*\), and doubled returns \*",
    ),
    "value of another shape": (
        with_jvp(lambda p, t: (p[0].sum(), t[0].sum())),
        r"the JVP rule of doubled returned f64\[\] for the value; return f64\[3\]",
    ),
    "tangent of another shape": (
        with_jvp(lambda p, t: (2 * p[0], t[0].sum())),
        r"the JVP rule of doubled returned f64\[\] for the tangent; return f64\[3\]",
    ),
    "tangent of another dtype": (
        with_jvp(lambda p, t: (2 * p[0], t[0].astype(np.float32))),
        r"the JVP rule of doubled returned f32\[3\] for the tangent; return f64\[3\]",
    ),
    "tangent of another structure": (
        with_jvp(lambda p, t: (2 * p[0], {"t": t[0]})),
        r"the tangent that the JVP rule of doubled returned has the structure \{'t': \*\}",
    ),
    "no array": (
        with_jvp(lambda p, t: (2 * p[0], "tangent")),
        r"the JVP rule of doubled: the tangent has a str \('tangent'\)",
    ),
    "not linear": (
        with_jvp(lambda p, t: (2 * p[0], t[0] * t[0])),
        r"the operation mul .* is not linear.*a JVP rule",
    ),
    "forward without residuals": (
        with_vjp(lambda x: x * 2, lambda r, u: (u,)),
        r"the forward rule of doubled returned a Tracer; return a pair \(value, residuals\)",
    ),
    "backward without a tuple": (
        with_vjp(lambda x: (x * 2, None), lambda r, u: u),
        r"the backward rule of doubled returned a Tracer; return a tuple",
    ),
    "too many cotangents": (
        with_vjp(lambda x: (x * 2, None), lambda r, u: (u, u)),
        r"cotangents that the backward rule of doubled returned has the structure \(\*, \*\)",
    ),
    "cotangent of another shape": (
        with_vjp(lambda x: (x * 2, None), lambda r, u: (u.sum(),)),
        r"the backward rule of doubled returned f64\[\] for a cotangent; return f64\[3\]",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_rule_is_named(name):
    f, message = WRONG[name]
    for transform in (lambda f: f, jit, ad.checkpoint):
        with pytest.raises((ArgumentError, NotDifferentiableError, ValueError), match=message):
            ad.grad(total(transform(f)))(X)


def test_control_flow_in_a_rule_says_what_to_write():
    f = with_jvp(lambda p, t: (2 * p[0], t[0] if p[0].sum() > 0 else -t[0]))
    for transform in (jit, lambda f: lambda x: ad.vmap(f)(np.stack([x, x]))):
        with pytest.raises(TypeError, match=r"under 'a rule of doubled'.*np\.where"):
            transform(ad.grad(lambda x: f(x).sum()))(X)
        same(jit(f)(X), 2 * X)
    f = with_jvp(lambda p, t: (2 * p[0], t[0] if t[0].sum() > 0 else -t[0]))
    with pytest.raises(TypeError, match=r"under 'a rule of doubled'.*np\.where"):
        ad.grad(lambda x: f(x).sum())(X)


# Python control flow on values that are known


def branching(form, scale):
    """|x| with a slope of `scale` on the right and -10 `scale` on the left."""
    if form == "jvp, closed":
        return kinked
    f = ad.custom_jvp(abs) if form == "jvp" else ad.custom_vjp(abs)
    f.__name__ = "kinked"
    if form == "jvp":
        f.defjvp(lambda p, t: (f(p[0]), scale * t[0] if p[0] > 0 else -10 * scale * t[0]))
    else:
        f.defvjp(lambda x: (f(x), x), lambda x, u: (scale * u if x > 0 else -10 * scale * u,))
    return f


kinked = ad.custom_jvp(abs)


@kinked.defjvp
def _kinked_rule(p, t):
    """A rule that sees nothing but its arguments and globals."""
    return kinked(p[0]), 3.0 * t[0] if p[0] > 0 else -30.0 * t[0]


@pytest.mark.parametrize("form", ["jvp", "jvp, closed", "vjp"])
def test_a_rule_may_branch_on_known_values(form):
    f = branching(form, 3.0)
    for x, slope in ((2.0, 3.0), (-2.0, -30.0), (5.0, 3.0)):
        same(ad.grad(f)(x), slope)
        same(ad.jvp(f, (x,), (2.0,)), (abs(x), 2 * slope))
        same(ad.linearize(f, x)[1](2.0), 2 * slope)
        same(ad.vjp(f, x)[1](2.0), (2 * slope,))
        same(ad.grad(ad.checkpoint(f))(x), slope)
        same(ad.hessian(lambda x: f(x) ** 2)(x), 2 * slope**2)
        same(
            ad.hvp(lambda x: f(x) ** 2, (x,), (1.0,), mode="reverse-over-forward")[0], 2 * slope**2
        )
        same(ad.grad(lambda x: ad.grad(f)(x) * x)(x), slope)
        same(ad.vmap(lambda y, x: y * ad.grad(f)(x), (0, None))(X, x), slope * X)
        same(ad.jacfwd(lambda y: f(y[0]) * y)(np.array([x, 1.0]))[1], np.array([slope, abs(x)]))


def test_a_rule_may_branch_on_what_it_closes_over():
    def outer(s):
        f = ad.custom_jvp(lambda x: x * ad.stop_gradient(s))
        f.defjvp(lambda p, t: (f(p[0]), t[0] * (7.0 if ad.stop_gradient(s) > 1 else 1.0)))
        return ad.grad(f)(1.0) * s

    same(ad.grad(outer)(2.0), 7.0)
    same(ad.grad(outer)(0.5), 1.0)


def test_a_rule_loses_no_derivative():
    f = with_jvp(lambda p, t: (2 * p[0], float(p[0]) * t[0]))
    with pytest.raises(ConversionError, match="if its derivative is meant to be lost"):
        ad.grad(f)(2.0)


def test_a_rule_that_is_not_used_may_be_wrong():
    f = sine_vjp()
    f.defjvp(lambda p, t: 1 / 0)
    same(ad.grad(f)(0.5), 100 * np.cos(0.5))


# Defaults


def amplified(form, default=2.0):
    if form == "jvp":

        @ad.custom_jvp
        def f(x, a=default):
            return a * np.sin(x)

        @f.defjvp
        def rule(primals, tangents):
            (x, a), (x_dot, a_dot) = primals, tangents
            return f(x, a), 10 * a * np.cos(x) * x_dot + np.sin(x) * a_dot

    else:

        @ad.custom_vjp
        def f(x, a=default):
            return a * np.sin(x)

        f.defvjp(
            lambda x, a: (f(x, a), (x, a)),
            lambda r, u: (10 * r[1] * np.cos(r[0]) * u, np.sin(r[0]) * u),
        )
    return f


@pytest.mark.parametrize("form", ["jvp", "vjp"])
def test_defaults_are_arguments_like_others(form):
    f = amplified(form)
    same(f(0.5), 2 * np.sin(0.5))
    for transform in (lambda f: f, jit, ad.checkpoint):
        same(ad.grad(transform(f))(0.5), 20 * np.cos(0.5))
        same(ad.grad(transform(lambda x: f(x, a=3.0)))(0.5), 30 * np.cos(0.5))
        same(ad.grad(transform(lambda x: f(a=3.0, x=x)))(0.5), 30 * np.cos(0.5))
    same(ad.grad(ad.grad(f))(0.5), -20 * np.sin(0.5))
    same(ad.vmap(ad.grad(f))(X), 20 * np.cos(X))
    same(ad.grad(f, argnums=(0, 1))(0.5, 4.0), (40 * np.cos(0.5), np.sin(0.5)))
    same(ad.jvp(amplified(form, np.float64(2)), (0.5,), (1.0,))[1], 20 * np.cos(0.5))


def test_a_default_that_is_no_array_is_the_functions_own():
    @ad.custom_jvp
    def f(x, how="sin", *, n=1):
        return np.sin(x) if how == "sin" else x * n

    f.defjvp(lambda p, t: (f(*p), 10 * t[0]))
    same(ad.grad(f)(0.5), 10.0)
    with pytest.raises(ArgumentError, match=r"f has keyword-only arguments \(n\)"):
        ad.grad(lambda x: f(x, n=2))(0.5)

    @functools.partial(ad.custom_jvp, nondiff_argnums=1)
    def g(x, how="sin"):
        return np.sin(x) if how == "sin" else x

    g.defjvp(lambda how, p, t: (g(*p, how), (10.0 if how == "sin" else 20.0) * t[0]))
    same(ad.grad(g)(0.5), 10.0)
    same(ad.grad(lambda x: g(x, how="id"))(0.5), 20.0)


# Values that cannot be hashed


def weighted():
    @functools.partial(ad.custom_jvp, nondiff_argnums=(1,))
    def f(x, options):
        return x * options["weights"][0]

    @f.defjvp
    def rule(options, primals, tangents):
        return f(primals[0], options), 10 * options["weights"][0] * tangents[0]

    return f


@pytest.mark.parametrize("wrap", [
    lambda w: {"weights": [w]}, lambda w: {"weights": np.array([w, 1.0])},
    lambda w: {"weights": (w, {1, 2}, [{"deep": [None]}])},
    lambda w: types.MappingProxyType({"weights": [w]}),
    lambda w: collections.UserDict({"weights": [w]}),
], ids=["list", "array", "nested", "mapping", "object"])  # fmt: skip
def test_nondiff_values_need_no_hash(wrap):
    f = weighted()
    for w in (3.0, 4.0, 3.0):
        same(ad.grad(f)(2.0, wrap(w)), 10 * w)
        same(ad.grad(ad.grad(lambda x, w=w: x * f(x, wrap(w))))(2.0), 20 * w)
        same(jit(ad.grad(lambda x, w=w: f(x, wrap(w))))(2.0), 10 * w)
        same(ad.vmap(ad.grad(lambda x, w=w: f(x, wrap(w))))(X), 10 * w * np.ones(3))


def test_nondiff_values_are_looked_at_again():
    f, options = weighted(), {"weights": [3.0]}
    same(ad.grad(f)(2.0, options), 30.0)
    options["weights"][0] = 4.0
    same(ad.grad(f)(2.0, options), 40.0)

    def changes(x):
        y = f(x, options)
        options["weights"][0] = 100.0
        return y

    with pytest.raises(InPlaceError, match=r"a dict that f was called with.*Pass a copy"):
        ad.grad(changes)(2.0)


def test_equal_numbers_of_other_types_are_other_values():
    @functools.partial(ad.custom_jvp, nondiff_argnums=(1,))
    def f(x, n):
        return x * n

    f.defjvp(lambda n, p, t: (f(p[0], n), t[0] * len(repr(n))))
    for n in (1, 1.0, True, np.int64(1), 0.0, -0.0, 0):
        same(ad.grad(f)(2.0, n), float(len(repr(n))))
