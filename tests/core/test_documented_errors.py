"""Every error that the docstring of a public name lists is raised, by a call that shows it."""

import math
import re

import numpy as np
import pytest

import gpuad as ad
from gpuad import errors
from gpuad.testing import check_grads, check_hvp
from public_names import PUBLIC, entries, sections

X = np.array([1.0, 2.0])
WHOLE = np.array([1, 2])
F32 = X.astype(np.float32)
hidden = ad.external(np.sin, out=ad.ShapeDtype((2,), np.float64))


def square(x):
    return (x**2).sum()


def scaled(x):
    return 2.0 * x


def no_derivative(x):
    return hidden(x).sum()


def not_recordable(x):
    return (x * np.packbits(x > 0)).sum()


def branches(x):
    return x if x.sum() > 0 else -x


def text(x):
    return "no array"


def with_jvp(rule, function=lambda x: x * 2.0, **options):
    f = ad.custom_jvp(function, **options)
    f.defjvp(rule)
    return f


def with_vjp(backward):
    f = ad.custom_vjp(lambda x: x * 2.0)
    f.defvjp(lambda x: (x * 2.0, None), backward)
    return f


def changed_before_its_rule(custom):
    """A function that changes a static list between its call and its rule."""
    factors = [2.0]
    f = custom(lambda n, x: x * n[0], nondiff_argnums=0)
    if custom is ad.custom_jvp:
        f.defjvp(lambda n, primals, tangents: (primals[0] * n[0], tangents[0] * n[0]))
    else:
        f.defvjp(lambda n, x: (x * n[0], None), lambda n, _, y_bar: (y_bar * n[0],))

    def function(x):
        y = f(factors, x)
        factors[0] = 3.0
        return y

    return function


def captured_and_changed():
    weights = np.ones(2)
    f = ad.jit(lambda x: x * weights)
    f(X)
    weights[0] = 4.0
    f(X)


def escaped():
    kept = []
    ad.grad(lambda x: kept.append(x) or square(x))(X)
    ad.stop_gradient(kept[0] * 1.0)


def kept_and_stopped():
    kept = []
    ad.grad(lambda x: kept.append(x) or square(x))(X)
    ad.stop_gradient(kept[0])


def dual(x=X, v=X):
    return ad.DualArray(x, v)


