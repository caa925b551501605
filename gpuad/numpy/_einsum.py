"""Contractions by labels: what einsum and the batched products are made of."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError
from gpuad.ir.graph import Atom
from gpuad.primitives import elementwise as ew
from gpuad.primitives import structure
from gpuad.primitives.contraction import dot_general
from gpuad.primitives.reduction import reduce_sum

Labels = tuple[int, ...]
"""The names of an operand's axes: equal labels are multiplied together. Those below zero are the
axes of an ellipsis."""

Term = tuple[Atom, Labels]


def contract(operands: Sequence[Atom], terms: Sequence[Labels], output: Labels, path: Any) -> Atom:
    """The sum of products of the operands over every label that `output` does not have.

    `path` lists, step by step, which of the remaining operands to multiply, as `numpy.einsum_path`
    does. An axis of size 1 is repeated where its label is longer elsewhere. What occurs in one
    operand only is summed before it is multiplied.
    """
    waiting = [_diagonals(v, labels) for v, labels in zip(operands, terms, strict=True)]
    sizes = _sizes(waiting)
    waiting = [_dropped(term, sizes) for term in waiting]
    for step in path:
        taken = [waiting[i] for i in step]
        waiting = [t for i, t in enumerate(waiting) if i not in step]
        needed = {label for _, labels in waiting for label in labels}.union(output)
        while len(taken) > 1:
            *taken, x, y = taken
            later = needed.union(*[labels for _, labels in taken])
            taken.append(
                _product(_summed(x, later.union(y[1])), _summed(y, later.union(x[1])), later)
            )
        waiting.append(_summed(taken[0], needed))
    ((result, labels),) = waiting
    return structure.transpose(result, tuple([labels.index(label) for label in output]))


def _sizes(terms: Sequence[Term]) -> dict[int, int]:
    sizes: dict[int, int] = {}
    for v, labels in terms:
        for n, label in zip(v.aval.shape, labels, strict=True):
            if n != 1 or label not in sizes:
                if sizes.get(label, 1) not in (1, n):
                    shapes = ", ".join([str(v.aval.shape) for v, _ in terms])
                    raise ArgumentError(
                        f"einsum: axes of sizes {sizes[label]} and {n} are to be multiplied "
                        f"together, in operands of shapes {shapes}; "
                        "give axes of one size (or of size 1) wherever a label stands."
                    )
                sizes[label] = n
    return sizes


def _diagonals(v: Atom, labels: Labels) -> Term:
    """The diagonal along every label that stands twice in the operand."""
    for label in labels:
        while labels.count(label) > 1:
            i, j = [k for k, other in enumerate(labels) if other == label][:2]
            if v.aval.shape[i] != v.aval.shape[j]:
                raise ArgumentError(
                    f"einsum: a label that stands twice in an operand of shape {v.aval.shape} "
                    f"has sizes {v.aval.shape[i]} and {v.aval.shape[j]}; give a square."
                )
            v = structure.diagonal(v, 0, i, j)
            labels = (*[x for k, x in enumerate(labels) if k not in (i, j)], label)
    return v, labels


def _dropped(term: Term, sizes: dict[int, int]) -> Term:
    """The operand without its axes of size 1 that other operands have longer."""
    v, labels = term
    kept = [k for k, label in enumerate(labels) if v.aval.shape[k] == sizes[label]]
    if len(kept) == len(labels):
        return term
    shape = tuple([v.aval.shape[k] for k in kept])
    return structure.reshape(v, shape), tuple([labels[k] for k in kept])


def _summed(term: Term, needed: set[int]) -> Term:
    """The operand summed over the labels that are not needed any more."""
    v, labels = term
    axes = tuple([k for k, label in enumerate(labels) if label not in needed])
    if not axes:
        return term
    return reduce_sum(v, axes=axes), tuple([x for x in labels if x in needed])


def _product(x: Term, y: Term, needed: set[int]) -> Term:
    """Two operands multiplied, and summed over the labels that both have and nothing needs."""
    (v, x_labels), (w, y_labels) = x, y
    shared = [label for label in x_labels if label in y_labels]
    batch = [label for label in shared if label in needed]
    if x_labels == y_labels and len(batch) == len(shared):
        return ew.mul(v, w), x_labels
    summed = [label for label in shared if label not in needed]
    out = dot_general(
        v,
        w,
        contract=(_places(x_labels, summed), _places(y_labels, summed)),
        batch=(_places(x_labels, batch), _places(y_labels, batch)),
    )
    free = [label for label in (*x_labels, *y_labels) if label not in shared]
    return out, (*batch, *free)


def _places(labels: Labels, chosen: Sequence[int]) -> tuple[int, ...]:
    return tuple([labels.index(label) for label in chosen])


# The notation of einsum


def parse(subscripts: str, shapes: Sequence[tuple[int, ...]]) -> tuple[list[Labels], Labels]:
    """The labels of the operands and of the result."""
    text, arrow, result = subscripts.replace(" ", "").partition("->")
    parts = text.split(",")
    if len(parts) != len(shapes):
        raise ArgumentError(
            f"einsum: {subscripts!r} names {len(parts)} operands and {len(shapes)} are given; "
            "give one group of letters for each."
        )
    terms = [
        _labels(part, len(shape), subscripts) for part, shape in zip(parts, shapes, strict=True)
    ]
    hidden = sorted({label for term in terms for label in term if label < 0})
    if not arrow:
        once = [x for t in terms for x in t]
        return terms, (*hidden, *sorted([x for x in set(once) if x >= 0 and once.count(x) == 1]))
    if hidden and "..." not in result:
        raise ArgumentError(
            f"einsum: {subscripts!r} has an ellipsis whose axes the result does not name; "
            "write ... on the right of the arrow too."
        )
    output = _labels(result, len(result.replace("...", "")) + len(hidden), subscripts)
    missing = [chr(x) for x in output if not any(x in term for term in terms)]
    if missing or len(set(output)) != len(output):
        raise ArgumentError(
            f"einsum: the result of {subscripts!r} has a letter twice, or one that no operand has; "
            "name each letter once, and only letters of the operands."
        )
    return terms, output


def _labels(part: str, ndim: int, subscripts: str) -> Labels:
    before, dots, after = part.partition("...")
    letters = before + after
    if not all(c.isalpha() and c.isascii() for c in letters):
        raise ArgumentError(
            f"einsum: {subscripts!r} may have letters, commas, one '...' in a group, and '->'."
        )
    count = ndim - len(letters)
    if count < 0 or (count and not dots):
        raise ArgumentError(
            f"einsum: {part!r} in {subscripts!r} names {len(letters)} axes and its operand has "
            f"{ndim}; give one letter for each axis, or '...' for the rest."
        )
    return (*map(ord, before), *range(-count, 0), *map(ord, after))


def letters_of(sublist: Sequence[Any]) -> str:
    """``[0, Ellipsis, 1]`` as ``"A...B"``."""
    return "".join(["..." if x is Ellipsis else _letter(x) for x in sublist])


def _letter(index: Any) -> str:
    if not 0 <= index < 52:
        raise ArgumentError(f"einsum: axis number {index} in a sublist; give numbers from 0 to 51.")
    return chr(ord("A") + index) if index < 26 else chr(ord("a") + index - 26)


# The order of contraction

MOST_OPTIMAL = 5
"""The most operands for which the best of all orders is looked for (the search is exponential)."""


@functools.lru_cache(maxsize=512)
def contraction_path(
    subscripts: str, shapes: tuple[tuple[int, ...], ...], optimize: Any
) -> tuple[tuple[int, ...], ...]:
    """Which operands to multiply one after the other, found from shapes alone."""
    if len(shapes) <= 2:
        return (tuple(range(len(shapes))),)
    if optimize in (True, False, None):
        optimize = "optimal" if len(shapes) <= MOST_OPTIMAL else "greedy"
    operands = [np.broadcast_to(np.empty(()), shape) for shape in shapes]
    path, _ = np.einsum_path(subscripts, *operands, optimize=optimize)
    return tuple(path[1:])
