"""NumPy's functions, on arrays and on Tracers."""
