"""Matrix products inside a sweep, on the block."""

from typing import Any

from gpuad.codegen.argument import Argument, kind_of
from gpuad.codegen.cpu.loops import copy_lines
from gpuad.codegen.cpu.structure import Structure
from gpuad.codegen.views import View, size_of
from gpuad.ir.graph import Var
from gpuad.ir.rows import without_axis
from gpuad.plan.plan import SweepEquation, Use


class Products(Structure):
    """Writes products: of rows with what is the same for all rows, and summed over rows."""

    def _product(self, s: SweepEquation) -> None:
        contract = s.equation.params["contract"]
        if s.axis is None:
            self._row_product(s, contract)
            return
        side = 0 if s.uses[0].axis is not None else 1
        x, use = s.equation.operands[side], s.uses[side]
        y = s.equation.operands[1 - side]
        mine, other = contract[side], contract[1 - side]
        source = self._whole_rows(x, use)
        lanes = without_axis(mine, use.axis)
        free = [k for k in range(len(source.shape)) if k not in lanes]
        left = self._matrix(x, source.transpose([*free, *lanes]))
        free_y = [k for k in range(y.aval.ndim) if k not in other]
        right = self._free_matrix(y, (*other, *free_y))
        rows_shape = [source.shape[k] for k in free]
        y_shape = [y.aval.shape[k] for k in free_y]
        k, m = size_of([y.aval.shape[i] for i in other]), size_of(y_shape)
        n = f"{size_of(rows_shape)} * n"
        v = s.equation.outputs[0]
        shape = (*rows_shape, *y_shape)
        out = self._new_block(Var(v.aval) if self.planar else v, shape, matrix=True)
        self.lines.append(f"product({left}, {right}, {out.base}, {n}, {k}, {m})")
        if self.planar:
            matrix, out = out, self._new_block(v, shape)
            self.lines += copy_lines(out, matrix, True)
        if side == 1:
            # The result has the free axes of the first operand in front.
            order = range(len(rows_shape), len(rows_shape) + len(y_shape))
            out = out.transpose([*order, *range(len(rows_shape))])
        self.views[v] = out
        self._copy_out(s)

    def _row_product(self, s: SweepEquation, contract: Any) -> None:
        """A sum over rows of outer products: two blocks multiplied, added to the total."""
        sides, shapes = [], []
        shared = 1
        for x, use, axes in zip(s.equation.operands, s.uses, contract, strict=True):
            source = self._whole_rows(x, use)
            lanes = without_axis([a for a in axes if a != use.axis], use.axis)
            free = [k for k in range(len(source.shape)) if k not in lanes]
            sides.append(self._matrix(x, source.transpose([*lanes, *free])))
            shapes.append(size_of([source.shape[k] for k in free]))
            shared = size_of([source.shape[k] for k in lanes])
        v = s.equation.outputs[0]
        total = f"c{len(self.sums)}"
        self.sums[v] = Argument(total, v, "sum", None)
        a, b = shapes
        self._slot(f"{total}b", kind_of(v), a * b)
        n = f"{shared} * n"
        x2, y2 = sides
        self.lines.append(f"row_product({x2}, {y2}, {total}b, {n}, {a}, {b})")
        self.lines += [f"for i in range({a * b}):", f"    {total}[i] += {total}b[i]"]

    def _whole_rows(self, x: Any, use: Use) -> View:
        return self._rows_of(x, use) if use.kind == "rows" else self._read(x, use)

    def _matrix(self, x: Any, view: View) -> str:
        """The name of a block that holds this view densely, row after row."""
        if view.flat and not view.offset:
            return view.base
        dense = self._new_block(Var(x.aval), view.shape, matrix=True)
        self.lines += copy_lines(dense, view, False)
        return dense.base

    def _free_matrix(self, y: Any, axes: tuple[int, ...]) -> str:
        key = (y, "matrix", axes)
        if key not in self.reads:
            self.reads[key] = Argument(f"a{len(self.reads)}", y, "free", None, axes)
        return self.reads[key].name
