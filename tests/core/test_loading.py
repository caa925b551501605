"""What compiles is imported when it is first needed, by whichever thread is the first."""

import subprocess
import sys

import pytest

from gpuad import loading
from source_tree import ROOT

COMPILES = ("gpuad.plan", "gpuad.codegen", "gpuad.executors.native", "gpuad.executors.cuda")
LOADED = f"sorted(m for m in sys.modules if m.startswith({COMPILES}))"


def run(code: str) -> list[str]:
    """The lines that a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT.anchor, check=True
    )
    return done.stdout.splitlines()


def test_derivatives_operation_by_operation_load_nothing_that_compiles():
    code = (
        "import sys, numpy as np, gpuad as ad\n"
        f"print({LOADED})\n"
        "f = lambda x: (np.sin(x) * x).sum()\n"
        "ad.hvp(f, (np.ones(3),), (np.ones(3),)), ad.vmap(ad.grad(f))(np.ones((2, 3)))\n"
        f"print({LOADED})"
    )
    assert run(code) == ["[]", "[]"]


def test_compiled_sweeps_load_nothing_for_gpus():
    pytest.importorskip("numba")
    code = (
        "import sys, numpy as np, gpuad as ad; ad.jit(np.sin)(np.ones(3))\n"
        "found = {m for m in sys.modules if m.startswith('gpuad.')}\n"
        "print('gpuad.executors.native.program' in found, *[m for m in found if '.cuda' in m])"
    )
    assert run(code) == ["True"]


@pytest.mark.parametrize(
    "use",
    [
        "ad.grad(scipy.special.j0)(1.0)",
        "ad.grad(lambda x: np.i0(x).sum())(np.ones(2))",
        "ad.scipy.special.j0(1.0)",
        "ad.numpy.special.j0(1.0)",
        "from gpuad import scipy",
    ],
)
def test_scipys_functions_are_loaded_when_they_are_asked_for(use):
    code = (
        "import sys, numpy as np, scipy.special, gpuad as ad\n"
        "print('gpuad.scipy' in sys.modules, 'gpuad.scipy.special' in sys.modules)\n"
        f"{use}\n"
        "print('gpuad.scipy.special' in sys.modules)"
    )
    assert run(code) == ["False False", "True"]


def test_threads_may_ask_at_the_same_time():
    """Each finds whole modules, wherever another thread is in importing them."""
    code = (
        "import sys, threading\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from gpuad import loading\n"
        "sys.setswitchinterval(1e-6)\n"
        "asked = 4 * [(loading.native, 'NativeProgram'), (loading.cuda, 'CudaExecutor'),\n"
        "    (loading.kernels, 'load'), (loading.compilers, 'chosen'),\n"
        "    (loading.by_operation, 'ReferenceExecutor')]\n"
        "together = threading.Barrier(len(asked))\n"
        "def ask(module, name):\n"
        "    together.wait()\n"
        "    return getattr(module, name).__name__\n"
        "with ThreadPoolExecutor(len(asked)) as pool:\n"
        "    print(*sorted(set(pool.map(ask, *zip(*asked)))))"
    )
    for _ in range(3):
        assert run(code) == ["CudaExecutor NativeProgram ReferenceExecutor chosen load"]


def test_what_is_not_there_is_an_error():
    with pytest.raises(AttributeError, match=r"'gpuad\.executors\.cuda\.executor'.*'nothing'"):
        _ = loading.cuda.nothing


def test_a_pickle_brings_what_has_not_been_imported():
    """A graph with an operation that only gpuad.scipy declares, read where that is not imported."""
    made = "import pickle, sys, numpy as np, gpuad as ad; "
    graph = "ad.make_graph(ad.scipy.special.kv)(np.array(2), np.ones(3)).graph"
    text = subprocess.run(
        [sys.executable, "-c", f"{made}print(pickle.dumps({graph}).hex())"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    read = f"import gpuad, pickle; print(pickle.loads(bytes.fromhex({text.strip()!r})))"
    found = subprocess.run(
        [sys.executable, "-c", read], check=True, capture_output=True, text=True
    ).stdout
    assert "kv" in found
