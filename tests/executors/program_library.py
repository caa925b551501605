"""The lines of random programs with special functions, filters, interpolation and what else of
NumPy's namespace is not in `program_steps`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from executors.program_steps import (
    CATALOGUE,
    anywhere,
    axis_of,
    distinct,
    not_zero,
    off_kinks,
    step,
    with_axes,
    within,
)

if TYPE_CHECKING:
    from executors.programs import Author


def moderate(x: Any) -> bool:
    return bool(np.all((x > 0.2) & (x < 8.0)))


# Not among them: exp1 and expn, of which JAX 0.10.2 has no HVP (it raises a TypeError).
SPECIAL: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(
        "i0|i0e|i1|i1e|ndtr|log_ndtr|erf|erfc|erfcx|dawsn|expit|xlog1py(0.5, {0} * {0})|"
        "gammaln(1.5 + {0} ** 2)|beta(1.0 + {0} ** 2, 2.5)|"
        "logit(0.1 + 0.5 * sp.special.expit({0}))|"
        "entr(0.5 + {0} ** 2)|rel_entr(0.5 + {0} ** 2, 1.0 + {0} ** 2)|ndtri(sp.special.ndtr({0}))|"
        "expi(0.5 + {0} ** 2)|betainc(1.5, 2.5, sp.special.expit({0}))|"
        "multigammaln(3.0 + {0} ** 2, 2)".split("|"),
        within(5.0),
    ),
    **dict.fromkeys(
        "gamma|gammaln|digamma|loggamma|polygamma(1, {0})|polygamma(2, {0})|expi|"
        "entr|spence|zeta(2.5, {0})|betaln({0}, 1.5)|beta({0}, 1.0 + {0} ** 2)|"
        "xlogy({0}, {0})|boxcox({0}, 0.7)|boxcox1p({0}, 0.3)|rel_entr({0}, 1.0 + {0})|"
        "kl_div({0}, 0.5 + {0})|gammainc(2.5, {0})|gammaincc(1.5, {0})|poch({0}, 1.5)|factorial|"
        "gammaln({0}) * xp.exp(-{0})|poch(2.5, {0})|betaln({0}, {0})".split("|"),
        moderate,
    ),
    **dict.fromkeys(
        "erfinv|ndtri(0.5 + 0.4 * {0})|logit(0.5 + 0.4 * {0})|xlog1py({0}, {0})|"
        "gamma(0.3 * {0} - 1.5)|digamma(0.3 * {0} - 0.5)|gammaln(0.3 * {0} - 2.5)|"
        "loggamma(1.5 + {0})|spence(1.0 + {0})".split("|"),
        within(0.9),
    ),
    **dict.fromkeys("gammasgn|expi".split("|"), not_zero),
}


@step(16, CATALOGUE)
def special(a: "Author") -> str | None:
    text = a.choice(list(SPECIAL))
    name = a.array(SPECIAL[text])
    call = text if "(" in text else f"{text}({{0}})"
    return name and f"sp.special.{call}".format(name)


@step(2, CATALOGUE)
def special_along(a: "Author") -> str | None:
    name = a.array(with_axes)
    texts = [
        "sp.special.softmax({0}, axis={1})", "sp.special.log_softmax({0}, axis={1})",
        "sp.special.logsumexp({0}, axis={1})", "sp.special.logsumexp({0}, axis={1}, b=2.0)",
        "sp.special.logsumexp({0}, axis={1}, keepdims=True)",
    ]  # fmt: skip
    return name and a.choice(texts).format(name, axis_of(a, name))


# NumPy's further functions


def two_or_more(x: Any, axis: int) -> bool:
    return np.shape(x)[axis] > 1


AXIS: dict[str, Callable[[Any, int], bool]] = {
    **dict.fromkeys(
        "xp.cumulative_sum({0}, axis={1})|xp.cumulative_sum({0}, axis={1}, include_initial=True)|"
        "xp.cumulative_prod({0}, axis={1})|xp.nanmean({0}, axis={1})|xp.nancumsum({0}, axis={1})|"
        "xp.nanprod({0}, axis={1})|xp.nanvar({0}, axis={1})|xp.rollaxis({0}, {1})|"
        "xp.apply_along_axis(lambda r: xp.sin(r) * 2.0, {1}, {0})|xp.split({0}, [1], axis={1})[0]|"
        "xp.average({0}, axis={1}, weights=np.linspace(1, 2, {0}.shape[{1}]))|"
        "xp.take({0}, np.array([[5, -7], [0, 1]]), axis={1}, mode='wrap')|"
        "xp.take({0}, np.array([9, 0, -3]), axis={1}, mode='clip')|"
        "xp.delete({0}, np.array([0]), axis={1})|xp.insert({0}, np.array([0, 1]), 0.5, axis={1})|"
        "xp.repeat({0}, np.arange({0}.shape[{1}]) % 3, axis={1})|xp.unstack({0}, axis={1})[0]|"
        "xp.trapezoid({0} ** 2, dx=0.3, axis={1})|xp.concat([{0}, {0}], axis={1})|"
        "xp.vander({0}.ravel()[:3], 3)|xp.diff({0}, n=2, axis={1})|"
        "xp.diff({0}, axis={1}, prepend=0.5)|xp.sum({0}, axis={1}, where={0} > -9.0)|"
        "xp.mean({0}, axis={1}, where=np.arange({0}.shape[-1]) % 2 == 0)|"
        "xp.sum({0}, axis={1}, initial=2.0)".split("|"),
        lambda x, axis: True,
    ),
    **dict.fromkeys(
        "xp.gradient({0}, axis={1})|xp.gradient({0}, 0.5, axis={1})|xp.cov({0}.reshape(2, -1))|"
        "xp.interp({0}, np.array([-1.0, 0.003, 1.0]), np.array([0.5, -0.2, 0.8]))|"
        "sp.signal.detrend({0}, axis={1})|sp.signal.detrend({0}, axis={1}, type='constant')".split(
            "|"
        ),
        two_or_more,
    ),
    **dict.fromkeys(
        "xp.percentile({0}, 35.0, axis={1})|"
        "xp.nanmedian({0}, axis={1})|xp.quantile({0}, np.array([0.2, 0.9]), axis={1})|"
        "xp.nanmin({0}, axis={1})|xp.quantile({0}, 0.4, axis={1}, method='lower')|"
        "xp.nanquantile({0}, 0.7, axis={1}, keepdims=True)|xp.sort({0}, axis={1})[::-1]|"
        "xp.max({0}, axis={1}, initial=-9.0)|"
        "xp.percentile({0}, 60.0, axis={1}, method='nearest')|"
        "xp.take_along_axis({0}, xp.argsort(-{0}, axis={1}), axis={1})|"
        "xp.max({0}, axis={1}, where=np.arange({0}.shape[-1]) % 2 == 0, initial=-9.0)".split("|"),
        distinct,
    ),
}


@step(9, CATALOGUE)
def further_along(a: "Author") -> str | None:
    name = a.array(with_axes)
    if not name:
        return None
    text, axis = a.choice(list(AXIS)), axis_of(a, name)
    axis = axis if "cov" not in text else 0
    if "cov" in text and np.size(a.known[name]) % 2:
        return None
    return text.format(name, axis) if AXIS[text](a.known[name], axis) else None


FURTHER: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(
        "xp.select([{0} > 9.0, {0} > -9.0], [{0} ** 2, xp.sin({0})], 0.5)|xp.atleast_3d({0})|"
        "xp.piecewise({0}, [{0} > 9.0, {0} <= 9.0], [lambda t: t, lambda t: xp.cos(t)])|"
        "xp.choose(np.array([[0], [1]]), [{0}.ravel(), xp.sin({0}).ravel()], mode='clip')|"
        "xp.polyval(np.array([0.3, -0.2, 0.5]), {0})|xp.polyval({0}.ravel()[:3], 0.7)|"
        "xp.polyder({0}.ravel()[:4])|"
        "xp.polyint({0}.ravel()[:4])|xp.polyadd({0}.ravel()[:3], np.array([1.0, 0.5]))|"
        "xp.resize({0}, (2, 3))|xp.column_stack([{0}, {0} * 2.0])|"
        "xp.dstack([{0}, {0}])|xp.diagflat({0}.ravel()[:4])|xp.positive({0})|xp.fabs({0} + 9.0)|"
        "xp.ldexp({0}, 1)|xp.vander({0}.ravel()[:4], 3, increasing=True)|xp.nan_to_num({0})|"
        "xp.correlate({0}.ravel(), np.array([0.5, -0.3, 0.1]), mode='full')|"
        "xp.convolve({0}.ravel(), {0}.ravel(), mode='same')|"
        "xp.permute_dims({0}, tuple(range({0}.ndim))[::-1])|"
        "xp.convolve({0}.ravel(), np.array([0.2, 0.4, 0.1]), mode='valid')|"
        "sp.signal.fftconvolve({0}, 0.5 * {0}, mode='same')|"
        "sp.signal.convolve({0}, {0}, mode='full')|sp.signal.correlate({0}, {0}, mode='same')|"
        "xp.bincount(np.arange({0}.size) % 3, weights={0}.ravel(), minlength=3)|"
        "xp.pad({0}, 1, mode='linear_ramp', end_values=0.5)|xp.pad({0}, 1, mode='mean')|"
        "xp.pad({0}, 2, mode='wrap')|xp.apply_over_axes(xp.sum, {0}, [0])|{0}.sum()|"
        "xp.squeeze(xp.expand_dims({0}, (0, -1)))|xp.astype({0}, np.float64)|{0}.astype(complex)|"
        "xp.broadcast_arrays({0}, np.zeros((2, *{0}.shape)))[0]|"
        "xp.tri({0}.size) @ {0}.ravel()|"
        "xp.einsum('i,j,i->j', {0}.ravel()[:3], {0}.ravel()[:3], {0}.ravel()[:3])".split("|"),
        anywhere,
    ),
    # A leading coefficient of 0 is left out by NumPy.
    "xp.polymul({0}.ravel()[:3], np.array([0.4, 1.2]))": not_zero,
    **dict.fromkeys(
        "xp.divmod({0}, 0.5)[1]|xp.modf({0})[0]|xp.round({0}) + {0}|xp.fix({0}) * {0}|"
        "xp.interp({0}, np.array([-1.0, 0.0, 0.5, 1.0]), np.array([0.5, -0.2, 0.8, 0.1]))|"
        "xp.interp({0}, np.array([-1.0, 0.0, 1.0]), np.array([0.5, -0.2, 0.8]), left=0.3)|"
        "xp.clip({0}, None, 0.5)|{0}.clip(-0.5)|xp.searchsorted(np.array([-0.5, 0.5]), {0}) * {0}|"
        "xp.digitize({0}, np.array([-0.5, 0.5])) + {0}|"
        "xp.rint({0}) - {0}".split("|"),
        off_kinks,
    ),
}
PLANE = (
    "sp.signal.convolve2d({0}, np.array([[0.5, -0.2], [0.1, 0.3]]), mode='same')|"
    "sp.signal.correlate2d({0}, np.array([[0.5, -0.2], [0.1, 0.3]]))|"
    "sp.signal.convolve({0}, np.array([[0.5, -0.2]]), mode='same')|"
    "sp.linalg.block_diag({0}, 2.0 * {0})|"
    "xp.linalg.tensorinv(({0} + 0.0).reshape(2, 2) "
    "+ 5.0 * np.eye(2), ind=1)|xp.linalg.tensorsolve({0} + 5.0 * np.eye({1}), {0}[:, 0])|"
    "sp.linalg.toeplitz({0}[:, 0])|xp.cov({0}, rowvar=False)|"
    "sp.ndimage.map_coordinates({0}, [0.4 + 0.1 * {0}[0], 0.3 + 0.1 * {0}[0]], order=1)|"
    "sp.ndimage.map_coordinates({0}, np.array([[0.3, 0.6], [0.2, 0.4]]), order=1, mode='nearest')"
).split("|")


@step(9, CATALOGUE)
def further(a: "Author") -> str | None:
    text = a.choice(list(FURTHER))
    name = a.array(lambda x: np.ndim(x) > 0 and FURTHER[text](x))
    return name and text.format(name)


@step(5, CATALOGUE)
def of_plane(a: "Author") -> str | None:
    name = a.array(lambda x: np.ndim(x) == 2 and min(np.shape(x)) > 1)
    text = a.choice(PLANE)
    if not name:
        return None
    rows, columns = a.shape(name)
    if (rows != columns and "tensor" in text) or ("tensorinv" in text and rows != 2):
        return None
    return text.format(name, rows)


@step(3, CATALOGUE)
def interpolated(a: "Author") -> str | None:
    """Between values that are traced, at places that are traced."""
    values = a.array(lambda x: np.ndim(x) == 1 and np.size(x) > 1)
    places = values and a.array(lambda x: off_kinks(0.5 * x) and within(4.0)(x))
    if not values or not places:
        return None
    n = a.shape(values)[0]
    return f"xp.interp({places}, np.arange({n}.0) - 1.0, {values})"
