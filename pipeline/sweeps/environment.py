"""What must be equal for the results of two cells to be comparable: code, arithmetic, images and model."""

import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.errors import ParameterError
from pipeline.params import Params
from pipeline.sweeps.folder import Place, SweepFolder
from pipeline.sweeps.grid import Cell
from pipeline.workspace import Workspace

REDO = "or carry out all cells again: gen-fedsd sweep run NAME --redo"
_PRINTS: Mapping[str, Any] = {
    "images": {"data": True, "partition": {"scheme", "column", "assignment"}},
    "words": {"generate": {"class_overrides"}},
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
        "device that renders": kind(devices[0]),
        "device that trains": "cuda" if torch.cuda.is_available() else "cpu",
        "dtype that auto stands for": resolve_dtype("auto", list(devices)),
    }


def check(folder: SweepFolder, found: Mapping[str, str]) -> None:
    """Raise ParameterError, naming every difference, if earlier cells were carried out with something else."""
    before: Mapping[str, Any] = folder.read().get("environment") or found
    differences = [
        f"{name} {before.get(name, 'unknown')}, now {value}"
        for name, value in found.items()
        if before.get(name) != value
    ]
    if differences:
        fix = f"use what it was begun with, {REDO.replace('NAME', folder.folder.name)}"
        raise ParameterError(
            "the sweep was begun with something else", f"{folder.record}: {'; '.join(differences)}", fix
        )


class Contents:
    """The content of what parameters only name: images, words for classes, the models; each looked at once."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._known: dict[str, str] = {}

    def of(self, cell: Cell) -> dict[str, str]:
        """Return a digest of each; raise what the fingerprint stage raises if something cannot be found."""
        from pipeline.stages import fingerprint

        found = {}
        for name, read in _PRINTS.items():
            if name == "judge" and not cell.evaluate:
                continue
            decisive = cell.params.model_dump(mode="json", include=read)
            key = json.dumps([name, decisive], sort_keys=True)
            if key not in self._known:
                self._known[key] = fingerprint.digest(self._workspace, cell.params, name)
            found[name] = self._known[key]
        return found

    def check(self, name: str, done: Sequence[tuple[Place, Cell, Mapping[str, str]]]) -> None:
        """Raise ParameterError if a finished cell was made from other images, words or models.

        ``done`` has each finished cell with the digests that were kept of it; ``name`` is the sweep's.
        """
        for place, cell, kept in done:
            changed = [of for of, digest in self.of(cell).items() if kept.get(of) != digest]
            if changed:
                what = f"{' and '.join(changed)} changed since cell {place.number} was done"
                where = f"{place.folder}: {self._named(cell.params, changed)}"
                raise ParameterError(what, where, f"put back what was there, {REDO.replace('NAME', name)}")

    @staticmethod
    def _named(params: Params, changed: Sequence[str]) -> str:
        texts = {
            "images": f"data.path = {params.data.path}",
            "words": f"generate.class_overrides = {params.generate.class_overrides}",
            "judge": f"evaluate.judge.model = {params.evaluate.judge.model}",
            "model": f"generate.model = {params.generate.model}, generate.prompts = {params.generate.prompts}",
        }
        return "; ".join(texts[name] for name in changed)
