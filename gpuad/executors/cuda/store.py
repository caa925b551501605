"""Compiled kernels on disk, by the content of their text, the versions and the GPU.

A file holds one kernel: a line of JSON about it, with the checksum of what follows, and the machine
code. What is damaged is compiled again, what cannot be written stays in memory.
"""

import functools
import hashlib
import json
import threading
from dataclasses import asdict
from pathlib import Path

from gpuad.executors.cuda import toolchain
from gpuad.executors.cuda.source import KernelText
from gpuad.executors.cuda.toolchain import Binary, Capability, Resources
from gpuad.executors.disk import cache_folder, checksum, warn_once, write_file

SUFFIX = ".kernel"
KEPT = 1024
"""Kernels that a process keeps for a second plan with the same text."""

_lock = threading.Lock()


def load(kernel: KernelText, capability: Capability) -> Binary:
    """The kernel as machine code: compiled, or read from disk."""
    with _lock:
        return _binary(kernel, capability, toolchain.versions(), cache_folder())


@functools.lru_cache(KEPT)
def _binary(kernel: KernelText, capability: Capability, versions: str, root: Path) -> Binary:
    content = f"{kernel.digest}\0{capability}\0{versions}"
    path = root / f"{hashlib.sha256(content.encode()).hexdigest()[:32]}{SUFFIX}"
    found = _read(path)
    if found is not None:
        return found
    binary = toolchain.compile_kernel(kernel, capability)
    try:
        root.mkdir(parents=True, exist_ok=True)
        write_file(path, _packed(binary))
    except OSError as error:
        warn_once(str(root), f"{type(error).__name__}: {error}")
    return binary


def _packed(binary: Binary) -> bytes:
    about = {"resources": asdict(binary.resources), "checksum": checksum(binary.cubin)}
    return json.dumps(about).encode() + b"\n" + binary.cubin


def _read(path: Path) -> Binary | None:
    """The kernel in a file; None if there is none, or not a whole one."""
    try:
        head, _, cubin = path.read_bytes().partition(b"\n")
        about = json.loads(head)
        if about["checksum"] != checksum(cubin):
            return None
        return Binary(cubin, Resources(**about["resources"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def kept_on_disk() -> tuple[int, int]:
    """How many kernels the cache folder has, and their bytes."""
    sizes = []
    for path in cache_folder().glob(f"*{SUFFIX}"):
        try:
            sizes.append(path.stat().st_size)
        except OSError:
            continue
    return len(sizes), sum(sizes)
