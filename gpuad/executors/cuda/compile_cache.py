"""Compiled kernels on disk, by the content of their text, the versions and the GPU.

A file holds one kernel: a line of JSON about it, with the checksum of what follows, and the machine
code. A damaged kernel is compiled again, and one that cannot be written is kept in memory only.

Ready-made kernels are for a machine without the compiler that made them. GPUAD_KERNELS names a
folder that is looked into first, and only read; `put` writes its files. Machine code does not need
the compiler that it is from, so the only version in the names of these files is gpuad's.
"""

import functools
import json
import os
import threading
from dataclasses import asdict
from pathlib import Path

from gpuad.codegen.cuda import toolchain
from gpuad.codegen.cuda.source import KernelText
from gpuad.codegen.cuda.toolchain import Binary, Capability, Resources
from gpuad.errors import CompilerError
from gpuad.executors.disk_cache import (
    KERNEL,
    cache_folder,
    checksum,
    entry_path,
    hold_limit,
    note_use,
    warn_once,
    write_file,
)

KEPT = 1024
"""Kernels that a process keeps in memory, for other plans with the same text."""

_lock = threading.Lock()


def load(kernel: KernelText, capability: Capability) -> Binary:
    """The kernel as machine code: ready-made, read from disk, or compiled."""
    with _lock:
        versions = toolchain.versions() if toolchain.available() else ""
        return _binary(kernel, capability, versions, cache_folder(), ready_made())


def ready_made() -> Path | None:
    """The folder of ready-made kernels, if there is one."""
    given = os.environ.get("GPUAD_KERNELS")
    return Path(given) if given else None


def put(kernel: KernelText, capability: Capability, binary: Binary, folder: Path) -> None:
    """Writes a ready-made kernel into a folder for GPUAD_KERNELS."""
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / _ready_name(kernel, capability), _packed(binary))


def _ready_name(kernel: KernelText, capability: Capability) -> str:
    return "{}-{}-sm_{}{}{}".format(kernel.digest[:32], toolchain.revision(), *capability, KERNEL)


@functools.lru_cache(KEPT)
def _binary(
    kernel: KernelText, capability: Capability, versions: str, root: Path, ready: Path | None
) -> Binary:
    if ready is not None:
        found = _read(ready / _ready_name(kernel, capability))
        if found is not None:
            return found
        if not versions:
            raise CompilerError(
                f"{ready / _ready_name(kernel, capability)} is missing or damaged, and so is the "
                "compiler that would make it: `gpuad info` has the command that installs it."
            )
    path = entry_path(root, f"{kernel.digest}\0{capability}\0{versions}", KERNEL)
    note_use(path)
    found = _read(path)
    if found is not None:
        return found
    binary = toolchain.compile_kernel(kernel, capability)
    try:
        root.mkdir(parents=True, exist_ok=True)
        write_file(path, _packed(binary))
        hold_limit(root)
    except OSError as error:
        warn_once(str(root), f"{type(error).__name__}: {error}")
    return binary


def _packed(binary: Binary) -> bytes:
    about = {"resources": asdict(binary.resources), "checksum": checksum(binary.cubin)}
    return json.dumps(about).encode() + b"\n" + binary.cubin


def _read(path: Path) -> Binary | None:
    """The kernel in a file; None if there is none or it is damaged."""
    try:
        head, _, cubin = path.read_bytes().partition(b"\n")
        about = json.loads(head)
        if about["checksum"] != checksum(cubin):
            return None
        return Binary(cubin, Resources(**about["resources"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def kept_on_disk(folder: Path | None = None) -> tuple[int, int]:
    """How many kernels a folder has, and their bytes; without a folder, that of the cache."""
    sizes = []
    for path in (folder or cache_folder()).glob(f"*{KERNEL}"):
        try:
            sizes.append(path.stat().st_size)
        except OSError:
            continue
    return len(sizes), sum(sizes)
