"""For all tests: the result of every transform is checked for legality."""

from gpuad.transforms import memo

memo.checking = True
