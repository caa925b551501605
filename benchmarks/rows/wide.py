"""W8: the exact Laplacian of a wide tanh network, 50-768-768-512-512-1, by its 50 inputs.

The set-up of Dangel, Siebert, Zeinhofer and Walther, "Collapsing Taylor mode automatic
differentiation" (2025), https://github.com/f-dangel/torch-jet.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.rows.pinn import exact_laplacian, make, network
from benchmarks.suite import Case, Device, Size, pick

WIDTHS = (50, 768, 768, 512, 512, 1)


def cases(size: Size, device: Device) -> Iterator[Case]:
    n = pick(size, device, small=8, cpu=64, cuda=2048)
    for dtype in ("float32", "float64") if device == "cuda" else ("float32",):
        yield Case(
            "W8",
            f"N={n} {dtype}",
            network,
            partial(make, n=n, widths=WIDTHS, target=False),
            dtype=dtype,
            derivative="laplacian",
            exact=exact_laplacian,
            tolerance=1e-3,
        )
