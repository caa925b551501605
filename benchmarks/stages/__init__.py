"""The stages of `python -m benchmarks.on_gpu`: one module each, run in a process of its own.

`table.py` lists them, `running.py` starts and ends their processes, `record.py` has what both sides
write and read.
"""
