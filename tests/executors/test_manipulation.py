"""Shapes, joining, splitting, padding, creation, copies, casts: on traced arrays as on arrays."""

import numpy as np
import pytest

import gpuad as ad
import gpuad.numpy as gnp
from gpuad import errors

X = np.random.default_rng(5).uniform(-2.0, 2.0, (2, 3, 4))
M = X[0]
V = X[0, 0]
Z = M + 1j * X[1]
SINGLE = M.astype(np.float32)


def leaves(result):
    return list(result) if isinstance(result, list | tuple) else [result]


def check_linear(f, *args):
    """The value is NumPy's; the function is linear, so its JVP is the function of the tangents."""
    expected = leaves(f(*args))
    draw = np.random.default_rng(6)
    tangents = [draw.normal(size=x.shape).astype(x.dtype) for x in args]
    values, dots = ad.jvp(f, args, tuple(tangents))
    for value, dot, e, e_dot in zip(
        leaves(values), leaves(dots), expected, leaves(f(*tangents)), strict=True
    ):
        np.testing.assert_array_equal(value, e)
        assert (value.dtype, np.shape(value)) == (e.dtype, np.shape(e))
        np.testing.assert_allclose(dot, e_dot, rtol=1e-6 if e.dtype.itemsize < 8 else 1e-12)
    check_transpose(f, args, tangents, dots)


def check_transpose(f, args, tangents, dots):
    draw = np.random.default_rng(7)
    values, pullback = ad.vjp(f, *args)
    seeds = [draw.normal(size=np.shape(v)).astype(v.dtype) for v in leaves(values)]
    cotangents = pullback(type(values)(seeds) if isinstance(values, list | tuple) else seeds[0])
    left = sum(np.sum(s * d) for s, d in zip(seeds, leaves(dots), strict=True))
    right = sum(np.sum(c * t) for c, t in zip(cotangents, tangents, strict=True))
    np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-5)


SHAPES = {
    "reshape": lambda x: np.reshape(x, (4, 6)),
    "reshape_method": lambda x: x.reshape(4, 6),
    "reshape_method_tuple": lambda x: x.reshape((3, -1)),
    "reshape_one": lambda x: x.reshape(-1),
    "reshape_F": lambda x: np.reshape(x, (6, 4), "F"),
    "reshape_F_method": lambda x: x.reshape(-1, 2, order="F"),
    "reshape_keyword": lambda x: np.reshape(x, shape=(8, 3)),
    "ravel": np.ravel,
    "ravel_F": lambda x: x.ravel("F"),
    "flatten": lambda x: x.flatten(),
    "transpose": lambda x: np.transpose(x, (1, 2, 0)),
    "transpose_all": np.transpose,
    "transpose_by_keyword": lambda x: np.transpose(a=x),
    "transpose_method": lambda x: x.transpose(2, 0, 1),
    "transpose_method_tuple": lambda x: x.transpose((2, 0, -2)),
    "T": lambda x: x.T,
    "mT": lambda x: x.mT,
    "matrix_transpose": np.matrix_transpose,
    "linalg_matrix_transpose": np.linalg.matrix_transpose,
    "permute_dims": lambda x: np.permute_dims(x, axes=(1, 0, 2)),
    "swapaxes": lambda x: x.swapaxes(0, -1),
    "moveaxis": lambda x: np.moveaxis(x, 0, -1),
    "moveaxis_two": lambda x: np.moveaxis(x, (0, 1), (-1, 0)),
    "rollaxis": lambda x: np.rollaxis(x, 2),
    "rollaxis_start": lambda x: np.rollaxis(x, 0, 3),
    "rollaxis_negative": lambda x: np.rollaxis(x, -1, -2),
    "squeeze": lambda x: np.squeeze(x[:1, :1]),
    "squeeze_axis": lambda x: x[:1, :, :1].squeeze(-1),
    "squeeze_axes": lambda x: np.squeeze(x[:1, :, :1], axis=(0, 2)),
    "expand_dims": lambda x: np.expand_dims(x, 1),
    "expand_dims_two": lambda x: np.expand_dims(x, (0, -1)),
    "broadcast_to": lambda x: np.broadcast_to(x, (3, 2, 3, 4)),
    "broadcast_to_stretched": lambda x: np.broadcast_to(x[:, :1], (2, 5, 4)),
    "broadcast_arrays": lambda x: np.broadcast_arrays(x, x[0, 0], x[:, :1]),
    "atleast_1d": lambda x: np.atleast_1d(x[0, 0, 0]),
    "atleast_2d": lambda x: np.atleast_2d(x[0, 0]),
    "atleast_2d_two": lambda x: np.atleast_2d(x[0, 0, 0], x),
    "atleast_3d": lambda x: np.atleast_3d(x[0, 0]),
    "atleast_3d_matrix": lambda x: np.atleast_3d(x[0]),
    "flip": np.flip,
    "flip_axes": lambda x: np.flip(x, (0, -1)),
    "fliplr": np.fliplr,
    "flipud": np.flipud,
    **{f"rot90_{k}": lambda x, k=k: np.rot90(x, k) for k in range(-1, 5)},
    "rot90_axes": lambda x: np.rot90(x, 1, (2, 0)),
    "copy": np.copy,
    "copy_method": lambda x: x.copy(),
}


