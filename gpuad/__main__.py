"""``python -m gpuad`` is the command `gpuad`."""

import sys

from gpuad.cli import main

if __name__ == "__main__":
    sys.exit(main())