# name: error: calls that raise it
CALLS = {
    "DualArray": {
        "ArgumentError": [
            lambda: dual("text"),
            lambda: dual(v=np.ones(3)),
            lambda: dual() + dual(v=np.eye(2)),
            lambda: dual(v=np.eye(2)).tangent,
        ],
        "DTypeError": [lambda: dual(WHOLE), lambda: dual(v=1j * X)],
        "ConversionError": [lambda: np.asarray(dual())],
        "GpuadError": [lambda: np.packbits(dual())],
    },
    "jvp": {
        "ArgumentError": [
            lambda: ad.jvp(3, (X,), (X,)),
            lambda: ad.jvp(square, X, X),
            lambda: ad.jvp(square, (X,), (X, X)),
            lambda: ad.jvp(square, (X,), ([X],)),
            lambda: ad.jvp(square, (X,), (np.ones(3),)),
            lambda: ad.jvp(square, ("text",), (X,)),
            lambda: ad.jvp(text, (X,), (X,)),
        ],
        "DTypeError": [
            lambda: ad.jvp(square, (WHOLE,), (X,)),
            lambda: ad.jvp(square, (X,), (F32,)),
        ],
        "NotDifferentiableError": [lambda: ad.jvp(no_derivative, (X,), (X,))],
        "GpuadError": [lambda: ad.jvp(not_recordable, (X,), (X,))],
    },
    "linearize": {
        "ArgumentError": [
            lambda: ad.linearize(3, X),
            lambda: ad.linearize(square, "text"),
            lambda: ad.linearize(text, X),
            lambda: ad.linearize(square, X)[1](X, X),
            lambda: ad.linearize(square, X)[1]([X]),
            lambda: ad.linearize(square, X)[1](np.ones(3)),
        ],
        "DTypeError": [
            lambda: ad.linearize(square, WHOLE),
            lambda: ad.linearize(square, X)[1](F32),
        ],
        "NotDifferentiableError": [lambda: ad.linearize(no_derivative, X)],
        "GpuadError": [lambda: ad.linearize(not_recordable, X)],
    },
    "vjp": {
        "ArgumentError": [
            lambda: ad.vjp(3, X),
            lambda: ad.vjp(square, "text"),
            lambda: ad.vjp(text, X),
            lambda: ad.vjp(square, X)[1]((1.0,)),
            lambda: ad.vjp(square, X)[1](X),
        ],
        "DTypeError": [
            lambda: ad.vjp(square, WHOLE),
            lambda: ad.vjp(square, X)[1](np.float32(1.0)),
        ],
        "NotDifferentiableError": [lambda: ad.vjp(no_derivative, X)],
        "GpuadError": [lambda: ad.vjp(not_recordable, X)],
    },
    "linear_transpose": {
        "NotLinearError": [
            lambda: ad.linear_transpose(square, X),
            lambda: ad.linear_transpose(lambda x: x + 1.0, X),
        ],
        "ArgumentError": [
            lambda: ad.linear_transpose(3, X),
            lambda: ad.linear_transpose(scaled, "text"),
            lambda: ad.linear_transpose(text, X),
            lambda: ad.linear_transpose(scaled, X)((X,)),
            lambda: ad.linear_transpose(scaled, X)(np.ones(3)),
        ],
        "DTypeError": [
            lambda: ad.linear_transpose(scaled, WHOLE),
            lambda: ad.linear_transpose(scaled, X)(F32),
        ],
        "UnknownValueError": [lambda: ad.linear_transpose(branches, X)],
        "GpuadError": [lambda: ad.linear_transpose(not_recordable, X)],
    },
    "hvp": {
        "ArgumentError": [
            lambda: ad.hvp(3, (X,), (X,)),
            lambda: ad.hvp(square, (X,), (X, X)),
            lambda: ad.hvp(square, (X,), ([X],)),
            lambda: ad.hvp(square, (X,), (np.ones(3),)),
            lambda: ad.hvp(square, ("text",), (X,)),
            lambda: ad.hvp(scaled, (X,), (X,)),
            lambda: ad.hvp(square, (X,), (X,), mode="reverse"),
        ],
        "DTypeError": [
            lambda: ad.hvp(square, (WHOLE,), (X,)),
            lambda: ad.hvp(square, (X,), (F32,)),
            lambda: ad.hvp(lambda x: (x > 0).sum(), (X,), (X,)),
        ],
        "MemoryLimitError": [lambda: ad.hvp(square, (X,), (X,), max_bytes=1)],
        "NotDifferentiableError": [lambda: ad.hvp(no_derivative, (X,), (X,))],
        "GpuadError": [lambda: ad.hvp(not_recordable, (X,), (X,))],
    },
    "vmap": {
        "ArgumentError": [
            lambda: ad.vmap(3),
            lambda: ad.vmap(scaled, in_axes=1)(X),
            lambda: ad.vmap(scaled, out_axes=3)(X),
            lambda: ad.vmap(lambda x, y: x + y)(X, np.ones(3)),
            lambda: ad.vmap(scaled)("text"),
            lambda: ad.vmap(text)(X),
            lambda: ad.vmap(scaled, chunk_size=1, max_bytes=100),
        ],
        "UnknownValueError": [lambda: ad.vmap(branches)(X)],
        "MemoryLimitError": [lambda: ad.vmap(scaled, max_bytes=1)(X)],
        "GpuadError": [lambda: ad.vmap(not_recordable)(np.ones((3, 2)))],
    },
    "jit": {
        "ArgumentError": [
            lambda: ad.jit(3),
            lambda: ad.jit(scaled, executor="fastest"),
            lambda: ad.jit(scaled, static_argnums=3),
            lambda: ad.jit(scaled, donate_argnames="y"),
            lambda: ad.jit(scaled, static_argnums=0, donate_argnums=0),
            lambda: ad.jit(scaled)("text"),
            lambda: ad.jit(lambda x, n: x, static_argnums=1)(X, [1]),
            lambda: ad.jit(scaled, executor="cuda")(X),
        ],
        "UnknownValueError": [lambda: ad.jit(branches)(X)],
        "InPlaceError": [captured_and_changed],
        "MemoryLimitError": [lambda: ad.jit(scaled, max_bytes=1)(X)],
        "GpuadError": [lambda: ad.jit(not_recordable)(X)],
    },
    "checkpoint": {
        "ArgumentError": [lambda: ad.checkpoint(3), lambda: ad.grad(ad.checkpoint(text))(1.0)],
        "GpuadError": [lambda: ad.grad(ad.checkpoint(not_recordable))(X)],
    },
    "make_graph": {
        "ArgumentError": [lambda: ad.make_graph(3), lambda: ad.make_graph(text)(X)],
        "GpuadError": [lambda: ad.make_graph(not_recordable)(X)],
    },
    "external": {
        "ArgumentError": [
            lambda: ad.external(3, out=X),
            lambda: ad.jit(ad.external(np.sin, out=3))(X),
            lambda: ad.jit(ad.external(lambda x: (x, x), out=X))(X),
            lambda: ad.jit(ad.external(lambda x: np.ones(3), out=X))(X),
            lambda: ad.jit(ad.external(lambda x: WHOLE, out=X))(X),
        ],
        "NotDifferentiableError": [lambda: ad.grad(no_derivative)(X)],
    },
    "custom_jvp": {
        "ArgumentError": [
            lambda: ad.custom_jvp(3),
            lambda: ad.custom_jvp(scaled, nondiff_argnums=3),
            lambda: ad.grad(
                with_jvp(lambda n, p, t: (p[0], t[0]), lambda n, x: x, nondiff_argnums=0)
            )(2.0, 1.0),
            lambda: with_jvp(lambda p, t: (p[0], t[0]), lambda x, *, n: x)(2.0, n=1.0),
            lambda: ad.grad(lambda x: with_jvp(lambda p, t: (p[0], t[0]))((x, "text")))(1.0),
            lambda: ad.grad(with_jvp(lambda p, t: p[0]))(1.0),
            lambda: ad.grad(with_jvp(lambda p, t: (p[0], np.ones(3) * t[0])))(1.0),
        ],
        "NotDifferentiableError": [lambda: ad.custom_jvp(scaled)(X)],
        "NotLinearError": [
            lambda: ad.grad(with_jvp(lambda p, t: (p[0] * 2.0, 1.0)))(2.0),
            lambda: ad.grad(with_jvp(lambda p, t: (p[0] * 2.0, t[0] ** 2)))(2.0),
        ],
        "InPlaceError": [lambda: ad.grad(changed_before_its_rule(ad.custom_jvp))(2.0)],
        "GpuadError": [lambda: ad.grad(with_jvp(lambda p, t: (p[0], t[0]), not_recordable))(X)],
    },
    "custom_vjp": {
        "ArgumentError": [
            lambda: ad.custom_vjp(3),
            lambda: ad.custom_vjp(scaled, nondiff_argnums=3),
            lambda: ad.grad(with_vjp(lambda _, y_bar: y_bar))(1.0),
        ],
        "NotDifferentiableError": [
            lambda: ad.custom_vjp(scaled)(X),
            lambda: ad.jvp(with_vjp(lambda _, y_bar: (np.clip(y_bar, -1, 1),)), (2.0,), (1.0,)),
        ],
        "NotLinearError": [lambda: ad.grad(with_vjp(lambda _, y_bar: (1.0,)))(2.0)],
        "InPlaceError": [lambda: ad.grad(changed_before_its_rule(ad.custom_vjp))(2.0)],
        "GpuadError": [lambda: ad.grad(with_vjp(lambda _, y_bar: (not_recordable(y_bar),)))(2.0)],
    },
    "stop_gradient": {"EscapedTracerError": [escaped, kept_and_stopped]},
    "check_grads": {
        "GradientCheckError": [lambda: check_grads(lambda x: x * ad.stop_gradient(x), (2.0,))],
        "ArgumentError": [
            lambda: check_grads(3, (X,)),
            lambda: check_grads(square, ("text",)),
            lambda: check_grads(square, (X,), modes=("both",)),
            lambda: check_grads(square, (X,), method="exact"),
        ],
        "DTypeError": [lambda: check_grads(square, (WHOLE,))],
    },
    "check_hvp": {
        "GradientCheckError": [lambda: check_hvp(lambda x: x**2 * ad.stop_gradient(x), (2.0,))],
        "ArgumentError": [
            lambda: check_hvp(3, (X,)),
            lambda: check_hvp(square, ("text",)),
            lambda: check_hvp(scaled, (X,)),
        ],
        "DTypeError": [
            lambda: check_hvp(square, (WHOLE,)),
            lambda: check_hvp(lambda x: (x > 0).sum(), (X,)),
        ],
    },
}
for transform in (ad.grad, ad.value_and_grad):
    CALLS[transform.__name__] = {
        "ArgumentError": [
            lambda t=transform: t(3),
            lambda t=transform: t(scaled)(X),
            lambda t=transform: t(lambda x: (square(x), 1.0))(X),
            lambda t=transform: t(square, argnums=1)(X),
            lambda t=transform: t(square, argnames="y")(X),
            lambda t=transform: t(square)("text"),
        ],
        "DTypeError": [
            lambda t=transform: t(square)(WHOLE),
            lambda t=transform: t(lambda x: (x > 0).sum())(X),
            lambda t=transform: t(square)(1j * X),
        ],
        "NotDifferentiableError": [lambda t=transform: t(no_derivative)(X)],
        "GpuadError": [lambda t=transform: t(not_recordable)(X)],
    }
