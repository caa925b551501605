"""The Python array API standard, version 2025.12: every function of it, with its arguments by the
names and kinds that it gives them, and with the results that it asks for."""

import importlib
import inspect
from typing import Any

import numpy as np
import pytest

import gpuad as ad
import gpuad.numpy as gnp
from gpuad.compile import run_once

MAIN = """
abs(x, /)  acos(x, /)  acosh(x, /)  asin(x, /)  asinh(x, /)  atan(x, /)  atanh(x, /)
bitwise_invert(x, /)  ceil(x, /)  conj(x, /)  cos(x, /)  cosh(x, /)  exp(x, /)  expm1(x, /)
floor(x, /)  imag(x, /)  isfinite(x, /)  isinf(x, /)  isnan(x, /)  log(x, /)  log10(x, /)
log1p(x, /)  log2(x, /)  logical_not(x, /)  negative(x, /)  positive(x, /)  real(x, /)
reciprocal(x, /)  round(x, /)  sign(x, /)  signbit(x, /)  sin(x, /)  sinh(x, /)  sqrt(x, /)
square(x, /)  tan(x, /)  tanh(x, /)  trunc(x, /)
add(x1, x2, /)  atan2(x1, x2, /)  bitwise_and(x1, x2, /)  bitwise_left_shift(x1, x2, /)
bitwise_or(x1, x2, /)  bitwise_right_shift(x1, x2, /)  bitwise_xor(x1, x2, /)
copysign(x1, x2, /)  divide(x1, x2, /)  equal(x1, x2, /)  floor_divide(x1, x2, /)
greater(x1, x2, /)  greater_equal(x1, x2, /)  hypot(x1, x2, /)  less(x1, x2, /)
less_equal(x1, x2, /)  logaddexp(x1, x2, /)  logical_and(x1, x2, /)  logical_or(x1, x2, /)
logical_xor(x1, x2, /)  maximum(x1, x2, /)  minimum(x1, x2, /)  multiply(x1, x2, /)
nextafter(x1, x2, /)  not_equal(x1, x2, /)  pow(x1, x2, /)  remainder(x1, x2, /)
subtract(x1, x2, /)  clip(x, /, min=None, max=None)
arange(start, /, stop=None, step=1, *, dtype=None, device=None)
asarray(obj, /, *, dtype=None, device=None, copy=None)
empty(shape, *, dtype=None, device=None)  empty_like(x, /, *, dtype=None, device=None)
eye(n_rows, n_cols=None, /, *, k=0, dtype=None, device=None)
full(shape, fill_value, *, dtype=None, device=None)
full_like(x, /, fill_value, *, dtype=None, device=None)
linspace(start, stop, /, num, *, dtype=None, device=None, endpoint=True)
meshgrid(*arrays, indexing='xy')  ones(shape, *, dtype=None, device=None)
ones_like(x, /, *, dtype=None, device=None)  tril(x, /, *, k=0)  triu(x, /, *, k=0)
zeros(shape, *, dtype=None, device=None)  zeros_like(x, /, *, dtype=None, device=None)
astype(x, dtype, /, *, copy=True, device=None)  can_cast(from_, to, /)
result_type(*arrays_and_dtypes)
take(x, indices, /, *, axis=None)  take_along_axis(x, indices, /, *, axis=-1)
matmul(x1, x2, /)  matrix_transpose(x, /)  tensordot(x1, x2, /, *, axes=2)
vecdot(x1, x2, /, *, axis=-1)
broadcast_arrays(*arrays)  broadcast_shapes(*shapes)  broadcast_to(x, /, shape)
concat(arrays, /, *, axis=0)  expand_dims(x, /, axis)  flip(x, /, *, axis=None)
moveaxis(x, source, destination, /)  permute_dims(x, /, axes)
repeat(x, repeats, /, *, axis=None)  reshape(x, /, shape, *, copy=None)
roll(x, /, shift, *, axis=None)  squeeze(x, /, axis)  stack(arrays, /, *, axis=0)
tile(x, repetitions, /)  unstack(x, /, *, axis=0)
argmax(x, /, *, axis=None, keepdims=False)  argmin(x, /, *, axis=None, keepdims=False)
count_nonzero(x, /, *, axis=None, keepdims=False)  nonzero(x, /)
searchsorted(x1, x2, /, *, side='left', sorter=None)  where(condition, x1, x2, /)
isin(x1, x2, /, *, invert=False)  unique_all(x, /)  unique_counts(x, /)  unique_inverse(x, /)
unique_values(x, /)
argsort(x, /, *, axis=-1, descending=False, stable=True)
sort(x, /, *, axis=-1, descending=False, stable=True)
cumulative_prod(x, /, *, axis=None, dtype=None, include_initial=False)
cumulative_sum(x, /, *, axis=None, dtype=None, include_initial=False)
max(x, /, *, axis=None, keepdims=False)  mean(x, /, *, axis=None, keepdims=False)
min(x, /, *, axis=None, keepdims=False)
prod(x, /, *, axis=None, dtype=None, keepdims=False)
std(x, /, *, axis=None, correction=0.0, keepdims=False)
sum(x, /, *, axis=None, dtype=None, keepdims=False)
var(x, /, *, axis=None, correction=0.0, keepdims=False)
all(x, /, *, axis=None, keepdims=False)  any(x, /, *, axis=None, keepdims=False)
diff(x, /, *, axis=-1, n=1, prepend=None, append=None)
__array_namespace_info__()
"""
LINALG = """
cholesky(x, /, *, upper=False)  cross(x1, x2, /, *, axis=-1)  det(x, /)
diagonal(x, /, *, offset=0)  eig(x, /)  eigh(x, /)  eigvals(x, /)  eigvalsh(x, /)  inv(x, /)
matmul(x1, x2, /)  matrix_norm(x, /, *, keepdims=False, ord='fro')  matrix_power(x, n, /)
matrix_rank(x, /, *, rtol=None)  matrix_transpose(x, /)  outer(x1, x2, /)
pinv(x, /, *, rtol=None)  qr(x, /, *, mode='reduced')  slogdet(x, /)  solve(x1, x2, /)
svd(x, /, *, full_matrices=True)  svdvals(x, /)  tensordot(x1, x2, /, *, axes=2)
trace(x, /, *, offset=0, dtype=None)  vecdot(x1, x2, /, *, axis=-1)
vector_norm(x, /, *, axis=None, keepdims=False, ord=2)
"""
FFT = """
fft(x, /, *, n=None, axis=-1, norm='backward')  ifft(x, /, *, n=None, axis=-1, norm='backward')
fftn(x, /, *, s=None, axes=None, norm='backward')
ifftn(x, /, *, s=None, axes=None, norm='backward')
rfft(x, /, *, n=None, axis=-1, norm='backward')  irfft(x, /, *, n=None, axis=-1, norm='backward')
rfftn(x, /, *, s=None, axes=None, norm='backward')
irfftn(x, /, *, s=None, axes=None, norm='backward')
hfft(x, /, *, n=None, axis=-1, norm='backward')  ihfft(x, /, *, n=None, axis=-1, norm='backward')
fftfreq(n, /, *, d=1.0, dtype=None, device=None)  rfftfreq(n, /, *, d=1.0, dtype=None, device=None)
fftshift(x, /, *, axes=None)  ifftshift(x, /, *, axes=None)
"""
OTHERS = {
    "constants": "e inf nan newaxis pi",
    "dtypes": "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64 "
    "complex128",
    "NumPy's as they are": "finfo from_dlpack iinfo isdtype",
}
ATTRIBUTES = "T device dtype mT ndim shape size to_device __array_namespace__ __complex__ " + (
    " ".join(
        f"__{name}__"
        for name in "abs add and bool eq float floordiv ge getitem gt index int invert le lshift "
        "lt matmul mod mul ne neg or pos pow rshift setitem sub truediv xor iadd isub imul "
        "itruediv "
        "ifloordiv ipow imod iand ior ixor ilshift irshift radd rsub rmul rtruediv rfloordiv rpow "
        "rmod rand ror rxor rlshift rrshift rmatmul imatmul".split()
    )
)


