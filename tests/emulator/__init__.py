"""Executes the PTX of kernels on NumPy memory, checks what they touch and counts what they do."""