@pytest.mark.parametrize("f", SHAPES.values(), ids=SHAPES)
def test_shapes(f):
    check_linear(f, X)


def test_shape_ndim_and_size():
    def f(x):
        assert (np.shape(x), np.ndim(x), np.size(x)) == ((2, 3, 4), 3, 24)
        assert (np.size(x, 1), np.size(x, axis=(0, -1))) == (3, 8)
        return x

    ad.jit(f)(X)


JOINING = {
    "concatenate": lambda x, y: np.concatenate([x, y]),
    "concatenate_axis": lambda x, y: np.concatenate((x, x[:, :1], y), axis=-1),
    "concatenate_flat": lambda x, y: np.concatenate([x, y], axis=None),
    "concatenate_dtype": lambda x, y: np.concatenate([x, y], dtype=np.float32),
    "concat": lambda x, y: np.concat([x, y], axis=1),
    "concatenate_one_array": lambda x, y: np.concatenate(x),
    "stack": lambda x, y: np.stack([x, y]),
    "stack_last": lambda x, y: np.stack([x, y], axis=-1),
    "stack_numbers": lambda x, y: np.stack([x[0, 0], y[0, 0], 0 * x[0, 1]]),
    "vstack": lambda x, y: np.vstack([x, y[0]]),
    "hstack": lambda x, y: np.hstack([x, y]),
    "hstack_vectors": lambda x, y: np.hstack([x[0], y[0]]),
    "dstack": lambda x, y: np.dstack([x, y]),
    "column_stack": lambda x, y: np.column_stack([x[:, 0], y]),
    "block": lambda x, y: np.block([[x, y], [y, x]]),
    "block_flat": lambda x, y: np.block([x[0], y[0], x[0, 0]]),
    "block_deep": lambda x, y: np.block([[[x, y]], [[y, x]]]),
    "append": np.append,
    "append_axis": lambda x, y: np.append(x, y, axis=0),
    "split": lambda x, y: np.split(x, 2, axis=1),
    "split_at": lambda x, y: np.split(x, [1, 3], axis=-1),
    "split_at_far": lambda x, y: np.split(x, [2, 1, -1, 9]),
    "array_split": lambda x, y: np.array_split(y, 3, axis=1),
    "hsplit": lambda x, y: np.hsplit(x, 2),
    "hsplit_vector": lambda x, y: np.hsplit(x[0], [1]),
    "vsplit": lambda x, y: np.vsplit(y, 3),
    "dsplit": lambda x, y: np.dsplit(np.reshape(x, (1, 2, 6)), 3),
    "unstack": lambda x, y: np.unstack(x, axis=1),
}


@pytest.mark.parametrize("f", JOINING.values(), ids=JOINING)
def test_joining_and_splitting(f):
    check_linear(f, M, 2 * M[::-1])


def test_joined_dtypes_are_promoted_together():
    integers = np.arange(4).reshape(1, 4)
    for other in (integers, integers.astype(np.int8), M, Z):
        value, _ = ad.vjp(lambda x, other=other: np.concatenate([x, other]), SINGLE)
        expected = np.concatenate([SINGLE, other])
        np.testing.assert_array_equal(value, expected)
        assert value.dtype == expected.dtype
    value, pullback = ad.vjp(lambda x: np.stack([x[0, 0], 2.0, np.float32(3)]), SINGLE)
    assert value.dtype == np.stack([SINGLE[0, 0], 2.0, np.float32(3)]).dtype
    assert pullback(np.ones(3))[0].dtype == np.float32


