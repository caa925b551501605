"""Every kernel family in Numba's CUDA simulator, against the reference executor.

The simulator takes the place of numba.cuda when that is imported, so it has a process of its own.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpuad import info

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(
    not info.version("numba-cuda"), reason="numba-cuda is not installed: pip install gpuad[cuda13]"
)
UNITS = 64
"""Of the largest value in an array: sums are added up in another order."""

sys.path.insert(0, str(HERE))

from executors.kernel_programs import PROGRAMS  # noqa: E402


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


# A process takes longer to start than most programs to run: each has several of them.
@pytest.mark.parametrize("k", range(4))
def test_families_give_the_reference_results(k):
    for found in simulated("run.py", *list(PROGRAMS)[k::4]):
        name = found["name"]
        assert found["units"] <= UNITS, name
        assert found["same again"], name
        assert set(found["families"]) == PROGRAMS[name][2], name
        assert found["launches"] == found["planned"], name


def test_elementwise_primitives_give_the_reference_results():
    (found,) = simulated("elementwise.py")
    assert not found["wrong"]
    assert len(found["ran"]) > 60


@pytest.mark.parametrize(
    "rows", [("L0", "W1", "W2", "W3", "W4", "W5"), ("W6",), ("W7", "W8", "R1")], ids=" ".join
)
def test_rows_of_the_suite_give_the_reference_results(rows):
    found = simulated("rows.py", *rows)
    assert {x["case"][0] for x in found} == set(rows)
    for x in found:
        assert x["error"] < 2e-5, x
