#!/bin/sh
# The benchmark suite with these options, on the GPU if CuPy can use one; table, data and chart go to
# /results.
set -eu
device=cpu
if python -c 'import sys; from benchmarks import run; sys.exit(not run.cuda_available())'; then
  device=cuda
fi
if ! [ -w /results ]; then
  echo "/results cannot be written by user $(id -u). Make the mounted folder writable:" >&2
  echo "    chmod a+w results" >&2
  exit 1
fi
python -c 'from gpuad import info; print(info.report())'
exec python -m benchmarks --device "$device" --json "/results/$device.json" \
  --markdown "/results/$device.md" --plot "/results/$device.png" "$@"