def test_cotangent_of_a_real_part_joined_with_complex_is_real():
    _, pullback = ad.vjp(lambda x: np.concatenate([x, Z]), M)
    (cotangent,) = pullback(np.concatenate([Z, Z]))
    np.testing.assert_array_equal(cotangent, Z.real)


PADS = {
    "constant": lambda x: np.pad(x, 1),
    "pairs": lambda x: np.pad(x, ((1, 2), (0, 3))),
    "pair": lambda x: np.pad(x, (2, 1)),
    "dict": lambda x: np.pad(x, {-1: (1, 2)}),
    "edge": lambda x: np.pad(x, ((1, 2), (0, 3)), "edge"),
    "reflect": lambda x: np.pad(x, ((1, 2), (3, 3)), "reflect"),
    "reflect_often": lambda x: np.pad(x, ((7, 2), (3, 9)), mode="reflect"),
    "reflect_even": lambda x: np.pad(x, 1, "reflect", reflect_type="even"),
    "symmetric": lambda x: np.pad(x, ((1, 2), (0, 4)), "symmetric"),
    "symmetric_often": lambda x: np.pad(x, 9, "symmetric"),
    "wrap": lambda x: np.pad(x, ((1, 2), (3, 0)), "wrap"),
    "wrap_often": lambda x: np.pad(x, 11, "wrap"),
    "nothing": lambda x: np.pad(x, 0),
    "one_element": lambda x: np.pad(x[:1], 2, "reflect"),
}


@pytest.mark.parametrize("f", PADS.values(), ids=PADS)
def test_pad(f):
    check_linear(f, M)


@pytest.mark.parametrize("values", [2.5, (1, -2.0), ((1, 2), (3, 4)), np.inf])
def test_pad_with_values(values):
    def f(x):
        return np.pad(x, ((1, 2), (2, 0)), constant_values=values)

    value, dot = ad.jvp(f, (M,), (M,))
    np.testing.assert_array_equal(value, f(M))
    np.testing.assert_array_equal(dot, np.pad(M, ((1, 2), (2, 0))))


def test_pad_with_a_traced_value():
    grad = ad.grad(lambda c: np.pad(c * M, 1, constant_values=c).sum())(3.0)
    np.testing.assert_allclose(grad, M.sum() + 18)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_arrays_without_elements(shape):
    x = np.zeros(shape)
    check_linear(lambda x: x.reshape(-1), x)
    check_linear(lambda x: x.T, x)
    check_linear(np.flip, x)
    check_linear(np.ravel, x)
    check_linear(lambda x: np.pad(x, 1), x)
    check_linear(lambda x: np.concatenate([x, x]), x)
    check_linear(lambda x: np.stack([x, x], axis=-1), x)


def test_a_view_of_an_array_that_is_updated_sees_the_update():
    def f(x):
        y = x.copy()
        flat = y.reshape(-1)
        y[0] = 0.0
        return (flat * flat).sum()

    expected = 2 * M
    expected[0] = 0
    np.testing.assert_array_equal(ad.grad(f)(M), expected)


def test_pieces_of_a_split_are_slices_that_can_be_updated():
    def f(x):
        y = x.copy()
        first, _ = np.split(y, 2, axis=1)
        first[:] = 0.0
        return (y * y).sum()

    expected = 2 * M
    expected[:, :2] = 0
    np.testing.assert_array_equal(ad.grad(f)(M), expected)


# Creation


