"""What gpuad takes of Numba and llvmlite beyond their manuals: for the CPU, all of it is here.

Each function says what it relies on. `tests/core/test_numba_parts.py` tries each, and says in one
line what another version has changed; `pyproject.toml` has the versions that were tried, and the
bounds. The other modules keep to the manuals: `njit` with the options described there, `types`,
`typeof`, `intrinsic`, in it `context.get_value_type` and llvmlite's builder.
"""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir
from numba import from_dtype, njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np import arrayobj

# Functions


def vectorisable(function: Callable[..., Any]) -> Any:
    """A function for loops that LLVM vectorises, which a call in them would stop. Inside, a sum of
    int32 is int64 to Numba: cast it back.

    Relies on the options `forceinline`, which has LLVM inline every call, and
    `no_cpython_wrapper`, which spares the time to compile an entry from Python.
    """
    function.__dict__["is_inlined"] = True
    return njit(function, forceinline=True, error_model="numpy", no_cpython_wrapper=True)


def inlined_function(function: Any) -> Any:
    """The Python function of what `vectorisable` made, None for anything else."""
    source = getattr(function, "py_func", None)
    return source if getattr(source, "is_inlined", False) else None


def only_called(function: Callable[..., Any]) -> Any:
    """A function that compiled functions call, and nobody else.

    Relies on the options `no_cpython_wrapper` and `no_cfunc_wrapper`, which spare the time to
    compile an entry from Python and one from C.
    """
    return njit(function, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


def sweep_function(signature: Any, cache: bool) -> Any:
    """Compiles a function that allocates nothing, and lets other threads run meanwhile.

    Relies on the options `no_cfunc_wrapper`, as above, and `_nrt`, without which Numba counts
    references to the arrays.
    """
    options = {"no_cfunc_wrapper": True, "_nrt": False}
    return njit([signature], nogil=True, error_model="numpy", cache=cache, **options)


def read(kind: Any) -> Any:
    """The type of a one-dimensional array, of NumPy's type `kind`, that is not written.

    Relies on the parameter `readonly` of Numba's type of arrays.
    """
    return types.Array(from_dtype(np.dtype(kind)), 1, "C", readonly=True)


def write(kind: Any) -> Any:
    """The type of a one-dimensional array that is written."""
    return types.Array(from_dtype(np.dtype(kind)), 1, "C")


def intrinsic_with(parameters: Sequence[str], body: Callable[..., Any]) -> Any:
    """An intrinsic with parameters of these names, made by a function that takes any number.

    Relies on `intrinsic` asking `inspect.signature` for the names.
    """
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    given = [inspect.Parameter(p, kind) for p in ("typing", *parameters)]
    body.__signature__ = inspect.Signature(given)  # type: ignore[attr-defined]
    return intrinsic(body)


def machine_code(folder: Path) -> list[Path]:
    """The files in which Numba keeps what it has compiled of a module in this folder.

    Relies on their place, and on how their names end. What is in them is tied to the name of the
    module, which `sys.modules` has to know when they are read.
    """
    return [p for p in (folder / "__pycache__").glob("*") if p.suffix in (".nbi", ".nbc")]


# Attributes for LLVM of the function that an intrinsic is called in, which is `builder.function`


def prefer_vectors(function: Any, bits: int) -> None:
    """Has LLVM vectorise a function in vectors of so many bits, if the processor has them.

    Relies on llvmlite keeping the attributes of functions in a `set` of texts that it writes out as
    they are. Its own `add` knows no attribute that has a value.
    """
    set.add(function.attributes, f'"prefer-vector-width"="{bits}"')


def mark_noalias(function: Any) -> None:
    """Tells LLVM that no two of the arrays given to a function overlap.

    It may be said where arrays that do overlap are only read. Without it LLVM compares the ends of
    all arrays before it runs a vectorised loop, and gives up where there are many.

    Relies on a compiled function having the places of its result and of its error as its first
    arguments, the first of which Numba marks in this way itself, and on the pointers behind them
    being those of its arrays.
    """
    result, _, *others = function.args
    for argument in others:
        if isinstance(argument.type, ir.PointerType):
            for attribute in result.attributes:
                argument.add_attribute(attribute)


def loop_hints(module: Any, hints: Sequence[Any]) -> Any:
    """What an instruction that jumps back to the head of a loop gets as metadata of the kind
    `llvm.loop`: a node of that loop alone, which LLVM wants to name itself first.

    Relies on llvmlite making a node of its own for operands that it has not seen, and writing out
    the `operands` that a node has in the end.
    """
    nodes = [module.add_metadata(x) for x in hints]
    loop = module.add_metadata([ir.Constant(ir.IntType(64), len(module.metadata)), *nodes])
    loop.operands = (loop, *nodes)
    return loop


# What Numba finds for a function


def unified(typing: Any, x: Any, y: Any) -> Any:
    """The type that values of two types have in common, or None.

    Relies on the typing context's `unify_types`.
    """
    return typing.unify_types(x, y)


def function_type(typing: Any, function: Any) -> Any:
    """Numba's type of a function; an operator has none and stands for itself.

    Relies on the typing context's `resolve_value_type`.
    """
    return typing.resolve_value_type(function)


def signature_of(typing: Any, kind: Any, operands: Sequence[Any]) -> Any:
    """The types of parameters and result of a function of type `kind`, given those of operands.
    If it does not take them, None or an error of Numba's.

    Relies on the typing context's `resolve_function_type`.
    """
    return typing.resolve_function_type(kind, tuple(operands), {})


def implementation_of(context: Any, kind: Any, signature: Any) -> Any:
    """What puts down the instructions of a function, given a builder and the operands' values.

    Relies on the context's `get_function`.
    """
    return context.get_function(kind, signature)


def takes_all_as_one(signature: Any) -> bool:
    """Whether a function takes its operands in one tuple, as `*operands`.

    Relies on the types of such a tuple.
    """
    kinds = signature.args
    return len(kinds) == 1 and isinstance(kinds[0], types.StarArgTuple | types.StarArgUniTuple)


# Values


def nothing(context: Any) -> Any:
    """What an intrinsic without a result returns.

    Relies on the context's `get_dummy_value`.
    """
    return context.get_dummy_value()


def constant(context: Any, builder: Any, kind: Any, number: Any) -> Any:
    """A number of a type.

    Relies on the context's `get_constant_generic`.
    """
    return context.get_constant_generic(builder, kind, number)


def cast(context: Any, builder: Any, value: Any, kind: Any, new: Any) -> Any:
    """A value of one type as one of another.

    Relies on the context's `cast`.
    """
    return context.cast(builder, value, kind, new)


def made_tuple(context: Any, builder: Any, kind: Any, values: Sequence[Any]) -> Any:
    """A tuple of values.

    Relies on the context's `make_tuple`.
    """
    return context.make_tuple(builder, kind, values)


def elements(builder: Any, value: Any) -> list[Any]:
    """The values that a tuple has.

    Relies on a tuple being a structure or an array of them, which `unpack_tuple` takes apart.
    """
    return list(cgutils.unpack_tuple(builder, value))


def place_for(builder: Any, kind: Any) -> Any:
    """A place on the stack for a value of one of LLVM's types.

    Relies on `alloca_once`, which makes it at the start of the function: in a loop it is one place.
    """
    return cgutils.alloca_once(builder, kind)


def raise_error(context: Any, builder: Any, kind: Any, arguments: tuple[Any, ...]) -> None:
    """Leaves the function with an exception.

    Relies on the calling convention's `return_user_exc`.
    """
    context.call_conv.return_user_exc(builder, kind, arguments)


# Arrays


def data_and_count(context: Any, builder: Any, kind: Any, value: Any) -> tuple[Any, Any]:
    """Where the first element of an array is, and how many there are.

    Relies on the fields `data` and `nitems` of Numba's array, and on the context's
    `data_model_manager`, which says where they are.
    """
    fields = context.data_model_manager[kind]
    places = [fields.get_field_position(name) for name in ("data", "nitems")]
    data, count = (builder.extract_value(value, place) for place in places)
    return data, count


def whole_array(context: Any, builder: Any, kind: Any, data: Any, count: Any) -> Any:
    """So many elements from a place on, as a one-dimensional array that functions take.

    Relies on the context's `make_array`, and on `populate_array`.
    """
    array = context.make_array(kind)(context, builder)
    size = constant(context, builder, types.intp, stored_size(context, kind.dtype))
    arrayobj.populate_array(array, data, [count], [size], size, None)
    return array._getvalue()


def load(context: Any, builder: Any, kind: Any, place: Any) -> Any:
    """The element of an array at a place.

    Relies on `load_item`: a boolean is stored as a byte.
    """
    return arrayobj.load_item(context, builder, kind, place)


def store(context: Any, builder: Any, kind: Any, value: Any, place: Any) -> None:
    """Stores an element of an array. Relies on `store_item`."""
    arrayobj.store_item(context, builder, kind, value, place)


def stored_type(context: Any, kind: Any) -> Any:
    """LLVM's type of an element that is stored. Relies on the context's `get_data_type`."""
    return context.get_data_type(kind)


def stored_size(context: Any, kind: Any) -> int:
    """The size in bytes of an element that is stored. Relies on the context's `get_abi_sizeof`."""
    return context.get_abi_sizeof(stored_type(context, kind))


# Functions in C


def call_external(builder: Any, result: Any, name: str, operands: Sequence[Any]) -> Any:
    """A call of a function of the C library, or of an intrinsic of LLVM.

    Relies on Numba finding names of the process that no module defines.
    """
    kind = ir.FunctionType(result, [x.type for x in operands])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), operands)


def matrix_product(builder: Any, operands: Sequence[Any]) -> Any:
    """A call of BLAS's matrix product, as SciPy brings it.

    Relies on `numba_xxgemm`, which takes the letter of the type, then what Fortran's does, numbers
    by value, factors and matrices by place.
    """
    return call_external(builder, ir.IntType(32), "numba_xxgemm", operands)
