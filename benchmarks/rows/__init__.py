"""One module per row: its objective, its data and, where there is a formula, its exact result."""