def declared(text: str) -> dict[str, inspect.Signature]:
    """The functions of a list, by name."""
    found = {}
    for one in text.replace("\n", "  ").split("  "):
        if one.strip():
            name, _, arguments = one.strip().partition("(")
            scope: dict[str, Any] = {}
            exec(f"def f({arguments}: pass", scope)
            found[name] = inspect.signature(scope["f"])
    return found


GROUPS = {"": declared(MAIN), "linalg": declared(LINALG), "fft": declared(FFT)}


def function(group: str, name: str) -> Any:
    try:
        module = importlib.import_module(f"gpuad.numpy.{group}".rstrip("."))
    except ModuleNotFoundError:
        return None
    return getattr(module, name, None)


EVERY = [(group, name) for group, names in GROUPS.items() for name in names]


def test_the_list_is_the_standards():
    assert [len(names) for names in GROUPS.values()] == [132, 25, 14]


@pytest.mark.parametrize("kind", OTHERS)
def test_names_that_are_no_functions_of_arrays(kind):
    assert [n for n in OTHERS[kind].split() if not hasattr(gnp, n)] == []


@pytest.mark.parametrize(("group", "name"), EVERY)
def test_a_function_takes_the_standards_arguments(group, name):
    """Those without a name by position, the others by name; each with its default left out too."""
    parameters = list(GROUPS[group][name].parameters.values())
    of_kind = {kind: [p for p in parameters if p.kind is kind] for kind in inspect._ParameterKind}
    nameless = of_kind[inspect.Parameter.POSITIONAL_ONLY]
    nameless = nameless + 2 * of_kind[inspect.Parameter.VAR_POSITIONAL]
    either = of_kind[inspect.Parameter.POSITIONAL_OR_KEYWORD]
    named = {p.name: p for p in of_kind[inspect.Parameter.KEYWORD_ONLY]}
    ours = inspect.signature(function(group, name))
    ours.bind(*nameless, *either, **named)
    ours.bind(*nameless, **{p.name: p for p in either}, **named)
    ours.bind(*[p for p in (*nameless, *either) if p.default is p.empty])


