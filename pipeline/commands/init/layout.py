"""The files that a workspace needs beside params.yaml; those that are there stay as they are."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline import atomic, dvc_yaml, progress, shipped
from pipeline.errors import ParameterError
from pipeline.params import Params
from pipeline.workspace import Workspace

_IGNORED = """\
.venv/
__pycache__/
/dvc_plots/
/data/*
!/data/prompts/
"""
_FOLDERS = ("data/prompts", "sweeps")
_DEMO = ("data/demo/images", "data/demo/model")


@dataclass(frozen=True)
class LaidOut:
    """What was made."""

    files: tuple[str, ...]
    """New files and folders, below the workspace."""
    dvc: bool
    """Whether the folder was made a DVC repository now."""
    clone: bool
    """Whether the workspace is the clone that the code runs from, which has everything."""


def lay_out(workspace: Workspace, params: Params, dvc: bool, files: Mapping[str, str]) -> LaidOut:
    """Write what is missing, and make the folder a DVC repository if that is asked for and it is in none.

    Raises ParameterError if DVC refuses, ArtifactError if a file cannot be written.
    """
    root, clone = workspace.root, shipped.is_clone(workspace.root)
    made = [name for name, content in files.items() if _write(root / name, content, replace=True)]
    if clone:
        return LaidOut(tuple(made), False, True)
    initialised = dvc and not _in_dvc(root)
    if initialised:
        _init_dvc(root)
    written = {
        "dvc.yaml": dvc_yaml.for_workspace(),
        ".gitignore": _IGNORED,
        ".dvcignore": shipped.text(".dvcignore"),
    }
    made += [name for name, content in written.items() if _write(root / name, content, replace=False)]
    asked = [name for name in _DEMO if name in (params.data.path, params.generate.model)]
    plots = (".dvc/plots",) if (root / ".dvc").is_dir() else ()
    made += [name for name in (*_FOLDERS, *asked, *plots) if _copy(shipped.root() / name, root / name)]
    if (root / "dvc.yaml").read_text(encoding="utf-8") != written["dvc.yaml"]:
        progress.say("dvc.yaml is not that of this version of gen-fedsd, and stays: to get it, delete it and run again")
    return LaidOut(tuple(made), initialised, False)


def _write(place: Path, content: str, replace: bool) -> bool:
    """Write a file that is absent, or of other content if it may be replaced; return whether it was written."""
    empty = place.name == ".dvcignore" and place.is_file() and _says_nothing(place)
    if place.exists() and not empty and (not replace or place.read_text(encoding="utf-8") == content):
        return False
    atomic.write_text(place, content)
    return True


def _says_nothing(place: Path) -> bool:
    """Return whether a file has only comments, as the .dvcignore that ``dvc init`` writes."""
    lines = place.read_text(encoding="utf-8").splitlines()
    return all(not line.strip() or line.startswith("#") for line in lines)


def _copy(source: Path, target: Path) -> bool:
    """Copy the files of a folder that are absent; return whether there were any."""
    made = False
    for file in sorted(source.rglob("*")):
        there = target / file.relative_to(source)
        if file.is_file() and not there.exists():
            with atomic.replacing(there) as temporary:
                shutil.copyfile(file, temporary)
            made = True
    return made


def _in_dvc(root: Path) -> bool:
    here = root.resolve()
    return any((folder / ".dvc/config").is_file() for folder in (here, *here.parents))


def _init_dvc(root: Path) -> None:
    """Make a folder a DVC repository: in git if it is in a git repository, else without."""
    git = _git_root(root)
    options = ["--no-scm"] if git is None else [] if git == root.resolve() else ["--subdir"]
    command = [sys.executable, "-m", "dvc", "init", "--quiet", *options]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no message"])[-1].removeprefix("ERROR: ")
        raise ParameterError(
            f"dvc init failed ({said})", root.resolve(), "run it yourself, then gen-fedsd init --no-dvc"
        )


def _git_root(root: Path) -> Path | None:
    command = ["git", "-C", str(root.resolve()), "rev-parse", "--show-toplevel"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return Path(found.stdout.strip()).resolve() if found.returncode == 0 else None
