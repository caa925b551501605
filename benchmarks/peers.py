"""One adapter per engine: how it takes arrays, compiles, differentiates and is waited for.

Every adapter has the transforms that `derivatives.py` writes formulations with. Peers are held to
the same dtype and thread count as gpuad, without TF32, and are otherwise at their best.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from benchmarks import derivatives, namespaces
from benchmarks.derivatives import Formulation
from benchmarks.suite import Case

Call = Callable[[], Any]
ONE_BY_ONE = "one by one"
DOUBLE = (np.float64, np.complex128)
Operands = tuple[tuple[Any, ...], tuple[Any, ...]]


class NotInstalled(ImportError):
    """An engine whose package is missing."""


class Engine:
    """What all adapters share; a subclass sets `name`, `package`, `xp` and its transforms."""

    name = ""
    package = ""
    xp: Any = None
    hvp_ways: ClassVar = derivatives.HVP
    laplacian_ways: ClassVar = derivatives.LAPLACIAN
    single_way = "forward over reverse"  # the one of `hvp_ways` to loop over directions with

    def __init__(self, device: str, threads: int) -> None:
        self.device = device
        self.threads = threads

    def put(self, array: np.ndarray) -> Any:
        return array

    def fetch(self, outputs: Any) -> tuple[np.ndarray, ...]:
        return tuple(np.asarray(x) for x in outputs)

    def wait(self, outputs: Any) -> None:
        """Return when the outputs are there; nothing to do for an engine that computes at once."""

    def jit(self, f: Callable[..., Any]) -> Callable[..., Any]:
        return f

    def forget(self) -> None:
        """Drop what was compiled, after a case."""

    def release(self) -> None:
        """Give memory kept for later results back to the system, before a call is weighed."""

    def ways(self, case: Case) -> dict[str, Formulation]:
        """The formulations of the case's derivative to try, by name."""
        laplacian = case.derivative in ("laplacian", "residual_gradient")
        ways = self.laplacian_ways if laplacian else self.hvp_ways
        return derivatives.formulations(case.derivative, ways)

    def names(self, case: Case) -> list[str]:
        """The names that `build` takes: the formulations, and a loop over the directions."""
        return [*self.ways(case), *([ONE_BY_ONE] if case.derivative == "hvps" else [])]

    def operands(self, case: Case, dtype: str) -> Operands:
        """Arguments and tangents on the device."""
        args, tangents = (case.cast(arrays, dtype) for arrays in case.data)
        return tuple(map(self.put, args)), tuple(map(self.put, tangents))

    def derivative(self, case: Case, way: str) -> Callable[..., Any]:
        """One formulation of the case as a function of its arguments, then its tangents."""
        formulation, f = self.ways(case)[way], partial(case.objective, self.xp)
        n = len(case.data[0])
        return lambda *flat: tuple(formulation(self, f, case, flat[:n], flat[n:]))

    def build(self, case: Case, way: str, operands: Operands) -> Call:
        """The case as a call without arguments, compiled when first called."""
        args, tangents = operands
        if way == ONE_BY_ONE:
            return self.one_by_one(case, operands)
        compiled = self.jit(self.derivative(case, way))
        if case.derivative != "powers":
            return lambda: compiled(*args, *tangents)
        return lambda: repeated(lambda v: compiled(*args, *v), tangents, case.calls)

    def one_by_one(self, case: Case, operands: Operands) -> Call:
        """Several directions as calls of one compiled product, where batching them is slower."""
        args, tangents = operands
        product = self.jit(self.derivative(*self.single(case)))
        directions = list(zip(*tangents, strict=True))

        def products() -> tuple[Any, ...]:
            results = [product(*args, *direction) for direction in directions]
            return tuple(self.xp.stack(parts) for parts in zip(*results, strict=True))

        return products

    def single(self, case: Case) -> tuple[Case, str]:
        """The case for one direction, and the formulation to loop over directions with."""
        one = replace(case, derivative="hvp")
        one.__dict__["data"] = case.data  # which is not made once more
        return one, self.single_way

    def value_and_gradient(self, case: Case, args: tuple[Any, ...]) -> tuple[Call, Call] | None:
        """The objective and its gradient as calls; None where the objective is not a scalar, or
        they are cases of their own."""
        if case.alone or case.derivative in ("laplacian", "residual_gradient"):
            return None
        f = partial(case.objective, self.xp)
        value = self.jit(lambda *a: (f(*a),))
        gradient = self.jit(lambda *a: tuple(derivatives.gradient(self, f, case, a)))
        return lambda: value(*args), lambda: gradient(*args)


def repeated(product: Callable[[Any], Any], tangents: Any, calls: int) -> Any:
    for _ in range(calls):
        tangents = product(tangents)
    return tangents


