"""What gpuad takes of Numba and llvmlite beyond their manuals, each part tried alone.

A failure is one line: the part, what it relies on, and what these versions do instead.
"""

import ast
import importlib.util
import math
import operator
import re
import sys
from pathlib import Path

import numpy as np
import pytest

numba = pytest.importorskip("numba")

import llvmlite  # noqa: E402
import llvmlite.binding as llvm  # noqa: E402
from gpuad.kernels import numba_parts as parts  # noqa: E402
from gpuad.kernels.products import product  # noqa: E402
from llvmlite import ir  # noqa: E402
from numba import float64, int64, njit, typeof, types  # noqa: E402

from gpuad.executors.native.compile_cache import SOURCE  # noqa: E402
from relied_on import one_line  # noqa: E402
from source_tree import modules_of  # noqa: E402

TRIED = {}


def versions(**_):
    return f"numba {numba.__version__}, llvmlite {llvmlite.__version__}"


def tries(*which):
    """A test of these parts, whose failure is one line."""

    def decorate(test):
        for part in which:
            TRIED[part.__name__] = tried = one_line(part, versions)(test)
        return tried

    return decorate


def calling(build, result, *kinds):
    """A compiled function that calls an intrinsic: what `build` gives, of the type `result`."""

    def body(typing, *operands):
        def put(context, builder, signature, values):
            return build(context, builder, *values)

        return result(*operands), put

    names = "abc"[: len(kinds)]
    text = f"def call({', '.join(names)}):\n    return f({', '.join(names)})\n"
    f = parts.intrinsic_with(list(names), body)
    found = {"f": f}
    exec(text, found)
    return njit(result(*kinds), error_model="numpy")(found["call"])


def llvm_of(function):
    (text,) = function.inspect_llvm().values()
    return text


@pytest.fixture(autouse=True, scope="module")
def warm():
    """The first function that Numba compiles takes longer."""
    njit(int64(int64))(lambda x: x)


VECTOR = types.Array(float64, 1, "C")
ONES = np.ones(3)

# Functions


@tries(parts.vectorisable)
def test_vectorisable():
    f = parts.vectorisable(lambda x: x * 2)
    assert njit(lambda x: f(x))(3.0) == 6
    text = llvm_of(f)
    assert "alwaysinline" in text, "the option forceinline does nothing"
    assert "cpython." not in text, "the option no_cpython_wrapper does nothing"


@tries(parts.inlined_function)
def test_inlined_function():
    def plain(x):
        return x

    assert parts.inlined_function(parts.vectorisable(plain)) is plain
    for other in (njit(lambda x: x), operator.add, np.float32, 3):
        assert parts.inlined_function(other) is None


@tries(parts.only_called)
def test_only_called():
    f = parts.only_called(lambda x: x * 2)
    assert njit(lambda x: f(x))(3.0) == 6
    for option in ("cpython", "cfunc"):
        assert f"{option}." not in llvm_of(f), f"the option no_{option}_wrapper does nothing"


@tries(parts.sweep_function)
def test_sweep_function():
    def sweep(x):
        part = x[1:]
        part[0] = 3.0

    f = parts.sweep_function(types.void(VECTOR), cache=False)(sweep)
    x = np.zeros(3)
    f(x)
    assert x[1] == 3
    text = llvm_of(f)
    assert "cfunc." not in text, "the option no_cfunc_wrapper does nothing"
    body = text.partition("cpython.")[0]
    assert "NRT_incref" not in body, "the option _nrt does nothing"


@tries(parts.read, parts.write)
def test_arrays_read_and_written():
    fixed = np.ones(3)
    fixed.flags.writeable = False
    assert parts.read(np.float64) == typeof(fixed)
    assert parts.write(np.float64) == typeof(np.ones(3))


@tries(parts.intrinsic_with)
def test_intrinsic_with():
    def body(typing, *kinds):
        return int64(*kinds), lambda context, builder, signature, values: values[0]

    f = parts.intrinsic_with(["a", "b"], body)
    assert njit(lambda x, y: f(x, y))(3, 4.0) == 3
    with pytest.raises(numba.TypingError):
        njit(lambda x: f(x))(3)


