"""vmap: a function of one sample becomes a function of a batch."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuad import tree
from gpuad.api.arguments import checked_budget, checked_count, extended
from gpuad.api.recording import (
    Arguments,
    Hidden,
    argument_paths,
    check_array,
    check_callable,
    function_name,
    leaf_aval,
    record,
)
from gpuad.compile import execute
from gpuad.errors import ArgumentError, MemoryLimitError
from gpuad.ir.aval import Aval
from gpuad.ir.graph import calls_user
from gpuad.tracing import is_array
from gpuad.tracing.arrays import namespace_of_all
from gpuad.tracing.registry import OPERATIONS
from gpuad.transforms.vmap import vmap as vmap_


def vmap(
    function: Callable[..., Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_size: int | None = None,
    chunk_size: int | None = None,
    max_bytes: int | None = None,
) -> Callable[..., Any]:
    """A function that applies `function` along an axis of its arguments: ``y[i] = function(x[i])``.

    Parameters
    ----------
    function
        A function of one sample: arrays or pytrees of arrays.
    in_axes
        The axis of the samples in each argument: one int for all, or a tuple with an entry for
        each argument, which may be a pytree; None: the argument is the same for all samples.
        Keyword arguments are mapped along axis 0.
    out_axes
        Where the axis goes in each result; None for a result that is the same for all samples.
    axis_size
        The number of samples, where no argument has them.
    chunk_size
        At most so many samples at a time, to hold the memory of intermediate values down.
    max_bytes
        The most memory to take beside the arguments. The batch is then compiled and run as by
        `jit` with this limit, of which the outermost counts inside another transform; where
        library calls do not fit, as those of linear algebra, in chunks. Not together with
        `chunk_size`.

    Returns
    -------
    callable
        A function of the same arguments, each with the axis of samples more. Its results have the
        shapes of `function`'s with that axis more, and their dtypes.

    Raises
    ------
    ArgumentError
        If the axes do not exist or have different sizes, if an argument that is mapped or a result
        has a leaf that is not an array, or if both `chunk_size` and `max_bytes` are given.
    UnknownValueError
        If `function` asks for the value of a sample, as ``if x > 0:`` does.
    MemoryLimitError
        If `max_bytes` is too little.
    GpuadError
        If `function` does what cannot be recorded; the docstring of `gpuad` lists the cases.

    Notes
    -----
    Each operation is recorded once and computed for all samples together; there is no loop over
    them (but `external` calls its function for each sample, unless it is ``vectorized``).

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> rows = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> ad.vmap(ad.grad(lambda x: x[0] * x[1]))(rows)
    array([[2., 1.],
           [4., 3.]])
    """
    check_callable(function, "vmap")
    _check_axes(in_axes, "in_axes")
    _check_axes(out_axes, "out_axes")
    budget = checked_budget(max_bytes, "vmap")
    chunk_size = checked_count(chunk_size, "chunk_size", "vmap")
    axis_size = checked_count(axis_size, "axis_size", "vmap", least=0)
    if chunk_size is not None and budget is not None:
        raise ArgumentError(
            "vmap: chunk_size and max_bytes both say how many samples to take at a time; give one."
        )

    @functools.wraps(function)
    def batched(*args: Any, **kwargs: Any) -> Any:
        leaves, treedef = tree.flatten((args, kwargs))
        axes = _leaf_axes(in_axes, args, kwargs)
        paths = argument_paths(function, args, kwargs)
        size = _size(leaves, axes, paths, axis_size)
        moved = [
            x if axis is None else _axis_first(x, axis)
            for x, axis in zip(leaves, axes, strict=True)
        ]
        mapped = [axis is not None for axis in axes]
        traced = [on or is_array(x) for x, on in zip(moved, mapped, strict=True)]
        avals = [
            Aval(leaf_aval(x).shape[1:], leaf_aval(x).dtype) if on else None
            for x, on in zip(moved, mapped, strict=True)
        ]
        recorded = record(
            function, Arguments(moved, treedef, traced), hidden=Hidden("vmap", mapped, avals)
        )
        operands = [(x, on) for x, on, kept in zip(moved, mapped, traced, strict=True) if kept]
        out_axis = _out_axes(out_axes, recorded.out_tree, recorded.graph.out_avals, function)
        results = _run(recorded, operands, size, chunk_size, out_axis, budget)
        return tree.unflatten(recorded.out_tree, results)

    return batched


def _check_axes(axes: Any, name: str) -> None:
    """Refuses an entry of ``in_axes`` or ``out_axes`` that is not an axis."""
    axes = axes if isinstance(axes, tuple | list) else (axes,)
    for axis, path in zip(tree.flatten(axes)[0], tree.paths(axes, name), strict=True):
        if not isinstance(axis, int | np.integer) or isinstance(axis, bool):
            raise ArgumentError(
                f"vmap: {path} has {axis!r:.40}; give an axis (an int), None, or a pytree of them."
            )


def _leaf_axes(in_axes: Any, args: Any, kwargs: Any) -> list[int | None]:
    """The axis of samples in each leaf of the arguments; None: it has none."""
    if isinstance(in_axes, list):
        in_axes = tuple(in_axes)
    if isinstance(in_axes, tuple) and len(in_axes) != len(args):
        raise ArgumentError(
            f"vmap: in_axes has {len(in_axes)} entries and the function was called with "
            f"{len(args)} positional arguments; give one entry for each, or one int for all."
        )
    per_argument = in_axes if isinstance(in_axes, tuple) else (in_axes,) * len(args)
    axes: list[int | None] = []
    for i, (spec, x) in enumerate(zip(per_argument, args, strict=True)):
        axes += _spread(spec, x, f"in_axes[{i}]")
    leaves, _ = tree.flatten(kwargs)
    return axes + [0] * len(leaves)


def _spread(spec: Any, x: Any, name: str, of: str = "the argument") -> list[int | None]:
    """The axis of each leaf of `x`, from an int, None, or a pytree of them."""
    leaves, _ = tree.flatten(x)
    if spec is None or isinstance(spec, int | np.integer):
        return [None if spec is None else int(spec)] * len(leaves)
    return tree.flatten_up_to(spec, x, f"vmap: {name}", of, spread=True)


def _size(
    leaves: Sequence[Any], axes: Sequence[int | None], paths: Sequence[str], size: int | None
) -> int:
    """The number of samples, the same in all arguments and in `size`, if that is given."""
    source = "axis_size"
    for x, axis, path in zip(leaves, axes, paths, strict=True):
        if axis is None:
            continue
        check_array(x, path, "vmap")
        shape = leaf_aval(x, path).shape
        if not -len(shape) <= axis < len(shape):
            of_list = "np.array([...]) for a list of numbers, and " * path.endswith("]")
            raise ArgumentError(
                f"vmap: {path} has shape {shape} and no axis {axis}; give {of_list}in_axes=None "
                "for an argument that is the same for all samples."
            )
        if size is not None and shape[axis] != size:
            raise ArgumentError(
                f"vmap: {path} has {shape[axis]} samples along axis {axis} and {source} has {size}."
                " Give arrays with the same number of samples, or None in in_axes."
            )
        size, source = shape[axis], path
    if size is None:
        raise ArgumentError(
            "vmap: no argument has an axis of samples; give axis_size=, or an in_axes that is not "
            "None."
        )
    return size


def _axis_first(x: Any, axis: int) -> Any:
    return x if axis == 0 else OPERATIONS["moveaxis"](x, axis, 0)


def _out_axes(
    out_axes: Any, out_tree: tree.TreeDef, avals: Sequence[Aval], function: Any
) -> list[int | None]:
    placeholder = tree.unflatten(out_tree, [0] * out_tree.num_leaves)
    if isinstance(out_axes, list):
        out_axes = tuple(out_axes)
    name = function_name(function)
    axes = _spread(out_axes, placeholder, f"out_axes of {name}", "the result")
    for axis, aval in zip(axes, avals, strict=True):
        if axis is not None and not -aval.ndim - 1 <= axis <= aval.ndim:
            raise ArgumentError(
                f"vmap: out_axes has {axis} for a result of {name} of shape {aval.shape}, which "
                f"has {aval.ndim + 1} axes with that of the samples; give {-aval.ndim - 1} to "
                f"{aval.ndim}."
            )
    return axes


def _run(
    recorded: Any, operands: list[tuple[Any, bool]], size: int, chunk_size: int | None,
    out_axes: list[int | None], max_bytes: int | None,
) -> list[Any]:  # fmt: skip
    """The batched results, computed chunk by chunk; an operand comes with whether it is mapped."""
    try:
        results = _in_chunks(recorded, operands, size, chunk_size, out_axes, max_bytes)
    except MemoryLimitError:
        if max_bytes is None:  # the user's function has a limit of its own
            raise
        found = _within(recorded, operands, size, out_axes, max_bytes)
        if found is None:
            raise
        results = found
    return [
        x if axis in (None, 0) else OPERATIONS["moveaxis"](x, 0, axis)
        for x, axis in zip(results, out_axes, strict=True)
    ]


def _in_chunks(
    recorded: Any, operands: list[tuple[Any, bool]], size: int, chunk_size: int | None,
    out_axes: list[int | None], max_bytes: int | None,
) -> list[Any]:  # fmt: skip
    step = min(size, chunk_size or size) or 1
    parts = [
        _one_chunk(recorded, operands, (start, min(start + step, size)), out_axes, max_bytes)
        for start in range(0, max(size, 1), step)
    ]
    if len(parts) == 1:
        return parts[0]
    return [
        part[0] if axis is None else OPERATIONS["concatenate"](list(part), 0)
        for part, axis in zip(zip(*parts, strict=True), out_axes, strict=True)
    ]


def _within(
    recorded: Any, operands: list[tuple[Any, bool]], size: int, out_axes: list[int | None],
    max_bytes: int,
) -> list[Any] | None:  # fmt: skip
    """The results by the longest chunks (of those halved from all samples) that fit beside the
    results of all; None if not even one sample does.

    All chunks have the same length, so that they use the same memory: the last one begins among the
    samples of the one before it, unless that would call a function of the user's for them again.
    """
    avals = recorded.graph.out_avals
    whole = sum([a.nbytes for a, axis in zip(avals, out_axes, strict=True) if axis is not None])
    left = max_bytes - size * whole
    step = size
    while step > 1 and left > 0:
        step = -(-step // 2)
        try:
            part = _one_chunk(recorded, operands, (0, step), out_axes, left)
        except MemoryLimitError:
            continue
        xp = namespace_of_all(part)
        results = [
            x if axis is None else xp.empty((size, *x.shape[1:]), x.dtype)
            for x, axis in zip(part, out_axes, strict=True)
        ]
        _store(results, part, slice(0, step), out_axes)
        del part
        for start in range(step, size, step):
            stop = min(start + step, size)
            rows = (start if calls_user(recorded.graph) else stop - step, stop)
            _store(results, _one_chunk(recorded, operands, rows, out_axes, left), slice(*rows),
                   out_axes)  # fmt: skip
        return results
    return None


def _store(results: list[Any], part: list[Any], rows: slice, out_axes: list[int | None]) -> None:
    for x, y, axis in zip(results, part, out_axes, strict=True):
        if axis is not None:
            x[rows] = y


def _one_chunk(
    recorded: Any, operands: list[tuple[Any, bool]], rows: tuple[int, int],
    out_axes: list[int | None], max_bytes: int | None,
) -> list[Any]:  # fmt: skip
    """The results for the samples from `rows[0]` to `rows[1]`."""
    start, stop = rows
    size = stop - start
    values = [x if not on or len(x) == size else x[start:stop] for x, on in operands]
    flags = extended([on for _, on in operands], recorded)
    spread = tuple([axis is not None for axis in out_axes])
    graph, out_mapped = vmap_(recorded.graph, size, flags, spread)
    if out_mapped != spread:
        raise ArgumentError(
            f"vmap: out_axes has None for a result of {recorded.graph.name} that differs between "
            "samples; give the axis that the samples have in it."
        )
    return execute(graph, [*values, *recorded.captured], max_bytes)
