"""One text for NumPy and gpuad: a function of arrays, called with plain and with traced ones."""

from collections.abc import Callable
from typing import Any

import numpy as np

import gpuad as ad
from gpuad.testing import check_grads


def parts(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def close(found: Any, expected: Any, single: bool) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    tolerance = 2e-5 if single else 1e-11
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def is_single(args: Any) -> bool:
    return any(np.asarray(x).dtype.name in ("float16", "float32", "complex64") for x in args)


def check_as_numpy(f: Callable[..., Any], *args: Any, order: int = 1) -> None:
    """Values and dtypes under `jit` and `vmap` as without; derivatives of this order of floats."""
    expected = parts(f(*args))
    found = parts(ad.jit(f, executor="reference")(*args))
    assert len(found) == len(expected)
    for x, y in zip(found, expected, strict=True):
        close(x, y, is_single(args))
    batch = [np.stack([x, x]) for x in args]
    mapped = parts(ad.vmap(f)(*batch))
    for x, y in zip(mapped, expected, strict=True):
        close(x[1], y, is_single(args))
    if order and all(np.asarray(x).dtype.kind == "f" for x in args) and not is_single(args):
        check_grads(lambda *args: mean(f(*args)), args, order=order)


def mean(value: Any) -> Any:
    return sum([np.sin(np.abs(x)).mean() for x in parts(value)])


def known_as_numpy(f: Callable[..., Any], *args: Any) -> None:
    """Values as NumPy's of a function that needs to know values, inside of a transform."""
    seen: list[tuple[Any, ...]] = []

    def recorded(*args: Any) -> Any:
        seen.append(tuple([getattr(x, "_value", lambda x=x: x)() for x in parts(f(*args))]))
        return args[0]

    ad.vjp(recorded, *args)
    for x, y in zip(seen[0], parts(f(*args)), strict=True):
        np.testing.assert_array_equal(x, y)
        assert np.asarray(x).dtype == np.asarray(y).dtype
