"""pad in all modes: values as NumPy's, derivatives, and what is refused."""

import numpy as np
import pytest

import gpuad as ad
import gpuad.numpy as gnp
from executors.numpy_checks import check_as_numpy
from gpuad.errors import ArgumentError, UnsupportedError

_draw = np.random.default_rng(6)
X = _draw.normal(size=(3, 4))
WIDTHS = {"one": 1, "pairs": ((1, 2), (9, 3)), "wide": (12, 11)}
MODES: list[tuple[str, dict]] = [
    ("constant", {}),
    ("constant", {"constant_values": ((1, 2), (3, 4))}),
    ("edge", {}),
    ("wrap", {}),
    ("linear_ramp", {}),
    ("linear_ramp", {"end_values": ((1, 2),)}),
    ("maximum", {}),
    ("minimum", {"stat_length": 2}),
    ("mean", {}),
    ("mean", {"stat_length": (1, 3)}),
    ("median", {"stat_length": ((2, 3), (1, 9))}),
    ("reflect", {}),
    ("reflect", {"reflect_type": "odd"}),
    ("symmetric", {}),
    ("symmetric", {"reflect_type": "odd"}),
]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("mode", "options"), MODES)
def test_pad(width, mode, options):
    def padded(x):
        return np.pad(x, WIDTHS[width], mode, **options)

    check_as_numpy(padded, X, order=2 if width == "pairs" else 0)
    if width == "pairs":
        check_as_numpy(padded, X.astype(np.float32))
        check_as_numpy(padded, (X * 9).astype(int))
        if mode != "median":
            check_as_numpy(padded, X + 1j * X[::-1])


def test_one_element_and_axes_that_are_not_padded():
    for mode in ("reflect", "symmetric"):
        check_as_numpy(lambda x, m=mode: np.pad(x, 3, m, reflect_type="odd"), X[0, :1])
    check_as_numpy(lambda x: np.pad(x, {1: (2, 0)}, "mean"), X)
    check_as_numpy(lambda x: np.pad(x, ((0, 0), (1, 1)), "mean"), X[:0], order=0)
    check_as_numpy(lambda x: np.pad(x, 2, "mean", stat_length=2), X > 0, order=0)


def test_an_infinite_edge_stays_outside():
    x = np.array([1.0, 2.0, np.inf])
    for mode in ("maximum", "reflect"):
        found = ad.jit(lambda x, m=mode: np.pad(x, (2, 1), m))(x)
        np.testing.assert_array_equal(found, np.pad(x, (2, 1), mode))
    odd = ad.jit(lambda x: np.pad(x, (2, 1), "symmetric", reflect_type="odd"))(x)
    np.testing.assert_array_equal(odd[:4], [0, 1, 1, 2])


def test_values_around_may_be_traced():
    def ramps(x, ends):
        return gnp.pad(x, 2, "linear_ramp", end_values=ends)

    def constants(x, c):
        return gnp.pad(x, 1, constant_values=((c, 0.0), (1.0, 2 * c)))

    for f, more in ((ramps, np.array([1.0, -2.0])), (constants, 3.0)):
        check_as_numpy(lambda x, y, f=f: f(x, y), X, np.float64(more) if f is constants else more)


def test_empty_is_of_zeros():
    np.testing.assert_array_equal(ad.jit(lambda x: np.pad(x, 1, "empty"))(X)[1:-1, 1:-1], X)


ERRORS = {
    "function": (lambda x: np.pad(x, 1, np.sum), UnsupportedError, "concatenate"),
    "mode": (lambda x: np.pad(x, 1, "no"), ArgumentError, "'linear_ramp'"),
    "option": (lambda x: np.pad(x, 1, "mean", end_values=1), ArgumentError, "takes stat_length"),
    "length": (lambda x: np.pad(x, 1, "max" + "imum", stat_length=0), ArgumentError, "1 or more"),
    "type": (lambda x: np.pad(x, 1, "reflect", reflect_type="x"), ArgumentError, "'odd'"),
    "empty": (lambda x: np.pad(x[:0], 1, "wrap"), ArgumentError, "mode 'constant'"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_what_to_write(name):
    f, error, words = ERRORS[name]
    with pytest.raises(error, match=words):
        ad.vjp(f, X)


def test_a_traced_option_of_numpys_own_function_names_gpuads():
    with pytest.raises(Exception, match=r"Write gpuad\.numpy\.pad"):
        ad.grad(lambda c: np.pad(X, 1, constant_values=c).sum())(1.0)