CREATED = {
    "zeros": lambda xp: xp.zeros((2, 3)),
    "zeros_one_axis": lambda xp: xp.zeros(3, dtype=int),
    "zeros_no_axes": lambda xp: xp.zeros((), np.float32),
    "ones": lambda xp: xp.ones((2, 3), np.complex64),
    "empty": lambda xp: xp.empty((2, 0)),
    "full": lambda xp: xp.full((2, 3), 1.5),
    "full_int": lambda xp: xp.full(3, 2),
    "full_cast": lambda xp: xp.full(3, 2.7, dtype=int),
    "full_row": lambda xp: xp.full((2, 3), [1, 2, 3]),
    "zeros_like": lambda xp: xp.zeros_like(M),
    "ones_like": lambda xp: xp.ones_like(M, dtype=bool),
    "ones_like_shape": lambda xp: xp.ones_like(M, shape=(2,)),
    "full_like": lambda xp: xp.full_like(SINGLE, 7),
    "arange": lambda xp: xp.arange(5),
    "arange_two": lambda xp: xp.arange(2, 7),
    "arange_step": lambda xp: xp.arange(0.1, 2.0, 0.3),
    "arange_down": lambda xp: xp.arange(5, 0, -2),
    "arange_none": lambda xp: xp.arange(0),
    "arange_one": lambda xp: xp.arange(3.0, 4.0),
    "arange_dtype": lambda xp: xp.arange(4, dtype=np.float32),
    "arange_complex": lambda xp: xp.arange(3, dtype=complex),
    "linspace": lambda xp: xp.linspace(0, 1, 7),
    "linspace_open": lambda xp: xp.linspace(0.3, -1, 7, endpoint=False),
    "linspace_step": lambda xp: xp.linspace(0, 1, 5, retstep=True),
    "linspace_int": lambda xp: xp.linspace(0, 10, 4, dtype=int),
    "linspace_arrays": lambda xp: xp.linspace(M[0], M[1], 4),
    "linspace_axis": lambda xp: xp.linspace(M[0], 3, 5, axis=1),
    "linspace_single": lambda xp: xp.linspace(SINGLE[0], SINGLE[1], 4),
    "linspace_one": lambda xp: xp.linspace(2.0, 3.0, 1),
    "linspace_none": lambda xp: xp.linspace(2.0, 3.0, 0),
    "linspace_complex": lambda xp: xp.linspace(2.0j, 3.0, 4),
    "logspace": lambda xp: xp.logspace(0, 2, 5),
    "logspace_base": lambda xp: xp.logspace(0, 2, 5, base=2.0, endpoint=False),
    "geomspace": lambda xp: xp.geomspace(1, 1000, 4),
    "geomspace_negative": lambda xp: xp.geomspace(-2.0, -9.0, 5),
    "geomspace_open": lambda xp: xp.geomspace(2.0, 9.0, 5, endpoint=False),
    "geomspace_axis": lambda xp: xp.geomspace(V**2 + 1, 3, 5, axis=-1),
    "eye": lambda xp: xp.eye(3),
    "eye_k": lambda xp: xp.eye(3, 4, k=-1, dtype=int),
    "identity": lambda xp: xp.identity(2),
    "tri": lambda xp: xp.tri(3, 4, 1),
    "vander": lambda xp: xp.vander(V),
    "vander_n": lambda xp: xp.vander(np.arange(4), 3, increasing=True),
    "vander_none": lambda xp: xp.vander(V, 0),
    "meshgrid": lambda xp: xp.meshgrid(V, M[1, :3]),
    "meshgrid_ij": lambda xp: xp.meshgrid(V, M[1, :3], V[:2], indexing="ij"),
    "meshgrid_sparse": lambda xp: xp.meshgrid(V, M[1, :3], sparse=True),
    "indices": lambda xp: xp.indices((2, 3)),
    "indices_sparse": lambda xp: xp.indices((2, 3), sparse=True),
    "fromfunction": lambda xp: xp.fromfunction(lambda i, j: i + 2 * j, (2, 3)),
}


@pytest.mark.parametrize("create", CREATED.values(), ids=CREATED)
@pytest.mark.parametrize("traced", [False, True])
def test_creation(create, traced):
    expected = leaves(create(np))

    def f(x):
        return leaves(create(gnp))

    found = ad.vjp(f, 1.0)[0] if traced else f(1.0)
    for a, e in zip(found, expected, strict=True):
        assert np.shape(a) == np.shape(e)
        assert a.dtype == e.dtype
        np.testing.assert_allclose(a, e, rtol=1e-14, atol=1e-14)


def test_created_dtypes_are_not_weak():
    def f(x):
        return [gnp.zeros((), np.float32) + np.float16(1), gnp.zeros(2, int) + np.float32(1)]

    found, _ = ad.vjp(f, 1.0)
    assert [x.dtype for x in found] == [np.float32, np.float64]


