"""Sums of products that are added to each other, as one."""