@tries(parts.machine_code)
def test_machine_code(tmp_path):
    path = tmp_path / "kept.py"
    lines = ["from numba import float64", "from gpuad.kernels.numba_parts import sweep_function"]
    lines += ["@sweep_function(float64(float64), cache=True)", "def sweep(x):", "    return x"]
    path.write_text("\n".join(lines))
    hits = []
    for _ in range(2):
        spec = importlib.util.spec_from_file_location("gpuad_kept", path)
        module = sys.modules["gpuad_kept"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        hits.append(sum(module.sweep.stats.cache_hits.values()))
    del sys.modules["gpuad_kept"]
    assert sorted(p.suffix for p in parts.machine_code(tmp_path)) == [".nbc", ".nbi"]
    assert hits == [0, 1]
    assert all(p.name.startswith("kept.") for p in (tmp_path / "__pycache__").iterdir())


# Attributes


@tries(parts.prefer_vectors)
def test_prefer_vectors():
    def build(context, builder, x):
        parts.prefer_vectors(builder.function, 256)
        return x

    text = llvm_of(calling(build, float64, float64))
    assert '"prefer-vector-width"="256"' in text, "the attribute is not in LLVM's text"


@tries(parts.mark_noalias)
def test_mark_noalias():
    def build(context, builder, x):
        parts.mark_noalias(builder.function)
        return parts.data_and_count(context, builder, VECTOR, x)[1]

    f = calling(build, int64, VECTOR)
    (head,) = re.findall(r"define .*i32 @_Z.*", llvm_of(f))
    assert head.count("noalias") == 5, "not all of the result, the error and an array are marked"
    assert f(ONES) == 3


@tries(parts.loop_hints)
def test_loop_hints():
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), []), "endless")
    builder = ir.IRBuilder(function.append_basic_block())
    blocks = [function.append_basic_block() for _ in range(2)]
    builder.branch(blocks[0])
    for k, block in enumerate(blocks):
        builder.position_at_end(block)
        back = builder.cbranch(ir.Constant(ir.IntType(1), k), block, blocks[-1])
        hints = [[ir.MetaDataString(module, "llvm.loop.unroll.disable")]]
        back.set_metadata("llvm.loop", parts.loop_hints(module, hints))
    text = str(llvm.parse_assembly(str(module)))
    assert len(set(re.findall(r"!llvm\.loop (!\d+)", text))) == 2, "loops share a node"
    assert len(re.findall(r"(!\d+) = (?:distinct )?!\{\1, !\d+\}", text)) == 2, "no node has itself"


# What Numba finds for a function


def in_intrinsic(ask):
    """What a function says that is given the typing context and an empty function's place."""
    said = []

    def body(typing, x):
        def put(context, builder, signature, values):
            said.append(ask(typing, context, builder))
            return values[0]

        return int64(x), put

    f = parts.intrinsic_with(["x"], body)
    njit(int64(int64))(lambda x: f(x))
    return said[-1]


@tries(parts.unified)
def test_unified():
    def ask(typing, context, builder):
        return [parts.unified(typing, int64, x) for x in (float64, types.intp, VECTOR)]

    assert in_intrinsic(ask) == [float64, int64, None]


@tries(parts.function_type, parts.signature_of, parts.implementation_of)
def test_functions():
    found = {}

    def ask(typing, context, builder):
        found["kind"] = parts.function_type(typing, math.hypot)
        found["signature"] = parts.signature_of(typing, found["kind"], [float64, float64])
        return parts.signature_of(typing, operator.lt, [int64, int64]).return_type

    def build(context, builder, x, y):
        put = parts.implementation_of(context, found["kind"], found["signature"])
        return put(builder, [x, y])

    assert in_intrinsic(ask) == types.boolean
    assert found["signature"].args == (float64, float64)
    assert calling(build, float64, float64, float64)(3.0, 4.0) == 5


@tries(parts.takes_all_as_one)
def test_takes_all_as_one():
    def ask(typing, context, builder):
        any_number = njit(lambda *given: 1)
        kinds = [parts.function_type(typing, f) for f in (any_number, math.hypot)]
        operands = [float64, float64]
        return [parts.takes_all_as_one(parts.signature_of(typing, k, operands)) for k in kinds]

    assert in_intrinsic(ask) == [True, False]


