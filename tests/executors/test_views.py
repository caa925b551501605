"""Views of traced arrays: an update of one is an update of what it is a view of, as in NumPy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpuad as ad
import gpuad.numpy as gnp
from gpuad.errors import InPlaceError

_draw = np.random.default_rng(4)
X = _draw.normal(size=(4, 4))
SHAPES = [(6,), (3, 4), (2, 3, 2), (1, 4), (4, 4)]


def transposed(a: Any, v: Any) -> None:
    a.T[0] = v
    y = a.T
    y += v
    y[1:3].T[...] *= 2.0


def flattened(a: Any, v: Any) -> None:
    a[2].ravel()[1] += v
    a.reshape(-1)[3] = 2 * v
    a.reshape(2, 8)[1, ::2] += v


def nested(a: Any, v: Any) -> None:
    a[1:][::2][0] = v
    a[::-1].T[1:][0][2:] = 3 * v
    np.rot90(a)[0] -= v
    np.moveaxis(a.reshape(2, 2, 4), -1, 0)[1] *= v


def by_functions(a: Any, v: Any) -> None:
    np.add(a[0], v, out=a.T[1])
    np.copyto(a[::2].reshape(2, 4), v)
    np.put(a.T, [1, 5], [v, 2 * v])
    np.fill_diagonal(a.T[1:, 1:], v)
    a.T[np.array([0, 0, 3])] = v
    a.T[a.T > 100.0] = 0.0
    np.add.at(a.T, 2, v)
    np.transpose(a=a)[2] -= v
    np.ravel(a=a)[3] *= v
    first, second = np.split(a, 2, axis=1)
    first *= second
    a[1].sort()


def one_at_a_time(a: Any, v: Any) -> None:
    a.flat[5] = v
    a.flat[[1, 2, 3, 4]] = [v, 2 * v]
    a.flat[10:] = a.flat[:6]
    for i, x in enumerate(a.flat):
        a.flat[i] = x * v
    a[0].flat = v


def before_and_after(a: Any, v: Any) -> None:
    """What is taken before an update sees it; a copy does not."""
    columns, flat, kept = a.T, a.reshape(-1), a.ravel().copy()
    a[0] = v
    columns[1] += columns[0]
    flat[2] *= 2.0
    a[3] = columns[:, 0] + kept[:4] + flat[-4:]


def copies(a: Any, v: Any) -> None:
    """A reshape of columns is a copy."""
    y = a.T.reshape(-1)
    y[0] = v
    z = a[:, ::2].ravel()
    z += v
    a[0] = y[:4] + z[:4]
    a.flatten()[0] = 100 * v
    np.take(a, 0, axis=0)[:] = v
    gnp.asarray(a)[1] *= 2.0


def by_einsum(a: Any, v: Any) -> None:
    """One operand of which nothing is summed: a diagonal that can be written to, too."""
    diagonal, whole = np.einsum("ii->i", a), np.einsum("ij->", a)
    diagonal[1:] *= v
    np.einsum("ij->ji", a)[0] = diagonal + whole
    a[1] = 2.0 * np.einsum(a, [0, 1], [1, 0])[2]
    a.conj()[3] -= v
    np.conj(a)[3] = 100.0


UPDATES = [
    by_einsum, transposed, flattened, nested, by_functions, one_at_a_time, before_and_after, copies,
]  # fmt: skip


@pytest.mark.parametrize("update", UPDATES)
def test_updates_are_numpys(update):
    def f(x: Any, v: Any) -> Any:
        a = x.copy()
        update(a, v)
        return a

    expected = f(X, 1.5)
    y, y_dot = ad.jvp(f, (X, 1.5), (X, 1.0))
    np.testing.assert_allclose(y, expected, rtol=1e-14)
    numerical = (f(X + 1e-6 * X, 1.5 + 1e-6) - f(X - 1e-6 * X, 1.5 - 1e-6)) / 2e-6
    np.testing.assert_allclose(y_dot, numerical, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(ad.jit(f)(X, 1.5), expected, rtol=1e-14)
    batch = ad.vmap(f, (0, None))(np.stack([X, X]), 1.5) if update is not copies else [expected] * 2
    np.testing.assert_allclose(batch[1], expected, rtol=1e-14)


def test_parts_of_complex_numbers():
    def f(z: Any, v: Any) -> Any:
        z = z.copy()
        z.real[1:] = v
        z.imag[0] = 7.0
        z.real += 1.0
        z.imag = z.imag * 2
        z.T.real[0] *= 3.0
        x = z.real
        z[2] = 1j
        return z * x

    z = X + 1j * X[::-1]
    np.testing.assert_allclose(ad.jit(f)(z, 2.0), f(z, 2.0))
    x = X.copy()
    np.real(x)[0] = 1.0
    found = ad.jit(lambda x: (np.real(y := x.copy()).__setitem__(0, 1.0), y)[1])(X)
    np.testing.assert_array_equal(found, x)


def test_whole_views_and_what_is_in_an_array():
    def f(x: Any) -> Any:
        y = x.copy()
        y.view()[0] = 1.0
        y.view(np.float64)[1] += 1.0
        y[...] *= 2.0
        return y + (X[2, 2] in x)

    np.testing.assert_array_equal(ad.jvp(f, (X,), (X,))[0], f(X))


def test_an_argument_is_updated_through_its_views():
    def f(x: Any) -> Any:
        x.T[0] = 0.0
        x[1:].T[1] *= 2.0
        return (x**2).sum()

    expected = 2 * X
    expected[:, 0] = 0
    expected[1:, 1] *= 4
    kept = X.copy()
    np.testing.assert_allclose(ad.grad(f)(X), expected)
    np.testing.assert_array_equal(X, kept)


READ_ONLY: list[tuple[Callable[[Any], Any], str]] = [
    (lambda x: np.diagonal(x), "diagonal.*fill_diagonal"),
    (lambda x: np.diag(x)[1:], "diagonal"),
    (lambda x: np.broadcast_to(x, (2, 4, 4)), "broadcast_to.*or a copy"),
    (lambda x: np.imag(x), "imaginary part.*astype.complex"),
]


@pytest.mark.parametrize(("view", "words"), READ_ONLY)
def test_what_numpy_does_not_write_to(view, words):
    with pytest.raises(ValueError, match="read-only"):
        view(X.copy())[...] = 0.0
    with pytest.raises(InPlaceError, match=words):
        ad.jit(lambda x: view(x).__setitem__(..., 0.0) or x)(X)


def test_attributes_that_cannot_be_set_say_what_to_write():
    with pytest.raises(AttributeError, match=r"write x = x.reshape\(\(2, 8\)\)"):
        ad.jit(lambda x: setattr(x, "shape", (2, 8)) or x)(X)
    with pytest.raises(InPlaceError, match="imaginary part"):
        ad.jit(lambda x: setattr(x, "imag", 1.0) or x)(X)


def test_a_layout_that_is_not_known_is_asked_for():
    def written(x: Any) -> Any:
        x.reshape(-1)[0] = 1.0
        return x

    def read(x: Any) -> Any:
        y = x * 2.0
        flat = y.ravel()
        y[0] = 1.0
        return flat

    for f in (written, read):
        with pytest.raises(InPlaceError, match=r"memory layout.*Write x = x\.copy\(\) before"):
            ad.jit(f)(X)
    np.testing.assert_array_equal(ad.jit(lambda x: written(x.copy()))(X), written(X.copy()))
    np.testing.assert_array_equal(ad.jit(written)(X[0]), written(X[0].copy()))


def test_a_view_is_taken_again_once_for_an_update():
    def f(x: Any) -> Any:
        y = x.T
        x[0] = 1.0
        return y + y * y

    assert str(ad.make_graph(f)(X)).count("transpose") == 1


# Random programs


def program(seed: int) -> Callable[[Any], Any]:
    """A program that takes views of views and updates some of them; its choices are made by the
    shapes of its arrays, which NumPy and gpuad agree on."""

    def f(x: Any) -> Any:
        rng = np.random.default_rng(seed)
        pool = [x.copy()]
        if rng.random() < 0.3:
            pool.append(np.zeros_like(pool[0]))
        for step in range(rng.integers(3, 14)):
            a = pool[rng.integers(len(pool))]
            found = _step(a, step, rng)
            if found is not None and found.ndim:
                pool.append(found)
        return np.concatenate([p.flatten() for p in pool])

    return f


def _step(a: Any, step: int, rng: np.random.Generator) -> Any:
    number = int(rng.integers(len(_VIEWS) + len(_CHANGES)))
    if number < len(_VIEWS):
        return _VIEWS[number](a, rng)
    if a.size:
        _CHANGES[number - len(_VIEWS)](a, float(step), rng)
    return None


def _slices(a: Any, rng: np.random.Generator) -> Any:
    choices = [slice(None), slice(1, None), slice(None, None, 2), slice(None, None, -1)]
    return a[tuple([choices[rng.integers(4)] for _ in range(a.ndim)])]


_VIEWS: list[Callable[[Any, np.random.Generator], Any]] = [
    _slices,
    lambda a, rng: a[int(rng.integers(len(a)))] if len(a) else None,
    lambda a, rng: a.T,
    lambda a, rng: a.reshape(-1),
    lambda a, rng: a.ravel(),
    lambda a, rng: a.reshape(2, a.size // 2) if a.size % 2 == 0 else None,
    lambda a, rng: a.reshape(-1, order="F"),
    lambda a, rng: np.swapaxes(a, 0, -1),
    lambda a, rng: np.flip(a, int(rng.integers(a.ndim))),
    lambda a, rng: a[:, None],
    lambda a, rng: np.squeeze(a),
    lambda a, rng: np.rot90(a, int(rng.integers(4))) if a.ndim > 1 else np.expand_dims(a, 0),
    lambda a, rng: np.moveaxis(a, 0, -1),
    lambda a, rng: a.real,
    lambda a, rng: a.imag if np.iscomplexobj(a) else a.flatten(),
]


def _assign(a: Any, key: Any, value: Any) -> None:
    a[key] = value


_CHANGES: list[Callable[[Any, float, np.random.Generator], Any]] = [
    lambda a, v, rng: _assign(a, ..., a * 0.5 + v),
    lambda a, v, rng: a.__iadd__(v),
    lambda a, v, rng: _assign(a, 0, a[-1] + v),
    lambda a, v, rng: a.flat.__setitem__(int(rng.integers(a.size)), v),
    lambda a, v, rng: _assign(a, np.array([0, -1]), v),
    lambda a, v, rng: np.multiply(a, 2.0, out=a),
    lambda a, v, rng: np.put(a, [0], v),
    lambda a, v, rng: a.__isub__(a.sum()),
]


@pytest.mark.parametrize("first", range(0, 120, 20))
def test_random_programs(first):
    refused = 0
    for seed in range(first, first + 20):
        x = np.random.default_rng(seed + 10**6).normal(size=SHAPES[seed % 5])
        x = x + 1j * x[::-1] if seed % 3 == 0 else x
        f = program(seed)
        expected = f(x)
        try:
            found = ad.jit(f, executor="reference")(x) if seed % 2 else ad.linearize(f, x)[0]
        except InPlaceError as error:
            assert "memory layout" in str(error)
            refused += 1
            continue
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    assert refused <= 2


# Every function whose result shares memory with its argument in NumPy

_windows = np.lib.stride_tricks.sliding_window_view

SHARED: dict[str, Callable[[Any], Any]] = {
    "diagonal by einsum": lambda a: np.einsum("ii->i", a),
    "diagonals by einsum": lambda a: np.einsum("ijkj->jik", a.reshape(2, 2, 2, 2)),
    "transposed by einsum": lambda a: np.einsum("ij->ji", a, optimize=True),
    "einsum in the order of letters": lambda a: np.einsum("ba", a),
    "itself by einsum": lambda a: np.einsum(a, [0, 1], [0, 1], dtype=np.float64),
    "ellipsis": lambda a: np.einsum("i...->...i", a),
    "a sum": lambda a: np.einsum("ij->i", a),
    "conj": lambda a: a.conj(),
    "conjugate": lambda a: a.conjugate(),
    "np.conj": np.conj,
    "first power": lambda a: np.linalg.matrix_power(a, 1),
    "second power": lambda a: np.linalg.matrix_power(a, 2),
    "real": np.real,
    "imag": np.imag,
    "real_if_close": np.real_if_close,
    "squeeze": lambda a: np.squeeze(a[None]),
    "rollaxis": lambda a: np.rollaxis(a, 1),
    "atleast_3d": np.atleast_3d,
    "array_split": lambda a: np.array_split(a, 3)[1],
    "hsplit": lambda a: np.hsplit(a, 2)[1],
    "flipud": np.flipud,
    "rot90": np.rot90,
    "diag": np.diag,
    "diagonal": np.diagonal,
    "windows": lambda a: _windows(a, 2, axis=0),
    "broadcast_to": lambda a: np.broadcast_to(a, (2, 4, 4)),
    "itself": lambda a: a[...],
    "view": lambda a: a.view(),
    "rows": lambda a: list(a)[1],
    "ravel": np.ravel,
    "asarray": gnp.asarray,
    "ascontiguousarray": gnp.ascontiguousarray,
    "asfortranarray": gnp.asfortranarray,
    "astype": lambda a: a.astype(a.dtype, copy=False),
    "take": lambda a: np.take(a, [0, 1], 0),
}


def _sharing(function: Callable[[Any], Any], taken: Callable[[Any], Any], writes: bool) -> Any:
    """Writes to the function's result, or to what it was taken of, and returns the other."""

    def f(x: Any) -> Any:
        y = x.copy()
        source = taken(y)
        found = function(source)
        written, other = (found, y) if writes else (source, found)
        try:
            written[...] = 7.0
        except (ValueError, InPlaceError) as error:
            assert "read-only" in str(error)
        return other + 0.0

    return f


@pytest.mark.parametrize("writes", [True, False], ids=["written", "read"])
@pytest.mark.parametrize("name", SHARED)
def test_memory_is_shared_where_numpy_shares_it(name, writes):
    for x in (X, X + 1j * X[::-1]):
        for taken in (lambda a: a, lambda a: a.T, lambda a: a[::-1]):
            f = _sharing(SHARED[name], taken, writes)
            if name in ("real_if_close", "imag") and x.dtype.kind != "c":
                continue
            np.testing.assert_allclose(ad.jvp(f, (x,), (x,))[0], f(x), err_msg=str(x.dtype))


def test_the_derivative_of_an_update_through_einsum():
    def f(x: Any) -> Any:
        a = x * x
        np.einsum("ii->i", a)[...] *= 3.0
        return a

    np.testing.assert_allclose(ad.jvp(f, (X,), (X,))[1], 2 * f(X))
    np.testing.assert_allclose(ad.jit(f)(X), f(X))
    np.testing.assert_allclose(ad.vmap(f)(np.stack([X, X]))[1], f(X))
