"""What messages say to write instead: each is said for the mistake, and is right as it stands."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special

import gpuad as ad
import gpuad.numpy as gnp
import gpuad.testing
from gpuad.errors import GpuadError

X = np.array([0.5, 1.2, 2.0])
Y = np.arange(3.0)
rng = np.random.default_rng(0)


def grad(f: Callable[[Any], Any]) -> Callable[[], Any]:
    return lambda: ad.grad(f)(X)


def jit(f: Callable[[Any], Any]) -> Callable[[], Any]:
    return lambda: ad.jit(f, executor="reference")(X)


SAID: dict[str, tuple[Callable[[], Any], list[str]]] = {
    # What NumPy does not let an argument take over
    "array": (grad(lambda x: np.array(x).sum()), ["Write gpuad.numpy.array,"]),
    "asarray": (grad(lambda x: np.asarray(x).sum()), ["Write gpuad.numpy.asarray,"]),
    "asanyarray": (grad(lambda x: np.asanyarray([x]).sum()), ["gpuad.numpy.asanyarray"]),
    "contiguous": (
        grad(lambda x: (1.0 * np.ascontiguousarray(x)).sum()), ["gpuad.numpy.ascontiguous"],
    ),
    "columns": (grad(lambda x: np.asfortranarray(x).sum()), ["gpuad.numpy.asfortranarray"]),
    "full": (grad(lambda x: np.full((2, 2), x[0]).sum()), ["numpy.full,", "gpuad.numpy.full,"]),
    "full_like": (
        grad(lambda x: np.full_like(Y, x[0]).sum()), ["numpy.full_like,", "gpuad.numpy.full_like"],
    ),
    "float64": (grad(lambda x: np.float64(x[0])), ["x.astype(np.float64)"]),
    "samples": (
        grad(lambda x: rng.normal(x, 1.0).sum()), ["loc + scale * rng.normal(size=...)"],
    ),
    "other samples": (grad(lambda x: rng.uniform(0, x).sum()), ["rng.random(size="]),
    # Plain arrays indexed by traced ones
    "mask": (jit(lambda x: Y[x > 0].sum()), ["write np.where(mask, y, 0) for y[mask]."]),
    "mask of gnp": (jit(lambda x: gnp.asarray(Y)[x > 0].sum()), ["np.where(mask, y, 0)"]),
    "mask taken": (jit(lambda x: gnp.take(Y, x > 0).sum()), ["np.where(mask, x, 0)"]),
    "index": (jit(lambda x: Y[np.argsort(x)]), ["gpuad.numpy.take(y, i, axis=0) for y[i]."]),
    # Dtypes
    "tangent": (
        lambda: ad.jvp(np.sin, (X,), (np.ones(3, int),)), ["tangent.astype(np.float64)"],
    ),
    "tangent that is a number": (lambda: ad.jvp(np.sin, (1.0,), (1j,)), ["np.asarray(tangent, np"]),
    "integers in a list": (lambda: ad.grad(lambda x: x[0] ** 2)([3]), ["(3.0 instead of 3)"]),
    # Lists
    "list": (lambda: ad.grad(lambda x: np.square(x).sum())([1.0, 2.0]), ["pass np.array(x)"]),
    "list in jit": (lambda: ad.jit(lambda x: np.dot(x, x))([1.0, 2.0]), ["x is a list or tuple"]),
    "list for a tangent": (
        lambda: ad.hvp(lambda x: (x**2).sum(), (X[:2],), ([1.0, 0.0],)), ["np.array([...])"],
    ),
    "list for a cotangent": (lambda: ad.vjp(np.sin, X[:2])[1]([1.0, 0.0]), ["np.array([...])"]),
    "list in vmap": (lambda: ad.vmap(np.sin)([1.0, 2.0]), ["give np.array([...]) for a list"]),
    # Names
    "near argument": (grad(lambda x: x.sum(keepdim=True).sum()), ["argument keepdim. Write keepd"]),
    "other argument": (grad(lambda x: x.sum(dim=0)), ["sum has no argument dim. It has a, axis,"]),
    "of SciPy": (
        grad(lambda x: ad.scipy.ndimage.gaussian_filter(x, sigm=2).sum()), ["Write sigma."],
    ),
    "object that is called": (
        grad(lambda x: scipy.special.sph_harm_y(2, 1, x, 0.3).real.sum()),
        ["no scipy.special.sph_harm_y:"],
    ),
    "submodule": (
        grad(lambda x: np.lib.stride_tricks.as_strided(x, (2, 2)).sum()),
        ["in numpy.lib.stride_tricks.as_strided,"],
    ),
    "no name of an argument": (
        grad(lambda x: gnp.vectorize(lambda a: a if a > 0 else -a)(x).sum()), ["], argument 0)"],
    ),
    "einsum": (
        grad(lambda x: np.einsum("ij,j", np.ones((2, 4)), x).sum()), ["einsum: axes of sizes"],
    ),
    "layout": (
        lambda: ad.grad(lambda x: _first_set(np.zeros_like(x)).sum())(np.ones((2, 2))),
        ["x.copy()", "np.zeros_like(x, order='C')"],
    ),
}  # fmt: skip


def _first_set(x: Any) -> Any:
    x.reshape(-1)[0] = 1.0
    return x


@pytest.mark.parametrize("name", SAID)
def test_what_is_said(name):
    call, words = SAID[name]
    with pytest.raises(GpuadError) as caught:
        call()
    said = str(caught.value)
    assert all(w in said for w in words), said


def test_what_is_advised_works():
    def f(x: Any, i: Any) -> Any:
        full = gnp.full_like(Y, x[0]) + gnp.ascontiguousarray(x) + gnp.asfortranarray(x)
        put = gnp.scatter_set(Y, i, x[:2])
        masked = np.where(x > 1, Y, 0)
        return (full * put * gnp.take(Y, i, axis=0).sum() * masked + gnp.asarray([x, x])).sum()

    i = np.array([2, 0])
    ad.testing.check_grads(lambda x: f(x, i), (X,))
    np.testing.assert_allclose(ad.jit(f)(X, i), f(X, i))


def test_pythons_own_errors_say_more():
    with pytest.raises(TypeError, match=r"cannot be hashed.*no key of a dict"):
        ad.grad(lambda x: {x[0]: 1}[x[0]] * x.sum())(X)
    with pytest.raises(IndexError, match="index is out of bounds for an axis of size 3"):
        ad.jit(lambda x, i: x[i])(X, np.array([0, 7]))


@pytest.mark.parametrize(
    ("name", "here"),
    [
        ("gradient", "gpuad.grad"),
        ("jacobian", "gpuad.jacrev"),
        ("elementwise_grad", r"gpuad.vmap\(gpuad.grad\(f\)\)"),
        ("value_and_gard", "gpuad.value_and_grad"),
    ],
)
def test_names_of_others(name, here):
    with pytest.raises(AttributeError, match=f"no attribute {name!r}. Write {here}"):
        getattr(ad, name)
    with pytest.raises(AttributeError, match=r"no attribute 'zzz'$"):
        getattr(ad, "zzz")  # noqa: B009
