"""Sums of products that are added to each other, as one."""

import numpy as np
import pytest

import gpuad as ad
import gpuad.numpy as gnp
from gpuad.executors.reference import ReferenceExecutor
from gpuad.plan.added_products import join_added_products
