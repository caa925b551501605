"""Every public function of a module of NumPy's, SciPy's or gpuad's, called with traced arguments.

`findings` says what is wrong: a bare error from inside of a library, another value than for plain
arrays, a result that has lost the traced argument, an error that names nothing to write. As a
script it prints the findings of the modules that its arguments name.
"""

import contextlib
import importlib
import inspect
import io
import itertools
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import gpuad as ad
from gpuad.errors import GpuadError
from gpuad.tracing import Tracer
from gpuad.tracing.callers import counterpart

_draw = np.random.default_rng(0)
S = _draw.normal(size=(3, 3))
S = S @ S.T + np.eye(3)
V = np.array([0.3, 0.7, 0.5])
CUBE = _draw.normal(size=(3, 3, 3))
I = np.array([0, 1, 2])
ANY: list[Any] = [V, S, CUBE, S + 0j, I, 2, 1.5]
"""What is tried for an argument of which only the name is known."""

NAMED: dict[str, list[Any]] = {
    "axis": [0], "axis1": [0], "axis2": [1], "axes": [(0, 1), (0,), 0], "source": [0],
    "destination": [1], "shape": [(3,)], "newshape": [(9,), (3,)], "new_shape": [(3,)],
    "shapes": [(3,)], "dims": [(3, 3)], "n": [3], "N": [3], "M": [3], "k": [1], "num": [3],
    "deg": [1], "order": [2], "size": [3], "obj": [1], "kth": [1], "repeats": [2], "bins": [3],
    "pad_width": [1], "indices": [I, I[None]], "ind": [I], "index": [I], "labels": [I],
    "condlist": [[V > 0.4]], "choicelist": [[V]], "mask": [V > 0.4], "where": [True],
    "dtype": [float], "fill_value": [1.0], "p": [V, 2.0], "subscripts": ["i,i->i"],
    "func": [np.sin], "function": [np.sin], "pyfunc": [np.sin], "func1d": [np.sum],
    "tup": [(V, V)], "arrays": [(V, V)], "seq": [(V, V)], "mat": [S], "dst": [V.copy()],
    "c_and_lower": [(S, True)], "cb_and_lower": [(S, True)], "lower": [True],
    "lu_and_piv": [(S, I.astype(np.int32))], "l_and_u": [(0, 0)], "dct_type": [2], "type": [2],
    "metric": ["euclidean"], "sigma": [1.0], "shift": [1.0], "zoom": [2.0], "angle": [30.0],
    "width": [1], "widths": [np.array([1.0, 2.0])], "up": [2], "down": [2], "q": [2, 0.5],
    "scale": [0.9], "alpha": [0.5], "fs": [1.0], "window": ["hann", 3], "numtaps": [5],
    "cutoff": [0.3], "Wn": [0.3], "rp": [1.0], "rs": [20.0], "ftype": ["cheby1"],
    "btype": ["low"], "bands": [np.array([0, 0.1, 0.2, 0.5])], "desired": [np.array([1.0, 0])],
    "gpass": [1.0], "gstop": [20.0], "wp": [0.2], "ws": [0.3], "nperseg": [3],
}  # fmt: skip
"""What is tried first for an argument of this name."""

