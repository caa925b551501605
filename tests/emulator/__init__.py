"""Runs the PTX of kernels on NumPy memory, checks what they touch and counts what they do.

`parse` reads PTX, `generate` makes a Python function of each basic block, `machine` runs the
threads of a launch, `device` puts it in the place of a GPU for gpuad. The meaning of instructions
is that of NVIDIA's "Parallel Thread Execution ISA".

Limits. One-dimensional grids and blocks; the instructions that gpuad's kernels are compiled to: no
textures, clusters, asynchronous copies, matrix fragments. Functions that PTX calls approximate are
computed accurately (the hardware may be two units in the last place off), `fma` may be one rounding
off in ties. Threads of a warp come together again as soon as they can, which the hardware need not
do: what relies on it is found by the check of races within a warp. What the assembler makes of PTX
is not run: an error of the assembler would not be seen.
"""