for transform in (ad.jacfwd, ad.jacrev, ad.hessian):
    CALLS[transform.__name__] = {
        "ArgumentError": [
            lambda t=transform: t(3),
            lambda t=transform: t(scaled, argnums=1)(X),
            lambda t=transform: t(scaled)("text"),
            lambda t=transform: t(text)(X),
        ],
        "DTypeError": [
            lambda t=transform: t(scaled)(WHOLE),
            lambda t=transform: t(scaled)(1j * X),
            lambda t=transform: t(lambda x: x > 0)(X),
        ],
        "NotDifferentiableError": [lambda t=transform: t(no_derivative)(X)],
        "GpuadError": [lambda t=transform: t(not_recordable)(X)],
    }


@pytest.mark.parametrize("name", PUBLIC)
def test_the_errors_that_are_listed_are_those_that_are_shown_here(name):
    assert entries(sections(PUBLIC[name]).get("Raises", "")) == set(CALLS.get(name, ()))


@pytest.mark.parametrize(("name", "error"), [(n, e) for n, shown in CALLS.items() for e in shown])
def test_it_is_raised(name, error):
    for i, call in enumerate(CALLS[name][error]):
        try:
            call()
        except errors.GpuadError as raised:
            expected = errors.UnsupportedError if error == "GpuadError" else getattr(errors, error)
            assert isinstance(raised, expected), f"call {i} raised {type(raised)}: {raised}"
        else:
            pytest.fail(f"call {i} raised nothing")