def test_a_traced_array_has_the_standards_attributes():
    seen: list[str] = []
    ad.jit(lambda x: seen.extend(n for n in ATTRIBUTES.split() if not hasattr(x, n)) or x)(
        np.ones((2, 2))
    )
    assert seen == []


# Results: shapes and dtypes are those of the standard, which NumPy's functions have on plain arrays

FLOATS = np.array([[0.5, -0.25], [0.75, 0.0]])
CALLS: dict[str, Any] = {
    "take": lambda f, x: f(x, np.array([1, 0]), axis=0),
    "take_along_axis": lambda f, x: f(x, np.array([[1], [0]])),
    "tensordot": lambda f, x: f(x, x, axes=1),
    "broadcast_to": lambda f, x: f(x, (3, 2, 2)),
    "concat": lambda f, x: f([x, x], axis=None),
    "expand_dims": lambda f, x: f(x, axis=(0, -1)),
    "moveaxis": lambda f, x: f(x, 0, -1),
    "permute_dims": lambda f, x: f(x, (-1, 0)),
    "repeat": lambda f, x: f(x, 2, axis=1),
    "reshape": lambda f, x: f(x, (4,), copy=True),
    "roll": lambda f, x: f(x, (1, 1), axis=(0, 1)),
    "squeeze": lambda f, x: f(x[None], 0),
    "stack": lambda f, x: f([x, x], axis=-1),
    "tile": lambda f, x: f(x, (2, 1)),
    "searchsorted": lambda f, x: f(np.array([0.0, 0.5]), x, side="right"),
    "where": lambda f, x: f(x > 0, x, 2.0),
    "isin": lambda f, x: f(x, np.array([0.0, 0.5]), invert=True),
    "cumulative_sum": lambda f, x: f(x, axis=0, include_initial=True),
    "cumulative_prod": lambda f, x: f(x, axis=1, dtype=np.float64),
    "std": lambda f, x: f(x, axis=0, correction=1.0, keepdims=True),
    "var": lambda f, x: f(x, correction=1.0),
    "sum": lambda f, x: f(x, axis=(0, 1), dtype=np.float64, keepdims=True),
    "diff": lambda f, x: f(x, axis=0, n=1, prepend=x[:1]),
    "clip": lambda f, x: f(x, min=-0.1),
    "astype": lambda f, x: f(x, np.float32, copy=False),
    "full_like": lambda f, x: f(x, 3, dtype=np.int64, device="cpu"),
    "linspace": lambda f, x: f(x[0], x[1], num=3, endpoint=False),
    "meshgrid": lambda f, x: f(x[0], x[1], indexing="ij"),
    "tril": lambda f, x: f(x, k=-1),
    "argsort": lambda f, x: f(x, axis=0, stable=True),
    "matrix_power": lambda f, x: f(x, 3),
    "outer": lambda f, x: f(x[0], x[1]),
    "cross": lambda f, x: f(np.ones(3) * x[0, 0], np.arange(3.0)),
    "vector_norm": lambda f, x: f(x, axis=0, ord=1),
    "trace": lambda f, x: f(x, offset=1),
}
BY_VALUES = {n for n in GROUPS[""] if n.startswith("unique")} | {"nonzero"}
NOT_OF_FLOATS = {n for n in GROUPS[""] if n.startswith("bitwise")}
NO_ARRAYS = {"arange", "asarray", "empty", "eye", "full", "ones", "zeros", "result_type",
             "can_cast", "broadcast_shapes", "__array_namespace_info__", "empty_like", "fftfreq",
             "rfftfreq"}  # fmt: skip


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("group", "name"),
    [(g, n) for g, n in EVERY if n not in BY_VALUES | NO_ARRAYS],
)
def test_results_have_the_standards_shapes_and_dtypes(group, name):
    theirs = getattr(getattr(np, group) if group else np, name)
    for dtype in (np.float64, np.float32, np.int64):
        if (dtype is np.int64) != (name in NOT_OF_FLOATS):
            continue
        x = (FLOATS * (8 if dtype is np.int64 else 1)).astype(dtype)
        if name == "acosh":
            x = x + 2
        if group == "linalg":
            x = x @ x.T + np.eye(2, dtype=dtype)
        binary = len(GROUPS[group][name].parameters) >= 2 and "x2" in GROUPS[group][name].parameters
        call = CALLS.get(name, (lambda f, x: f(x, x)) if binary else lambda f, x: f(x))
        if name == "broadcast_arrays":
            call = lambda f, x: f(x, x[0])  # noqa: E731
        if name == "bitwise_left_shift":
            x = np.abs(x)
        expected = call(theirs, x)
        found = run_once(lambda x, c=call: c(function(group, name), x), (x,), {})
        pairs = zip(found, expected, strict=True) if isinstance(expected, tuple | list) else [
            (found, expected)
        ]  # fmt: skip
        for ours, numpys in pairs:
            assert np.shape(ours) == np.shape(numpys)
            if name not in ("eig", "eigvals"):  # complex here, as the standard has it
                assert np.asarray(ours).dtype == np.asarray(numpys).dtype
            np.testing.assert_allclose(ours, numpys, rtol=1e-6, atol=1e-7)