K = np.arange(5.0)
Y = np.array([0.0, 1.0, 0.5, 2.0, 1.0])
EDGES, GAINS = np.array([0.0, 0.3, 0.4, 0.5]), np.array([1.0, 1.0, 0.0, 0.0])
SECTIONS = np.array([[0.2, 0.4, 0.2, 1.0, -0.4, 0.2]])
LONG = np.sin(np.arange(40.0))
BOARD = np.outer(LONG, LONG)
CALLS: dict[str, tuple[Any, ...]] = (
    {
        "numpy.where": (V > 0.4, V, -V),
        "numpy.clip": (V, 0.4, 0.6),
        "numpy.einsum": ("ij,jk->ik", S, S),
        "numpy.lexsort": ((V, V),),
        "numpy.bincount": (I, V, 4),
        "scipy.special.factorial": (V,),
        "scipy.special.multigammaln": (V + 3, 2),
        "scipy.linalg.lu_factor": (S,),
        "scipy.linalg.lu": (S,),
        "scipy.interpolate.CubicHermiteSpline": (K, Y, Y),
        "numpy.apply_along_axis": (np.sum, 0, S),
        "numpy.apply_over_axes": (np.sum, S, 0),
        "numpy.mask_indices": (3, np.triu, 0.0),
        "numpy.ravel_multi_index": ((I, I), (3, 3)),
        "numpy.unpackbits": (np.array([3], np.uint8),),
        "numpy.linalg.tensorinv": (np.eye(4).reshape(2, 2, 2, 2),),
        "scipy.linalg.cossin": (np.linalg.qr(S)[0], 1, 1),
        "scipy.linalg.eigh_tridiagonal": (V, V[:2]),
        "scipy.linalg.eigvalsh_tridiagonal": (V, V[:2]),
        "scipy.linalg.leslie": (V, V[:2]),
        "scipy.linalg.solve_banded": ((1, 1), S, V),
        "scipy.linalg.solve_sylvester": (S, S, S),
        "scipy.special.sph_harm_y": (1, 1, 0.3, 0.4),
        "scipy.special.sph_harm_y_all": (1, 1, 0.3, 0.4),
        "scipy.interpolate.griddata": (K[:, None], Y, K[:2, None] + 0.5),
        "scipy.interpolate.BSpline": (np.arange(9.0), Y, 3),
        "scipy.interpolate.PPoly": (Y[:, None], np.arange(2.0)),
        "scipy.interpolate.RegularGridInterpolator": ((K,), Y),
        "scipy.interpolate.RBFInterpolator": (K[:, None], Y),
        "scipy.interpolate.pchip_interpolate": (K, Y, K[:2] + 0.5),
        "numpy.arange": (2.0,),
        "numpy.dynamic_slice": (V, (1,), (2,)),
        "numpy.reshape": (S, (9,)),
        "scipy.signal.abcd_normalize": (S, S[:, :1], S[:1], S[:1, :1]),
        "scipy.signal.argrelextrema": (Y, np.greater),
        "scipy.signal.band_stop_obj": (
            0.2,
            0,
            EDGES[1:3],
            np.array([0.32, 0.38]),
            1.0,
            20.0,
            "butter",
        ),
        "scipy.signal.cspline2d": (BOARD,),
        "scipy.signal.decimate": (LONG, 2),
        "scipy.signal.filtfilt": (V[:2], np.array([1.0, 0.5]), LONG),
        "scipy.signal.firls": (3, EDGES, GAINS),
        "scipy.signal.firwin2": (5, 2 * EDGES, GAINS),
        "scipy.signal.freqz_sos": (SECTIONS,),
        "scipy.signal.group_delay": ((V, V),),
        "scipy.signal.iirnotch": (0.3, 30.0),
        "scipy.signal.iirpeak": (0.3, 30.0),
        "scipy.signal.iircomb": (0.25, 30.0),
        "scipy.signal.kaiserord": (60.0, 0.1),
        "scipy.signal.qspline2d": (BOARD,),
        "scipy.signal.savgol_filter": (Y, 5, 2),
        "scipy.signal.sos2zpk": (SECTIONS,),
        "scipy.signal.sosfilt": (SECTIONS, Y),
        "scipy.signal.sosfilt_zi": (SECTIONS,),
        "scipy.signal.sosfiltfilt": (SECTIONS, LONG),
        "scipy.signal.sosfreqz": (SECTIONS,),
        "scipy.signal.spline_filter": (BOARD,),
        "scipy.signal.symiirorder1": (LONG, 0.1, 0.2),
        "scipy.signal.symiirorder2": (LONG, 0.1, 0.2),
        "scipy.ndimage.generic_filter": (S, np.sum, 3),
        "scipy.ndimage.generic_filter1d": (S, lambda x, y: y.__setitem__(slice(3), x[1:-1]), 3),
        "scipy.ndimage.geometric_transform": (S, lambda at: at),
        "scipy.ndimage.labeled_comprehension": (V, I, I, np.sum, float, 0.0),
        "scipy.ndimage.watershed_ift": (S.astype(np.uint8), S.astype(np.int16)),
    }
    | {
        f"scipy.ndimage.{name}": (S, 3)
        for name in "black_tophat grey_closing grey_dilation grey_erosion grey_opening "
        "maximum_filter median_filter minimum_filter morphological_gradient morphological_laplace "
        "white_tophat".split()
    }
    | {f"scipy.ndimage.{name}": (S, 4, 3) for name in ("percentile_filter", "rank_filter")}
    | {
        f"scipy.interpolate.{name}": (K, Y)
        for name in "Akima1DInterpolator BarycentricInterpolator CubicSpline KroghInterpolator "
        "PchipInterpolator Rbf UnivariateSpline interp1d lagrange make_interp_spline splrep".split()
    }
)
"""The arguments of functions for which none are found by their names."""

