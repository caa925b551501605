"""Complex values in compiled sweeps: as their real and imaginary parts."""

import itertools

import numpy as np
import pytest

import gpuad as ad

HARD = [0.0, -0.0, 1.0, -1.5, 3e-30, 1e30, np.inf, -np.inf, np.nan]
NUMBERS = np.array([complex(*pair) for pair in itertools.product(HARD, HARD)])
_draw = np.random.default_rng(5)


def complex_(*shape, dtype=np.complex128):
    return (_draw.normal(size=shape) + 1j * _draw.normal(size=shape)).astype(dtype)


OF_ONE = {
    "neg": np.negative,
    "conj": np.conj,
    "real": np.real,
    "imag": np.imag,
    "abs": np.abs,
    "square": np.square,
    "cube": lambda z: z**3,
    "reciprocal": lambda z: 1 / z,
    "half": lambda z: 0.5 * z,
    "turned": lambda z: 1j * z,
    "isnan": np.isnan,
    "isinf": np.isinf,
    "isfinite": np.isfinite,
    "is zero": lambda z: z == 0,
    "chosen": lambda z: np.where(np.real(z) > 0, z, np.conj(z)),
    "to bool": lambda z: z.astype(bool),
    "to single": lambda z: z.astype(np.complex64),
    "flipped": lambda z: (z + z)[::-1],
    "padded": lambda z: np.pad(z + z, (1, 2)),
    "taken": lambda z: (z + z)[np.array([3, 0, 3])],
}
OF_TWO = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "ne": np.not_equal,
}


@pytest.mark.parametrize("name", OF_ONE)
def test_hard_numbers(name):
    function = OF_ONE[name]
    with np.errstate(all="ignore"):
        expected = function(NUMBERS)
    _assert_same(ad.jit(function)(NUMBERS), expected)


@pytest.mark.parametrize("name", OF_TWO)
def test_hard_pairs(name):
    function, (x, y) = OF_TWO[name], np.meshgrid(NUMBERS, NUMBERS)
    with np.errstate(all="ignore"):
        expected = function(x, y)
    _assert_same(ad.jit(function)(x, y), expected)


def _assert_same(found, expected):
    """Each part infinite or NaN in the same places, and numbers equal to the last digits of the
    larger part: NumPy fuses a product and a sum on some processors."""
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    for part in (np.real, np.imag):
        a, b = part(found), part(expected)
        finite = np.isfinite(found) & np.isfinite(expected)
        np.testing.assert_array_equal(a[~finite], b[~finite])
    size = np.abs(expected[finite].astype(complex))
    eps = np.finfo(expected.dtype).eps if expected.dtype.kind in "fc" else 0
    assert np.all(np.abs(found[finite].astype(complex) - expected[finite]) <= 4 * eps * size)


def test_exponential():
    """To the last digits in its whole range, though exp of the real part alone overflows."""
    a, b = np.meshgrid([-800.0, -3, -0.0, 0.5, 700, 715, np.inf], [0.0, 1e-9, 1.5707, -2, 1e5])
    z = np.empty(a.shape, complex)
    z.real, z.imag = a, b
    with np.errstate(all="ignore"):
        expected = np.exp(z)
    found = ad.jit(np.exp)(z)
    np.testing.assert_allclose(found.real, expected.real, rtol=2e-15)
    np.testing.assert_allclose(found.imag, expected.imag, rtol=2e-15)


@pytest.mark.parametrize("x", [np.array([0.0, 1.0, -3e3]), np.array([np.inf, np.nan, 1.0])])
def test_turns(x):
    """exp(1j x) needs no exponential; it is NaN where x is not finite."""
    with np.errstate(all="ignore"):
        expected = np.exp(1j * x)
    found = ad.jit(lambda x: np.exp(1j * x))(x)
    np.testing.assert_allclose(found, expected, rtol=1e-15)


DIRECTIONS = [1 - 2j, 0.0, 3e-200 + 1e-200j, 2e200 - 2e200j]
INFINITE = [complex(np.inf, 3), complex(-np.inf, np.inf), complex(0, -np.inf)]


def test_slope_of_the_size():
    """z / |z| conjugated, and 0 at 0, without overflow."""
    z = np.array([*DIRECTIONS, *INFINITE])
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(ad.jit(_slope)(z), _slope(z), rtol=1e-15)