def test_a_number_that_gets_axes_is_not_weak_any_more():
    def f(x):
        wide = [
            np.broadcast_to(x, (4,)),
            np.reshape(x, (1,)),
            np.expand_dims(x, 0),
            np.atleast_1d(x),
        ]
        return [y * SINGLE[0] for y in wide]

    found, _ = ad.vjp(f, 2.0)
    assert [x.dtype for x in found] == [x.dtype for x in f(2.0)] == [np.float64] * 4


@pytest.mark.parametrize("like", [np.zeros_like, np.ones_like, np.empty_like])
def test_traced_values_are_stored_into_created_arrays(like):
    def f(x):
        y = like(x)
        y[0] = x[1] ** 2
        y[1:] = 0.0
        return y.sum()

    expected = np.zeros_like(M)
    expected[1] = 2 * M[1]
    np.testing.assert_allclose(ad.grad(f)(M), expected)


def test_traced_values_are_stored_into_zeros():
    def f(x):
        y = gnp.zeros((2, 4))
        y[0] = x
        y[1] += 2 * x
        return (y * y).sum()

    np.testing.assert_allclose(ad.grad(f)(V), 10 * V)


def test_full_of_a_traced_value():
    assert ad.grad(lambda c: gnp.full((2, 3), c).sum())(1.5) == 6.0
    assert ad.grad(lambda c: gnp.full_like(M, c).sum())(1.5) == M.size


def test_linspace_and_its_kin_by_their_ends():
    def check(f, a, b):
        for i in (0, 1):
            step = np.eye(2)[i] * 1e-6
            expected = (f(a + step[0], b + step[1]) - f(a - step[0], b - step[1])) / 2e-6
            _, dot = ad.jvp(f, (a, b), (1.0 - i, 1.0 * i))
            np.testing.assert_allclose(dot, expected, rtol=1e-7, atol=1e-7)

    for ends in (True, False):
        check(lambda a, b, e=ends: np.linspace(a, b, 5, endpoint=e), 0.3, 2.0)
        check(lambda a, b, e=ends: np.logspace(a, b, 5, endpoint=e), 0.3, 1.2)
        check(lambda a, b, e=ends: np.geomspace(a, b, 5, endpoint=e), -0.3, -7.0)


def test_vander_has_exact_derivatives_at_zero():
    jacobian = ad.jacfwd(lambda x: np.vander(x, 4))(np.array([0.0]))
    np.testing.assert_array_equal(jacobian.ravel(), [0, 0, 1, 0])


def test_meshgrid_of_traced_and_plain_arrays():
    gradient = ad.grad(lambda x: (np.meshgrid(x, V)[0] * V[:, None]).sum())(np.ones(3))
    np.testing.assert_allclose(gradient, np.full(3, V.sum()))


# Copies and casts


def test_arrays_of_nested_lists():
    def f(x):
        return gnp.array([[x[0], 2.0, x[1] * x[2]], [0, x[3], x[0]]])

    value, _ = ad.vjp(f, V)
    np.testing.assert_array_equal(value, [[V[0], 2, V[1] * V[2]], [0, V[3], V[0]]])
    np.testing.assert_array_equal(ad.grad(lambda x: f(x)[1].sum())(V), [1, 0, 0, 1])
    np.testing.assert_array_equal(ad.vjp(lambda x: gnp.array([x, V]), V)[0], [V, V])
    deep, _ = ad.vjp(lambda x: gnp.array([[[x[0]], [1]], [[2], [3]]], dtype=np.float32, ndmin=4), V)
    assert deep.shape == (1, 2, 2, 1)
    assert deep.dtype == np.float32


def test_asarray_gives_the_array_itself():
    def f(x):
        assert gnp.asarray(x) is x
        assert gnp.asarray(x, x.dtype) is x
        assert gnp.array(x) is not x
        assert gnp.ascontiguousarray(x[0]).shape == (1,)
        return gnp.asarray(x, np.float32)

    value, _ = ad.vjp(f, V)
    assert value.dtype == np.float32
    assert gnp.asarray(V) is V
    assert type(gnp.asarray([1, 2])) is np.ndarray


def test_a_copy_is_not_changed_with_its_source():
    def f(x):
        y = x.copy()
        y[0] = 0.0
        return (x * y).sum()

    expected = 2 * V
    expected[0] = 0.0
    np.testing.assert_array_equal(ad.grad(f)(V), expected)


