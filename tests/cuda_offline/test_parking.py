"""Values that wait in shared memory: the lines do the same with few registers as with many."""

import re

import numpy as np
import pytest

from gpuad.codegen.cuda.parking import parked, waiting


def random_lines(rng, operations):
    """Lines in the language of kernels, that read what earlier ones have made."""
    lines = [f"v{k} = a0[{k}]" for k in range(8)]
    names = [f"v{k}" for k in range(8)]
    for k in range(8, 8 + operations):
        x, y, z = rng.choice(names, 3)
        match rng.integers(6):
            case 0:
                lines.append(f"v{k} = fma_f32({x}, {y}, {z})")
            case 1:
                lines.append(f"v{k} = ({x} if {y} < {z} else -{x})")
            case 2:
                lines += [f"v{k} = f32(0)", "for r in range(0, 3, 1):", f"    v{k} += {x} * {y}"]
            case 3:
                lines += [f"if {x} < {y}:", f"    o0[{k}] = {z} + {x}"]
                lines.append(f"v{k} = f32(2) * {y}")
            case 4:
                lines.append(f"v{k} = ({x} < {y})")
                lines.append(f"v{k + 1000} = ({x} if v{k} else {z})")
                names.append(f"v{k + 1000}")
                continue
            case _:
                lines.append(f"v{k} = ({x} {rng.choice(['+', '-', '*'])} {y})")
        names.append(f"v{k}")
    return [*lines, *[f"o0[{500 + k}] = {x}" for k, x in enumerate(rng.permutation(names))]]


def run(lines, arguments):
    def fma(x, y, z):
        return np.float32(np.float64(x) * y + z)

    out, places = {}, {}
    names = {"a0": arguments, "o0": out, "h": places, "f32": np.float32, "fma_f32": fma}
    with np.errstate(all="ignore"):
        exec("\n".join(lines), names)
    return out


def in_shared(lines, registers):
    names = iter(range(10**6, 2 * 10**6))
    return parked(
        lines, registers, {"a0": "f32"}, lambda kind, k: f"h[{k}]", lambda: f"v{next(names)}"
    )


@pytest.mark.parametrize("seed", range(30))
def test_the_lines_do_the_same(seed):
    rng = np.random.default_rng(seed)
    lines = random_lines(rng, 120)
    arguments = rng.standard_normal(8).astype(np.float32)
    expected = run(lines, arguments)
    for registers in (0, 5, 20, 60, 1000):
        found, sizes = in_shared(lines, registers)
        got = run(found, arguments)
        assert got.keys() == expected.keys()
        np.testing.assert_array_equal([*got.values()], [*expected.values()])
        places = {int(x) for x in re.findall(r"h\[(\d+)\]", "\n".join(found))}
        assert places == set(range(sizes.get("f32", 0)))


def test_values_take_no_more_registers_than_given():
    lines = random_lines(np.random.default_rng(3), 200)
    found, sizes = in_shared(lines, 40)
    kinds = len([x for x in lines if " < " in x])  # conditions stay in registers
    assert waiting(lines) > 100
    assert waiting(found) <= 40 + kinds
    assert sizes["f32"] <= waiting(lines)


def test_what_fits_stays_as_it_is():
    lines = random_lines(np.random.default_rng(4), 60)
    assert in_shared(lines, waiting(lines)) == (lines, {})


def test_what_can_be_made_again_needs_no_place():
    """-2 x y of two values that are read later too."""
    lines = [f"v{k} = a0[{k}]" for k in range(3)]
    lines += ["v3 = (v0 * v1)", "v4 = (f32(-2.0) * v3)"]
    lines += [f"v{10 + k} = a0[{k}]" for k in range(8)]
    lines += [f"o0[{k}] = v{10 + k}" for k in range(8)]
    lines += ["o0[20] = v4", "o0[21] = v0 + v1"]
    found, sizes = in_shared(lines, 2)
    assert sum(x.endswith("f32(-2.0) * v3") or "f32(-2.0) *" in x for x in found) == 2
    arguments = np.arange(1, 9, dtype=np.float32)
    assert run(found, arguments) == run(lines, arguments)
    assert sizes["f32"] < waiting(lines)
