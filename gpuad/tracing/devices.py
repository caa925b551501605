"""The device of an array, and the refusal of arrays on different devices.

Nothing is moved silently: a copy between devices costs more than most of what follows it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError
from gpuad.tracing.arrays import cupy_module

CPU = -1


def device_of(x: Any) -> int | None:
    """The number of the GPU that an array is on, `CPU` for NumPy's; None for numbers and for NumPy
    arrays without axes, which can be used on any device."""
    if isinstance(x, np.ndarray):
        return CPU if x.ndim else None
    cupy = cupy_module()
    return x.device.id if cupy is not None and isinstance(x, cupy.ndarray) else None


def check_together(name: str, values: Sequence[Any], names: Callable[[], Sequence[str]]) -> None:
    """Refuses arrays on several devices; `names` gives what the user calls each value.

    Raises
    ------
    ArgumentError
        Naming the first array and the first one that is elsewhere.
    """
    if cupy_module() is None:
        return
    first: tuple[int, int] | None = None
    for i, x in enumerate(values):
        device = device_of(x)
        if device is None:
            continue
        if first is None:
            first = (i, device)
        elif device != first[1]:
            called = names()
            raise ArgumentError(f"{name}: " + apart(called[first[0]], first[1], called[i], device))


def apart(first: str, first_device: int, second: str, second_device: int) -> str:
    """What is wrong with two arrays on two devices, and what to write."""
    kinds = [
        "a NumPy array" if k == CPU else f"a CuPy array on GPU {k}"
        for k in (first_device, second_device)
    ]
    found = f"{first} is {kinds[0]} and {second} is {kinds[1]}. "
    if CPU not in (first_device, second_device):
        return found + (
            f"Bring them to one GPU: with cupy.cuda.Device({first_device}): cupy.asarray(...) "
            f"copies {second} to the first one's."
        )
    host, gpu = (first, second) if first_device == CPU else (second, first)
    return found + (
        f"Bring them together: cupy.asarray(...) copies {host} to the GPU, cupy.asnumpy(...) "
        f"copies {gpu} to the CPU."
    )


__all__ = ["apart", "check_together", "device_of"]
