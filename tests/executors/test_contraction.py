"""Products summed over axes, convolution and norms: on traced arrays as on arrays.

A contraction is linear in each operand, so its derivative is known exactly: the sum of its values
with one operand replaced by its tangent.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gpuad as ad
import gpuad.numpy as gnp
from gpuad import errors

draw = np.random.default_rng(8)


def real(*shape):
    return draw.uniform(-1.0, 1.0, shape)


def complexes(*shape):
    return draw.normal(size=shape) + 1j * draw.normal(size=shape)


def near(found, expected, tolerance=1e-12):
    assert np.shape(found) == np.shape(expected)
    assert np.asarray(found).dtype == np.asarray(expected).dtype
    scale = np.max(np.abs(expected), initial=1.0)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * scale)


def direction(x):
    return complexes(*x.shape) if x.dtype.kind == "c" else real(*x.shape)


def dots_of(f, args, tangents):
    replaced = [[*args[:i], t, *args[i + 1 :]] for i, t in enumerate(tangents)]
    return sum(f(*given) for given in replaced)


def check_multilinear(f, *args, conjugating=False):
    expected = np.asarray(f(*args))
    tangents = [direction(x) for x in args]
    value, dot = ad.jvp(f, args, tuple(tangents))
    near(value, expected[()])
    near(dot, np.asarray(dots_of(f, args, tangents))[()])
    seed = direction(expected)
    _, pullback = ad.vjp(f, *args)
    paired = sum(np.sum(c * t) for c, t in zip(pullback(seed[()]), tangents, strict=True))
    kind = (
        np.real
        if conjugating or any(x.dtype.kind != expected.dtype.kind for x in args)
        else np.array
    )
    near(kind(paired), kind(np.sum(seed * dot)), 1e-10)
    if not any(np.iscomplexobj(x) for x in args):
        check_curvature(f, args, tangents, seed)


def check_curvature(f, args, tangents, seed):
    """The product with the Hessian of ⟨seed, f⟩ against differences of the gradient."""

    def gradient(*xs):
        return ad.vjp(f, *xs)[1](seed[()])

    h = 1e-4
    high = gradient(*[x + h * t for x, t in zip(args, tangents, strict=True)])
    low = gradient(*[x - h * t for x, t in zip(args, tangents, strict=True)])
    _, found = ad.jvp(gradient, args, tuple(tangents))
    for f_, a, b in zip(found, high, low, strict=True):
        near(f_, (a - b) / (2 * h), 1e-6)


PRODUCTS = {
    "matrices": (np.matmul, (2, 3), (3, 4)),
    "vectors": (np.matmul, (3,), (3,)),
    "vector_matrix": (np.matmul, (3,), (3, 2)),
    "matrix_vector": (np.matmul, (2, 3), (3,)),
    "batches": (np.matmul, (2, 3, 4), (2, 4, 2)),
    "batch_matrix": (np.matmul, (2, 3, 4), (4, 2)),
    "matrix_batch": (np.matmul, (3, 4), (2, 4, 2)),
    "batch_vector": (np.matmul, (2, 3, 4), (4,)),
    "vector_batch": (np.matmul, (3,), (2, 3, 2)),
    "batches_stretched": (np.matmul, (2, 1, 3, 4), (1, 3, 4, 2)),
    "batches_aligned": (np.matmul, (2, 1, 2, 3), (3, 3, 2)),
    "batches_of_one": (np.matmul, (1, 2, 3), (1, 3, 2)),
    "nothing_summed": (np.matmul, (2, 0), (0, 3)),
    "no_rows": (np.matmul, (0, 3), (3, 2)),
    "no_batches": (np.matmul, (0, 2, 3), (3, 2)),
    "linalg_matmul": (np.linalg.matmul, (2, 3), (3, 2)),
    "vecdot": (np.vecdot, (2, 3), (2, 3)),
    "vecdot_stretched": (np.vecdot, (4, 1, 3), (2, 3)),
    "vecdot_axis": (lambda x, y: np.vecdot(x, y, axis=0), (3, 2), (3, 2)),
    "linalg_vecdot": (np.linalg.vecdot, (2, 3), (2, 3)),
    "matvec": (np.matvec, (2, 2, 3), (3,)),
    "vecmat": (np.vecmat, (2, 3), (3, 2)),
    "dot_vectors": (np.dot, (3,), (3,)),
    "dot_matrices": (np.dot, (2, 3), (3, 4)),
    "dot_many_axes": (np.dot, (2, 2, 3), (2, 3, 4)),
    "dot_vector": (np.dot, (2, 2, 3), (3,)),
    "dot_number": (np.dot, (), (2, 3)),
    "dot_method": (lambda x, y: x.dot(y), (2, 3), (3,)),
    "inner": (np.inner, (2, 3), (4, 3)),
    "inner_vectors": (np.inner, (3,), (3,)),
    "inner_number": (np.inner, (2, 3), ()),
    "outer": (np.outer, (3,), (2,)),
    "outer_of_matrices": (np.outer, (2, 2), (3, 1)),
    "linalg_outer": (np.linalg.outer, (3,), (2,)),
    "vdot": (np.vdot, (2, 3), (3, 2)),
    "tensordot": (np.tensordot, (2, 3, 4), (3, 4, 2)),
    "tensordot_none": (lambda x, y: np.tensordot(x, y, 0), (2, 3), (2,)),
    "tensordot_one": (lambda x, y: np.tensordot(x, y, axes=(0, 1)), (3, 2), (2, 3)),
    "tensordot_pairs": (
        lambda x, y: np.tensordot(x, y, axes=((0, -1), (2, 0))), (2, 3, 4), (4, 2, 2),
    ),
    "linalg_tensordot": (np.linalg.tensordot, (2, 3, 4), (3, 4, 2)),
    "kron": (np.kron, (2, 3), (3, 2)),
    "kron_vectors": (np.kron, (2,), (3,)),
    "kron_uneven": (np.kron, (2,), (2, 1, 3)),
    "cross": (np.cross, (3,), (3,)),
    "cross_stretched": (np.cross, (2, 1, 3), (4, 3)),
    "cross_axes": (lambda x, y: np.cross(x, y, 0, 1, 0), (3, 2), (2, 3)),
    "cross_axis": (lambda x, y: np.cross(x, y, axis=0), (3, 2), (3, 2)),
    "linalg_cross": (lambda x, y: np.linalg.cross(x, y, axis=0), (3, 2), (3, 2)),
    **{
        f"{f.__name__}_{mode}_{n}_{m}": (lambda x, y, f=f, mode=mode: f(x, y, mode), (n,), (m,))
        for f in (np.convolve, np.correlate)
        for mode in ("full", "same", "valid")
        for n, m in [(5, 3), (3, 5), (4, 2), (2, 4), (3, 3), (1, 4)]
    },
}  # fmt: skip


@pytest.mark.parametrize("name", PRODUCTS)
def test_products(name):
    f, *shapes = PRODUCTS[name]
    check_multilinear(f, *[real(*shape) for shape in shapes])


CONJUGATING = ("vecdot", "linalg_vecdot", "vecdot_stretched", "vdot", "vecmat")


@pytest.mark.parametrize(
    "name", [n for n in PRODUCTS if "_" not in n or n in CONJUGATING or "correlate_same" in n]
)
def test_products_of_complex_numbers(name):
    f, *shapes = PRODUCTS[name]
    first, second = [complexes(*shape) for shape in shapes]
    conjugating = name in CONJUGATING or "correlate" in name
    check_multilinear(f, first, second, conjugating=conjugating)
    check_multilinear(f, first, second.real, conjugating=conjugating)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.float32, np.complex64])
@pytest.mark.parametrize("f", [np.matmul, np.dot, np.inner, np.kron, np.vecdot, np.tensordot])
def test_dtypes_are_promoted_as_numpy_does(f, dtype):
    x, y = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), np.array([[1, 2], [0, 1]]).astype(dtype)
    near(ad.vjp(lambda x: f(x, y), x)[0], f(x, y))
    near(ad.vjp(lambda x: f(y, x), x)[0], f(y, x))
    near(ad.vjp(lambda x: f((0 * x).astype(dtype) + y, y), x)[0], f(y, y))


def test_operators_with_plain_arrays_on_either_side():
    A, x = real(3, 3), real(3)
    for f in (lambda x: A @ x, lambda x: x @ A, lambda x: np.dot(A, x), lambda x: x @ x):
        near(ad.jacfwd(f)(x), np.stack([ad.jvp(f, (x,), (e,))[1] for e in np.eye(3)], -1))
        near(ad.vjp(f, x)[0], f(x))


def test_batches_are_not_repeated_in_memory():
    """Along an axis that only one operand has, a product is one product of larger matrices."""
    text = str(ad.make_graph(lambda x, y: x @ y)(real(5, 3, 4), real(4, 2)))
    assert "broadcast" not in text
    text = str(ad.make_graph(lambda x, y: x @ y)(real(5, 1, 3, 4), real(7, 4, 2)))
    assert "broadcast" not in text
    text = str(
        ad.make_graph(ad.vmap(lambda x, y: x @ y, in_axes=(0, None)))(real(5, 3), real(3, 2))
    )
    assert "broadcast" not in text


def test_out():
    def f(x):
        y = gnp.zeros((2, 2))
        np.matmul(x, x, out=y)
        np.dot(y, x, out=y)
        return np.einsum("ij->", y)

    x = real(2, 2)
    near(ad.grad(f)(x), ad.grad(lambda x: (x @ x @ x).sum())(x))


# einsum

SQUARE, MATRIX, VECTOR, BLOCK = real(3, 3), real(3, 4), real(3), real(2, 3, 4)

EINSUMS = {
    "ij,jk->ik": (MATRIX, real(4, 2)),
    "ij,jk": (MATRIX, real(4, 2)),
    "ba,ab": (MATRIX, MATRIX.T),
    "ji": (MATRIX,),
    "ij->ji": (MATRIX,),
    "ij->": (MATRIX,),
    "ij->j": (MATRIX,),
    "ii": (SQUARE,),
    "ii->i": (SQUARE,),
    "iij->ij": (real(3, 3, 2),),
    "iji->j": (real(3, 2, 3),),
    "iiii->i": (real(2, 2, 2, 2),),
    "ijij->ij": (real(2, 3, 2, 3),),
    "i,i->i": (VECTOR, VECTOR[::-1]),
    "i,i": (VECTOR, VECTOR[::-1]),
    "i,j->ij": (VECTOR, VECTOR),
    "i,j->ji": (VECTOR, VECTOR),
    ",ij->ij": (real(), MATRIX),
    ",": (real(), real()),
    "": (real(),),
    "ij,i->ij": (MATRIX, VECTOR),
    "ij,k->j": (MATRIX, real(2)),
    "ij,kl->": (MATRIX, real(2, 2)),
    "ii,i->": (SQUARE, VECTOR),
    "ii,ij->j": (SQUARE, MATRIX),
    "...ij,...jk->...ik": (BLOCK, real(4, 2)),
    "...ij,...jk": (BLOCK, real(2, 4, 2)),
    "i...->...": (BLOCK,),
    "...i->i...": (BLOCK,),
    "i...j,j...->...i": (BLOCK, real(4, 1)),
    "...,...": (BLOCK, real(3, 1)),
    "i...i->...": (real(2, 4, 2),),
    "i...,j": (MATRIX, real(2)),
    "...": (BLOCK,),
    "i,ij,j->": (VECTOR, MATRIX, real(4)),
    "ij,jk,kl->il": (MATRIX, real(4, 2), real(2, 3)),
    "ij,jk,kl,lm,mi->": (real(2, 3), real(3, 2), real(2, 3), real(3, 2), real(2, 2)),
    "i,i,i->i": (VECTOR, VECTOR, VECTOR),
    "i,i,i,i->": (VECTOR, VECTOR, VECTOR, VECTOR),
    "ab,bc,ac->abc": (real(2, 3), real(3, 2), real(2, 2)),
    "bij,bjk,k->bi": (BLOCK, real(2, 4, 3), VECTOR),
    "ij,j->i": (MATRIX, real(1)),
    "i,i->": (real(1), VECTOR),
    " i j , j -> i ": (MATRIX, real(4)),
    "aB,Bc->ca": (MATRIX, real(4, 2)),
    "Ba": (MATRIX,),
    "ij,jk->ik ": (real(0, 3), real(3, 2)),
    "ij,jk->k": (real(2, 0), real(0, 3)),
    "ii->": (real(0, 0),),
}


@pytest.mark.parametrize("subscripts", EINSUMS)
def test_einsum(subscripts):
    check_multilinear(lambda *xs: np.einsum(subscripts, *xs), *EINSUMS[subscripts])


@pytest.mark.parametrize("optimize", [False, True, "optimal", "greedy", ("greedy", 10)])
def test_einsum_in_any_order(optimize):
    args = (MATRIX, real(4, 2), real(2, 3), VECTOR)
    check_multilinear(lambda *xs: np.einsum("ij,jk,kl,l->i", *xs, optimize=optimize), *args)


def test_einsum_by_a_given_path():
    args = (MATRIX, real(4, 2), real(2, 3))
    path = np.einsum_path("ij,jk,kl->il", *args)[0]
    check_multilinear(lambda *xs: np.einsum("ij,jk,kl->il", *xs, optimize=path), *args)
    traced = []
    ad.vjp(lambda x: traced.append(np.einsum_path("ij,jk", x, args[1])[0]) or x, MATRIX)
    assert traced == [np.einsum_path("ij,jk", MATRIX, args[1])[0]]


def test_einsum_of_sublists():
    check_multilinear(lambda x, y: np.einsum(x, [0, 1], y, [1, 2], [2, 0]), MATRIX, real(4, 2))
    check_multilinear(lambda x, y: np.einsum(x, [0, 1], y, [1, 2]), MATRIX, real(4, 2))
    check_multilinear(lambda x: np.einsum(x, [0, 30, Ellipsis], [Ellipsis, 30]), BLOCK)


def test_einsum_of_complex_numbers_and_mixed_dtypes():
    check_multilinear(
        lambda *xs: np.einsum("ij,jk,k->i", *xs), complexes(2, 3), real(3, 2), real(2)
    )
    x, n = MATRIX.astype(np.float32), np.arange(4, dtype=np.int8)
    near(ad.vjp(lambda x: np.einsum("ij,j", x, n), x)[0], np.einsum("ij,j", x, n), 1e-6)
    near(ad.vjp(lambda x: np.einsum("i,i", n * (x[0] > 9), n), x)[0], np.einsum("i,i", 0 * n, n))
    near(ad.vjp(lambda x: np.einsum("ij->j", x > 0), x)[0], np.einsum("ij->j", x > 0))
    near(ad.vjp(lambda x: np.einsum("ij->j", x, dtype=float), x)[0], x.astype(float).sum(0), 1e-6)


def test_einsum_sums_early():
    """What one operand alone has is summed before the product, which then is small."""
    text = str(ad.make_graph(lambda x, y: np.einsum("ai,bi->i", x, y))(real(50, 3), real(60, 3)))
    assert "50,3,60" not in text.replace(" ", "")
    assert "[50,60" not in text
    assert text.count("reduce_sum") == 2


@st.composite
def einsums(draw):
    sizes = {label: draw(st.integers(0, 3)) for label in "abcde"}
    dots = draw(st.lists(st.integers(1, 3), max_size=2))
    terms, shapes = [], []
    for _ in range(draw(st.integers(1, 4))):
        labels = draw(st.text("abcde", max_size=4))
        shape = [
            1 if labels.count(x) == 1 and draw(st.integers(0, 5)) == 0 else sizes[x] for x in labels
        ]
        if draw(st.booleans()):
            place = draw(st.integers(0, len(labels)))
            count = draw(st.integers(0, len(dots)))
            own = [draw(st.sampled_from([1, n])) for n in dots[len(dots) - count :]]
            labels = labels[:place] + "..." + labels[place:]
            shape = shape[:place] + own + shape[place:]
        terms.append(labels)
        shapes.append(tuple(shape))
    text = ",".join(terms)
    if draw(st.booleans()):
        present = sorted(set(text) - set(",."))
        kept = draw(st.lists(st.sampled_from(present), unique=True)) if present else []
        place = draw(st.integers(0, len(kept)))
        text += "->" + "".join([*kept[:place], "..." if "..." in text else "", *kept[place:]])
    return text, shapes


@settings(max_examples=300, deadline=None)
@given(einsums())
def test_einsums_at_random(case):
    text, shapes = case
    args = [real(*shape) for shape in shapes]
    check_multilinear(lambda *xs: np.einsum(text, *xs), *args)


# Diagonals, powers, chains

LINEAR = {
    "trace": np.trace,
    "trace_offset": lambda x: np.trace(x, 1),
    "trace_below": lambda x: x.trace(-2),
    "trace_outside": lambda x: np.trace(x, 7),
    "linalg_trace": np.linalg.trace,
}


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4, 2), (0, 3)])
def test_trace(name, shape):
    check_multilinear(LINEAR[name], real(*shape))


def test_trace_of_many_axes():
    check_multilinear(lambda x: np.trace(x, 0, 2, 0), real(3, 2, 4))
    check_multilinear(lambda x: np.linalg.trace(x, offset=-1), real(3, 2, 4))
    n = np.full((3, 3), 100, np.int8)
    assert ad.vjp(lambda x: np.trace(gnp.asarray(x * 0 + n, np.int8)), 1.0)[0].dtype == int


def test_linalg_diagonal():
    check_multilinear(lambda x: np.linalg.diagonal(x, offset=1), real(2, 3, 4))


@pytest.mark.parametrize("shapes", [
    ((2, 3), (3, 4)), ((2, 3), (3, 4), (4, 2)), ((3,), (3, 4), (4, 2), (2,)), ((3,), (3, 4)),
    ((2, 3), (3, 4), (4, 2), (2, 3), (3, 1), (1, 2)), ((3,), (3,)),
])  # fmt: skip
def test_multi_dot(shapes):
    check_multilinear(lambda *xs: np.linalg.multi_dot(xs), *[real(*shape) for shape in shapes])


@pytest.mark.parametrize("n", range(8))
def test_matrix_power(n):
    x, t = real(2, 3, 3), real(2, 3, 3)
    value, dot = ad.jvp(lambda x: np.linalg.matrix_power(x, n), (x,), (t,))
    near(value, np.linalg.matrix_power(x, n))
    power = np.linalg.matrix_power
    parts = [power(x, k) @ t @ power(x, n - 1 - k) for k in range(n)]
    near(dot, sum(parts, np.zeros_like(x)))


# Norms

NORMS = {
    "euclidean": ({}, (4,)),
    "of_all": ({}, (2, 3, 2)),
    "two": ({"ord": 2}, (4,)),
    "one": ({"ord": 1}, (4,)),
    "none": ({"ord": 0}, (4,)),
    "three": ({"ord": 3}, (4,)),
    "half": ({"ord": 0.5}, (4,)),
    "minus_two": ({"ord": -2}, (4,)),
    "largest": ({"ord": np.inf}, (4,)),
    "smallest": ({"ord": -np.inf}, (4,)),
    "rows": ({"axis": 1}, (2, 3)),
    "rows_kept": ({"axis": -1, "keepdims": True}, (2, 3)),
    "all_kept": ({"keepdims": True}, (2, 3)),
    "rows_one": ({"ord": 1, "axis": 0}, (2, 3)),
    "frobenius": ({"ord": "fro"}, (2, 3)),
    "frobenius_axes": ({"axis": (0, 2)}, (2, 3, 2)),
    "columns": ({"ord": 1}, (2, 3)),
    "columns_smallest": ({"ord": -1, "axis": (2, 0)}, (2, 3, 2)),
    "rows_largest": ({"ord": np.inf, "axis": (0, 2), "keepdims": True}, (2, 3, 2)),
    "rows_smallest": ({"ord": -np.inf}, (2, 3)),
}


def check_norm(f, x):
    near(ad.vjp(f, x)[0], f(x))
    t, h = direction(x), 1e-6
    near(ad.jvp(f, (x,), (t,))[1], (f(x + h * t) - f(x - h * t)) / (2 * h), 1e-7)
    seed = real(*np.shape(f(x)))[()]

    def gradient(x):
        return ad.vjp(f, x)[1](seed)[0]

    _, product = ad.jvp(gradient, (x,), (t,))
    near(product, (gradient(x + h * t) - gradient(x - h * t)) / (2 * h), 1e-6)
    # np.vdot without conjugation: JAX's convention for complex numbers.
    near(np.sum(gradient(x) * t).real, np.sum(seed * ad.jvp(f, (x,), (t,))[1]), 1e-12)


@pytest.mark.parametrize("name", NORMS)
def test_norm(name):
    options, shape = NORMS[name]
    check_norm(lambda x: np.linalg.norm(x, **options), real(*shape))


@pytest.mark.parametrize("name", ["euclidean", "one", "three", "largest", "frobenius", "columns"])
def test_norm_of_complex_numbers(name):
    options, shape = NORMS[name]
    check_norm(lambda x: np.linalg.norm(x, **options), complexes(*shape))


def test_vector_and_matrix_norm():
    x = real(2, 3, 2)
    check_norm(np.linalg.vector_norm, x)
    check_norm(lambda x: np.linalg.vector_norm(x, axis=(0, 2), ord=3, keepdims=True), x)
    check_norm(np.linalg.matrix_norm, x)
    check_norm(lambda x: np.linalg.matrix_norm(x, ord=1, keepdims=True), x)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("order", [None, 2, 1, 3, 1.5, np.inf])
def test_norm_at_zero_has_no_gradient_and_no_finite_curvature(order, dtype):
    def f(x):
        return np.linalg.norm(x, order)

    x, v = np.zeros(3, dtype), np.array([1.0, -2.0, 0.5], dtype)
    gradient = ad.grad(f)(x)
    np.testing.assert_array_equal(gradient, 0 * x)
    assert gradient.dtype == dtype
    assert ad.jvp(f, (x,), (v,))[1] == 0
    curvature = ad.jvp(ad.grad(f), (x,), (v,))[1]
    if order in (1, np.inf):  # sums and the largest of kinks
        np.testing.assert_array_equal(curvature, 0 * x)
    else:
        assert not np.isfinite(curvature).any()
    np.testing.assert_array_equal(ad.jvp(ad.grad(f), (x,), (x,))[1], x)
    mixed = np.array([[0, 0], [3, 4]], dtype)
    rows = ad.grad(lambda x: np.linalg.norm(x, axis=1).sum())(mixed)
    np.testing.assert_allclose(rows, [[0, 0], [0.6, 0.8]], rtol=1e-6)


def test_concrete_norms_are_numpys():
    x = real(3, 3)
    assert gnp.linalg.norm(x, 2) == np.linalg.norm(x, 2)
    np.testing.assert_array_equal(gnp.linalg.matrix_power(x, -1), np.linalg.matrix_power(x, -1))


# What is refused

REFUSED = {
    "matmul_number": (lambda x: x @ 2.0, "have too few axes"),
    "matmul_shapes": (lambda x: x @ x, "axis 1 of the first has size 4 and axis 0 of the second 3"),
    "matmul_one": (lambda x: x @ x[:1], "do not match"),
    "matmul_batches": (
        lambda x: np.matmul(np.ones((2, 3, 3)), gnp.broadcast_to(x, (5, 3, 4))),
        "leading axes of shapes (2, 3, 3) and (5, 3, 4) do not broadcast",
    ),
    "dot": (lambda x: np.dot(x, x), "transpose or reshape one"),
    "tensordot": (lambda x: np.tensordot(x, x, ((0, 1), (0,))), "give as many"),
    "tensordot_axis": (lambda x: np.tensordot(x, x, ((2,), (0,))), "axis 2 is out of range"),
    "linalg_outer": (lambda x: np.linalg.outer(x, x), "give two vectors"),
    "trace": (lambda x: np.trace(x[0]), "give two axes"),
    "trace_axes": (lambda x: np.trace(x, axis1=1, axis2=-1), "names an axis twice"),
    "cross_two": (lambda x: np.cross(x[:, :2], x[:, :2]), "a[..., 0] * b[..., 1]"),
    "convolve": (lambda x: np.convolve(x, x), "give two vectors"),
    "convolve_empty": (lambda x: np.convolve(x[0], x[0, :0]), "neither empty"),
    "convolve_mode": (lambda x: np.convolve(x[0], x[0], "circular"), "'full', 'same' or 'valid'"),
    "einsum_count": (lambda x: np.einsum("ij,j", x), "names 2 operands and 1 are given"),
    "einsum_axes": (lambda x: np.einsum("ijk", x), "names 3 axes and its operand has 2"),
    "einsum_few": (lambda x: np.einsum("i", x), "names 1 axes and its operand has 2"),
    "einsum_sizes": (lambda x: np.einsum("ij,ji", x, x), "einsum: axes of sizes"),
    "einsum_square": (lambda x: np.einsum("ii", x), "einsum: a label"),
    "einsum_letters": (lambda x: np.einsum("i1", x), "may have letters"),
    "einsum_result": (lambda x: np.einsum("ij->ii", x), "a letter twice"),
    "einsum_unknown": (lambda x: np.einsum("ij->k", x), "one that no operand has"),
    "einsum_dots": (lambda x: np.einsum("i...->i", x), "write ... on the right"),
    "einsum_sublist": (lambda x: np.einsum(x, [0, 60]), "from 0 to 51"),
    "einsum_dtype": (lambda x: np.einsum("ij->j", x, dtype=int), "casting='safe'"),
    "norm_order": (lambda x: np.linalg.norm(x, 3), "no norm of matrices"),
    "norm_of_vectors": (lambda x: np.linalg.norm(x, "fro", axis=0), "no norm of vectors"),
    "norm_axes": (lambda x: np.linalg.norm(x[None], 1), "one axis for vectors"),
    "norm_empty": (lambda x: np.linalg.norm(x[0, :0], -np.inf), "not empty"),
    "matrix_norm": (lambda x: np.linalg.matrix_norm(x[0]), "no matrix"),
    "matrix_power": (lambda x: np.linalg.matrix_power(x, 2), "no square matrix"),
    "multi_dot": (lambda x: np.linalg.multi_dot([x, x]), "do not match"),
    "multi_dot_axes": (lambda x: np.linalg.multi_dot([x[None], x]), "may be vectors"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(name):
    f, message = REFUSED[name]
    with pytest.raises(errors.GpuadError) as caught:
        ad.vjp(f, MATRIX)
    assert message in str(caught.value)
