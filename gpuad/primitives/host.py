"""external_call: a host function as a primitive."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, NotDifferentiableError
from gpuad.ir.aval import Aval
from gpuad.ir.graph import Equation
from gpuad.primitives.declare import differentiable, opaque_axes, with_leading_axis


@dataclass(frozen=True)
class Host:
    """A function of plain arrays. A `vectorized` one takes arrays with leading batch axes; any
    other is called for each index of the first `mapped` axes."""

    function: Callable[..., Any]
    name: str
    vectorized: bool
    mapped: int = 0

    def __call__(self, xp: Any, *arrays: Any) -> list[Any]:
        return self._mapped(xp, self.mapped, arrays)

    def _mapped(self, xp: Any, depth: int, arrays: Sequence[Any]) -> list[Any]:
        if not depth:
            result = self.function(*arrays)
            # Copies: it may return an argument, or the same array of its own at every call.
            return [xp.array(x) for x in (result if isinstance(result, tuple | list) else [result])]
        rows = [self._mapped(xp, depth - 1, row) for row in zip(*arrays, strict=True)]
        return [xp.stack(column) for column in zip(*rows, strict=True)]


def _read_only(x: Any) -> Any:
    """A view through which NumPy refuses to write; CuPy has none."""
    if type(x) is not np.ndarray:
        return x
    x = x.view()
    x.flags.writeable = False
    return x


def _run(xp: Any, *arrays: Any, host: Host, avals: tuple[Aval, ...]) -> tuple[Any, ...]:
    if any(0 in a.shape[: host.mapped] for a in avals):
        return tuple([xp.zeros(a.shape, a.dtype) for a in avals])
    try:
        results = host(xp, *[_read_only(x) for x in arrays])
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        raise ArgumentError(
            f"external {host.name} changes an array in place that is read-only, as its arguments "
            f"are ({error}). Let it work on a copy (x = x.copy())."
        ) from error
    if len(results) != len(avals):
        raise ArgumentError(
            f"external {host.name} returned {len(results)} arrays and declared {len(avals)}; "
            "declare in out what it returns."
        )
    for x, aval in zip(results, avals, strict=True):
        if x.shape != aval.shape or x.dtype != aval.dtype:
            raise ArgumentError(
                f"external {host.name} returned {Aval(x.shape, x.dtype)} and declared {aval}; "
                "declare in out what it returns."
            )
    return tuple(results)


def _no_rule(primals: Any, tangents: Any, out: Any, host: Host, avals: Any) -> Any:
    raise NotDifferentiableError(
        f"external {host.name} has no derivative rule. Wrap it in custom_jvp or custom_vjp with a "
        "rule of your own, or use stop_gradient on its arguments if it is to be constant."
    )


def _batch(size: int, operands: Any, mapped: Any, params: dict) -> Any:
    host = params["host"]
    if not host.vectorized:
        host = Host(host.function, host.name, False, host.mapped + 1)
    lifted = [with_leading_axis(size, x, on) for x, on in zip(operands, mapped, strict=True)]
    avals = tuple([a.with_shape((size, *a.shape)) for a in params["avals"]])
    return external_call(*lifted, host=host, avals=avals), (True,) * len(avals)


def _results_bytes(e: Equation, operands: Sequence[Any]) -> int:
    """The bytes of the arrays that the function returns, which are copied."""
    return sum(v.aval.nbytes for v in e.outputs)


external_call = differentiable(
    "external_call",
    infer=lambda *operands, host, avals: avals,
    run=_run,
    axes=opaque_axes,
    jvp=_no_rule,
    batch=_batch,
    multiple=True,
    calls_user=True,
    workspace=_results_bytes,
)
