"""Linear algebra on the last two axes of arrays; the axes before them are a batch.

`matrices` has the small operations that rules are written in, `arrays` the functions of NumPy,
SciPy and CuPy that compute values.
"""
