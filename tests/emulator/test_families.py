"""Every kernel family as it is compiled, against the reference executor."""

import functools

import pytest

from emulator.checks import check_launches, check_results, families, graph_of, same, use
from emulator.device import host
from executors.kernel_programs import PROGRAMS, SETTINGS
from gpuad.codegen.cuda.toolchain import TooLarge
from gpuad.errors import CompilerError
from gpuad.executors.cuda import compile_cache
from needing import NEEDS_COMPILER

pytestmark = NEEDS_COMPILER
FEW_BLOCKS = {"BLOCKS": 1}
"""With this a block takes several rounds of rows: the kernels are the same."""


def check(emulator, name):
    """The program's results on the emulator are right, and the same again; gives the program."""
    function, arguments, _ = PROGRAMS[name]
    graph, expected = graph_of(function, arguments)
    program, inputs = emulator.program(graph), emulator.arrays(arguments)
    before = len(emulator.launches)
    got = host(program(inputs))
    planned = sum(s.source.launches(s.rows) for s in program.plan.stages if s.source)
    planned += sum(s.launches for s in program.scatters.values())
    assert len(emulator.launches) - before == planned
    assert same(got, host(program(inputs)))
    check_results(got, expected)
    return program


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_family_gives_the_reference_results(emulator, monkeypatch, name):
    program = check(emulator, name)
    assert families(program) == PROGRAMS[name][2]
    use(monkeypatch, FEW_BLOCKS)
    check(emulator, name)
    check_launches(emulator, name)


def test_a_sweep_that_the_linker_finds_too_large_is_divided(emulator, monkeypatch):
    whole, load = check(emulator, "chain"), compile_cache.load
    (source,) = [s.source for s in whole.plan.stages if s.source]
    lines = len(source.kernel.text.splitlines()) // 4

    def refuse(error, kernel, capability):
        if len(kernel.text.splitlines()) > lines:
            raise error("refused")
        return load(kernel, capability)

    monkeypatch.setattr(compile_cache, "load", functools.partial(refuse, TooLarge))
    divided = check(emulator, "chain")
    assert len([s for s in divided.plan.stages if s.source]) > 1
    monkeypatch.setattr(compile_cache, "load", functools.partial(refuse, CompilerError))
    with pytest.raises(CompilerError, match="refused"):
        check(emulator, "chain")


@pytest.mark.parametrize("name", SETTINGS)
def test_a_family_that_other_numbers_choose(emulator, monkeypatch, name):
    settings, expected = SETTINGS[name]
    use(monkeypatch, settings | FEW_BLOCKS)
    program = check(emulator, name)
    assert families(program) == expected
    if "PARKED" in settings:
        assert any(s.source.layout.parked for s in program.plan.stages if s.source)
    check_launches(emulator, name)
