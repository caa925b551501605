"""Pytrees, on optree: the structures in which functions take and return arrays.

``None`` is an empty subtree, as in JAX, except where a function says that it stands for "held
constant" (`flatten_up_to`).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import optree

from gpuad.errors import ArgumentError

TreeDef = optree.PyTreeSpec

_NAMESPACE = "gpuad"


def flatten(tree: Any) -> tuple[list[Any], TreeDef]:
    """The leaves of `tree` and its structure."""
    return optree.tree_flatten(tree, namespace=_NAMESPACE)


def unflatten(treedef: TreeDef, leaves: Sequence[Any]) -> Any:
    """The tree of structure `treedef` with these leaves."""
    return optree.tree_unflatten(treedef, leaves)


def map(function: Callable, tree: Any, *rests: Any) -> Any:
    """`function` of each leaf (and the leaves of `rests` beside it), in the structure of `tree`."""
    return optree.tree_map(function, tree, *rests, namespace=_NAMESPACE)


def paths(tree: Any, name: str = "") -> list[str]:
    """How a user writes each leaf: ``name[0]['w']``."""
    accessors = optree.tree_accessors(tree, namespace=_NAMESPACE)
    return [accessor.codify(name) for accessor in accessors]


class Leaf:
    """Stands for an array in a printed structure."""

    def __repr__(self) -> str:
        return "*"


def shown(treedef: TreeDef) -> str:
    """A structure as a user writes it, a star for each leaf: ``{'w': *, 'b': *}``."""
    return repr(unflatten(treedef, [Leaf()] * treedef.num_leaves))


def _of_lists(given: Any, wanted: Any) -> str:
    """What to add where a list is given for an array."""
    if isinstance(given, list | tuple) and is_leaf(wanted):
        return "; a list is a tree of its entries, and np.array([...]) an array"
    return ""


def flatten_up_to(prefix: Any, tree: Any, name: str, like: str, spread: bool = False) -> list[Any]:
    """The leaves of `prefix`, which has the structure of `tree` but may have None for a subtree.

    Returns a list with an entry for each leaf of `tree`, None where `prefix` has None. With
    `spread`, a leaf of `prefix` may also stand for a subtree: it is the entry of each leaf there.

    Raises
    ------
    ArgumentError
        If the structures differ; `name` and `like` are what a user calls the two.
    """
    expanded: list[Any] = []
    if not _expand(prefix, tree, spread, expanded):
        found, wanted = [shown(structure(x)) for x in (prefix, tree)]
        several = structure(tree).num_leaves
        if is_leaf(prefix) and several > 1:
            raise ArgumentError(
                f"{name} has one array where {like} has {several}. "
                "Give the same tuples, lists and dicts."
            )
        raise ArgumentError(
            f"{name} has the structure {found}, and {like} {wanted} (* is an "
            "array). Give the same tuples, lists and dicts, or None for a whole part"
            f"{_of_lists(prefix, tree)}."
        )
    return expanded


def structure(tree: Any) -> TreeDef:
    return optree.tree_structure(tree, namespace=_NAMESPACE)


def metadata(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The data that containers hold beside their children, each with the path of its container.

    Tuples, lists and dicts hold none.
    """
    if tree is None or is_leaf(tree):
        return
    children, data, entries = _one_level(tree)
    if type(tree) not in (tuple, list, dict):
        yield name, data
    for child, entry in zip(children, entries, strict=True):
        if not is_leaf(child):
            yield from metadata(child, f"{name}[{entry!r}]")


def _one_level(tree: Any) -> tuple[Any, Any, Any]:
    """The children of a container, its other data, and the keys or positions of the children."""
    return optree.tree_flatten_one_level(tree, namespace=_NAMESPACE)[:3]


def is_leaf(tree: Any) -> bool:
    """Whether `tree` is a single leaf; None is not."""
    return optree.tree_is_leaf(tree, namespace=_NAMESPACE)


def _expand(prefix: Any, tree: Any, spread: bool, expanded: list[Any]) -> bool:
    """Adds the entry of `prefix` for each leaf of `tree` to `expanded`; False if they differ."""
    if prefix is None or is_leaf(prefix):
        count = structure(tree).num_leaves
        expanded += [prefix] * count
        return prefix is None or spread or is_leaf(tree)
    if tree is None or is_leaf(tree):
        return False
    pairs = _pairs(prefix, tree, spread)
    if pairs is None:
        return False
    return all(_expand(p, t, spread, expanded) for p, t in pairs)


def _pairs(prefix: Any, tree: Any, spread: bool) -> list[tuple[Any, Any]] | None:
    """The children of two containers in pairs; None if the containers differ."""
    if spread and isinstance(prefix, dict) and isinstance(tree, dict):
        keys = _one_level(tree)[2]
        return [(prefix[k], tree[k]) for k in keys] if prefix.keys() == tree.keys() else None
    mine, theirs = _one_level(prefix), _one_level(tree)
    alike = type(prefix) is type(tree) and len(mine[0]) == len(theirs[0])
    if not alike or mine[1] != theirs[1]:
        return None
    return list(zip(mine[0], theirs[0], strict=True))
