"""The worked examples of the articles that gpuad began with, with the values that they print.

Where an article is wrong (an accumulated ``.grad``, a square root that is 1 at 0) the test has what
is right, and says so.
"""

import math

import numpy as np
import pytest

import gpuad as ad
from gpuad.errors import NotDifferentiableError


def close(found, expected, rtol=1e-13, atol=0.0):
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


# "Forward and reverse differentiation by jvp and vjp"


@pytest.mark.parametrize("x", [0.0, 1.3, np.array([0.5, -2.0])], ids=["zero", "number", "array"])
def test_x_sin_x_both_ways(x):
    def f(x):
        return np.sin(x) * x

    def jvp_by_hand(x, dx):
        return np.sin(x) * x, np.cos(x) * dx * x + np.sin(x) * dx

    def vjp_by_hand(x, y_grad):
        return y_grad * (np.sin(x) + x * np.cos(x))

    seed = np.full(np.shape(x), 0.7)[()]
    y, dy = ad.jvp(f, (x,), (seed,))
    close([y, dy], jvp_by_hand(x, seed))
    y, pullback = ad.vjp(f, x)
    close(y, f(x))
    close(pullback(seed)[0], vjp_by_hand(x, seed))


def my_square():
    """MySquare: one function with a backward and a jvp of its own."""

    @ad.custom_vjp
    def square(x):
        return x**2

    def forward(x):
        return x**2, x

    def backward(x, grad_output):
        return (grad_output * 2 * x,)

    square.defvjp(forward, backward)

    @square.defjvp
    def rule(primals, tangents):
        (x,), (grad_x,) = primals, tangents
        return x**2, 2 * x * grad_x

    return square


def test_my_square_forward_and_backward():
    square = my_square()
    assert square(3.0) == 9.0
    assert ad.value_and_grad(square)(3.0) == (9.0, 6.0)


def test_my_square_forward_mode():
    assert ad.jvp(my_square(), (3.0,), (2.0,)) == (9.0, 12.0)


def r2_to_r2(x):
    return np.stack([x[0] * x[1], np.sin(x[1])])


def test_jvp_of_a_function_of_the_plane():
    y, dy = ad.jvp(r2_to_r2, (np.array([2.0, 3.0]),), (np.array([1.0, 0.0]),))
    close(y, [6.0000, 0.1411], atol=5e-5)
    close(dy, [3.0, 0.0])


def test_hvp_as_jvp_of_the_gradient():
    def f(x):
        return x[0] ** 2 + 3 * x[1] ** 2 + x[0] * x[1]

    x, v = np.array([1.0, 2.0]), np.array([1.0, -1.0])
    _, hvp = ad.jvp(ad.grad(f), (x,), (v,))
    close(hvp, [1, -5])
    for mode in ("forward-over-reverse", "reverse-over-forward", "forward-over-forward"):
        close(ad.hvp(f, (x,), (v,), mode)[0], [1, -5])


# The article prints 0.5403 for gradient × perturbation at 0.5: its gradient had accumulated over
# two backward calls. Both ways give cos(1)·0.5.
@pytest.mark.parametrize(
    ("step", "linear", "true"),
    [
        (0.1, 0.05403023585677147, 0.04973644018173218),
        (0.5, 0.27015116810798645, 0.1560240387916565),
    ],
)
def test_sensitivity_three_ways(step, linear, true):
    x, dx = np.array([1.0], np.float32), np.array([step], np.float32)
    y, dy = ad.jvp(np.sin, (x,), (dx,))
    by_gradient = ad.grad(lambda x: np.sin(x).sum())(x) * dx
    assert dy.dtype == by_gradient.dtype == np.float32
    close(dy, linear, rtol=2.4e-7)
    close(by_gradient, linear, rtol=2.4e-7)
    close(np.sin(x + dx) - y, true, atol=1.2e-7)


# "Understanding JVP and VJP": a Jacobian by columns and by rows


def r3_to_r2(x):
    return np.stack([x[0] * x[1] * x[2], np.exp(x[0]) + x[2] ** 2])


POINT = np.array([0.5, -1.0, 2.0])
JACOBIAN = np.array([[-2.0, 1.0, -0.5], [np.exp(0.5), 0.0, 4.0]])


