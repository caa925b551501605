"""What a name that gpuad does not have, such as one of another library, is called here; for
messages."""

import difflib
from collections.abc import Sequence

_CALLED_HERE = {
    "cond": "np.where(c, a, b)",
    "derivative": "gpuad.grad(f), or gpuad.vmap(gpuad.grad(f)) at several points",
    "egrad": "gpuad.vmap(gpuad.grad(f))",
    "elementwise_grad": "gpuad.vmap(gpuad.grad(f))",
    "fori_loop": "a Python loop",
    "gradient": "gpuad.grad",
    "hessian_vector_product": "gpuad.hvp",
    "jacobian": "gpuad.jacrev, or gpuad.jacfwd where there are fewer arguments than results",
    "lax": "Python's control flow, np.where, and the functions of gpuad.numpy",
    "make_hvp": "gpuad.hvp",
    "make_jvp": "gpuad.jvp",
    "make_vjp": "gpuad.vjp",
    "no_grad": "gpuad.stop_gradient",
    "scan": "a Python loop",
    "value_and_gradient": "gpuad.value_and_grad",
    "while_loop": "a Python loop",
}


def no_attribute(name: str, ours: Sequence[str]) -> AttributeError:
    """The error for a name that is not among `ours`, those of gpuad."""
    said = f"module 'gpuad' has no attribute {name!r}"
    near = [f"gpuad.{n}" for n in difflib.get_close_matches(name, ours, 1)]
    instead = _CALLED_HERE.get(name, next(iter(near), ""))
    return AttributeError(f"{said}. Write {instead}." if instead else said)
