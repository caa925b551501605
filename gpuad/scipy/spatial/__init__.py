"""Distances, under the names of `scipy.spatial`."""

from gpuad.scipy.spatial import distance

__all__ = ["distance"]
