"""Subclasses of ndarray: those that are just arrays work, results are plain; others are refused."""

import numpy as np
import pytest

import gpuad as ad
import gpuad.numpy as gnp
from gpuad import tree
from gpuad.errors import InPlaceError, UnsupportedError

VALUES = np.arange(12.0).reshape(4, 3)
W = np.array([1.0, -1.0, 2.0])


class Labelled(np.ndarray):
    """An array that carries an attribute."""

    def __array_finalize__(self, source):
        self.label = getattr(source, "label", None)


class Backwards(np.ndarray):
    """An array with a meaning of its own."""

    def __mul__(self, other):
        return -np.asarray(self) * other


@pytest.fixture(params=["memmap", "read-only memmap", "Labelled", "recarray"])
def data(request, tmp_path):
    if "memmap" not in request.param:
        return VALUES.copy().view({"Labelled": Labelled, "recarray": np.recarray}[request.param])
    written = np.memmap(tmp_path / "a", dtype=float, mode="w+", shape=VALUES.shape)
    written[:] = VALUES
    written.flush()
    if request.param == "memmap":
        return written
    return np.memmap(tmp_path / "a", dtype=float, mode="r", shape=VALUES.shape)


def loss(w, a):
    return np.sin(a @ w).sum()


PROGRAMS = {
    "grad by it": lambda a: ad.grad(loss, argnums=1)(W, a),
    "grad beside it": lambda a: ad.grad(loss)(W, a),
    "grad around it": lambda a: ad.grad(lambda w: (a * w).sum() + loss(w, a))(W),
    "hessian": lambda a: ad.hessian(lambda w: loss(w, a))(W),
    "jvp of the identity": lambda a: ad.jvp(lambda x: x, (a,), (a,)),
    "vjp of the identity": lambda a: ad.vjp(lambda x: x, a)[1](a),
    "linearize": lambda a: ad.linearize(np.sin, a)[1](a),
    "hvp": lambda a: ad.hvp(lambda x: (x**3).sum(), (a,), (a,)),
    "vmap": lambda a: ad.vmap(lambda x, w: (x, (x * w).sum()), (0, None))(a, W),
    "jit": lambda a: ad.jit(lambda x, w: (x, np.sin(x) @ w), executor="reference")(a, W),
    "compiled": lambda a: ad.jit(lambda x: np.sin(x) * 2)(a),
    "jit around it": lambda a: ad.jit(lambda w: (a, np.sin(a) @ w), executor="reference")(W),
    "checkpoint": lambda a: ad.grad(ad.checkpoint(loss))(W, a),
    "aux": lambda a: ad.grad(lambda w: (loss(w, a), (a * w, a @ w)), has_aux=True)(W),
    "a slice of it": lambda a: ad.grad(lambda w: (a[1:, ::2] * w[1:]).sum())(W),
    "gpuad.numpy": lambda a: ad.grad(lambda w: gnp.sigmoid(gnp.add(a, w)).sum())(W),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_array_that_is_just_an_array(name, data):
    found, expected = [tree.flatten(PROGRAMS[name](a))[0] for a in (data, VALUES)]
    for x, y in zip(found, expected, strict=True):
        assert type(x) is type(y)
        np.testing.assert_array_equal(x, y)
    np.testing.assert_array_equal(np.asarray(data), VALUES)


def test_results_share_no_memory_with_it(data):
    for x in tree.flatten(ad.jit(lambda x: (x, x[1:]), executor="reference")(data))[0]:
        assert not np.shares_memory(x, data)


def test_a_change_of_it_is_seen(tmp_path):
    a = np.memmap(tmp_path / "a", dtype=float, mode="w+", shape=(3,))
    f = ad.jit(lambda w: (w * a).sum(), executor="reference")
    assert f(W) == 0.0
    a[0] = 1.0
    with pytest.raises(InPlaceError, match="was changed in place"):
        f(W)


@pytest.mark.parametrize("make", [np.ma.array, np.matrix, lambda a: a.view(Backwards)])
@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("use", [
    lambda a: ad.grad(lambda x: x.sum())(a), lambda a: ad.vmap(lambda x: x)(a),
    lambda a: ad.jit(lambda x: x)(a), lambda a: ad.grad(lambda w: (w * a).sum())(W),
    lambda a: ad.jvp(lambda x: x, (VALUES,), (a,)), lambda a: ad.jit(lambda x: a)(W),
])  # fmt: skip
def test_an_array_with_rules_of_its_own(make, use):
    a = make(VALUES)
    with pytest.raises(UnsupportedError, match=f"is a {type(a).__name__}, whose own rules"):
        use(a)