# Values


@tries(parts.nothing)
def test_nothing():
    assert calling(lambda context, builder, x: parts.nothing(context), types.void, int64)(3) is None


@tries(parts.constant)
@pytest.mark.parametrize("number", [np.float32(0.1), np.float64(np.inf), True, -3, 1j])
def test_constant(number):
    kind = typeof(number)
    f = calling(lambda context, builder: parts.constant(context, builder, kind, number), kind)
    assert f() == number


@tries(parts.cast)
def test_cast():
    def build(context, builder, x):
        return parts.cast(context, builder, x, int64, types.float32)

    assert calling(build, types.float32, int64)(3) == 3


@tries(parts.made_tuple, parts.elements)
@pytest.mark.parametrize("kinds", [(int64, float64), (float64, float64)])
def test_tuples(kinds):
    kind = types.Tuple(kinds)

    def build(context, builder, x, y):
        both = parts.made_tuple(context, builder, kind, [x, y])
        return parts.elements(builder, both)[0]

    assert calling(build, kinds[0], *kinds)(3, 4) == 3


@tries(parts.place_for)
def test_place_for():
    def build(context, builder, x):
        place = parts.place_for(builder, x.type)
        assert place.parent is builder.function.entry_basic_block, "it is not at the start"
        builder.store(x, place)
        return builder.load(place)

    assert calling(build, float64, float64)(3.0) == 3


@tries(parts.raise_error)
def test_raise_error():
    def build(context, builder, x):
        with builder.if_then(builder.icmp_signed("<", x, x.type(0))):
            parts.raise_error(context, builder, IndexError, ("no such place",))
        return x

    f = calling(build, int64, int64)
    assert f(3) == 3
    with pytest.raises(IndexError, match="no such place"):
        f(-1)


# Arrays


@tries(parts.data_and_count)
def test_data_and_count():
    def build(context, builder, x):
        data, count = parts.data_and_count(context, builder, VECTOR, x)
        return builder.fadd(builder.load(data), builder.sitofp(count, data.type.pointee))

    assert calling(build, float64, VECTOR)(np.array([0.5, 1, 2])) == 3.5


@tries(parts.whole_array)
def test_whole_array():
    def build(context, builder, x):
        data, count = parts.data_and_count(context, builder, VECTOR, x)
        return parts.whole_array(context, builder, VECTOR, data, count)

    x = np.array([3.0, 4.0])
    f = calling(lambda context, builder, x: build(context, builder, x), VECTOR, VECTOR)
    inner = njit(float64(VECTOR))(lambda x: f(x)[1] + f(x).size + f(x).strides[0])
    assert inner(x) == 14


@tries(parts.load, parts.store)
@pytest.mark.parametrize("dtype", [np.bool_, np.float32])
def test_elements_of_arrays(dtype):
    kind = parts.write(dtype)

    def build(context, builder, x):
        data, _ = parts.data_and_count(context, builder, kind, x)
        value = parts.load(context, builder, kind, data)
        assert value.type == context.get_value_type(kind.dtype), "it is not the value's type"
        parts.store(context, builder, kind, value, builder.gep(data, [ir.IntType(64)(2)]))
        return value

    x = np.array([1, 0, 0]).astype(dtype)
    assert calling(build, kind.dtype, kind)(x) == 1
    assert x.tolist() == [1, 0, 1]


@tries(parts.stored_type, parts.stored_size)
def test_stored():
    def ask(typing, context, builder):
        assert parts.stored_type(context, types.boolean).width == 8, "a boolean is no byte"
        return [parts.stored_size(context, x) for x in (types.boolean, types.float32, int64)]

    assert in_intrinsic(ask) == [1, 4, 8]


# Functions in C


@tries(parts.call_external)
@pytest.mark.skipif(sys.platform == "win32", reason="it has no sched_yield")
def test_call_external():
    def build(context, builder):
        return parts.call_external(builder, ir.IntType(32), "sched_yield", [])

    assert calling(build, types.int32)() == 0


