"""Commands ``preset``: complete parameter files that ship, and how they get into a workspace."""

import difflib
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import atomic, params, shipped, yaml_file
from pipeline.errors import ParameterError
from pipeline.workspace import Workspace

_FOLDER = "data/presets"
_PARAMS = "params.yaml"


@dataclass(frozen=True)
class Preset:
    """A preset, and what its head says that it is."""

    name: str
    what: str
    images: str
    """Synthetic images that it asks for; empty if that depends on the data."""
    gpu_time: str
    """To render them on an A100; empty if it needs no GPU, or that depends on the data."""


@dataclass(frozen=True)
class Difference:
    """A parameter that has another value in a preset."""

    name: str
    """Dotted, such as ``train.rounds``."""
    here: Any
    there: Any


ABSENT = "(absent)"


def listed() -> tuple[Preset, ...]:
    """Return all presets, the demo first."""
    names = sorted(
        (path.stem for path in (shipped.root() / _FOLDER).glob("*.yaml")), key=lambda one: (one != "demo", one)
    )
    return tuple(_preset(name) for name in names)


def text(name: str) -> str:
    """Return a preset's content; raise ParameterError if there is none of that name."""
    known = [path.stem for path in (shipped.root() / _FOLDER).glob("*.yaml")]
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        fix = f"did you mean {close[0]}?" if close else f"there is {', '.join(sorted(known))}"
        raise ParameterError(f"no preset {name!r}", "gen-fedsd preset", fix)
    return shipped.text(f"{_FOLDER}/{name}.yaml")


def use(workspace: Workspace, name: str) -> bool:
    """Make a preset the workspace's params.yaml; return whether that changed it.

    Raises ParameterError for a params.yaml with edits that neither git nor a file that ships holds.
    """
    return write(workspace, text(name))


def write(workspace: Workspace, content: str) -> bool:
    """Write params.yaml and return whether that changed it; raise ParameterError if edits would be lost."""
    place = workspace.params
    if place.is_file():
        if place.read_bytes() == content.encode():
            return False
        refuse_to_lose(place)
    atomic.write_text(place, content)
    return True


def refuse_to_lose(place: Path) -> None:
    """Raise ParameterError if a params.yaml has edits that neither git's last commit nor a file that ships holds."""
    found = place.read_bytes()
    names = [_PARAMS, *(f"{_FOLDER}/{path.name}" for path in (shipped.root() / _FOLDER).glob("*.yaml"))]
    if any(found == shipped.text(name).encode() for name in names) or _committed(place):
        return
    raise ParameterError("edits that no commit holds", place, "commit them, or rename the file, then run this again")


def diff(workspace: Workspace, name: str) -> tuple[Difference, ...]:
    """Return the parameters whose values differ between params.yaml and a preset, in the order of the preset."""
    there = flat(yaml_file.parse(text(name), f"preset {name}"))
    params.load(workspace.params)
    here = flat(yaml_file.load(workspace.params))
    names = dict.fromkeys((*there, *here))
    pairs = ((key, here.get(key, ABSENT), there.get(key, ABSENT)) for key in names)
    return tuple(Difference(*one) for one in pairs if one[1] != one[2])


def flat(document: Any, above: str = "") -> dict[str, Any]:
    """Return the values of a document by dotted name; a mapping of plain values in a section is one value."""
    found: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, dict) and not above:
            found |= flat(value, f"{key}.")
        else:
            found[f"{above}{key}"] = value
    return found


def _preset(name: str) -> Preset:
    """Return what a preset's head says: its title, up to the second colon, and the numbers."""
    head = text(name).partition("\n\n")[0].replace("\n#  ", "").replace("# ", "")
    images, time = re.search(r"Images: ([\d,]+) synthetic", head), re.search(r"GPU time: ([^,]+) on one A100", head)
    return Preset(name, head.split(": ")[1], images[1] if images else "", time[1] if time else "")


def _committed(place: Path) -> bool:
    """Return whether git's last commit has this file as it is."""
    command = ["git", "-C", str(place.absolute().parent), "status", "--porcelain", "--ignored", "--", place.name]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return False
    return found.returncode == 0 and not found.stdout.strip()
