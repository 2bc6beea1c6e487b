"""The pipeline of a workspace that is no clone: dvc.yaml with digests of the code in place of its files.

In a clone, dvc.yaml lists for each stage the files of code that it depends on. Where the package is installed, they are
outside of the workspace, and DVC could only name them by absolute paths. So there a stage depends on a file with one
digest of the same code, which a stage of its own writes each time: after an update of the package, stages run again if
their code changed, and only those.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

import yaml

from pipeline import atomic, shipped

FOLDER = "data/fingerprints"
_CODE = re.compile(r"      - (pipeline/\S+)")
_PACKAGE = Path(__file__).parent
_HEAD = """\
# fingerprint-images -> partition -> deficits -> generate -> fill -> train -> report
#                       fingerprint-model ---^  `-> evaluate ----------------^
#
# Written by gen-fedsd init. Every stage runs the installed package gen-fedsd, with the Python of .venv if there is one
# (activated or not), else with the Python on the PATH. fingerprint-code says which code that is, so that stages whose
# code an update changed run again. The fingerprints of images, words, model and judge stand for their content, wherever
# that lies.
"""
_STAGE = """\
  fingerprint-code:
    cmd: PATH="$DVC_ROOT/.venv/bin:$PATH" python -m pipeline fingerprint code
    always_changed: true
    outs:
"""


def for_workspace() -> str:
    """Return the dvc.yaml of a workspace that uses the installed package."""
    text = shipped.text("dvc.yaml")
    _, _, stages = text.partition("stages:\n")
    lines, stage, known = list[str](), "", False
    for line in stages.splitlines():
        if match := re.match(r"  ([\w-]+):$", line):
            stage, known = match[1], False
        if _CODE.fullmatch(line) is None:
            lines.append(line)
        elif not known:
            lines.append(f"      - {place(stage)}")
            known = True
    outs = "".join(f"      - {place(name)}:\n          persist: true\n" for name in code())
    return f"{_HEAD}stages:\n{_STAGE}{outs}\n" + "\n".join(lines) + "\n"


def place(stage: str) -> str:
    """Return the place of the digest of a stage's code, below the workspace."""
    return f"{FOLDER}/code-{stage}.json"


def code() -> dict[str, tuple[str, ...]]:
    """Return the files and folders of code that each stage depends on, as the shipped dvc.yaml lists them."""
    stages: dict[str, dict[str, Any]] = yaml.safe_load(shipped.text("dvc.yaml"))["stages"]
    listed = {
        name: tuple(dep for dep in stage.get("deps", ()) if dep.startswith("pipeline/"))
        for name, stage in stages.items()
    }
    return {name: deps for name, deps in listed.items() if deps}


def digest(deps: tuple[str, ...]) -> str:
    """Return a digest of the code in files and folders, by their names in the package and their content."""
    found = hashlib.sha256()
    for dep in deps:
        start = _PACKAGE.parent / dep
        files = [start] if start.is_file() else sorted(file for file in start.rglob("*") if file.is_file())
        for file in files:
            if "__pycache__" not in file.parts:
                found.update(f"{file.relative_to(_PACKAGE).as_posix()}={atomic.sha256(file)}\n".encode())
    return found.hexdigest()