class Gpuad(Engine):
    name = "gpuad"
    package = "gpuad"
    hvp_ways: ClassVar = {"hvp": derivatives.named}
    single_way = "hvp"

    def __init__(self, device: str, threads: int) -> None:
        import gpuad

        super().__init__(device, threads)
        self.ad = gpuad
        self.xp = namespaces.gpuad_namespace()
        self.grad, self.jvp, self.vmap = gpuad.grad, gpuad.jvp, gpuad.vmap
        self.hvp, self.hessian, self.jit = gpuad.hvp, gpuad.hessian, gpuad.jit
        if device == "cuda":
            import cupy

            self.cupy = cupy

    def put(self, array: np.ndarray) -> Any:
        return self.cupy.asarray(array) if self.device == "cuda" else array

    def fetch(self, outputs: Any) -> tuple[np.ndarray, ...]:
        if self.device == "cuda":
            outputs = [self.cupy.asnumpy(x) for x in outputs]
        return super().fetch(outputs)

    def wait(self, outputs: Any) -> None:
        if self.device == "cuda":
            self.cupy.cuda.get_current_stream().synchronize()

    def forget(self) -> None:
        self.ad.clear_cache()
        self.release()

    def release(self) -> None:
        from gpuad.executors.native import result_pool

        result_pool.release()

    def eye(self, d: int, like: Any) -> Any:
        return self.put(np.eye(d, dtype=like.dtype))

    def spread(self, row: Any, like: Any) -> Any:
        return self.ad.numpy.broadcast_to(row, like.shape)

    def unjitted(self, case: Case, way: str, operands: Operands) -> Call:
        """One derivative without `jit`, for the time to a first result."""
        args, tangents = operands
        return lambda: self.derivative(case, way)(*args, *tangents)

    def explain(self, case: Case, way: str, operands: Operands) -> Any:
        """What the compiler says of one call: bytes, launches and peak memory."""
        args, tangents = operands
        if way == ONE_BY_ONE:
            case, way = self.single(case)
            tangents = tuple(t[0] for t in tangents)
        return self.jit(self.derivative(case, way)).explain(*args, *tangents)


class Jax(Engine):
    name = "jax.jit"
    package = "jax"

    def __init__(self, device: str, threads: int) -> None:
        if device == "cpu":
            # JAX's CUDA plug-in crashes as it asks for versions on a machine without a driver.
            os.environ.setdefault("JAX_PLATFORMS", "cpu")
        import jax
        import jax.numpy as jnp

        super().__init__(device, threads)
        self.jax, self.jnp = jax, jnp
        jax.config.update("jax_default_matmul_precision", "highest")
        self.target = jax.devices("gpu" if device == "cuda" else "cpu")[0]
        self.xp = namespaces.jax_namespace()
        self.grad, self.jvp, self.vmap = jax.grad, jax.jvp, jax.vmap
        self.hessian, self.jit = jax.hessian, jax.jit

    def put(self, array: np.ndarray) -> Any:
        return self.jax.device_put(array, self.target)

    def wait(self, outputs: Any) -> None:
        self.jax.block_until_ready(outputs)

    def forget(self) -> None:
        self.jax.clear_caches()

    def eye(self, d: int, like: Any) -> Any:
        return self.jnp.eye(d, dtype=like.dtype)

    def spread(self, row: Any, like: Any) -> Any:
        return self.jnp.broadcast_to(row, like.shape)

    def names(self, case: Case) -> list[str]:
        return super().names(case) + (["linearize"] if case.derivative == "powers" else [])

    def operands(self, case: Case, dtype: str) -> Operands:
        with self.jax.enable_x64(dtype == "float64"):
            return super().operands(case, dtype)

    def build(self, case: Case, way: str, operands: Operands) -> Call:
        if way == "linearize":
            return self.linearized(case, operands)
        call = super().build(case, way, operands)
        if all(x.dtype not in DOUBLE for group in operands for x in group):
            return call

        def in_float64() -> Any:
            with self.jax.enable_x64(True):
                return call()

        return in_float64

    def linearized(self, case: Case, operands: Operands) -> Call:
        """H applied again and again at one point, from `jax.linearize` done once."""
        args, tangents = operands
        slope = self.grad(
            derivatives.of_active(partial(case.objective, self.xp), case.active, args)
        )
        push = self.jit(lambda x: self.jax.linearize(slope, x)[1])(args[case.active[0]])
        apply = self.jit(lambda push, v: (push(v),))
        return lambda: repeated(lambda v: apply(push, *v), tangents, case.calls)


