# The benchmark suite, on the GPU where there is one:
#   docker build -t gpuad . && docker run --gpus all -v "$PWD/results:/results" gpuad
# CUDA comes with the wheels; the host needs a driver for CUDA 13 and the NVIDIA container toolkit.
# With a driver for CUDA 12: --build-arg EXTRAS=cuda12,bench-cuda12
ARG BASE_IMAGE=python:3.12-slim-bookworm
FROM ${BASE_IMAGE}

ARG EXTRAS=cuda13,bench-cuda13
WORKDIR /tmp/source
COPY pyproject.toml README.md LICENSE ./
COPY gpuad gpuad/
COPY kernels kernels/
# Versions are those that pyproject.toml asks for.
# hadolint ignore=DL3013
RUN python -m pip install --no-cache-dir ".[${EXTRAS}]" \
    && rm -r /tmp/source/* \
    && useradd --create-home --uid 1000 gpuad \
    && install --directory --owner gpuad /results

WORKDIR /home/gpuad
COPY benchmarks benchmarks/
COPY benchmarks/in_docker.sh /usr/local/bin/benchmark
USER 1000
VOLUME /results
ENV GPUAD_CACHE_DIR=/home/gpuad/.cache/gpuad \
    MPLCONFIGDIR=/tmp/matplotlib
ENTRYPOINT ["benchmark"]