def test_astype():
    value, _ = ad.jvp(lambda x: x.astype(int), (V,), (V,))
    np.testing.assert_array_equal(value, V.astype(int))
    assert value.dtype == int
    gradient = ad.grad(lambda x: (x.astype(int) * x).sum())(V)
    np.testing.assert_array_equal(gradient, V.astype(int))
    (cotangent,) = ad.vjp(lambda x: x.astype(complex), V)[1](1j * V + V)
    np.testing.assert_array_equal(cotangent, V)
    check_linear(lambda x: x.astype(np.float32), V)
    check_linear(lambda x: np.astype(x, np.float64), V)
    with pytest.warns(np.exceptions.ComplexWarning, match="imaginary part"):
        value, _ = ad.vjp(lambda x: x.astype(float), Z)
    np.testing.assert_array_equal(value, Z.real)


# What is refused

REFUSED = {
    "reshape": (lambda x: x.reshape(5, 2), "12 elements and cannot have shape (5, 2)"),
    "reshape_two": (lambda x: x.reshape(-1, -1), "(one of them may be -1)"),
    "reshape_order": (lambda x: x.reshape(12, order="A"), "use order='C' or 'F'"),
    "ravel_order": (lambda x: x.ravel("K"), "use order='C' or 'F'"),
    "squeeze": (lambda x: x.squeeze(0), "axis 0 of shape (3, 4) has size 3"),
    "transpose": (lambda x: x.transpose(0, 0), "give a permutation"),
    "moveaxis": (lambda x: np.moveaxis(x, (0, 1), 0), "as many axes"),
    "expand_dims": (lambda x: np.expand_dims(x, 5), "axis 5 is out of range"),
    "broadcast_to": (lambda x: np.broadcast_to(x, (3, 5)), "cannot be repeated to shape (3, 5)"),
    "broadcast_arrays": (lambda x: np.broadcast_arrays(x, x.T), "do not broadcast together"),
    "concatenate": (lambda x: np.concatenate([x, x.T]), "differ elsewhere than along axis 0"),
    "concatenate_none": (lambda x: gnp.concatenate(x[:0]), "no arrays"),
    "concatenate_dtype": (lambda x: np.concatenate([x, x], dtype=int), "casting='same_kind'"),
    "stack": (lambda x: np.stack([x, x.T]), "give one or more of the same shape"),
    "block": (lambda x: gnp.block([[x], x]), "nested equally deep"),
    "split": (lambda x: np.split(x, 2), "cannot be cut into 2 equal sections"),
    "dsplit": (lambda x: np.dsplit(x, 2), "fewer than 3 axes"),
    "pad_mode": (lambda x: np.pad(x, 1, "middle"), "use one of 'constant'"),
    "pad_function": (lambda x: np.pad(x, 1, lambda *a: None), "use a mode that has a name"),
    "pad_option": (lambda x: np.pad(x, 1, "edge", reflect_type="odd"), "has no reflect_type"),
    "pad_width": (lambda x: np.pad(x, ((1, 2), (3, 4), (5, 6))), "does not fit an array of shape"),
    "pad_negative": (lambda x: np.pad(x, -1), "widths are ints from 0"),
    "pad_empty": (lambda x: np.pad(x[:0], 1, "edge"), "use mode 'constant'"),
    "astype": (lambda x: x.astype(str), "gpuad works on booleans"),
    "astype_casting": (lambda x: x.astype(int, casting="safe"), "not allowed by casting='safe'"),
    "copy_order": (lambda x: np.copy(x, order="F"), "memory layout"),
    "zeros_order": (lambda x: gnp.zeros(3, order="F"), "memory layout"),
    "zeros_device": (lambda x: gnp.zeros(3, device="gpu"), "leave device out"),
    "arange": (lambda x: gnp.arange(x[0, 0]), "use linspace"),
    "linspace": (lambda x: np.linspace(x[0], 1, -1), "number of points from 0"),
    "vander": (np.vander, "give a vector"),
    "array": (lambda x: gnp.array([x, x[0]]), "different shapes"),
    "np_array": (lambda x: np.array([x, x]), "Write gpuad.numpy.array, or np.stack"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(name):
    f, message = REFUSED[name]
    with pytest.raises(errors.GpuadError) as caught:
        ad.vjp(f, M)
    assert message in str(caught.value)
