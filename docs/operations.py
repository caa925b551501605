"""The tables of what each public function can do, found by recording it with sample arguments."""

import inspect
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import chapters
import numpy as np

import gpuad as ad
import gpuad.numpy as gnp
from executors import public_calls
from gpuad.api.recording import Arguments, Hidden, record
from gpuad.codegen.cpu import operations as cpu
from gpuad.codegen.cuda import planning as cuda
from gpuad.errors import GpuadError, NotDifferentiableError, UnknownValueError
from gpuad.ir.graph import Equation, Graph
from gpuad.ir.primitive import Role
from gpuad.tracing import Tracer
from gpuad.transforms.jvp import jvp
from gpuad.transforms.lower import lower
from gpuad.transforms.vmap import vmap
from gpuad.tree import flatten

ROWS = 64
"""A batch of so many is what is asked about: more than the fewest small matrices written out."""
FREE = (Role.VIEW, Role.IOTA, Role.CONSTANT)
"""What costs nothing beside a sweep."""
HEADER = "| function | derivatives | batch | CPU | CUDA | notes |\n|---|---|---|---|---|---|"
AT = np.array([0.5, 1.5])
"""Where the object that a function makes is called."""

ORDERS = ("expn", "iv", "ive", "jn", "jv", "kn", "yn", "yv")
"""Functions whose first argument, which has no name, is an order."""
CALLS: dict[str, tuple[Any, ...]] = {
    "numpy.histogram": (np.array([0, 1, 2]), 3, None, None, np.array([0.5, 1.5, 1.0])),
    "numpy.imag": (AT + 1j,),
}
"""Arguments that show more of a function than those of the tests."""
OF_REAL = ("erf", "erfc", "erfcx", "erfi", "dawsn", "spence", "jv", "iv", "kv", "yv")
"""Functions of SciPy that take complex arguments there, and real ones here."""
IN_BOUNDS = "traced points with `bounds_error=False` or values to fill in"
NOTES = {
    "numpy.histogram": "by `weights`",
    "numpy.imag": "of real arguments a stated zero",
    "numpy.linalg.eigvals": "always complex",
    "scipy.linalg.eigvals": "always complex",
    "scipy.interpolate.interp1d": IN_BOUNDS,
    "scipy.interpolate.RegularGridInterpolator": IN_BOUNDS,
    **{f"scipy.special.{name}": "of real arguments" for name in OF_REAL},
}


@dataclass
class Sample:
    """A function, arguments for it, and which of these are traced."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    places: list[int] = field(default_factory=list)

    def __call__(self, *traced: Any) -> Any:
        """The traced results."""
        args = list(public_calls.fresh(self.args))
        for i, t in zip(self.places, traced, strict=True):
            args[i] = public_calls.replaced(tuple(args), i, t)[i]
        found = self.function(*args)
        if found is None:
            found = args  # changed in place
        found = found(AT) if callable(found) and not isinstance(found, Tracer) else found
        return [y for y in public_calls.leaves(found) if isinstance(y, Tracer)]

    @property
    def arrays(self) -> list[Any]:
        return [public_calls.first_array(self.args[i]) for i in self.places]

    def graph(self, function: Callable[..., Any] | None = None) -> Graph:
        """What is recorded of a function (this one) whose values are not known."""
        leaves, treedef = flatten((tuple(self.arrays), {}))
        arguments = Arguments(leaves, treedef)
        return record(function or self, arguments, hidden=Hidden("jit")).graph


def tables() -> str:
    """A table for each chapter of `gpuad.numpy`, and for each of SciPy's modules."""
    parts = []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for chapter in chapters.chapters()[:-1]:
            parts += section(f"numpy: {chapter.title}", "numpy.", chapter.entries)
        for chapter in chapters.scipy_chapters():
            parts += section(chapter.title, f"{chapter.title}.", chapter.entries)
    return "\n".join(parts)


def section(title: str, module: str, entries: Iterable[chapters.Entry]) -> list[str]:
    rows, others = [], []
    for entry in sorted(entries, key=lambda e: e.names):
        if not callable(entry.thing) or (isinstance(entry.thing, type) and "numpy" in module):
            continue
        names = ", ".join([f"`{name}`" for name in entry.names])
        found = row(names, module, entry)
        (rows if found else others).append(found or names)
    parts = [f"## {title}\n", *([HEADER, *rows, ""] if rows else [])]
    return [*parts, f"Without traced arrays: {', '.join(others)}.\n"] if others else parts


