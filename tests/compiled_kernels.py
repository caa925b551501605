"""Kernels as PTX for the tests, compiled once for all test processes and runs.

What is compiled is kept in files, whose names say what it depends on. PTX is compiled for the
oldest of the GPUs: the text for the others is the same (`cuda_offline/test_kernels.py`).
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from gpuad.codegen.cuda import toolchain
from gpuad.codegen.cuda.source import KernelText
from gpuad.codegen.cuda.toolchain import Capability, Resources
from gpuad.executors.disk_cache import (
    KERNEL,
    cache_folder,
    checksum,
    entry_path,
    hold_limit,
    note_use,
    write_file,
)

CAPABILITIES = [(8, 0), (9, 0)]
LONG_TO_COMPILE = {("W14", "HVP n=8")}
"""Cases of the suite whose kernels take a third of a minute: `benchmarks.count` has them."""
FOLDER = cache_folder() / "tests"


class KernelCache:
    """PTX and resources of kernels, kept in a folder."""

    def __init__(self, folder: Path = FOLDER):
        self.folder = folder
        self._known: dict[Path, str] = {}

    def ptx(self, kernel: KernelText) -> str:
        what = f"{kernel.digest} {CAPABILITIES[0]}"
        return self._kept(what, lambda: toolchain.compile_ptx(kernel, CAPABILITIES[0]))

    def resources(self, kernel: KernelText, capability: Capability) -> Resources:
        def make() -> str:
            return json.dumps(asdict(toolchain.link(self.ptx(kernel), capability).resources))

        return Resources(**json.loads(self._kept(f"{kernel.digest} resources {capability}", make)))

    def _kept(self, what: str, make: Callable[[], str]) -> str:
        """What is known, or in a file; made, and written, if there is none or it is damaged."""
        path = entry_path(self.folder, f"{what}\0{toolchain.versions()}", KERNEL)
        if path not in self._known:
            self._known[path] = self._read_or_made(path, make)
        return self._known[path]

    def _read_or_made(self, path: Path, make: Callable[[], str]) -> str:
        note_use(path)
        try:
            head, _, content = path.read_bytes().partition(b"\n")
            if head.decode() == checksum(content):
                return content.decode()
        except (OSError, ValueError):
            pass
        text = make()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_file(path, f"{checksum(text.encode())}\n{text}".encode())
            hold_limit(self.folder)
        except OSError as error:
            print(f"kernels of the tests cannot be kept: {error}", file=sys.stderr)
        return text


KERNELS = KernelCache()
