"""Linear algebra: the predicted peak is that of resident memory, and limits hold."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import matrix_memory, memory
from executors import resident_programs

pytest.importorskip("numba")
if not memory.CLEAR_REFS.exists():
    pytest.skip("needs Linux's /proc", allow_module_level=True)
SLACK = 600_000
"""Python's own objects, and pages of the C library's heap."""
SCRATCH = 2_200_000
"""What two threads keep for pieces of rows: on a busy machine one of them may do all the work."""


@pytest.fixture(scope="module")
def found():
    """Measured in a fresh process; with one thread of BLAS, whose threads have buffers."""
    environment = os.environ | matrix_memory.EXACT | {"OPENBLAS_NUM_THREADS": "1"}
    root = Path(matrix_memory.__file__).parents[1]
    environment["PYTHONPATH"] = os.pathsep.join([str(root), str(root / "tests")])
    run = subprocess.run(
        [sys.executable, resident_programs.__file__],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    return json.loads(run.stdout.splitlines()[-1])


def test_the_predicted_peak_is_that_of_resident_memory(found):
    assert len(found["peaks"]) == len(resident_programs.PEAKS)
    for name, predicted, resident in found["peaks"]:
        assert resident <= 1.05 * predicted + SLACK, name
        assert predicted <= 1.1 * resident + SCRATCH, name


def test_a_limit_holds_for_batches_of_library_calls(found):
    assert {name for name, *_ in found["batches"]} == set(resident_programs.BATCHES)
    for name, budget, resident in found["batches"]:
        assert resident <= budget + SLACK, name
