"""The fast path of `jit`: a call like an earlier one goes to compiled functions directly."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gpuad import tree
from gpuad.api.recording import Recorded
from gpuad.executors.protocols import Prepared
from gpuad.tracing.arrays import fingerprint
from gpuad.tracing.trace import check_unchanged


class Captured:
    """The arrays that a function captured when it was recorded, checked for changes in place."""

    def __init__(self, arrays: Sequence[Any], name: str):
        self.arrays = list(arrays)
        self._name = name
        self._fingerprints = [(x, fingerprint(x)) for x in arrays]

    def checked(self) -> list[Any]:
        """The arrays. Raises `InPlaceError` if one was changed since."""
        for x, before in self._fingerprints:
            check_unchanged(x, before, self._name)
        return self.arrays


class FastPath:
    """One signature of a jitted function, and the compiled functions that a call of it comes to.

    The first call of a signature records, plans, compiles and runs; then `fast_path` builds this,
    once. Later calls try it first. Where it does not apply it returns None, and the call is checked
    and run in full. It applies to calls

    - whose arguments have the tree of the first call; static arguments are no part of that tree,
      and `Jitted` looks up the path by them;
    - whose leaves are NumPy arrays of its shapes and dtypes, and floats where it had floats;
    - whose arrays lie in memory as the compiled functions read them: those that `Prepared.dense`
      names in C order and aligned.

    Nothing else decides this. With or without it, captured arrays must be as they were recorded.
    The code is written out, without helper functions, since for small arrays its time is most of
    the time of a call.

    Attributes
    ----------
    out_tree
        The structure of the results.
    one_result : bool
        Whether that is a single array.
    """

    def __init__(
        self, treedef: tree.TreeDef, leaves: Sequence[Any], captured: Captured, prepared: Prepared,
        out_tree: tree.TreeDef,
    ):  # fmt: skip
        self._treedef = treedef
        self._flat = treedef == tree.structure((tuple(leaves), {}))
        self._like = [
            None if type(x) is float else (x.shape, x.dtype, i in prepared.dense)
            for i, x in enumerate(leaves)
        ]
        self._floats = [i for i, like in enumerate(self._like) if like is None]
        self._captured = captured if captured.arrays else None
        self._run = prepared.run
        self.out_tree = out_tree
        self.one_result = out_tree.is_leaf()

    def __call__(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any] | None:
        """The results of a call without static arguments, or None."""
        if self._flat:
            # Each argument is a leaf: `tree.flatten` would take as long as all else here.
            return None if kwargs or len(args) != len(self._like) else self.of_leaves(args)
        leaves, treedef = tree.flatten((args, kwargs))
        return self.of_leaves(leaves) if treedef == self._treedef else None

    def of_leaves(self, leaves: Sequence[Any]) -> list[Any] | None:
        """The results for the leaves of arguments that have the tree; or None."""
        for x, like in zip(leaves, self._like, strict=True):
            if like is None:
                if type(x) is not float:
                    return None
                continue
            shape, dtype, dense = like
            if type(x) is not np.ndarray or x.shape != shape or x.dtype != dtype:
                return None
            if dense:
                flags = x.flags
                if not (flags.c_contiguous and flags.aligned):
                    return None
        if self._floats:
            leaves = list(leaves)
            for i in self._floats:
                leaves[i] = np.float64(leaves[i])
        if self._captured is not None:
            leaves = [*leaves, *self._captured.checked()]
        return self._run(leaves)


def fast_path(
    recorded: Recorded, treedef: tree.TreeDef, leaves: Sequence[Any], captured: Captured,
    prepared: Prepared | None,
) -> FastPath | None:  # fmt: skip
    """The fast path of a signature that has been run with these leaves; None if it has none.

    It has one if the CPU has compiled it, for NumPy arrays in the byte order of the machine and
    floats, and if captured arrays lie as they are read.
    """
    if prepared is None:
        return None
    given = [*[x for x in leaves if type(x) is not float], *captured.arrays]
    if not all(type(x) is np.ndarray and x.dtype.isnative for x in given):
        return None
    as_read = [captured.arrays[i - len(leaves)] for i in prepared.dense if i >= len(leaves)]
    if not all(x.flags.c_contiguous and x.flags.aligned for x in as_read):
        return None
    return FastPath(treedef, leaves, captured, prepared, recorded.out_tree)
