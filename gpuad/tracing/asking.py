"""Which instruction of the user's code made compiled code of NumPy ask a traced array for its
value, and what to write there instead; for messages."""

import dis
from itertools import takewhile
from typing import Any

STORE_ITEM = dis.opmap["STORE_SUBSCR"]
_LOADS = ("LOAD_ATTR", "LOAD_METHOD", "LOAD_GLOBAL", "LOAD_NAME", "LOAD_FAST", "LOAD_DEREF")

OF_ARRAYS = ("array", "asarray", "asanyarray", "ascontiguousarray", "asfortranarray")
"""Functions of compiled code that no argument can take over; gpuad.numpy has them."""

_SAMPLES = {
    "normal": "loc + scale * rng.normal(size=...)",
    "uniform": "low + (high - low) * rng.random(size=...)",
    "laplace": "loc + scale * rng.laplace(size=...)",
    "logistic": "loc + scale * rng.logistic(size=...)",
    "gumbel": "loc + scale * rng.gumbel(size=...)",
    "exponential": "scale * rng.exponential(size=...)",
    "rayleigh": "scale * rng.rayleigh(size=...)",
    "lognormal": "np.exp(mean + sigma * rng.normal(size=...))",
    "multivariate_normal": "mean + np.linalg.cholesky(cov) @ rng.normal(size=...)",
    "choice": "x[rng.integers(len(x), size=...)]",
    "permutation": "x[rng.permutation(len(x))]",
}
"""Methods of NumPy's generators of random numbers, and samples with a derivative."""

_MASKED = "A plain array y cannot be indexed by a mask of unknown value: "
_INDEXED = "A plain array y cannot be indexed by a traced i: "
_STORED = "Traced values are stored into x = np.zeros_like(traced) or gpuad.numpy.zeros(n)"


def instead_where(frame: Any, kind: str) -> str:
    """What to write at the place where `frame` is, which asked for an array of a kind of dtype;
    empty if that is of no kind known here."""
    name = _instruction(frame)
    if name in ("x[i]", "x[i] = v"):
        return _instead_of_indexing(name == "x[i]", kind) if kind in "biu" else ""
    if name in OF_ARRAYS:
        return (
            f"Write gpuad.numpy.{name}, or np.stack([...]) for a list of traced values, or the "
            "array itself"
        )
    if name in _SAMPLES:
        return f"Write {_SAMPLES[name]}, with rng = np.random.default_rng(seed)"
    if name in ("float16", "float32", "float64", "complex64", "complex128"):
        return f"Write x.astype(np.{name})"
    return ""


def _instead_of_indexing(reads: bool, kind: str) -> str:
    if kind == "b":
        if reads:
            return f"{_MASKED}write np.where(mask, y, 0) for y[mask]"
        return f"{_MASKED}write y = np.where(mask, v, y) for y[mask] = v. {_STORED}"
    if reads:
        return f"{_INDEXED}write gpuad.numpy.take(y, i, axis=0) for y[i]"
    return f"{_INDEXED}write y = gpuad.numpy.scatter_set(y, i, v) for y[i] = v. {_STORED}"


def _instruction(frame: Any) -> str:
    """What the code of a frame is at: "x[i]", "x[i] = v", or the last name of the function that it
    calls."""
    code = frame.f_code
    operation = code.co_code[frame.f_lasti]
    name = dis.opname[operation]
    if operation == STORE_ITEM:
        return "x[i] = v"
    if name == "BINARY_SUBSCR":
        return "x[i]"
    return _called_name(code, frame.f_lasti) if name.startswith("CALL") else ""


def _called_name(code: Any, place: int) -> str:
    """The name that the called expression ends with: those that are loaded from where the call
    begins in the text are its parts."""
    before = list(takewhile(lambda i: i.offset <= place, dis.get_instructions(code)))
    start = _start(before[-1]) if before else None
    if start is None:
        return ""
    names = (str(i.argval) for i in reversed(before) if _loads_at(i, start))
    return next(names, "")


def _loads_at(instruction: dis.Instruction, start: tuple[int, int]) -> bool:
    return instruction.opname in _LOADS and _start(instruction) == start


def _start(instruction: dis.Instruction) -> tuple[int, int] | None:
    p = instruction.positions
    if p is None or p.lineno is None or p.col_offset is None:
        return None
    return p.lineno, p.col_offset
