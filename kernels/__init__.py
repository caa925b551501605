"""Numba source that sweeps are made of. Installed as `gpuad.kernels`."""
