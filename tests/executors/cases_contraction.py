"""Cases of the contraction primitives."""

import numpy as np

from executors.case import Case
from gpuad.primitives import contraction as c

_draw = np.random.default_rng(2)


def _real(*shape):
    return _draw.uniform(-1.0, 1.0, shape)


def _complex(*shape):
    return _draw.normal(size=shape) + 1j * _draw.normal(size=shape)


def _dot(name, terms, x, y):
    """A dot_general written as an einsum whose result has batch, x's free and y's free axes."""
    operands, result = terms.split("->")
    left, right = operands.split(",")
    shared = [label for label in left if label in right]
    batch = [label for label in shared if label in result]
    contract = [label for label in shared if label not in result]
    free = [label for label in left + right if label not in shared]
    assert list(result) == batch + free

    def places(labels):
        return tuple([tuple([term.index(label) for label in labels]) for term in (left, right)])

    params = {"contract": places(contract), "batch": places(batch)}
    return Case(c.dot_general, (x, y), params, lambda x, y: np.einsum(terms, x, y), f"dot-{name}")


def _kept(name, dot):
    """The same with marks beside its operands."""
    x, y = dot.operands
    marks = _draw.random(x.shape) < 2, _draw.random(y.shape) < 2
    return Case(
        c.dot_kept, (*marks, x, y), dot.params, lambda m, n, x, y: dot.expected(x, y),
        f"dot_kept-{name}",
    )  # fmt: skip


def _rows(function):
    return lambda x, y: np.stack([function(a, b) for a, b in zip(x, y, strict=True)])


CASES = [
    _dot("vectors", "k,k->", _real(4), _real(4)),
    _dot("matrix_vector", "ik,k->i", _real(3, 4), _real(4)),
    _dot("vector_matrix", "k,kj->j", _real(4), _real(4, 3)),
    _dot("matrices", "ik,kj->ij", _real(2, 3), _real(3, 4)),
    _dot("first_transposed", "ki,kj->ij", _real(3, 2), _real(3, 4)),
    _dot("second_transposed", "ik,jk->ij", _real(2, 3), _real(4, 3)),
    _dot("both_transposed", "ki,jk->ij", _real(3, 2), _real(4, 3)),
    _dot("strided", "ik,kj->ij", _real(4, 6)[::2, ::2], _real(4, 3).T[:, ::-1][:, :4]),
    _dot("outer", "i,jk->ijk", _real(3), _real(2, 4)),
    _dot("numbers", ",->", _real(), _real()),
    _dot("two_contracted", "aibj,bka->ijk", _real(2, 3, 4, 2), _real(4, 2, 2)),
    _dot("contracted_out_of_order", "abi,bja->ij", _real(2, 3, 2), _real(3, 4, 2)),
    _dot("batch", "bik,bkj->bij", _real(2, 3, 4), _real(2, 4, 2)),
    _dot("batch_behind", "ikb,kjb->bij", _real(3, 4, 2), _real(4, 2, 2)),
    _dot("batch_of_vectors", "bk,bk->b", _real(3, 4), _real(3, 4)),
    _dot("batch_matrix_vector", "bik,kb->bi", _real(2, 3, 4), _real(4, 2)),
    _dot("two_batch_two_contracted", "iakbl,blak->abi", _real(2, 3, 2, 2, 3), _real(2, 3, 3, 2)),
    _dot("batch_outer", "bi,bj->bij", _real(2, 3), _real(2, 4)),
    _dot("batch_only", "ab,ba->ab", _real(2, 3), _real(3, 2)),
    _dot("nothing_contracted", "ik,kj->ij", _real(2, 0), _real(0, 3)),
    _dot("empty_batch", "bik,bkj->bij", _real(0, 2, 3), _real(0, 3, 2)),
    _dot("empty_result", "ki,kj->ij", _real(3, 0), _real(3, 2)),
    _dot("complex", "ik,kj->ij", _complex(2, 3), _complex(3, 2)),
    _dot("complex_batch", "bik,bk->bi", _complex(2, 3, 2), _complex(2, 2)),
    _dot("integers", "ik,kj->ij", _draw.integers(-9, 9, (2, 3)), _draw.integers(-9, 9, (3, 4))),
    _dot("integer_batch", "bk,bk->b", *_draw.integers(-9, 9, (2, 3, 4))),
    _dot("small_integers", "ik,k->i", np.full((2, 3), 100, np.int8), np.full(3, 2, np.int8)),
    _dot("booleans", "ik,kj->ij", _real(2, 3) > 0, _real(3, 4) > 0),
    _dot("boolean_outer", "i,j->ij", _real(2) > 0, _real(3) > 0),
    _kept("matrices", _dot("", "ik,kj->ij", _real(2, 3), _real(3, 4))),
    _kept("batch", _dot("", "bik,kb->bi", _real(2, 3, 4), _real(4, 2))),
    _kept("outer", _dot("", "i,jk->ijk", _real(3), _real(2, 4))),
]