def test_one_hot_jvps_are_the_columns_of_the_jacobian():
    columns = [ad.jvp(r3_to_r2, (POINT,), (e,))[1] for e in np.eye(3)]
    close(np.stack(columns, axis=1), JACOBIAN)
    close(ad.jacfwd(r3_to_r2)(POINT), JACOBIAN)


def test_one_hot_vjps_are_the_rows_of_the_jacobian():
    _, pullback = ad.vjp(r3_to_r2, POINT)
    close(np.stack([pullback(e)[0] for e in np.eye(2)]), JACOBIAN)
    close(ad.jacrev(r3_to_r2)(POINT), JACOBIAN)


def test_several_seeds_at_once_are_a_directional_derivative():
    v, u = np.array([0.3, 0.0, -2.0]), np.array([0.0, 1.5])
    close(ad.jvp(r3_to_r2, (POINT,), (v,))[1], JACOBIAN @ v)
    close(ad.vjp(r3_to_r2, POINT)[1](u)[0], u @ JACOBIAN)


def test_the_chain_rule_from_either_end():
    def c(x):
        return np.stack([x[0] * x[1], x[1] * x[2]])

    def b(c):
        return np.stack([np.sin(c[0]), c[0] + c[1], c[1] ** 2])

    def a(b):
        return b[0] * b[1] + b[2]

    at_c, at_b = c(POINT), b(c(POINT))
    da, db, dc = ad.grad(a)(at_b), ad.jacrev(b)(at_c), ad.jacrev(c)(POINT)
    forward, reverse = da @ (db @ (dc @ np.eye(3))), ((1.0 * da) @ db) @ dc
    close(forward, reverse)
    close(ad.grad(lambda x: a(b(c(x))))(POINT), reverse)


# "Automatic differentiation": four ways, and the trace of ln x₁ + x₁x₂ − sin x₂ at (2, 5)


def test_manual_numerical_symbolic_automatic():
    sympy = pytest.importorskip("sympy")
    symbol = sympy.Symbol("x")
    x, h = 0.7, 1e-6

    def f(x):
        return x**2 + 3 * np.sin(x)

    manual = 2 * x + 3 * np.cos(x)
    symbolic = sympy.lambdify(symbol, sympy.diff(symbol**2 + 3 * sympy.sin(symbol), symbol))(x)
    close(ad.grad(f)(x), manual)
    close(ad.grad(f)(x), symbolic)
    close(ad.grad(f)(x), (f(x + h) - f(x - h)) / (2 * h), rtol=1e-9)


def elementary_steps(x1, x2, nudge=(0.0,) * 5):
    """The intermediate values v₁ … v₅ of the article's figure; `nudge` moves each of them."""
    v1 = np.log(x1) + nudge[0]
    v2 = x1 * x2 + nudge[1]
    v3 = np.sin(x2) + nudge[2]
    v4 = v1 + v2 + nudge[3]
    v5 = v4 - v3 + nudge[4]
    return v1, v2, v3, v4, v5


def test_the_forward_trace():
    values, dots = ad.jvp(elementary_steps, (2.0, 5.0), (1.0, 0.0))
    close(values, [0.693, 10, -0.959, 10.693, 11.652], atol=5e-4)
    close(dots, [0.5, 5, 0, 5.5, 5.5])
    _, dots = ad.jvp(elementary_steps, (2.0, 5.0), (0.0, 1.0))
    close(dots[-1], 1.716, atol=5e-4)


def test_the_reverse_trace():
    def y(x1, x2, nudge=(0.0,) * 5):
        return elementary_steps(x1, x2, nudge)[-1]

    value, pullback = ad.vjp(y, 2.0, 5.0)
    close(value, 11.652, atol=5e-4)
    close(pullback(1.0), [5.5, 1.716], atol=5e-4)
    adjoints = ad.grad(y, argnums=2)(2.0, 5.0, (0.0,) * 5)
    close(adjoints, [1, 1, -1, 1, 1])


def test_the_recorded_graph_has_the_steps_of_the_figure():
    text = repr(ad.make_graph(lambda x1, x2: elementary_steps(x1, x2)[-1])(2.0, 5.0))
    for step in ("log a", "mul a b", "sin b"):
        assert step in text


