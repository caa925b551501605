"""Every kernel family in Numba's CUDA simulator, against the reference executor.

The simulator takes the place of numba.cuda when that is imported, so it has a process of its own.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpuad.executors.cuda import toolchain

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(
    not toolchain.available(), reason="numba-cuda is not installed: pip install gpuad[cuda13]"
)
UNITS = 64
"""Of the largest value in an array: sums are added up in another order."""

sys.path.insert(0, str(HERE))

from kernel_programs import PROGRAMS  # noqa: E402


def simulated(script, *arguments):
    """The lines of JSON that a script prints in a process with the simulator."""
    paths = os.pathsep.join(map(str, [HERE, HERE.parent, HERE.parent.parent]))
    run = subprocess.run(
        [sys.executable, str(HERE / script), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": paths},
        check=False,
    )
    assert run.returncode == 0, run.stderr[-4000:]
    return [json.loads(line) for line in run.stdout.splitlines()]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_family_gives_the_reference_results(name):
    (found,) = simulated("run.py", name)
    assert found["units"] <= UNITS
    assert found["same again"]
    assert set(found["families"]) == PROGRAMS[name][2]
    assert found["launches"] == found["planned"]


def test_elementwise_primitives_give_the_reference_results():
    (found,) = simulated("elementwise.py")
    assert not found["wrong"]
    assert len(found["ran"]) > 60


@pytest.mark.parametrize("row", ["L0", "W1", "W2", "W3", "W4", "W5", "W6", "W7", "W8", "R1"])
def test_a_row_of_the_suite_gives_the_reference_results(row):
    for found in simulated("rows.py", row):
        assert found["error"] < 2e-5, found
