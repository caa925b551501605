"""DualArray: every operation against jvp, with one tangent and with several."""

import numpy as np
import pytest

import gpuad as ad
from gpuad.errors import ArgumentError, ConversionError, DTypeError

X = np.linspace(0.3, 1.7, 6).reshape(2, 3)
TANGENTS = np.random.default_rng(0).standard_normal((4, 2, 3))

FUNCTIONS = {
    "ufunc": lambda x: np.sin(x) * np.exp(-x) + 2.0 / x,
    "reduction": lambda x: np.sum(x * x, axis=0),
    "method": lambda x: x.mean(axis=1, keepdims=True).reshape(-1),
    "matmul": lambda x: x @ np.arange(3.0),
    "einsum": lambda x: np.einsum("ij,kj->ik", x, x),
    "index": lambda x: x[:, ::-1][0] * x[1, [0, 2, 1]],
    "stack": lambda x: np.stack([x[0], np.cos(x[1])]),
    "where": lambda x: np.where(x > 1, x**3, -x),
    "special": lambda x: ad.numpy.logsumexp(x, axis=1),
    "float32": lambda x: x.astype(np.float32),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_value_and_tangents_are_those_of_jvp(name):
    function = FUNCTIONS[name]
    result = function(ad.DualArray(X, TANGENTS))
    assert result.data.shape == (5, *result.shape)
    for lane, tangent in enumerate(TANGENTS):
        value, dot = ad.jvp(function, (X,), (tangent,))
        np.testing.assert_allclose(result.primal, value, rtol=1e-13)
        np.testing.assert_allclose(result.tangents[lane], dot, rtol=1e-12, atol=1e-15)
        assert result.dtype == value.dtype


def test_two_duals_share_their_lanes():
    x, y = ad.DualArray(2.0, 1.0), ad.DualArray(3.0, 10.0)
    assert (x * y).tangent == 3.0 + 20.0


def test_one_block_holds_primal_and_tangents():
    x = ad.DualArray(X, TANGENTS)
    assert x.primal.base is x.data and x.tangents.base is x.data
    assert np.shares_memory(ad.DualArray.from_block(x.data).primal, x.data)


def test_comparison_is_a_plain_array():
    assert (ad.DualArray(X, X) > 1).dtype == bool
    assert type(ad.DualArray(X, X) > 1) is np.ndarray


def test_updates_in_place():
    x = ad.DualArray(np.array([1.0, 2.0]), np.array([1.0, 0.5]))
    block = x.data
    x *= 3
    x[1] = 7.0
    assert x.data is block
    np.testing.assert_array_equal(block, [[3, 7], [3, 0]])


def test_a_dual_is_stored_with_all_its_tangents():
    x, y = ad.DualArray(np.zeros(2), np.zeros((3, 2))), ad.DualArray(np.ones(2), np.ones((3, 2)))
    x[0] = y[1]
    np.testing.assert_array_equal(x.data, [[1, 0]] * 4)
    before = x.data.copy()
    for count in (2, 4):
        with pytest.raises(ArgumentError, match="different numbers of tangents"):
            x[0] = ad.DualArray(np.ones(2), np.ones((count, 2)))[0]
    np.testing.assert_array_equal(x.data, before)


def test_a_dual_without_axes_is_updated_in_place():
    z = ad.DualArray(1.0, 2.0)
    np.sin(z, out=z)
    np.testing.assert_allclose(z.data, [np.sin(1.0), 2 * np.cos(1.0)])
    z[...] = 3.0
    np.testing.assert_array_equal(z.data, [3.0, 0.0])


def test_bad_duals_say_what_to_do():
    with pytest.raises(ArgumentError, match=r"tangents has shape \(0, 2\); give one tangent"):
        ad.DualArray(np.ones(2), np.ones((0, 2)))
    with pytest.raises(ArgumentError, match=r"tangents has shape \(3,\); give one tangent"):
        ad.DualArray(np.ones(2), np.ones(3))
    with pytest.raises(DTypeError, match="the primal has dtype int64"):
        ad.DualArray(np.arange(2), np.ones(2))
    with pytest.raises(ArgumentError, match="different numbers of tangents"):
        ad.DualArray(np.ones(2), np.ones((2, 2))) + ad.DualArray(np.ones(2), np.ones(2))
    with pytest.raises(ConversionError, match="lose its tangents"):
        np.array(ad.DualArray(np.ones(2), np.ones(2)))
    with pytest.raises(ArgumentError, match=r"has 4 tangents; use \.tangents"):
        _ = ad.DualArray(X, TANGENTS).tangent
