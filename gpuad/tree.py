"""Pytrees, on optree: the structures in which functions take and return arrays.

``None`` is an empty subtree, as in JAX, except where a function says that it stands for "held
constant" (`flatten_up_to`).
"""

from collections.abc import Callable, Sequence
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


def flatten_up_to(prefix: Any, tree: Any, name: str, like: str) -> tuple[list[Any], list[int]]:
    """The leaves of `prefix`, which has the structure of `tree` but may have None for a subtree.

    Returns a list as long as the leaves of `tree`, None where `prefix` had it.
    """
    leaves, treedef = flatten(tree)
    prefix_leaves, prefix_def = optree.tree_flatten(prefix, none_is_leaf=True, namespace=_NAMESPACE)
    tree_none = optree.tree_structure(tree, none_is_leaf=True, namespace=_NAMESPACE)
    try:
        groups = prefix_def.flatten_up_to(
            optree.tree_unflatten(tree_none, range(tree_none.num_leaves))
        )
    except ValueError as error:
        raise ArgumentError(
            f"{name} has the structure {shown(prefix_def)}, and {like} {shown(treedef)} (* is an "
            "array). Give the same tuples, lists and dicts, or None for a whole part."
        ) from error
    expanded: list[Any] = []
    counts: list[int] = []
    for leaf, group in zip(prefix_leaves, groups, strict=True):
        count = optree.tree_structure(group, namespace=_NAMESPACE).num_leaves
        if leaf is not None and count != 1:
            raise ArgumentError(
                f"{name} has one array where {like} has {count}. "
                "Give the same tuples, lists and dicts."
            )
        expanded += [leaf] * count
        counts.append(count)
    # None leaves of `tree` itself are no arrays: drop what stands for them.
    none_leaves = optree.tree_leaves(tree, none_is_leaf=True, namespace=_NAMESPACE)
    kept = [
        leaf for leaf, original in zip(expanded, none_leaves, strict=True) if original is not None
    ]
    assert len(kept) == len(leaves)
    return kept, counts
