"""What DVC says about a stage."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def changes(root: Path, stage: str) -> list[Any] | None:
    """Return what changed since DVC ran a stage, empty if nothing did; None where DVC does not answer or is not used.

    It compares files on disk: an earlier stage that is yet to run may change more.
    """
    if not (root / ".dvc").is_dir():
        return None
    command = [sys.executable, "-m", "dvc", "status", "--json", stage]
    answer = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    try:
        found: dict[str, list[Any]] = json.loads(answer.stdout)
    except ValueError:
        return None
    return found.get(stage, [])
