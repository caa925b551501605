"""The array namespace `xp` that objectives are written against, for each engine.

Beyond NumPy's names it has what every engine spells in its own best way: `softplus`, `logsumexp`,
`erf`, `take(x, indices, axis)`, `columns(x)` (the last axis, split), `affine(x, w, b)` and
`solve_positive(a, b)`, for a batch of positive definite matrices and a vector for each. Those of
gpuad and JAX have as `numpy` and `scipy` what applications are written for, NumPy itself and SciPy.
"""

from __future__ import annotations

import functools
from types import ModuleType, SimpleNamespace
from typing import Any

SHARED = (
    "arctan",
    "concatenate",
    "cos",
    "exp",
    "log",
    "log1p",
    "reshape",
    "sin",
    "sqrt",
    "stack",
    "sum",
    "tanh",
)


def columns(x: Any) -> tuple[Any, ...]:
    return tuple(x[..., i] for i in range(x.shape[-1]))


def affine(x: Any, w: Any, b: Any) -> Any:
    return x @ w + b


def solve_columns(solve: Any) -> Any:
    """A function of matrices and vectors, of one that takes columns."""
    return lambda a, b: solve(a, b[..., None])[..., 0]


def namespace(module: ModuleType, **functions: Any) -> SimpleNamespace:
    """`module`'s shared functions and the ones given."""
    shared = {name: getattr(module, name) for name in SHARED}
    defaults = {
        "columns": columns,
        "affine": affine,
        "take": lambda x, indices, axis: module.take(x, indices, axis=axis),
        "softplus": lambda x: module.logaddexp(x, 0.0),
    }
    return SimpleNamespace(**{**shared, **defaults, **functions})


@functools.cache
def numpy_namespace() -> SimpleNamespace:
    """NumPy itself, which finite differences and the complex step evaluate."""
    import numpy as np
    from scipy import special

    solve = solve_columns(np.linalg.solve)
    return namespace(np, erf=special.erf, logsumexp=special.logsumexp, solve_positive=solve)


@functools.cache
def gpuad_namespace() -> SimpleNamespace:
    """gpuad's, and SciPy's for what it records through SciPy's own functions."""
    import numpy
    from scipy import special

    import gpuad.numpy as gnp
    import gpuad.scipy

    return namespace(
        gnp,
        erf=getattr(gnp, "erf", special.erf),
        logsumexp=getattr(gnp, "logsumexp", special.logsumexp),
        solve_positive=solve_columns(lambda a, b: gpuad.scipy.linalg.solve(a, b, assume_a="pos")),
        numpy=numpy,
        scipy=gpuad.scipy,
    )


@functools.cache
def jax_namespace() -> SimpleNamespace:
    import jax
    import jax.numpy as jnp

    from benchmarks.applications import jax_scipy

    return namespace(
        jnp,
        erf=jax.scipy.special.erf,
        logsumexp=jax.nn.logsumexp,
        softplus=jax.nn.softplus,
        solve_positive=solve_columns(jnp.linalg.solve),  # a third of the time of cho_solve
        numpy=jnp,
        scipy=jax_scipy.namespace,
    )


@functools.cache
def autograd_namespace() -> SimpleNamespace:
    import autograd.numpy as anp
    from autograd.scipy import special

    return namespace(
        anp,
        erf=special.erf,
        logsumexp=special.logsumexp,
        take=lambda x, i, axis: x[(slice(None),) * axis + (i,)],
        solve_positive=solve_columns(anp.linalg.solve),
    )


@functools.cache
def torch_namespace() -> SimpleNamespace:
    import torch
    from torch.nn import functional

    return namespace(
        torch,
        erf=torch.erf,
        logsumexp=torch.logsumexp,
        # the default threshold of 20 drops a curvature of 2e-9, which float64 would see
        softplus=lambda x: functional.softplus(x, threshold=50.0),
        take=lambda x, indices, axis: torch.index_select(x, axis, indices),
        columns=lambda x: torch.unbind(x, -1),
        affine=lambda x, w, b: torch.addmm(b, x, w),
        solve_positive=solve_columns(torch.linalg.solve),
    )