def test_sorting_from_the_largest():
    x = np.array([1.0, 3.0, 2.0, 3.0])
    found = ad.jit(lambda x: (gnp.sort(x, descending=True), gnp.argsort(x, descending=True)))(x)
    np.testing.assert_array_equal(found[0], [3, 3, 2, 1])
    np.testing.assert_array_equal(found[1], [1, 3, 2, 0])


def test_creation_while_a_function_is_traced():
    def f(x):
        made = [
            gnp.arange(3, dtype=gnp.float32, device=x.device),
            gnp.asarray([x[0], 1.0], dtype=None, copy=True, device=x.device),
            gnp.empty((2, 0), dtype=gnp.int8),
            gnp.eye(2, 3, k=1, dtype=None),
            gnp.full((2,), True, dtype=None, device=None),
            gnp.ones(2, dtype=None, device="cpu"),
            gnp.zeros((1, 2), dtype=gnp.complex64),
            gnp.empty_like(x, dtype=gnp.uint8),
        ]
        return [m + 0 * x[0].astype(m.dtype) if m.dtype != bool else m for m in made]

    dtypes = [np.float32, float, np.int8, float, bool, float, np.complex64, np.uint8]
    shapes = [(3,), (2,), (2, 0), (2, 3), (2,), (2,), (1, 2), (2,)]
    for x, dtype, shape in zip(ad.jit(f)(np.ones(2)), dtypes, shapes, strict=True):
        assert x.dtype == dtype and x.shape == shape


def test_the_version_is_named():
    assert gnp.__array_api_version__ == "2025.12"
    ad.jit(lambda x: x.__array_namespace__(api_version="2025.12") and x)(1.0)