class TorchFunc(Engine):
    name = "torch.func"
    package = "torch"
    single_way = "double backward"

    def __init__(self, device: str, threads: int) -> None:
        import torch

        super().__init__(device, threads)
        self.torch = torch
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision("highest")
        self.xp = namespaces.torch_namespace()
        self.grad, self.jvp, self.vmap = torch.func.grad, torch.func.jvp, torch.func.vmap
        self.hessian = torch.func.hessian

    def put(self, array: np.ndarray) -> Any:
        return self.torch.from_numpy(array).to(self.device)

    def fetch(self, outputs: Any) -> tuple[np.ndarray, ...]:
        return tuple(x.detach().cpu().numpy() for x in outputs)

    def wait(self, outputs: Any) -> None:
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def eye(self, d: int, like: Any) -> Any:
        return self.torch.eye(d, dtype=like.dtype, device=like.device)

    def spread(self, row: Any, like: Any) -> Any:
        return row.expand(like.shape)

    def ways(self, case: Case) -> dict[str, Formulation]:
        ways = super().ways(case)
        if case.derivative in ("hvp", "powers"):
            ways = {**ways, "double backward": self.double_backward}
        return ways

    def double_backward(self, ad: Any, f: Any, case: Case, args: Any, tangents: Any) -> Any:
        """`torch.autograd.grad` twice, which has less overhead than torch.func's wrappers."""
        active = [args[i].detach().requires_grad_() for i in case.active]
        value = derivatives.of_active(f, case.active, args)(*active)
        slopes = self.torch.autograd.grad(value, active, create_graph=True)
        return self.torch.autograd.grad(slopes, active, tangents, materialize_grads=True)


class TorchCompile(TorchFunc):
    name = "torch.compile"
    single_way = Engine.single_way
    # without forward over forward: the CPU code that PyTorch 2.13 makes of it crashes the process
    laplacian_ways: ClassVar = {
        name: derivatives.LAPLACIAN[name]
        for name in ("forward over reverse", "reverse over reverse")
    }

    def jit(self, f: Callable[..., Any]) -> Callable[..., Any]:
        return self.torch.compile(f, dynamic=False)

    def ways(self, case: Case) -> dict[str, Formulation]:
        return Engine.ways(self, case)  # AOTAutograd refuses the double backward

    def forget(self) -> None:
        self.torch._dynamo.reset()


class Autograd(Engine):
    name = "autograd"
    package = "autograd"
    laplacian_ways: ClassVar = {
        "forward over reverse": derivatives.LAPLACIAN["forward over reverse"]
    }

    def __init__(self, device: str, threads: int) -> None:
        import autograd

        if device == "cuda":
            raise NotInstalled("autograd computes on the CPU only")
        super().__init__(device, threads)
        self.autograd = autograd
        self.xp = namespaces.autograd_namespace()

    def ways(self, case: Case) -> dict[str, Formulation]:
        """Its forward mode takes functions of one argument."""
        ways = super().ways(case)
        if len(case.active) > 1 and "reverse over reverse" in ways:
            del ways["forward over reverse"]
        return ways

    def names(self, case: Case) -> list[str]:
        return list(self.ways(case))  # its vmap is a loop already

    def grad(self, f: Callable[..., Any], argnums: Any = 0) -> Callable[..., Any]:
        return self.autograd.grad(f, argnums)

    def jvp(self, f: Callable[..., Any], primals: Any, tangents: Any) -> Any:
        """Of a function of one argument: autograd's forward mode."""
        return self.autograd.differential_operators.make_jvp(f)(*primals)(*tangents)

    def vmap(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """A Python loop: autograd batches only what the objective batches."""

        def looped(*batches: Any) -> Any:
            results = [f(*slices) for slices in zip(*batches, strict=True)]
            if not isinstance(results[0], (tuple, list)):
                return self.stack(results)
            return tuple(self.stack(parts) for parts in zip(*results, strict=True))

        return looped

    def stack(self, parts: Any) -> Any:
        return self.autograd.numpy.stack(parts)

    def eye(self, d: int, like: Any) -> Any:
        return np.eye(d, dtype=like.dtype)

    def spread(self, row: Any, like: Any) -> Any:
        return np.broadcast_to(row, like.shape)


ENGINES: dict[str, type[Engine]] = {
    engine.name: engine for engine in (Gpuad, Jax, TorchFunc, TorchCompile, Autograd)
}
PEERS = {
    "jax": ("jax.jit",),
    "torch": ("torch.func", "torch.compile"),
    "autograd": ("autograd",),
}


def installed(name: str) -> bool:
    return importlib.util.find_spec(ENGINES[name].package) is not None


def version(name: str) -> str | None:
    """The installed version of an engine's package, or None."""
    try:
        return importlib.metadata.version(ENGINES[name].package)
    except importlib.metadata.PackageNotFoundError:
        return None