# "Automatic differentiation behind jax.grad": sin x² at 2


def test_sin_x_squared_step_by_step():
    def f(x):
        return np.sin(x**2)

    value, gradient = ad.value_and_grad(f)(2.0)
    close([value, gradient], [-0.757, -2.614], atol=1e-3)
    _, back = ad.vjp(np.sin, 4.0)
    (a_bar,) = back(1.0)
    close(a_bar, -0.654, atol=5e-4)
    _, back = ad.vjp(np.square, 2.0)
    (x_bar,) = back(a_bar)
    close(x_bar, gradient)


# "Custom JVP rules"


@ad.custom_jvp
def stable_sqrt(x):
    """The article guards the value too, so that its square root of 0 is 1; the derivative is what
    needs a guard."""
    return np.sqrt(x)


@stable_sqrt.defjvp
def stable_sqrt_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    is_zero = x == 0.0
    derivative = 0.5 / np.sqrt(np.where(is_zero, 1.0, x))
    return stable_sqrt(x), np.where(is_zero, 0.0, derivative * t)


def test_stable_sqrt():
    assert ad.jvp(stable_sqrt, (0.0,), (1.0,)) == (0.0, 0.0)
    assert ad.jvp(stable_sqrt, (4.0,), (1.0,)) == (2.0, 0.25)
    assert ad.grad(stable_sqrt)(0.0) == 0.0
    assert ad.jvp(np.sqrt, (0.0,), (1.0,)) == (0.0, np.inf)


def test_custom_rules_under_jit_and_vmap():
    x = np.array([0.0, 1.0, 4.0, 9.0])
    slope = [0.0, 0.5, 0.25, 1 / 6]
    close(ad.jit(stable_sqrt)(x), np.sqrt(x))
    close(ad.jit(ad.vmap(ad.grad(stable_sqrt)))(x), slope)
    close(ad.vmap(ad.jit(ad.grad(stable_sqrt)))(x), slope)
    close(ad.vmap(lambda x: ad.jvp(ad.jit(stable_sqrt), (x,), (1.0,))[1])(x), slope)
    curvature = [0.0, -0.25, -1 / 32, -1 / 108]
    close(ad.jit(ad.vmap(ad.grad(ad.grad(stable_sqrt))))(x), curvature)


def test_clip_at_its_bounds():
    x = np.array([-1.5, -1.0, 0.3, 1.0, 1.5])
    clip = ad.vmap(ad.grad(lambda x: np.clip(x, -1.0, 1.0)))
    close(clip(x), [0, 1, 1, 1, 0])

    @ad.custom_jvp
    def flat_at_bounds(x):
        return np.clip(x, -1.0, 1.0)

    @flat_at_bounds.defjvp
    def rule(primals, tangents):
        (x,), (t,) = primals, tangents
        return flat_at_bounds(x), np.where(abs(x) < 1, t, 0.0)

    close(ad.vmap(ad.grad(flat_at_bounds))(x), [0, 0, 1, 0, 0])


def test_external_code_with_a_rule():
    called = []

    def on_the_host(x):
        called.append(type(x))
        return np.array([math.erf(xi) for xi in x.ravel()]).reshape(x.shape)

    host_erf = ad.external(on_the_host, out=lambda x: x)

    @ad.custom_jvp
    def erf(x):
        return host_erf(x)

    @erf.defjvp
    def rule(primals, tangents):
        (x,), (t,) = primals, tangents
        return erf(x), 2 / np.sqrt(np.pi) * np.exp(-(x**2)) * t

    x = np.array([0.0, 0.5, 2.0])
    expected = 2 / np.sqrt(np.pi) * np.exp(-(x**2))
    close(erf(x), [math.erf(xi) for xi in x])
    close(ad.grad(lambda x: erf(x).sum())(x), expected)
    close(ad.jit(ad.grad(lambda x: erf(x).sum()))(x), expected)
    close(ad.vmap(ad.grad(erf))(x), expected)
    close(ad.vmap(ad.grad(ad.grad(erf)))(x), -2 * x * expected)
    assert set(called) == {np.ndarray}
    with pytest.raises(NotDifferentiableError, match="on_the_host"):
        ad.grad(lambda x: host_erf(x).sum())(x)