NO_ARRAYS = {
    "numpy": "busday_count busday_offset busdaycalendar can_cast datetime_as_string datetime_data "
    "flatiter fromregex fromstring is_busday isdtype isnat issubdtype nested_iters promote_types "
    "recarray typename ufunc info show_config show_runtime save savez savez_compressed savetxt "
    "load loadtxt fromfile genfromtxt memmap test setbufsize seterr seterrcall set_printoptions "
    "printoptions errstate",
    "scipy.signal": "firwin_2d gammatone savgol_coeffs",
    "scipy.ndimage": "vectorized_filter",
    "scipy.linalg": "get_blas_funcs get_lapack_funcs",
    "scipy.fft": "register_backend set_backend set_global_backend skip_backend set_workers",
}
"""Functions of no arrays, of dates, texts and files, and those that set something."""

BARE = {
    "numpy.frombuffer": "asks for the bytes of an object, which has them or raises TypeError",
    "numpy.nditer": "makes an array of an object without asking it",
    "scipy.signal.ShortTimeFFT": "says that the sampling frequency is no scalar",
    "scipy.signal.bilinear_zpk": "says that the sampling frequency is no scalar",
}
"""What raises an error of its own before it asks the traced array for anything."""

OTHERWISE = {
    "numpy.empty_like": "its elements are any",
    "numpy.polydiv": "NumPy leaves zeros at the head of the remainder out",
    "scipy.linalg.cho_factor": "the other triangle is any",
}
"""Functions whose values differ from NumPy's or SciPy's, and why."""

ADVICE = re.compile(r"\b([Ww]rite|[Gg]ive|take|leave|insert|convert|make|use|It has no)\b")
NUMBERS = (np.ndarray, np.generic, int, float, complex)
ONLY_VALUES = ("intersect1d", "setdiff1d", "generic_laplace", "generic_gradient_magnitude")
"""Functions that only compare with the values of one argument, or call it."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    said = contextlib.redirect_stdout(io.StringIO())
    with warnings.catch_warnings(), np.errstate(all="ignore"), said:
        warnings.simplefilter("ignore")
        yield


def functions(module: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public functions and classes, by their full names in NumPy and SciPy."""
    found = importlib.import_module(module)
    theirs = module.removeprefix("gpuad.")
    for name in sorted(getattr(found, "__all__", None) or dir(found)):
        f = getattr(found, name, None)
        known = name.startswith("_") or not callable(f) or name in NO_ARRAYS.get(theirs, "").split()
        if known or (isinstance(f, type) and issubclass(f, (BaseException, np.generic))):
            continue
        yield f"{theirs}.{name}", f


def candidates(name: str, f: Callable[..., Any]) -> Iterator[tuple[Any, ...]]:
    """Arguments that may be right for a function."""
    if name in CALLS:
        yield CALLS[name]
        return
    if name.startswith("scipy.interpolate"):
        return  # wrong arguments end the process
    ufunc = getattr(f, "_like", f)
    if isinstance(ufunc, np.ufunc):
        yield from [(x,) * ufunc.nin for x in (V, V > 0.5, I, S, 2, CUBE[0])]
        yield from itertools.product([I, V, S], repeat=ufunc.nin)
        return
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (ValueError, TypeError):
        for k in (1, 2, 3):
            yield from itertools.product(ANY, repeat=k)
        return
    needed = [p for p in parameters if p.default is p.empty and p.kind.value < 2]
    pools = [[*NAMED.get(p.name, []), *ANY] for p in needed]
    more = (1, 2, 3) if any(p.kind is p.VAR_POSITIONAL for p in parameters) else (0,)
    for k in more:
        yield from itertools.islice(itertools.product(*pools, *[ANY] * k), 600)


def fresh(x: Any) -> Any:
    if isinstance(x, list | tuple):
        return type(x)([fresh(y) for y in x])
    return x.copy() if isinstance(x, np.ndarray) else x


def plain_call(name: str, f: Callable[..., Any]) -> tuple[Any, Any] | None:
    """Arguments that the function takes, and its result."""
    for args in candidates(name, f):
        with contextlib.suppress(Exception), quiet():
            return args, f(*fresh(args))
    return None


def first_array(x: Any) -> Any:
    """The argument, or the first part of a list of arrays; None if there is no array in it."""
    if isinstance(x, list | tuple):
        x = next((y for y in x if isinstance(y, np.ndarray)), None)
    return np.asarray(x) if isinstance(x, np.ndarray | float) else None


def replaced(args: tuple[Any, ...], i: int, t: Any) -> list[Any]:
    """The arguments with `t` in the place of the i-th, or of its first array."""
    new = list(fresh(args))
    if isinstance(new[i], list | tuple):
        j = next(j for j, y in enumerate(new[i]) if isinstance(y, np.ndarray))
        t = type(new[i])([t if k == j else y for k, y in enumerate(new[i])])
    new[i] = t
    return new


