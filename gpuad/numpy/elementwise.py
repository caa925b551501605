"""Elementwise functions."""

import numpy as np

from gpuad.numpy._dispatch import elementwise, implements
from gpuad.primitives import elementwise as ew

add = elementwise("add", ew.add, np.add, np.add, doc="x + y.", reduce="sum", accumulate="cumsum")
subtract = elementwise("subtract", ew.sub, np.subtract, np.subtract, doc="x - y.")
multiply = elementwise(
    "multiply", ew.mul, np.multiply, np.multiply, doc="x * y.", reduce="prod", accumulate="cumprod"
)
sin = elementwise("sin", ew.sin, np.sin, np.sin, doc="The sine of x.")