@tries(parts.matrix_product)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_matrix_product(dtype):
    assert llvm.address_of_symbol("numba_xxgemm"), "numba_xxgemm is not there"
    x, y, out = np.arange(6), np.arange(12), np.zeros(8)
    x, y, out = (a.astype(dtype) for a in (x, y, out))
    njit(lambda x, y, out: product(x, y, out, 2, 3, 4))(x, y, out)
    assert (out.reshape(2, 4) == x.reshape(2, 3) @ y.reshape(3, 4)).all()


# The tests themselves


def functions():
    return [f for f in vars(parts).values() if getattr(f, "__module__", "") == parts.__name__]


def test_each_part_is_tried():
    assert {f.__name__ for f in functions()} == set(TRIED)
    assert all("Relies on" in f.__doc__ for f in functions() if f not in OF_OTHERS)


OF_OTHERS = (parts.inlined_function, parts.write)
"""What relies on nothing that is not said of the function before it."""


def test_what_has_changed_is_said_in_one_line(monkeypatch):
    monkeypatch.delattr(parts.cgutils, "unpack_tuple")
    with pytest.raises(pytest.fail.Exception) as caught:
        TRIED["elements"]((int64, float64))
    (line,) = str(caught.value).splitlines()
    assert re.search(r"numba \d.*: elements relies on .*But: .*'unpack_tuple'", line)


# The one door

IMPORTED = {
    "numba": {"extending", "from_dtype", "int64", "njit", "typeof", "types", "void"},
    "numba.extending": {"intrinsic"},
    "llvmlite": {"binding", "ir"},
}
OPTIONS = {"nogil", "error_model", "boundscheck", "cache"}
BEYOND = {parts.__name__, "gpuad.codegen.cuda.compilers"}
"""The modules that say what they take beyond the manuals: for the CPU, and of compilers of kernels
(`cuda_offline/test_compiler_parts.py`)."""


def beyond_the_manuals(tree):
    """What a module uses of Numba and llvmlite that is not in their manuals, or not to be."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module), names=names):
                if module.partition(".")[0] in ("numba", "llvmlite"):
                    allowed = IMPORTED.get(module, set())
                    yield from [f"{module}.{x.name}" for x in names if x.name not in allowed]
            case ast.Import(names=names):
                for x in names:
                    if re.match(r"(numba|llvmlite)\.(?!binding)", x.name):
                        yield x.name
            case ast.Attribute(value=ast.Name(id="context" | "typing" as owner), attr=name):
                if f"{owner}.{name}" != "context.get_value_type":
                    yield f"{owner}.{name}"
            case ast.Attribute(value=ast.Attribute(attr="context" | "typing" as owner), attr=name):
                if f"{owner}.{name}" != "context.get_value_type":
                    yield f"{owner}.{name}"
            case ast.Call(func=ast.Name(id="njit") | ast.Attribute(attr="njit"), keywords=given):
                yield from [f"njit({k.arg})" for k in given if k.arg not in OPTIONS]


def test_nothing_beyond_the_manuals_is_used_elsewhere():
    found = {}
    for name, path in modules_of().items():
        text = Path(path).read_text(encoding="utf-8")
        if name not in BEYOND and ("numba" in text or "llvmlite" in text):
            found[name] = list(beyond_the_manuals(ast.parse(text)))
    fields = dict.fromkeys(("main", "other", "text", "types", "names", "bits"), "x")
    source = SOURCE.format(**fields, cache="True")
    found["SOURCE"] = list(beyond_the_manuals(ast.parse(source)))
    assert not {name: x for name, x in found.items() if x}


@pytest.mark.parametrize(
    "text, found",
    [
        ("from numba.core import cgutils", "numba.core.cgutils"),
        ("import numba.np.arrayobj", "numba.np.arrayobj"),
        ("context.cast(x)", "context.cast"),
        ("self.typing.unify_types(x)", "typing.unify_types"),
        ("@njit(forceinline=True)\ndef f(): pass", "njit(forceinline)"),
        ("from numba import njit\nimport llvmlite.binding\ncontext.get_value_type(x)", None),
    ],
)
def test_what_is_beyond_them_is_found(text, found):
    assert list(beyond_the_manuals(ast.parse(text))) == ([found] if found else [])