def leaves(x: Any) -> Iterator[Any]:
    if isinstance(x, list | tuple):
        for y in x:
            yield from leaves(y)
    else:
        yield x


def problem(name: str, f: Callable[..., Any], call: tuple[Any, Any], i: int, mode: str) -> str:
    """What is wrong with the function where its i-th argument is traced; empty if nothing is."""
    args, expected = call
    x, seen = first_array(args[i]), []

    def traced(t: Any) -> Any:
        seen.append(list(leaves(f(*replaced(args, i, t)))))
        return tuple([y for y in seen[0] if isinstance(y, Tracer)])

    try:
        with quiet():
            if mode == "vmap":
                outs = [y[0] for y in ad.vmap(traced)(np.stack([x, x]))]
            else:
                outs = list(ad.jvp(traced, (x,), (np.ones_like(x),))[0])
    except (GpuadError, AttributeError) as error:
        said = "\n".join([str(error), *getattr(error, "__notes__", ())])
        return wrong_advice(name, said, isinstance(error, GpuadError))
    except Exception as error:
        return "" if name in BARE else f"{type(error).__name__}: {error}"[:200]
    if name in OTHERWISE:
        return ""
    if not outs:
        return "" if stays(f, replaced(args, i, x + 1e-9), expected) else lost(name, seen[0])
    found = iter(outs)
    return different([next(found) if isinstance(y, Tracer) else y for y in seen[0]], expected)


def wrong_advice(name: str, said: str, ours: bool) -> str:
    """What is wrong with an error: it must say what to write, with names that there are."""
    if not ours and "traced array has no attribute" not in said:
        return f"AttributeError: {said}"
    for named in re.findall(r"\bgpuad(?:\.\w+)+", said):
        found: Any = ad
        for part in named.split(".")[1:]:
            found = getattr(found, part, None)
        if found is None:
            return f"there is no {named}: {said}"
    if not re.search(r"\b([Ww]rite|give|take|leave|insert|convert|make|use|It has no)\b", said):
        return f"says nothing to write: {said}"
    arrays = re.search("NumPy array|asked for|cannot be recorded|no attribute", said)
    if arrays and name.startswith("scipy.") and counterpart(name) not in said:
        return f"does not name ours: {said}"
    return ""


def stays(f: Callable[..., Any], args: list[Any], expected: Any) -> bool:
    """Whether the result stays what it is if an argument changes a little."""
    with contextlib.suppress(Exception), quiet():
        return not different(list(leaves(f(*args))), expected, exactly=True)
    return False


def lost(name: str, found: list[Any]) -> str:
    kinds = [np.asarray(y).dtype.kind for y in found if isinstance(y, NUMBERS)]
    if not {*kinds} & {*"fcO"} or name.rpartition(".")[2] in ONLY_VALUES:
        return ""  # whole numbers, an object, nothing
    return f"the result has no traced value: {found!r}"[:200]


def different(found: list[Any], expected: Any, exactly: bool = False) -> str:
    values = list(leaves(expected))
    if len(values) != len(found):
        return f"{len(found)} results instead of {len(values)}"
    for y, z in zip(found, values, strict=True):
        if not isinstance(z, NUMBERS):
            continue
        y, z = np.asarray(y), np.asarray(z)
        if y.dtype == object or y.shape != z.shape or y.dtype.itemsize < z.dtype.itemsize:
            return f"{y.dtype}{y.shape} instead of {z.dtype}{z.shape}"
        tolerance = 0 if exactly else 1e-9
        if not np.allclose(y, z, rtol=tolerance, atol=tolerance, equal_nan=True):
            return f"{y!r} instead of {z!r}"[:300]
    return ""


def findings(module: str, modes: tuple[str, ...] = ("grad", "vmap")) -> tuple[int, list[str]]:
    """How many functions were called, and what is wrong with which."""
    count, found = 0, []
    for name, f in functions(module):
        call = plain_call(name, f)
        if call is None:
            if not name.startswith("scipy.interpolate"):
                found.append(f"{name}: no arguments were found; give them in CALLS")
            continue
        places = [i for i, a in enumerate(call[0]) if first_array(a) is not None]
        count += bool(places)
        for i, mode in itertools.product(places, modes):
            whole = first_array(call[0][i]).dtype.kind not in "fc"
            said = "" if whole and mode == "grad" else problem(name, f, call, i, mode)
            found += [f"{name}, argument {i}, {mode}: {said}"] if said else []
    return count, found


if __name__ == "__main__":
    for name in sys.argv[1:]:
        count, found = findings(name)
        print(count, *found, sep="\n")
