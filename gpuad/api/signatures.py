"""What a recording of `jit` depends on, and messages about what has changed."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gpuad import tree
from gpuad.api.recording import argument_names
from gpuad.tracing import Tracer, is_array, namespace_of
from gpuad.tracing.arrays import is_number, number_dtype
from gpuad.tracing.devices import device_of

Key = tuple[tree.TreeDef, tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]]
"""The tree of the arguments, the signature of each leaf, static arguments by position or name, and
their contents: 1, 1.0 and True are equal, and not the same argument."""


def signature_of(x: Any) -> Any:
    """What a recording depends on: shape, dtype, weakness and kind of a leaf; None if it is no
    array."""
    if type(x) is np.ndarray:
        return x.shape, x.dtype
    if isinstance(x, Tracer):
        return x.aval
    if is_number(x):
        return type(x) if type(x) is not int or -(1 << 63) <= x < 1 << 63 else number_dtype(x)
    if is_array(x):
        return x.shape, x.dtype, namespace_of(x).__name__, device_of(x)
    return None


def what_changed(old: Key, new: Key, paths: list[str], function: Callable[..., Any]) -> str:
    """Which argument differs between two recordings of a function, and how."""
    old_tree, old_signature, old_static, old_contents = old
    new_tree, new_signature, new_static, new_contents = new
    if old_tree != new_tree:
        return (
            f"the structure of the arguments changed from {_arguments(old_tree)} to "
            f"{_arguments(new_tree)}"
        )
    if (old_static, old_contents) != (new_static, new_contents):
        before, now = dict(old_static), dict(new_static)
        changed = [
            f"{static_name(k, function)}: {_given(now, k)} after {_given(before, k)}"
            for k in {**before, **now}
            if k not in before or k not in now or repr(before[k]) != repr(now[k])
        ]
        return "a static argument changed, " + ", ".join(changed)
    changed = [
        f"{path}: {_describe(b)} after {_describe(a)}"
        for path, a, b in zip(paths, old_signature, new_signature, strict=True)
        if a != b
    ]
    return ", ".join(changed) or "a value captured from an outer transform may differ"


def static_name(name: Any, function: Any) -> str:
    """What to call a static argument that is given by its position or name."""
    return name if isinstance(name, str) else argument_names(function, name + 1)[name]


def _given(static: dict[Any, Any], key: Any) -> str:
    return repr(static[key]) if key in static else "its default"


def _arguments(treedef: tree.TreeDef) -> str:
    """The structure of arguments as in a call: ``({'w': *}, n=*)``."""
    args, kwargs = tree.unflatten(treedef, [tree.Leaf()] * treedef.num_leaves)
    return f"({', '.join([*map(repr, args), *[f'{k}={v!r}' for k, v in kwargs.items()]])})"


def _describe(signature: Any) -> str:
    if isinstance(signature, tuple):
        shape, dtype, *place = signature
        on = f" on GPU {place[1]}" if place and place[0] == "cupy" else ""
        return f"{dtype}{list(shape)}{on}"
    return signature.__name__ if isinstance(signature, type) else str(signature)
