# The benchmark suite, on the GPU where there is one:
#   docker build -t gpuad . && docker run --gpus all -v "$PWD/results:/results" gpuad
# CUDA comes with the wheels; the host needs a driver for CUDA 13 and the NVIDIA container toolkit.
# With a driver for CUDA 12: --build-arg EXTRAS=cuda12,bench-cuda12
ARG BASE_IMAGE=python:3.12-slim-bookworm
FROM ${BASE_IMAGE}

# torch.compile builds C++ and Triton code.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ libc6-dev \
    && rm -r /var/lib/apt/lists/*

ARG EXTRAS=cuda13,bench-cuda13
# torch asks for exact versions of the CUDA libraries. If it is there first, the others follow;
# all at once, pip tries one torch after the other.
ARG FIRST=torch
WORKDIR /tmp/source
COPY pyproject.toml README.md LICENSE ./
COPY gpuad gpuad/
COPY kernels kernels/
# Versions are those that pyproject.toml asks for.
# hadolint ignore=DL3013
RUN python -m pip install --no-cache-dir "${FIRST}" \
    && python -m pip install --no-cache-dir ".[${EXTRAS}]" \
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
