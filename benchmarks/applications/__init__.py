"""Functions that people differentiate: the code of the pages, of their tests and of their timings.

Each module has its function written once, for NumPy's namespace `xp` and, where it needs more,
SciPy's `scipy`: with gpuad these are `numpy` and `gpuad.scipy`, with JAX `jax.numpy` and
`jax.scipy`. Where JAX needs another loop, the module has that as well. `make` draws data of any
size. An `Application` is such a function at the size that is timed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.applications import (
    acoustic_waves,
    gaussian_process,
    kalman_filter,
    line_shapes,
    mixed_logit,
    propagation,
    ptychography,
    structural_similarity,
)
from benchmarks.suite import Case, Derivative, Device, Size

VARIANTS: dict[str, Derivative] = {"value": "value", "gradient": "gradient", "HVP": "hvp"}


@dataclass(frozen=True)
class Application:
    """A function with real values, its data at one size, and which arguments are active.

    ``function(*modules, *args)`` takes the modules named first, of "xp" and "scipy"; ``in_jax`` is
    the same for JAX, if it needs other code.
    """

    name: str
    size: str
    function: Callable[..., Any]
    make: Callable[[np.random.Generator], tuple[Sequence[np.ndarray], Sequence[np.ndarray]]]
    modules: tuple[str, ...] = ("xp",)
    active: tuple[int, ...] = (0,)
    dtype: str = "float64"
    tolerance: float = 1e-8
    in_jax: Callable[..., Any] | None = None

    def objective(self, xp: Any, *args: Any) -> Any:
        """As the suite calls it, with an engine's namespace."""
        function = self.function
        if self.in_jax is not None and xp.numpy.__name__ == "jax.numpy":
            function = self.in_jax
        modules = {"xp": xp.numpy, "scipy": xp.scipy}
        return function(*(modules[name] for name in self.modules), *args)

    def data(self, rng: np.random.Generator, derivative: Derivative) -> Any:
        """Arguments and, for an HVP, tangents."""
        args, tangents = self.make(rng)
        return args, tangents if derivative == "hvp" else []

    def cases(self) -> Iterator[Case]:
        """Its value, its gradient and its HVP."""
        for variant, derivative in VARIANTS.items():
            yield Case(
                self.name,
                variant,
                self.objective,
                partial(self.data, derivative=derivative),
                active=self.active,
                derivative=derivative,
                dtype=self.dtype,
                tolerance=self.tolerance,
                engines=("gpuad", "jax.jit"),
                alone=True,
            )


BOTH = ("xp", "scipy")
ALL = {application.name: application for application in (
    Application(
        "gaussian process", "500 points in 4 dimensions", gaussian_process.log_likelihood,
        partial(gaussian_process.make, n=500, d=4), BOTH,
    ),
    Application(
        "Kalman filter", "20,000 series of 20 steps", kalman_filter.log_likelihood,
        partial(kalman_filter.make, series=20_000, steps=20), in_jax=kalman_filter.scanned,
    ),
    Application(
        "ptychography", "100 patterns of 64 x 64, an object of 224 x 224", ptychography.loss,
        partial(ptychography.make, size=64, across=10, spacing=16), active=(0, 1),
        dtype="float32", tolerance=1e-3,
    ),
    Application(
        "angular spectrum", "512 x 512", propagation.holography_loss,
        partial(propagation.make_holography, n=512), dtype="float32", tolerance=1e-3,
    ),
    Application(
        "matrix Fourier transform", "a pupil of 512 x 512 to 128 x 128", propagation.focus_loss,
        partial(propagation.make_focus, pupil=512, points=128), dtype="float32", tolerance=1e-3,
    ),
    Application(
        "Voigt lines", "500 spectra of 2 lines in 200 channels", line_shapes.voigt_loss,
        partial(line_shapes.make, lines=line_shapes.VOIGT, spectra=500, channels=200), BOTH,
    ),
    Application(
        "Doniach-Šunjić lines", "1000 spectra of 2 lines in 200 channels",
        line_shapes.doniach_sunjic_loss,
        partial(line_shapes.make, lines=line_shapes.DONIACH_SUNJIC, spectra=1000, channels=200),
    ),
    Application(
        "mixed logit", "1000 markets of 4 products, 100 consumers", mixed_logit.objective,
        partial(mixed_logit.make, markets=1000, products=4, consumers=100), BOTH, (0, 1),
    ),
    Application(
        "structural similarity", "512 x 768", structural_similarity.similarity,
        partial(structural_similarity.make, height=512, width=768), ("scipy",),
        dtype="float32", tolerance=1e-3,
    ),
    Application(
        "acoustic waves", "100 steps on a grid of 128 x 128", acoustic_waves.misfit,
        partial(acoustic_waves.make, n=128, steps=100), BOTH,
        dtype="float32", tolerance=1e-3, in_jax=acoustic_waves.scanned_misfit,
    ),
)}  # fmt: skip
"""By name, in the order of the pages."""


def cases(size: Size, device: Device) -> Iterator[Case]:
    """Of all applications; they have one size."""
    for application in ALL.values():
        yield from application.cases()
