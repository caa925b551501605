"""Several rows at a time for each group of threads: what a row has without lanes is computed once.

A group of g threads works on R rows at the same time, R a power of two of at most g. Lanes are
shared by all threads, as in any kernel of the row family. A value of a row that has no lanes, such
as the sum over its lanes and what follows from it, would be the same in all threads of the group;
here it is computed by the g / R threads that *own* the row: thread t owns row t // (g / R).

The R sums over lanes are added up together. At each step of a butterfly a thread keeps half of the
rows that it still has, and gives the others to its partner: R - 1 exchanges in place of R log(R),
and after them each thread has the row that it owns. A shuffle brings an owned value to the other
threads where lanes need it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gpuad.codegen.argument import kind_of
from gpuad.codegen.cuda.cells import Cells, Unsuitable
from gpuad.codegen.cuda.instruction_order import NAME, by_first_use
from gpuad.codegen.cuda.layout import Layout
from gpuad.codegen.cuda.products import row_product
from gpuad.codegen.cuda.scalar import Scope
from gpuad.codegen.cuda.source import SIZES
from gpuad.codegen.cuda.vectors import VectorWriter
from gpuad.codegen.cuda.writer import NEUTRAL, TWICE, Env, Value, combined
from gpuad.codegen.views import View
from gpuad.ir.graph import Var
from gpuad.ir.primitive import Role
from gpuad.ir.rows import inner, without_axis
from gpuad.kernels import cuda_text
from gpuad.kernels.cuda_text import Rounds
from gpuad.plan.plan import SweepEquation

LONG = 6000
"""Lines of rounds with several rows and with one row, at most: a longer text has one kind of
rounds, with several rows, in which those past the last one are masked."""
OWN: Any = "own"
"""In place of the number of a row: the row that a thread owns."""


class BatchWriter(VectorWriter):
    """Writes a sweep of the row family, with one or several rows at a time. It has many attributes
    because rounds of both kinds are written by it.

    Attributes
    ----------
    early : set of str
        Names that are computed where the text has them, not where they are first used.
    masked : bool
        Whether rows of the round that is written may be past the last row.
    """

    def __init__(self, sweep: Sequence[SweepEquation], stored: set[Var], layout: Layout):
        super().__init__(sweep, stored, layout)
        if layout.rows > 1 and any(s.equation.primitive.role is Role.SCATTER for s in sweep):
            raise Unsuitable("several threads own the same updates")
        self.early: set[str] = set()
        self.masked = False
        self._waiting: list[SweepEquation] = []
        # Threads of a warp that share a row, and those of them that own the same one.
        self._sharing = min(layout.group, cuda_text.WARP)
        self._owners = self._sharing // layout.rows
        self._several = layout.rows > 1
        # Of a group, in the rounds with the most of them.
        self._most_rows = layout.rows
        # By dtype, the values in shared memory through which warps exchange others, and how many of
        # them the rounds of one kind have; the same number again is for each second round.
        self._exchanged: dict[str, int] = {}
        self._turns: dict[str, int] = {}

    # A round of rows

    def _rounds(self) -> list[Rounds]:
        """Whole rounds, in which nothing is masked; then rounds of one row for each group, or
        masked ones."""
        rounds = [self._written(self.layout, masked=not self._several)]
        if self._several:
            rounds.append(self._written(replace(self.layout, rows=1), masked=True))
            if sum(len(x.lines) for x in rounds) > LONG:
                rounds = [self._written(self.layout, masked=True)]
        elif len(rounds[0].lines) <= TWICE:
            names = self._names_of_rows(some=False)
            lines = [*names, *rounds[0].lines[len(names) :]]
            rounds.insert(0, Rounds(lines, rounds[0].rows, whole=True))
        return rounds

    def _written(self, layout: Layout, masked: bool) -> Rounds:
        """The rounds with so many rows at a time, of which some may be past the last one."""
        given = self.layout
        self.layout, self._several, self.masked = layout, layout.rows > 1, masked
        self._owners = self._sharing // layout.rows
        self.row, self.stores, self.exchanges = Scope(self._fresh, self.once), [], 0
        self._runs, self._views = {}, {}
        before = dict(self._exchanged)
        self._rows([{} for _ in range(layout.rows)])
        for kind, end in self._exchanged.items():
            self._turns[kind] = end - before.get(kind, 0)
            self._exchanged[kind] += self._turns[kind]
        lines = [*self._names_of_rows(some=masked), *self._body()]
        self.layout = given
        return Rounds(lines, layout.block_rows, whole=not masked)

    def _body(self) -> list[str]:
        lines = [*self.row.loads, *by_first_use(self.row.lines, self.stores, self.early)]
        return [*lines, *self._round_end()]

    def _round_end(self) -> list[str]:
        # With one exchange in a round, its place in shared memory changes from round to round.
        return super()._round_end() if self.moved else []

    def _names_of_rows(self, some: bool) -> list[str]:
        """The names of the rows of a round, of which `some` may be past the last row."""
        rows = self.layout.rows
        first = "first + group" + (f" * {rows}" if rows > 1 else "")
        places: dict[Any, str] = {u: f" + {u}" if u else "" for u in range(rows)}
        if self._several:
            places[OWN] = f" + {self._owned}"
        lines = []
        for u, place in places.items():
            near = f"min(r{u}, n - 1)" if some else f"r{u}"
            lines.append(f"r{u} = {first}{place}")
            lines += [f"q{u} = {near}", f"live{u} = " + (f"r{u} < n" if some else "True")]
        bits = self.layout.block_rows.bit_length() - 1
        for kind, size in self._turns.items():
            turn = f"((first >> {bits}) & 1) * {size}" if self.exchanges == 1 else "0"
            lines.append(f"x_{kind}_start = {turn}")
        return lines

    @property
    def _owned(self) -> str:
        """The number of the row that a thread owns, of those of its group."""
        return f"((t & {self._sharing - 1}) >> {self._owners.bit_length() - 1})"

    def _rows(self, envs: list[Env]) -> None:
        for s in self.sweep:
            made = {w.equation.outputs[0] for w in self._waiting}
            if any(x in made for x in s.equation.operands if type(x) is Var):
                self._add_up(envs)
            if self._waits(s, envs[0]):
                self._waiting.append(s)
            else:
                self._one(s, envs)
        self._add_up(envs)
        self._read_runs()

    def _one(self, s: SweepEquation, envs: list[Env]) -> None:
        """Writes an equation: for the rows that threads own, if that is all it needs."""
        (v,) = s.equation.outputs
        if not self._several or not self._has_owners(s, envs[0]):
            for u, env in enumerate(envs):
                self._equation(s, env, u, self.row)
            return
        self._equation(s, envs[0], OWN, self.row)
        made = envs[0].get(v)
        if isinstance(made, Cells):
            made = Cells(made.names, made.shape, kind_of(v))
        if made is not None:
            for env in envs:
                env[v] = made

    def _has_owners(self, s: SweepEquation, env: Env) -> bool:
        """Whether the owners of a row can compute an equation: nothing that it reads has lanes, nor
        has the sum over rows, if it is one."""
        if s.axis is None and self.layout.long_axes(s.equation.outputs[0].aval.shape):
            return False
        return all(self._without_lanes(x) for x in self._operands(s, env))

    def _operands(self, s: SweepEquation, env: Env) -> list[Value]:
        pairs = zip(s.equation.operands, s.uses, strict=True)
        return [self._operand(x, use, env) for x, use in pairs]

    def _without_lanes(self, x: Value) -> bool:
        if isinstance(x, View):
            return not any(x.strides[k] for k in self.layout.long_axes(x.shape))
        return all(isinstance(name, str) for name in x.names.flat)

    # Owned values where lanes need them, in memory and in sums

    def _cells(self, x: Value, u: Any, scope: Scope) -> Cells:
        if not self._several or u == OWN:
            return super()._cells(x, u, scope)
        if isinstance(x, View) and x.row and self._without_lanes(x):
            kind = next(kind_of(a.var) for a in self.reads.values() if a.name == x.base)
            x = Cells(super()._cells(x, OWN, scope).names, x.shape, kind)
        if not isinstance(x, Cells) or not x.own:
            return super()._cells(x, u, scope)
        names = np.empty(x.names.shape, object)
        for i in np.ndindex(*names.shape):
            names[i] = self._brought(x.names[i], x.own, u, scope)
        return Cells(names, x.shape)

    def _brought(self, name: Any, kind: str, u: int, scope: Scope) -> str:
        """The value of the row u, from a thread that owns it."""
        if not name.isidentifier():
            if not NAME.search(name):
                return str(name)  # a number
            name = scope.named(name)
        source = f"i32({u * self._owners})"
        if self._sharing < cuda_text.WARP:
            first = cuda_text.WARP - self._sharing
            source = self.once.named(f"i32((t & {first}) + {u * self._owners})")
        call = f"cuda.shfl_sync(-1, {{}}, {source})"
        if kind == "b1":
            return scope.named(f"({cuda_text.moved_by(call, f'i32({name})', 'i32')} != 0)")
        return scope.named(cuda_text.moved_by(call, name, kind))

    def _first_owner(self) -> str:
        """The condition for one of the threads that own the same row."""
        terms = [f"(t & {self._owners - 1}) == 0"] if self._owners > 1 else []
        if self.layout.group > cuda_text.WARP:
            terms.append(f"t < {cuda_text.WARP}")
        return self.once.named(f"({' and '.join(terms)})") if terms else "True"

    def _store(self, v: Var, axis: int, x: Value, u: Any, scope: Scope) -> None:
        if u == OWN and self.layout.long_axes(inner(v.aval.shape, axis)):
            owned = Cells(x.names, x.shape, kind_of(v)) if isinstance(x, Cells) else x
            for k in range(self.layout.rows):
                super()._store(v, axis, owned, k, scope)
        else:
            super()._store(v, axis, x, u, scope)

    def _stored_lanes(self, view: View, long: list[int], cell: Any) -> list[tuple[str, str, str]]:
        if long or not self._several:
            return super()._stored_lanes(view, long, cell)
        return [(self._first_owner(), "", cell)]

    def _add_to_sums(
        self, v: Var, out: np.ndarray, lanes: int, over_lanes: bool, u: Any, scope: Scope
    ) -> None:
        if u != OWN and (lanes or self._most_rows == 1):
            super()._add_to_sums(v, out, lanes, over_lanes, u, scope)
            return
        # In rounds of one row too, one thread adds what has no lanes, where owners do in others.
        kind, first = kind_of(v), self._first_owner()
        for j, i in enumerate(np.ndindex(*out.shape)):
            name = f"({out[i]} * {kind}({lanes}))" if lanes and over_lanes else out[i]
            (c,) = self.sums.accumulators(v, (j, i), 1, 0, True)
            scope.lines.append(f"{c} += {name} if live{u} and {first} else {kind}(0)")

    # Reductions over lanes

    def _waits(self, s: SweepEquation, env: Env) -> bool:
        """Whether an equation combines lanes of each row, which is done for several of them."""
        role = s.equation.primitive.role
        if s.axis is None or role not in (Role.REDUCTION, Role.CONTRACTION):
            return False
        operands = self._operands(s, env)
        if all(map(self._without_lanes, operands)):
            return False
        long = [self.layout.long_axes(x.shape) for x in operands]
        if role is Role.CONTRACTION:
            return any(row_product(s).sums_over(axes, k) for k, axes in enumerate(long))
        over = without_axis(s.equation.params["axes"], s.uses[0].axis)
        return any(k in over for k in long[0])

    def _add_up(self, envs: list[Env]) -> None:
        """Combines the lanes of the equations that wait for it, in all threads at once."""
        scope = self.row
        made: list[tuple[np.ndarray, str, str]] = []
        for s in self._waiting:
            combiner = s.equation.primitive.combiner or "sum"
            kind = kind_of(s.equation.outputs[0])
            made.append((self._combined_lanes(s, envs, kind, combiner), kind, combiner))
        if made and self.layout.group > cuda_text.WARP:
            self._over_warps(made, scope)
        waiting, self._waiting = self._waiting, []
        for s, (out, kind, _) in zip(waiting, made, strict=True):
            (v,) = s.equation.outputs
            cells = Cells(out, inner(v.aval.shape, s.axis), kind if self._several else "")
            for env in envs:
                env[v] = cells
            if v in self.stored and s.axis is not None:
                self._store(v, s.axis, cells, OWN if self._several else 0, scope)

    def _combined_lanes(
        self, s: SweepEquation, envs: list[Env], kind: str, combiner: str
    ) -> np.ndarray:
        """The elements of a reduction over lanes, combined over the threads of a warp."""
        parts = [self._parts(s, env, u, self.row) for u, env in enumerate(envs)]
        out = np.empty(parts[0].shape, object)
        for i in np.ndindex(*out.shape):
            names: list[Any] = [x[i] for x in parts]
            out[i] = self._over_warp(names, kind, combiner, self.row)
        return out

    def _parts(self, s: SweepEquation, env: Env, u: int, scope: Scope) -> np.ndarray:
        """What each thread has of the elements of a reduction over lanes."""
        out, lanes = self._uncombined(s, self._operands(s, env), u, scope)
        kind, combiner = kind_of(s.equation.outputs[0]), s.equation.primitive.combiner or "sum"
        found = np.empty(out.shape, object)
        for i in np.ndindex(*out.shape):
            slots = enumerate(self._spread(out[i], lanes))
            neutral = f"{kind}({NEUTRAL[combiner]})"
            masked = [self._masked(name, lanes, k, neutral) for k, name in slots]
            found[i] = scope.named(self._chain(masked, combiner, scope))
        return found

    def _over_warp(self, names: list[str], kind: str, combiner: str, scope: Scope) -> str:
        """Combines the values of each row over the threads of a warp that share it: one value for
        each row in all of them becomes the whole of the row that a thread owns."""
        step = self._sharing // 2
        while len(names) > 1:
            upper = self.once.named(f"((t & {step}) != 0)")
            half = len(names) // 2
            halves = list(zip(names[:half], names[half:], strict=True))
            names = []
            for low, high in halves:
                sent = scope.named(f"({low} if {upper} else {high})")
                kept = scope.named(f"({high} if {upper} else {low})")
                other = scope.named(cuda_text.shuffled(sent, kind, step))
                names.append(scope.named(f"({combined(combiner, kept, other)})"))
            step //= 2
        (name,) = names
        while step:
            other = scope.named(cuda_text.shuffled(name, kind, step))
            name = scope.named(f"({combined(combiner, name, other)})")
            step //= 2
        return name

    def _over_warps(self, made: list[tuple[np.ndarray, str, str]], scope: Scope) -> None:
        """Combines values over the warps of a group, through shared memory with one barrier."""
        warps, rows = self.layout.group // cuda_text.WARP, self.layout.rows
        self.exchanges += 1
        owned = self.once.named(self._owned) if self._several else "0"
        first = self.once.named(f"((t & {self._owners - 1}) == 0)") if self._owners > 1 else "True"
        places: list[str] = []
        for out, kind, _ in made:
            for i in np.ndindex(*out.shape):
                start = self._exchanged.get(kind, 0)
                self._exchanged[kind] = start + warps * rows
                places.append(f"x_{kind}[x_{kind}_start + {start} + {{}} * {rows} + {owned}]")
                scope.lines.append(f"if {first}:")
                scope.lines.append(f"    {places[-1].format('(t >> 5)')} = {out[i]}")
        scope.lines.append("cuda.syncthreads()")
        texts = iter(places)
        for out, _, combiner in made:
            for i in np.ndindex(*out.shape):
                # Read before the next barrier: these are no names of lines that may be moved.
                text, parts = next(texts), [f"x{self._fresh()}" for _ in range(warps)]
                scope.lines += [f"{x} = {text.format(w)}" for w, x in enumerate(parts)]
                out[i] = scope.named(self._chain(parts, combiner, scope))

    def _shared_lines(self) -> list[str]:
        own = [f"x_{k} = cuda.shared.array({n}, {k})" for k, n in self._exchanged.items()]
        return [*super()._shared_lines(), *own]

    @property
    def shared_bytes(self) -> int:
        return super().shared_bytes + sum(n * SIZES[k] for k, n in self._exchanged.items())
