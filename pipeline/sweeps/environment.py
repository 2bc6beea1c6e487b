"""What must be equal for the results of two cells to be comparable: code, arithmetic, images and model."""

import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import ParameterError
from pipeline.params import Params
from pipeline.sweeps.folder import Place, SweepFolder
from pipeline.sweeps.grid import Cell
from pipeline.workspace import Workspace

_CONTENT = "content of "
_RENDERERS = ("diffusers", "transformers")
"""Packages whose code decides images, beside torch."""
_PRINTS: Mapping[str, Any] = {
    "images": {"data": True, "partition": {"scheme", "column", "assignment"}},
    "words": {"generate": {"class_overrides"}},
    "dropouts": {"train": {"dropouts"}},
    "model": {"generate": True},
    "judge": {"evaluate": {"judge", "extractor", "extractor_revision"}},
}
"""What fingerprints there are, and what of params.yaml decides them."""


def current(devices: Sequence[str]) -> dict[str, str]:
    """Return what this process would carry out cells with."""
    import torch

    from pipeline.federated import runs
    from pipeline.generation import recipe
    from pipeline.generation.devices import kind, resolve_dtype
    from pipeline.generation.pool import schema

    return {
        "version of gen-fedsd": importlib.metadata.version("gen-fedsd"),
        "version of what runs compute": str(runs.VERSION),
        "format of images": str(recipe.FORMAT_VERSION),
        "format of the pool": f"{schema.PLAIN} to {schema.SCORED}",
        "version of torch": torch.__version__,
        **{f"version of {name}": importlib.metadata.version(name) for name in _RENDERERS},
        "device that renders": kind(devices[0]),
        "device that trains": "cuda" if torch.cuda.is_available() else "cpu",
        "dtype that auto stands for": resolve_dtype("auto", list(devices)),
    }


class Conditions:
    """What cells are made with now: code, arithmetic, and the content of what parameters only name."""

    def __init__(self, workspace: Workspace, devices: Sequence[str]) -> None:
        self._workspace, self.code = workspace, current(devices)
        self._known: dict[str, str] = {}

    def of(self, cell: Cell) -> dict[str, str]:
        """Return all that a cell is made with; raise what the fingerprint stage raises if something is not found."""
        from pipeline.stages import fingerprint

        found = dict(self.code)
        for name, read in _PRINTS.items():
            if (name == "judge" and not cell.evaluate) or (name == "dropouts" and not cell.params.train.dropouts):
                continue
            decisive = cell.params.model_dump(mode="json", include=read)
            key = json.dumps([name, decisive], sort_keys=True)
            if key not in self._known:
                self._known[key] = fingerprint.digest(self._workspace, cell.params, name)
            found[f"{_CONTENT}{name}"] = self._known[key]
        return found

    def check(self, folder: SweepFolder, done: Sequence[tuple[Place, Cell, Mapping[str, str]]]) -> None:
        """Raise ParameterError, naming every difference, if a finished cell was made with something else.

        ``done`` has each finished cell with what it was made with.
        """
        for place, cell, before in done:
            self._compare(folder, place.folder, before, self.of(cell), cell.params)

    def check_begun(self, folder: SweepFolder, cell: Cell) -> None:
        """The same for cells that other processes carry out now."""
        self._compare(folder, folder.record, folder.read().get("environment", {}), self.code, cell.params)

    @staticmethod
    def _compare(
        folder: SweepFolder, where: Path, before: Mapping[str, str], now: Mapping[str, str], params: Params
    ) -> None:
        changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if changed:
            told = "; ".join(_difference(name, before, now, params) for name in changed)
            what = "finished cells were made with something else than there is now"
            fix = f"put it back, or carry out all cells again: gen-fedsd sweep run {folder.folder.name} --redo"
            raise ParameterError(what, f"{where}: {told}", fix)


def _difference(name: str, before: Mapping[str, str], now: Mapping[str, str], params: Params) -> str:
    if not name.startswith(_CONTENT):
        return f"{name} {before.get(name, 'unknown')}, now {now.get(name, 'unknown')}"
    places = {
        "images": f"data.path = {params.data.path}",
        "words": f"generate.class_overrides = {params.generate.class_overrides}",
        "dropouts": f"train.dropouts = {params.train.dropouts}",
        "judge": f"evaluate.judge.model = {params.evaluate.judge.model}",
        "model": f"generate.model = {params.generate.model}, generate.prompts = {params.generate.prompts}",
    }
    return f"{name} changed ({places[name.removeprefix(_CONTENT)]})"
