"""The files that ship beside the code: parameters, presets, prompt sets, sweeps, the pipeline, the demo.

In a clone they are where a workspace has them, at its root. The package that ``pip`` installs has a copy of them.
"""

from importlib import metadata
from pathlib import Path

from pipeline.errors import ParameterError

_PACKED = Path(__file__).parent / "template"
"""Made when a wheel is built, see pyproject.toml."""


def root() -> Path:
    """Return the folder that holds what ships, at the places that a workspace has it."""
    return _PACKED if _PACKED.is_dir() else Path(__file__).parent.parent


def is_clone(folder: Path) -> bool:
    """Return whether a folder is the clone that this code runs from."""
    return folder.resolve() == Path(__file__).parent.parent.resolve() and not _PACKED.is_dir()


def text(name: str) -> str:
    """Return the content of a file that ships; raise ParameterError if the installation lacks it."""
    try:
        return (root() / name).read_text(encoding="utf-8")
    except OSError as error:
        raise ParameterError(f"cannot be read ({error.strerror})", root() / name, "install gen-fedsd again") from None


def version() -> str:
    """Return the version of the installed package; "unknown" for code that was never installed."""
    try:
        return metadata.version("gen-fedsd")
    except metadata.PackageNotFoundError:
        return "unknown"
