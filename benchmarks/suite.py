"""The rows of the suite, and what a row's author writes: a `Case`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

Size = Literal["small", "full"]
Device = Literal["cpu", "cuda"]
Arrays = tuple[np.ndarray, ...]
Derivative = Literal[
    "value", "gradient", "hvp", "hvps", "powers", "hessians", "laplacian", "residual_gradient"
]

ROWS: dict[str, tuple[str, str]] = {
    "L0": ("latency", "1000 dependent HVPs of a quartic in 100 dimensions"),
    "W1": ("chain", "ten transcendentals per element; Black-Scholes prices"),
    "W2": ("rosenbrock", "one small Rosenbrock function per sample"),
    "W3": ("glm", "logistic and softmax regression"),
    "W4": ("gmm", "Gaussian mixture likelihood (ADBench)"),
    "W5": ("bundle", "bundle adjustment (ADBench)"),
    "W6": ("pairs", "pair potential over all pairs of particles"),
    "W7": ("pinn", "narrow physics-informed network: Laplacian, and its training gradient"),
    "W8": ("wide", "exact Laplacian of a wide network"),
    "W14": ("solves", "small positive definite systems"),
    "R1": ("mlp", "HVP of a classifier by its parameters"),
}
APPLICATIONS = "applications"
"""What stands for functions that people differentiate, beside JAX (`benchmarks.applications`)."""


class UnknownRow(ValueError):
    """A row name that the suite does not have."""


@dataclass(frozen=True)
class Case:
    """One workload at one size.

    ``objective(xp, *args)`` is its only definition: a scalar, or for the Laplacians a function of
    the points ``args[0]`` with one value per point. ``active`` are the positions of the arguments
    differentiated, ``tangents`` one array for each; ``derivative`` says what is asked of it:

    - ``value``, ``gradient``: by the active arguments; without tangents.
    - ``hvp``: H v. ``hvps``: H v for each of m tangents stacked in front.
    - ``powers``: H applied `calls` times to the result of the application before it.
    - ``hessians``: the Hessian of each sample, for an objective that sums over samples.
    - ``laplacian``: value, gradient and Laplacian at each point.
    - ``residual_gradient``: by the active arguments, the gradient of the mean over points of the
      squared difference between the Laplacian and the last argument.

    ``engines`` names those that the objective is written for, if not for all. A case that is
    ``alone`` has no value and gradient measured beside it.
    """

    row: str
    variant: str
    objective: Callable[..., Any]
    make: Callable[[np.random.Generator], tuple[Sequence[np.ndarray], Sequence[np.ndarray]]]
    active: tuple[int, ...] = (0,)
    derivative: Derivative = "hvp"
    exact: Callable[..., Arrays] | None = None
    dtype: str = "float32"
    tolerance: float = 1e-4
    calls: int = 1
    engines: tuple[str, ...] | None = None
    alone: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.row, self.variant

    @cached_property
    def data(self) -> tuple[Arrays, Arrays]:
        """Arguments and tangents, the same in every process; floating arrays in `dtype`."""
        args, tangents = self.make(np.random.default_rng(20250117))
        return self.cast(args, self.dtype), self.cast(tangents, self.dtype)

    @staticmethod
    def cast(arrays: Sequence[np.ndarray], dtype: str) -> Arrays:
        """Floating arrays in this dtype, complex ones in the one with parts of it."""
        dtypes = {"f": dtype, "c": "complex64" if dtype == "float32" else "complex128"}
        return tuple(np.ascontiguousarray(a, dtype=dtypes.get(a.dtype.kind)) for a in arrays)

    def forget(self) -> None:
        """Release the arrays of `data`."""
        self.__dict__.pop("data", None)

    @property
    def bytes_floor(self) -> int:
        """The compulsory traffic: every input read once, every output written once."""
        args, tangents = self.data
        itemsize = np.dtype(self.dtype).itemsize
        active = sum(args[i].nbytes for i in self.active)
        points = args[0].shape[0] if args[0].ndim else 1
        outputs = {
            "value": itemsize,
            "gradient": active,
            "hessians": active * args[0].shape[-1],
            "laplacian": active + 2 * points * itemsize,
            "residual_gradient": active,
        }.get(self.derivative, sum(t.nbytes for t in tangents))
        return sum(a.nbytes for a in args) + sum(t.nbytes for t in tangents) + outputs


def pick(size: Size, device: Device, *, small: Any, cpu: Any, cuda: Any) -> Any:
    """The value that belongs to a size and a device; small sizes are the same on both."""
    if size == "small":
        return small
    return cpu if device == "cpu" else cuda


def cases(names: Sequence[str], size: Size, device: Device) -> Iterator[Case]:
    """The cases of the rows named (all rows where none is), in the suite's order; after them
    those of the applications, where these are named."""
    unknown = [name for name in names if name.upper() not in ROWS and name != APPLICATIONS]
    if unknown:
        known = ", ".join([*ROWS, APPLICATIONS])
        raise UnknownRow(f"unknown row {', '.join(unknown)}; the rows are {known}")
    wanted = {name.upper() for name in names} or set(ROWS)
    for name, (module, _) in ROWS.items():
        if name in wanted:
            yield from importlib.import_module(f"benchmarks.rows.{module}").cases(size, device)
    if APPLICATIONS in names:
        yield from importlib.import_module("benchmarks.applications").cases(size, device)


def find(key: tuple[str, str], size: Size, device: Device) -> Case:
    """The case of a (row, variant) pair."""
    row = key[0] if key[0] in ROWS else APPLICATIONS
    return next(case for case in cases([row], size, device) if case.key == key)
