"""log-sum-exp and softmax, as in `scipy.special`."""

from typing import Any

import numpy as np

from gpuad.errors import UnsupportedError
from gpuad.numpy._dispatch import broadcast_together, cast_to, implements, normalize_axes
from gpuad.numpy.cumulative import real_floats
from gpuad.numpy.searching import common_dtype
from gpuad.numpy.statistics import reduce
from gpuad.primitives import elementwise as ew
from gpuad.primitives import reduction
from gpuad.primitives.reduction import count, reduce_max, reduce_sum, spread
from gpuad.primitives.sources import stop_gradient
from gpuad.primitives.structure import expand
from gpuad.tracing.record import apply


@implements()
def logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False,
              return_sign: bool = False) -> Any:  # fmt: skip
    """log(sum(b exp(a))) over axes without overflow, as `scipy.special.logsumexp`.

    Its gradient is b exp(a) / sum(b exp(a)), the `softmax` of `a` without weights. Accurate to
    second order; elements at -inf have a zero derivative, several at +inf share it. Integers become
    float64, complex values raise `UnsupportedError`.

    Examples
    --------
    >>> import numpy as np, gpuad as ad, gpuad.numpy as gnp
    >>> print(ad.grad(gnp.logsumexp)(np.array([1000.0, 1000.0])))
    [0.5 0.5]
    """
    if return_sign:
        raise UnsupportedError(
            "logsumexp(return_sign=True) is not recorded; write the sum of signed exponentials "
            "about its largest one."
        )
    if b is not None:
        return apply(lambda x, y: _weighted(x, y, axis, keepdims), a, b)

    def rule(x: Any, axes: tuple[int, ...]) -> Any:
        return reduction.reduce_logsumexp(real_floats(x, "logsumexp"), axes=axes)

    return reduce(a, axis, keepdims, "logsumexp", rule)


def _weighted(a: Any, b: Any, axis: Any, keepdims: bool) -> Any:
    """The sum about the largest exponent; a zero weight takes away even an infinite one."""
    dtype = common_dtype(real_floats(a, "logsumexp"), real_floats(b, "logsumexp"))
    a, b = broadcast_together((cast_to(a, dtype), cast_to(b, dtype)), "logsumexp")
    axes = normalize_axes(axis, a.aval.ndim, "logsumexp")
    if not count(a.aval.shape, axes):
        total = reduce_sum(b, axes=axes)
        out = ew.log(total)
        return expand(out, axes) if keepdims else out
    counted = ew.select(ew.eq(b, 0.0), -np.inf, stop_gradient(a))
    top = reduce_max(counted, axes=axes)
    top = ew.select(ew.lt(ew.abs_(top), np.inf), top, 0.0)
    e = ew.exp(ew.sub(a, spread(top, a.aval, axes)))
    out = ew.add(ew.log(reduce_sum(ew.keep(b, ew.mul(e, b)), axes=axes)), top)
    return expand(out, axes) if keepdims else out


@implements()
def softmax(x: Any, axis: Any = None) -> Any:
    """exp(x) / sum(exp(x)) over axes (all, if None), as `scipy.special.softmax`.

    Without overflow; y = softmax(x) has the Jacobian ∂y_i/∂x_j = y_i (δ_ij - y_j). Integers become
    float64, complex values raise `UnsupportedError`.

    Examples
    --------
    >>> import numpy as np, gpuad.numpy as gnp
    >>> print(gnp.softmax(np.array([0.0, np.log(3.0), 1.0]), axis=0).round(4))
    [0.1488 0.4465 0.4046]
    """
    return _over_axes(x, axis, "softmax", reduction.softmax)


@implements()
def log_softmax(x: Any, axis: Any = None) -> Any:
    """The logarithm of `softmax`, x - logsumexp(x), as `scipy.special.log_softmax`.

    Examples
    --------
    >>> import numpy as np, gpuad.numpy as gnp
    >>> gnp.log_softmax(np.array([0.0, 1000.0]))
    array([-1000.,     0.])
    """
    return _over_axes(x, axis, "log_softmax", reduction.log_softmax)


def _over_axes(x: Any, axis: Any, name: str, primitive: Any) -> Any:
    def on_vars(v: Any) -> Any:
        return primitive(real_floats(v, name), axes=normalize_axes(axis, v.aval.ndim, name))

    return apply(on_vars, x)


__all__ = ["log_softmax", "logsumexp", "softmax"]
