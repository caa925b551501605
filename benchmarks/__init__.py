"""The benchmark suite: each workload defined once, run by gpuad and its peers on the same data.

``python -m benchmarks --help`` says how to run it; ``suite.py`` lists the rows.
"""
