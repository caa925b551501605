"""Where the sources are, and the names they are installed under."""

from pathlib import Path

ROOT = Path(__file__).parents[1]


def modules_of(root: Path = ROOT) -> dict[str, Path]:
    """Each module of gpuad by its installed name: `kernels/` is installed as `gpuad.kernels`."""
    found = {}
    for folder, prefix in ((root / "gpuad", "gpuad"), (root / "kernels", "gpuad.kernels")):
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join((prefix, *parts))] = path
    return found
