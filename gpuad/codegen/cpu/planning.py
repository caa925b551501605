"""The plan of a graph for the CPU."""

from collections.abc import Sequence

from gpuad.codegen.compile_cost import LIMIT
from gpuad.codegen.cpu.operations import INTERPRETED_LANES
from gpuad.codegen.cpu.target import CPU
from gpuad.ir.graph import Equation, Graph
from gpuad.plan.divide import divided
from gpuad.plan.fused_calls import VERY_SHORT, with_fused_calls
from gpuad.plan.plan import FusedCall, Plan, Stage
from gpuad.plan.roles import is_view
from gpuad.plan.staging import make_plan

SHORT = 1 << 10
"""Elements of the longest array of a graph whose arrays are short."""
FEW = 4
"""More sweeps than these over short arrays take longer than the interpreter does; over very short
ones, more than one."""
MANY = 2 * LIMIT
"""More equations than these on short arrays would be many sweeps: no plan is tried."""
SEVERAL, FUSED = 8, 16
"""Over longer arrays that the interpreter can hold, sweeps take longer than it does if they are
more than `SEVERAL` and have fewer than `FUSED` operations each."""


def cpu_plan(graph: Graph) -> Plan:
    """The plan of a simplified and lowered graph."""
    return with_fused_calls(_stages(graph), CPU)


def calls(equations: Sequence[Equation | FusedCall]) -> int:
    """How many of these are more than views."""
    return sum(isinstance(e, FusedCall) or not is_view(e) for e in equations)


def _stages(graph: Graph) -> Plan:
    """The stages of a graph. Short arrays in many sweeps are not worth any."""
    unswept = Plan(graph, 0, [Stage(whole=list(graph.equations))])
    values = [x for e in graph.equations for x in (*e.operands, *e.outputs)]
    longest = max([x.aval.size for x in values], default=0)
    if longest <= SHORT and len(graph) > MANY:
        return unswept
    plan = divided(make_plan(graph, CPU), CPU)
    if longest > SHORT:
        is_long = longest > INTERPRETED_LANES
        are_large = plan.sweeps * FUSED < calls(graph.equations)
        return plan if is_long or are_large or plan.sweeps <= SEVERAL else unswept
    return unswept if plan.sweeps > (1 if longest <= VERY_SHORT else FEW) else plan
