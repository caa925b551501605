"""Tracing: a user's function becomes a graph by being run on Tracers."""

from gpuad.tracing.arrays import is_array, namespace_of, namespace_of_all
from gpuad.tracing.record import apply, as_tracers, innermost, lift
from gpuad.tracing.trace import Trace, tracing
from gpuad.tracing.tracer import Tracer

__all__ = [
    "Trace",
    "Tracer",
    "apply",
    "as_tracers",
    "innermost",
    "is_array",
    "lift",
    "namespace_of",
    "namespace_of_all",
    "tracing",
]
