"""``x[mask]`` where it is not known how many elements the mask selects: as NumPy does it."""

import numpy as np
import pytest

import gpuad as ad
from gpuad.errors import UnknownValueError

X = np.array([0.3, -0.5, 0.8, 1.2, -0.1, 2.0])
ROWS = np.stack([X, X[::-1] - 0.2, np.abs(X)], axis=1)


def _updated(y, mask, value):
    y = y.copy()
    y[mask] = value
    return y


def _capped(x):
    v = x[x > 0]
    v[v > 0.5] = 0.5
    return v.sum()


def _powers(x):
    y = x.copy()
    y[y < 0] *= -1
    y[y < 0.9] **= 2
    return y


def _rows(x):
    mask = x[:, 0] > 0
    y = x.copy()
    y[mask] = np.exp(x[mask]) - x[mask][:, :1]
    y[mask, 1] += x[mask, 2]
    return y


def _centred(x):
    chosen = x[x[:, 0] > 0]
    return ((chosen - chosen.mean(0)) ** 2).sum(0)


PROGRAMS = {
    "number": lambda x: _updated(x, x > 0, 3.0),
    "function": lambda x: _updated(np.zeros_like(x), x > 0, np.log1p(x[x > 0])),
    "scaled, then squared": _powers,
    "capped": _capped,
    "sum": lambda x: np.sqrt(x[x > 0]).sum(),
    "mean of logarithms": lambda x: np.log(x[x > 0]).mean(),
    "product": lambda x: x[x > 0].prod(),
    "extremes": lambda x: x[x > 0].max() + np.min(x[x > 0]) + np.ptp(x[x < 1]),
    "spread": lambda x: x[x > 0].std(ddof=1) + np.var(x[x > 0]),
    "weighted": lambda x: np.average(x[x > 0], weights=np.exp(x[x > 0])) + np.average(x[x > 1]),
    "norm": lambda x: np.linalg.norm(x[x > 0]),
    "vectors": lambda x: x[x > 0] @ np.sin(x[x > 0]),
    "size": lambda x: x[x > 0].sum() / x[x > 0].size,
    "where": lambda x: np.where(x[x > 0] > 0.5, x[x > 0], 2.0).sum(),
    "select": lambda x: (lambda v: np.select([v > 1, v > 0.5], [np.log(v), v], 3).sum())(x[x > 0]),
    "sum where": lambda x: (lambda v: v.sum(where=v > 0.5) * v.mean(where=v < 1.5))(x[x > 0]),
    "selected again": lambda x: (lambda v: v[v > 0.5].sum())(x[x > 0]),
    "reduce": lambda x: np.add.reduce(x[x > 0]) + np.maximum.reduce(x[x > 0]),
    "truth": lambda x: x * ((x[x > 0] > 1).any() & ~np.all(x[x > 0] > 1)),
    "counted": lambda x: x * np.count_nonzero(x[x > 0] > 0.5),
    "integers": lambda x: x * (2 ** x[x > 0].astype(int)).max(),
    "rows": lambda x: _rows(np.stack([x, x * x, 1 - x], axis=1)),
    "centred rows": lambda x: _centred(np.stack([x, x * x, 1 - x], axis=1)),
    "column": lambda x: np.outer(x, x)[x > 0][:, 1].mean() + np.outer(x, x)[x > 0, 2].mean(),
    "sums of rows": lambda x: (np.outer(x, x)[x > 0].sum(1) ** 2).sum(),
    "two axes": lambda x: (lambda y: _updated(y, y > 0.1, y[y > 0.1] / y[y > 0.1].sum()))(
        np.outer(x, x)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_selections_of_unknown_count_are_numpys(name):
    f = PROGRAMS[name]
    np.testing.assert_allclose(ad.jit(f, executor="reference")(X), f(X), rtol=1e-14)
    np.testing.assert_allclose(
        ad.vmap(f)(ROWS.T), np.stack([f(x) for x in ROWS.T]), rtol=1e-13, atol=1e-15
    )


@pytest.mark.parametrize("name", ["function", "mean of logarithms", "spread", "capped", "rows"])
def test_derivatives_of_selections_of_unknown_count(name):
    def f(x):
        return np.sin(PROGRAMS[name](x)).sum()

    v = np.arange(6.0) - 2
    for transform in (
        ad.grad(f),
        lambda x: ad.jvp(f, (x,), (v,))[1],
        lambda x: ad.hvp(f, (x,), (v,))[0],
    ):
        right = transform(X)
        got = ad.jit(transform, executor="reference")(X)
        np.testing.assert_allclose(got, right, rtol=1e-10, atol=1e-14)
        got = ad.vmap(transform)(np.stack([X, X[::-1]]))
        np.testing.assert_allclose(got[0], right, rtol=1e-10, atol=1e-14)


def test_selections_of_unknown_count_compiled():
    f = PROGRAMS["scaled, then squared"]
    g = ad.jit(lambda x: f(x).sum() + PROGRAMS["mean of logarithms"](x))
    np.testing.assert_allclose(g(X), f(X).sum() + np.log(X[X > 0]).mean(), rtol=1e-13)


def test_nothing_selected():
    f = ad.jit(lambda x: (x[x > 9].sum(), x[x > 9].prod(), x[x > 9].max()), executor="reference")
    assert f(X) == (0, 1, -np.inf)
    assert np.isnan(ad.jit(lambda x: x[x > 9].mean(), executor="reference")(X))


REFUSED = {
    "returned": (lambda x: x[x > 0], "^x.mask. needs to know how many"),
    "given to a transform": (lambda x: ad.grad(np.sum)(x[x > 0]), "^x.mask. needs"),
    "length": (lambda x: len(x[x > 0]), "needs to know how many"),
    "shape": (lambda x: x[x > 0].shape[0], "^the shape of x.mask. needs"),
    "element": (lambda x: x[x > 0][0], "^this index into x.mask. needs"),
    "sorted": (lambda x: np.sort(x[x > 0]), "^sort of x.mask. needs"),
    "median": (lambda x: np.median(x[x > 0]), "^median of x.mask. needs"),
    "joined": (lambda x: np.concatenate([x[x > 0], x]), "^concatenate of a sequence"),
    "two masks": (lambda x: x[x > 0] + x[x > 1], "two different masks"),
    "stored by another mask": (lambda x: _updated(x, x > 1, x[x > 0]), "two different masks"),
    "another array": (lambda x: x[x > 0] + x, "^add of x.mask. and an array of other axes"),
    "iterated": (lambda x: sum(x[x > 0]), "needs to know"),
    "an index": (lambda x: x[x[x > 0].astype(int)], "needs to know"),
    "not leading": (lambda x: np.outer(x, x)[:, x > 0], "not its first array"),
    "text": (lambda x: f"{x[x > 0]:.2f}", "^the text of x.mask. needs"),
    "NumPy array": (lambda x: np.asarray(x[x > 0]), "needs to know"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_needs_the_count_says_so(name):
    f, message = REFUSED[name]
    with pytest.raises(UnknownValueError, match=message) as error:
        ad.jit(f, executor="reference")(X)
    assert "np.where(mask, x, 0)" in str(error.value)
