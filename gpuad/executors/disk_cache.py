"""Files of compiled code on disk, shared by processes: complete, checked, and never in the way."""

import hashlib
import os
import tempfile
import warnings
from pathlib import Path

import platformdirs

from gpuad.errors import CacheWarning


def cache_folder() -> Path:
    """Where compiled sweeps are kept: GPUAD_CACHE_DIR, or the user's cache folder."""
    given = os.environ.get("GPUAD_CACHE_DIR")
    return Path(given) if given else Path(platformdirs.user_cache_dir("gpuad"))


def checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_file(path: Path, data: bytes) -> None:
    """Writes a file that appears under its name when it is complete."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


_warned: set[str] = set()


def warn_once(where: str, why: str) -> None:
    """Says that a folder cannot keep compiled sweeps."""
    if where not in _warned:
        _warned.add(where)
        warnings.warn(
            f"compiled sweeps cannot be kept in {where} ({why}); they are kept in memory and "
            "compiled again in each process. Set GPUAD_CACHE_DIR to a folder that can be written.",
            CacheWarning,
            stacklevel=2,
        )
