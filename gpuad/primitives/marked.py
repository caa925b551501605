"""Bilinear operations with a mark for each operand (see `keep`): operands are zero where their
marks are. What such a zero is multiplied with is dropped, even if it is infinite or NaN."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.ir.aval import Aval
from gpuad.ir.graph import Equation
from gpuad.ir.primitive import Axes, Primitive
from gpuad.primitives.declare import differentiable
from gpuad.primitives.elementwise import add, either, keep


def with_marks(name: str, plain: Primitive, **batching_and_facts: Any) -> Primitive:
    """The operation ``(mx, my, x, y)`` for the bilinear operation `plain` of x and y, with the same
    parameters. The first two operands are the marks."""
    plain_workspace = plain.workspace
    assert callable(plain_workspace)

    def workspace(e: Equation, operands: Sequence[Any]) -> int:
        """That of finite results, with whether each of them is."""
        pair = Equation(plain, e.operands[2:], e.params, e.outputs)
        return plain_workspace(pair, operands[2:]) + e.outputs[0].aval.size

    def axes(operands: Any, outputs: Any, **params: Any) -> Axes:
        found = plain.axes(operands[2:], outputs, **params)
        return Axes(found.operands * 2, found.outputs, found.reduced)

    def jvp(primals: Any, tangents: Any, out: Any, **params: Any) -> Any:
        (mx, my, x, y), (mx_dot, my_dot, x_dot, y_dot) = primals, tangents
        mx, my = [m if t is None else either(m, t) for m, t in ((mx, mx_dot), (my, my_dot))]
        total = None
        for t, pair in ((x_dot, (x_dot, y)), (y_dot, (x, y_dot))):
            if t is not None:
                term = primitive(mx, my, *pair, **params)
                total = term if total is None else add(total, term)
        return total

    def transpose(ct: Any, mx: Any, my: Any, x: Any, y: Any, **params: Any) -> Any:
        assert plain.transpose is not None
        if isinstance(x, Aval):
            x_bar, _ = plain.transpose(ct, x, _kept(my, y), **params)
            return None, None, _kept(mx, x_bar), None
        _, y_bar = plain.transpose(ct, _kept(mx, x), y, **params)
        return None, None, None, _kept(my, y_bar)

    primitive = differentiable(
        name,
        infer=lambda mx, my, x, y, **params: plain.infer(x, y, **params),
        run=lambda *operands, **params: _run(plain, *operands, **params),
        axes=axes,
        jvp=jvp,
        transpose=transpose,
        marks=2,
        workspace=workspace,
        gpu_workspace=_masked_bytes,
        **batching_and_facts,
    )
    return primitive


def _masked_bytes(operands: Sequence[Aval], outputs: Sequence[Aval], **params: Any) -> int:
    """What results that are not finite take, which a GPU assumes: some four arrays as large as each
    operand, three as large as the result, and what the products take."""
    return 5 * sum([x.nbytes for x in operands[2:]]) + 6 * outputs[0].nbytes


def _kept(m: Any, x: Any) -> Any:
    return x if isinstance(m, Aval) else keep(m, x)


def _run(plain: Any, xp: Any, mx: Any, my: Any, x: Any, y: Any, **params: Any) -> Any:
    """The plain result if it is finite. Else the sums of finite terms, but for those sums in which
    a term that counts is not finite."""

    def product(x: Any, y: Any) -> Any:
        return plain.run(xp, x, y, **params)

    whole = product(x, y)
    if xp is np and np.isfinite(whole).all():
        return whole
    kept = [(m != 0).astype(z.dtype) for m, z in ((mx, x), (my, y))]
    bad = [~xp.isfinite(z) for z in (x, y)]
    some_bad = product(kept[0] * bad[0], kept[1]) + product(kept[0], kept[1] * bad[1])
    finite = [xp.where(b, z.dtype.type(0), z) for b, z in zip(bad, (x, y), strict=True)]
    return xp.where(some_bad != 0, whole, product(*finite))