def test_direction_of_a_subnormal_number():
    z = np.array([3 - 4j, 1j], np.complex64) * np.float32(1e-41)
    for executor in ("auto", "reference"):
        direction = ad.jit(np.sign, executor=executor)(z)
        np.testing.assert_allclose(direction, [0.6 - 0.8j, 1j], rtol=1e-3)
        slope = ad.jit(ad.grad(lambda z: abs(z).sum()), executor=executor)(z)
        np.testing.assert_allclose(slope, [0.6 + 0.8j, -1j], rtol=1e-3)


def _slope(z):
    return ad.grad(lambda z: np.sum(np.abs(z)))(z)


STRUCTURE = {
    "phases of rows and columns": lambda z, p: z * np.exp(1j * p[:, None]) * np.exp(1j * p),
    "transposed": lambda z, p: (z * z).T * p,
    "strided": lambda z, p: (z[::2, ::-1] * 2).conj(),
    "summed rows": lambda z, p: np.sum(z * z, axis=1),
    "all summed": lambda z, p: np.sum(z / (1 + np.abs(z))),
    "times a vector": lambda z, p: (z * z) @ z[0],
    "joined": lambda z, p: np.concatenate([z * z, z], axis=1) - 1j,
    "stacked": lambda z, p: np.stack([z * z, z.conj()]) + p,
    "between transforms": lambda z, p: np.fft.ifft(np.fft.fft(z) * np.exp(-1j * p)),
    "library in between": lambda z, p: np.sinh(z * p) * z,
    "in place": lambda z, p: _in_place(z * 1j, z, p),
    "parts": lambda z, p: np.real(z) * np.imag(z * z) + np.angle(z * z),
}


def _in_place(y, z, p):
    y[1:3] += z[:2] * p
    y[0] = 0
    return y * z


@pytest.mark.parametrize("name", STRUCTURE)
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_structure(name, dtype):
    """A value and its derivatives, compiled and not."""
    z, p = complex_(40, 40, dtype=dtype), _draw.normal(size=40).astype(dtype(0).real.dtype)
    t = complex_(40, 40, dtype=dtype)

    def loss(z):
        return np.sum(np.abs(STRUCTURE[name](z, p)) ** 2)

    def both(z):
        gradient, product = ad.jvp(ad.grad(loss), (z,), (t,))
        return STRUCTURE[name](z, p), gradient, product

    for found, expected in zip(ad.jit(both)(z), both(z), strict=True):
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        size = np.max(np.abs(expected))
        assert np.max(np.abs(found - expected)) <= 100 * np.finfo(dtype).eps * size


def _with_constant_parts(x):
    """What is done with a part that is the same number everywhere, and is an array all the same."""
    z = x.astype(complex)
    z.real[1:] *= 2
    w = x + 0j
    w.imag[0] = x[1]
    w.imag[[0, 2]] += x[:2]
    turned = 1j * x
    return (
        (z.real**3).sum() + z.imag.sum() + z.imag.max() * x[0],
        np.stack([z.real, z.imag], -1) * x[:, None],
        np.fft.fft(z.imag) + w**2,
        np.sort(w.imag) + turned.real[::-1],
        np.concatenate([turned.imag[1:], w.real[:1]]) + 0j,
        np.abs(w + 2.0)[:2],
        z.reshape(1, 3).T.imag.ravel() + x,
    )


def test_parts_that_are_constant():
    x, v = np.array([1.0, 2.0, 3.0]), np.array([1.0, 10.0, 100.0])

    def loss(x):
        return sum([np.sum(np.real(y) ** 2 + np.imag(y)) for y in _with_constant_parts(x)])

    def everything(x, v):
        return _with_constant_parts(x), ad.grad(loss)(x), ad.hvp(loss, (x,), (v,))

    expected, found = [ad.tree.flatten(f(x, v))[0] for f in (everything, ad.jit(everything))]
    for y, z in zip(found, expected, strict=True):
        assert y.dtype == z.dtype
        np.testing.assert_allclose(y, z, rtol=1e-12)


def test_one_sweep():
    """Arithmetic of complex values is one sweep over their memory; nothing is copied."""
    z = complex_(300, 200, dtype=np.complex64)
    found = ad.jit(lambda z: z * z.conj()[:, ::-1] / (1 + np.abs(z))).explain(z)
    assert found.launches == len(found.sources) == 1
    assert found.bytes_moved == 2 * z.nbytes
    assert found.peak_bytes <= 1.2 * z.nbytes


def test_parts_are_stored_by_the_loop_that_makes_them():
    x = _draw.normal(size=(50, 200))
    found = ad.jit(lambda x: np.stack([np.sin(x), np.cos(x)], axis=-1)).explain(x)
    (source,) = found.sources
    assert source.count("for l0 in") == 1
