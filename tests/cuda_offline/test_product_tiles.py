"""How the threads of a block share a matrix of products."""

import itertools

import pytest

from gpuad.codegen.cuda.product_tiles import LARGEST, best_tiles

SIZES = [(32, 32), (24, 32), (64, 64), (500, 10), (1024, 10), (9, 911), (33, 33), (13, 17), (1, 5)]


def covered(side):
    """How often the tiles of a side have each of its elements."""
    found = [0] * side.size
    for number, k in itertools.product(range(side.count), range(side.tile)):
        element = number * side.step + side.offset(k)
        if element < side.size:
            found[element] += 1
    return found


@pytest.mark.parametrize("sizes", SIZES)
def test_tiles_have_each_product_once(sizes):
    tiles = best_tiles(sizes, (4, 2), 128, 32, LARGEST)
    assert (tiles.x.size, tiles.y.size) == sizes
    assert tiles.x.count * tiles.y.count <= tiles.threads
    assert tiles.threads in (32, 128)
    for side in (tiles.x, tiles.y):
        assert covered(side) == [1] * side.size
        vectors = [*side.vectors()]
        assert [k for first, n in vectors for k in range(first, first + n)] == [*range(side.tile)]
        for number, (k, n) in itertools.product(range(side.count), vectors):
            place = number * side.step + side.offset(k)
            assert n == 1 or place % n == 0
            assert [side.offset(k + j) for j in range(n)] == [side.offset(k) + j for j in range(n)]


def test_warps_share_small_matrices_with_larger_tiles():
    tiles = best_tiles((32, 32), (4, 4), 128, 32, LARGEST)
    assert tiles.threads == 32
    assert sorted(tiles.tile) == [4, 8]


def test_there_are_matrices_that_are_too_large():
    assert best_tiles((200, 100), (4, 4), 128, 32, LARGEST) is None