def row(names: str, module: str, entry: chapters.Entry) -> str:
    """The row of a function; nothing if no array of it can be traced, for want of arrays."""
    name = module + entry.names[0]
    call = (CALLS[name],) if name in CALLS else public_calls.plain_call(name, entry.thing)
    if call is None:
        return ""
    cells, notes = facts(Sample(entry.thing, call[0]))
    if not cells and not notes:
        return ""
    if name in NOTES:
        notes.append(NOTES[name])
    if module == "numpy." and not any(in_numpy(name) for name in entry.names):
        notes.append("not in NumPy")
    return f"| {names} | {' | '.join(cells or ['–'] * 4)} | {'; '.join(notes)} |"


def in_numpy(name: str) -> bool:
    found: Any = np
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is not None


def facts(sample: Sample) -> tuple[list[str], list[str]]:
    """The cells of a function and its notes."""
    notes = choose(sample)
    if not sample.places:
        return [], notes
    graph = sample.graph()
    captured = graph.captured
    mapped = (True,) * (len(graph.inputs) - captured) + (False,) * captured
    batch, _ = vmap(graph, ROWS, mapped, True)
    lowered = lower(batch)
    cells = [place(lowered, joins) for joins in (cpu.joins, cuda.joins)]
    return [derivatives(sample, graph), "yes", *cells], notes


def choose(sample: Sample) -> list[str]:
    """Chooses the arguments that are traced: of floats, or where there are none of those, others;
    together, or each that can be. What cannot be is noted."""
    arrays = [(i, public_calls.first_array(x)) for i, x in enumerate(sample.args)]
    arrays = [(i, x) for i, x in arrays if x is not None]
    floats = [i for i, x in arrays if x.dtype.kind in "fc"]
    together = floats or [i for i, _ in arrays]
    if not refusal(sample, together):
        sample.places = together if together and sample.graph().outputs else []
        return []
    found = {i: refusal(sample, [i]) for i in together}
    sample.places = [i for i, said in found.items() if not said]
    return sorted({said for said in found.values() if said})


def refusal(sample: Sample, places: list[int]) -> str:
    """Why these arguments cannot be traced, or not differentiated by."""
    sample.places = places
    names = ", ".join([parameter(sample.function, i) for i in places])
    try:
        graph = sample.graph()
    except UnknownValueError:
        return "only of known values"
    except GpuadError:
        return f"{names} not traced"
    try:
        jvp(graph, real(graph))
    except GpuadError:
        return f"no derivative by {names}"
    return ""


def parameter(function: Any, i: int) -> str:
    """The name of the i-th parameter."""
    if i == 0 and function.__name__ in ORDERS:
        return "the order"
    names = list(inspect.signature(function).parameters)
    return f"`{names[min(i, len(names) - 1)]}`"


def real(graph: Graph) -> tuple[bool, ...]:
    """Which inputs can have derivatives: no arrays that are not arguments."""
    arguments = graph.inputs[: len(graph.inputs) - graph.captured]
    known = (False,) * graph.captured
    return (*[v.aval.dtype.kind in "fc" for v in arguments], *known)


def derivatives(sample: Sample, graph: Graph) -> str:
    """Whether there are derivatives: forward, reverse, and reverse of these."""
    if not any(real(graph)) or not any(jvp(graph, real(graph))[1]):
        return "0"

    def loss(*traced: Any) -> Any:
        return sum([gnp.sum(gnp.abs(y) ** 2) for y in sample(*traced) if y.dtype.kind in "fc"])

    gradient = ad.grad(loss)

    def curvature(*traced: Any) -> Any:
        return gnp.real(gnp.sum(ad.grad(lambda *xs: gnp.real(gnp.sum(gradient(*xs))))(*traced)))

    for order, f in ((0, gradient), (1, curvature)):
        try:
            sample.graph(f)
        except NotDifferentiableError:
            return ("no", "first")[order]
    return "yes"


def _is_free(e: Equation) -> bool:
    return e.primitive.role in FREE or e.primitive.aliases


def place(graph: Graph, joins: Callable[[Equation], bool]) -> str:
    fused = [joins(e) for e in graph.equations if not _is_free(e)]
    if not fused:
        return "view"
    if all(fused):
        return "fused"
    return "part" if any(fused) else "library"
