"""Sweeps with more lanes than registers: a group of threads loops over the lanes of a row.

What depends on a reduction over lanes can only be computed after it, in another loop over them.
What a later loop needs of an earlier one is computed again, not stored.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.codegen.argument import kind_of
from gpuad.codegen.cuda.cells import Cells, Unsuitable
from gpuad.codegen.cuda.layout import Layout
from gpuad.codegen.cuda.scalar import Scope
from gpuad.codegen.cuda.writer import NEUTRAL, Env, KernelWriter, Value, combined
from gpuad.codegen.views import View
from gpuad.ir.graph import Var
from gpuad.ir.primitive import Role
from gpuad.ir.rows import inner, without_axis
from gpuad.kernels import cuda_text
from gpuad.plan.plan import SweepEquation, Use

SUM = re.compile(r"\((\w+) ([+-]) (\w+)\)")
PRODUCT = re.compile(r"\(\w+ \* \w+\)")


class PairWriter(KernelWriter):
    """Writes a sweep of the pair family.

    Attributes
    ----------
    lanes : int
        Lanes of a row, the same number in all values that have lanes.
    loop : Scope
        The body of the loop that is being written.
    lane : str
        The name of the lane that is being written.
    parts : dict
        Reductions of this loop for each row, with the names of each thread's part.
    levels : list of int
        For each equation, the number of loops over the lanes that must come before it.
    """

    def __init__(self, sweep: Sequence[SweepEquation], stored: set[Var], layout: Layout):
        super().__init__(sweep, stored, layout)
        # In order, since there are loads between two loops over the lanes too.
        self.row = Scope(self._fresh, self.once, in_order=True)
        self.lanes = self._common_length()
        self.loop: Scope | None = None
        self.loop_stores: list[str] = []
        self.lane = "l"
        self.parts: dict[tuple[Var, int], tuple[SweepEquation, np.ndarray]] = {}
        self._before: np.ndarray | None = None
        self._read = Counter([x for s in sweep for x in s.equation.operands])
        self._alone = False
        self.levels = self._levels()

    def _common_length(self) -> int:
        shapes = [inner(s.equation.outputs[0].aval.shape, s.axis) for s in self.sweep]
        shapes += [self._operand_shape(s) for s in self.sweep if s.equation.operands]
        lengths = {shape[k] for shape in shapes for k in self.layout.long_axes(shape)}
        if len(lengths) != 1:
            raise Unsuitable("lanes of several lengths")
        return lengths.pop()

    @staticmethod
    def _operand_shape(s: SweepEquation) -> tuple[int, ...]:
        return inner(s.equation.operands[0].aval.shape, s.uses[0].axis)

    def _is_lanewise(self, s: SweepEquation) -> bool:
        """Whether an equation is computed lane by lane."""
        made = inner(s.equation.outputs[0].aval.shape, s.axis)
        return bool(self.layout.long_axes(made)) or self._reduces_lanes(s)

    def _reduces_lanes(self, s: SweepEquation) -> bool:
        if s.equation.primitive.role is not Role.REDUCTION:
            return False
        over = without_axis(s.equation.params["axes"], s.uses[0].axis)
        return any(k in over for k in self.layout.long_axes(self._operand_shape(s)))

    def _levels(self) -> list[int]:
        known: dict[Any, int] = {}
        levels = []
        for s in self.sweep:
            pairs = zip(s.equation.operands, s.uses, strict=True)
            level = max([known[x] for x, use in pairs if use.kind == "block"], default=0)
            levels.append(level)
            known[s.equation.outputs[0]] = level + (s.axis is not None and self._reduces_lanes(s))
        return levels

    def _rows(self, envs: list[Env]) -> None:
        for level in range(max(self.levels) + 1):
            ready = [s for s, k in zip(self.sweep, self.levels, strict=True) if k == level]
            for u, env in enumerate(envs):
                for s in ready:
                    if not self._is_lanewise(s):
                        self._equation(s, env, u, self.row)
            results = [s for s in ready if self._is_lanewise(s) and self._needs_loop(s)]
            if results:
                self._loop_over_lanes(results, envs)

    def _needs_loop(self, s: SweepEquation) -> bool:
        """Whether an equation needs a loop for itself, not only for others that read it."""
        return s.axis is None or self._reduces_lanes(s) or s.equation.outputs[0] in self.stored

    def _loop_over_lanes(self, results: list[SweepEquation], envs: list[Env]) -> None:
        needed = self._needed(results)
        group, at_once = self.layout.group, self.layout.lanes
        whole = self.lanes - self.lanes % (group * at_once)
        self.parts = {}
        if whole:
            self._loop(f"range(lane, {whole}, {group * at_once})", at_once, needed, envs)
        if whole < self.lanes:
            first = f"lane + {whole}" if whole else "lane"
            self._loop(f"range({first}, {self.lanes}, {group})", 1, needed, envs)
        for (_, u), (s, parts) in self.parts.items():
            self._finish(s, envs[u], u, parts)

    def _loop(self, lanes: str, at_once: int, needed: list[SweepEquation], envs: list[Env]) -> None:
        """A loop over lanes, of which each round has so many `at_once`."""
        self.loop = Scope(self._fresh, self.row)
        self.loop_stores = []
        names = ["l", *[f"l{k}" for k in range(1, at_once)]]
        for self.lane in names:
            for u, env in enumerate(envs):
                inside = dict(env)
                for s in needed:
                    self._equation(s, inside, u, self.loop)
        moved = [f"{x} = l + {k * self.layout.group}" for k, x in enumerate(names) if k]
        self.row.lines.append(f"for l in {lanes}:")
        body = [*moved, *self.loop.loads, *self.loop.lines, *self.loop_stores]
        self.row.lines += cuda_text.indented(body)
        self.loop = None

    def _needed(self, results: list[SweepEquation]) -> list[SweepEquation]:
        """These equations and those by lanes that they depend on, in order."""
        wanted: set[Any] = {s.equation.outputs[0] for s in results}
        found = []
        for s in reversed(self.sweep):
            if s.equation.outputs[0] in wanted and self._is_lanewise(s):
                if self._reduces_lanes(s) and s not in results:
                    continue
                found.append(s)
                pairs = zip(s.equation.operands, s.uses, strict=True)
                wanted.update([x for x, use in pairs if use.kind == "block"])
        return found[::-1]

    # What differs in a loop over lanes

    def _operand(self, x: Any, use: Use, env: Env) -> Value:
        if use.kind == "block" and x not in env:
            raise Unsuitable("a lane is read outside the loop over lanes")
        return super()._operand(x, use, env)

    def _lane(self, lanes: int, slot: int) -> str:
        return self.lane

    def _inside(self, lanes: int, slot: int) -> str:
        return ""

    def _scope_of(self, view: View, long: int | None, scope: Scope) -> Scope:
        if long is not None:
            assert self.loop is not None
            return self.loop
        return super()._scope_of(view, long, scope)

    def _put_stores(self, lines: list[str], scope: Scope) -> None:
        if scope is self.loop:
            self.loop_stores += lines
        else:
            super()._put_stores(lines, scope)

    def _reduction(self, s: SweepEquation, x: Value, env: Env, u: int, scope: Scope) -> None:
        over_lanes = self._reduces_lanes(s)
        if scope is not self.loop or not over_lanes or s.axis is None:
            if scope is self.loop and not over_lanes:
                raise Unsuitable("sums over rows of more lanes than registers")
            super()._reduction(s, x, env, u, scope)
            return
        v = s.equation.outputs[0]
        self._alone = self._read[s.equation.operands[0]] == 1
        self._before = self.parts[v, u][1] if (v, u) in self.parts else None
        super()._reduction(s, x, env, u, scope)
        cells = env.pop(v)
        assert isinstance(cells, Cells)
        self.parts[v, u] = s, cells.names

    def _over_lanes(
        self, out: np.ndarray, lanes: int, combiner: str, kind: str, scope: Scope
    ) -> None:
        """Lines of the loop that combine the lanes of this thread, in place of `out`."""
        for i in np.ndindex(*out.shape):
            cell: Any = out[i][0] if isinstance(out[i], tuple) else out[i]
            if self._before is None:
                part: Any = self.row.variable(f"{kind}({NEUTRAL[combiner]})")
            else:
                part = self._before[i]
            value = scope.named(cell)
            terms = self._factors(value, scope) if combiner == "sum" and self._alone else []
            scope.lines += [f"{part} = {part} {sign} {x}" for sign, x in terms]
            if not terms:
                scope.lines.append(f"{part} = {combined(combiner, part, value)}")
            out[i] = part

    @staticmethod
    def _factors(name: str, scope: Scope) -> list[tuple[str, str]]:
        """The two products that a value is the sum or difference of, with their signs, or nothing.

        Each of them is added in the operation that multiplies it. What is not a product could be
        exact, and so could be its difference.
        """
        made = dict([line.split(" = ", 1) for line in scope.lines if " = " in line])
        found = SUM.fullmatch(made.get(name, ""))
        if found is None or not all(PRODUCT.fullmatch(made.get(x, "")) for x in found.group(1, 3)):
            return []
        return [("+", found[1]), (found[2], found[3])]

    def _finish(self, s: SweepEquation, env: Env, u: int, parts: np.ndarray) -> None:
        """Combines the parts of a reduction that the threads of a group have after the loop."""
        v = s.equation.outputs[0]
        combiner, kind = s.equation.primitive.combiner, kind_of(v)
        out = np.empty(parts.shape, object)
        for i in np.ndindex(*parts.shape):
            part: Any = parts[i]
            self.row.lines += self._over_group(part, kind, combiner)
            out[i] = part
        env[v] = Cells(out, inner(v.aval.shape, s.axis))
        if v in self.stored and s.axis is not None:
            self._store(v, s.axis, env[v], u, self.row)
