"""Cases of complex arrays as pairs of real numbers, and back."""

import numpy as np

from executors.case import Case
from gpuad.primitives.complex_pairs import as_pairs, from_pairs

_draw = np.random.default_rng(17)
_whole = _draw.normal(size=(3, 4)) + 1j * _draw.normal(size=(3, 4))
_pairs = _draw.normal(size=(3, 2))

CASES = [
    Case(as_pairs, (_whole,), {}, lambda z: np.stack([z.real, z.imag], -1), "as_pairs"),
    Case(as_pairs, (_whole.T,), {}, lambda z: np.stack([z.real, z.imag], -1), "as_pairs-turned"),
    Case(from_pairs, (_pairs,), {}, lambda p: p[:, 0] + 1j * p[:, 1], "from_pairs"),
    Case(
        from_pairs, (_pairs.T.copy().T,), {}, lambda p: p[:, 0] + 1j * p[:, 1],
        "from_pairs-turned",
    ),
]  # fmt: skip