def stored_into_a_plain_array(x):
    a = np.zeros(2)
    a[0] = x[0]
    return square(a)


def updated_through_a_reshaped_argument(x):
    x.reshape(-1)[0] = 1.0  # of a copy in NumPy, if x lies column by column
    return x.sum()


KEPT = []
WHILE_RECORDED = {
    "UnsupportedError": [lambda: ad.grad(not_recordable)(X)],
    "ConversionError": [
        lambda: ad.grad(lambda x: float(x[0]) * square(x))(X),
        lambda: ad.grad(lambda x: math.sin(x[0]) * square(x))(X),
        lambda: ad.grad(stored_into_a_plain_array)(X),
    ],
    "UnknownValueError": [
        lambda: ad.jit(branches)(X),
        lambda: ad.vmap(branches)(X),
        lambda: ad.linear_transpose(branches, X),
    ],
    "InPlaceError": [lambda: ad.grad(updated_through_a_reshaped_argument)(np.outer(X, X))],
    "EscapedTracerError": [
        lambda: [ad.grad(lambda x: KEPT.append(x) or square(x + KEPT[0]))(X) for _ in range(2)]
    ],
    "ArgumentError": [lambda: ad.grad(lambda x: square(x + np.ones(3)))(X)],
    "DTypeError": [lambda: ad.grad(lambda x: np.concatenate([x, x], dtype=int, casting="safe"))(X)],
    "BadIndexError": [lambda: ad.grad(lambda x: x[5])(X)],
}


@pytest.mark.parametrize("error", WHILE_RECORDED)
def test_it_is_raised_while_a_function_is_recorded(error):
    for call in WHILE_RECORDED[error]:
        with pytest.raises(getattr(errors, error)):
            call()


def test_the_errors_of_recording_are_those_that_are_shown_here():
    listed = re.findall(r"^(\w+Error(?:, \w+Error)*)\n    If", ad.__doc__, re.M)
    assert {e for line in listed for e in line.split(", ")} == set(WHILE_RECORDED)
