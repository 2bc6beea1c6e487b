"""Find a model's configuration without fetching anything, and what it costs by it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import GenerationError
from pipeline.generation import weights
from pipeline.generation.costs.model_cost import ModelCost
from pipeline.params import GenerateParams
from pipeline.workspace import Workspace

TABLE = Path(__file__).parent / "known_models.json"
"""What make_known.py writes."""
_SCHEDULER = "scheduler/scheduler_config.json"
_SAFETENSORS = ".safetensors"

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """What a model costs, and how often its denoiser runs for an image of the parameters."""

    cost: ModelCost
    calls: int


@dataclass(frozen=True)
class _Configured:
    model: str
    source: str
    index: Config
    configs: Mapping[str, Config]
    """Of each part by its name, ``scheduler`` included."""
    counted: ModelCost | None = None
    """What is known for the model's own size."""


def of(workspace: Workspace, params: GenerateParams) -> Found:
    """Return what the parameters' model costs; a folder's configuration, a Hub id's in the cache, or the built-in one.

    Loads torch and diffusers, unless the built-in table has the model at this size with its own scheduler. Raises
    GenerationError if no configuration is here, or if it is none that can be counted.
    """
    configured = _find(workspace, params)
    sized = params.render_size in (None, configured.counted.size if configured.counted else None)
    own = params.scheduler is None and not params.scheduler_options
    if configured.counted and sized and own:
        return Found(configured.counted, params.steps + (configured.index["scheduler"][1] == "PNDMScheduler"))
    from pipeline.generation.costs import count

    cost = count.count(configured.model, configured.source, configured.index, configured.configs, params.render_size)
    options = (params.scheduler, params.scheduler_options)
    return Found(cost, count.calls(configured.index, configured.configs["scheduler"], *options, params.steps))


def _find(workspace: Workspace, params: GenerateParams) -> _Configured:
    name = params.model
    if workspace.at(name).suffix == _SAFETENSORS and not workspace.at(name).is_dir():
        if params.config is None:
            fix = "set generate.config to a diffusers folder or a Hub id"
            raise GenerationError("a single file says nothing of the model's configuration", name, fix)
        name = params.config
    folder = workspace.at(name)
    if folder.is_dir():
        return _read(name, f"counted from the configuration in {name}", folder)
    if cached := _cached(name, params.revision):
        return _read(name, "counted from its configuration in the Hub's cache", cached)
    for entry in json.loads(TABLE.read_text(encoding="utf-8")):
        if name in entry["ids"]:
            counted = ModelCost(**{**entry["counted"], "model": name})
            return _Configured(name, counted.source, entry["index"], entry["configs"], counted)
    fix = f'run: hf download {name} --include "*.json"   (a few kilobytes)'
    raise GenerationError("no configuration of this model is here", name, fix)


def _read(name: str, source: str, folder: Path) -> _Configured:
    """Return the configuration in a folder; raise GenerationError if files are missing or damaged."""
    index = _document(folder / weights.INDEX)
    parts = [part for part in index if part in ("unet", "vae") or part.startswith("text_encoder")]
    configs = {part: _document(folder / part / "config.json") for part in parts}
    configs["scheduler"] = _document(folder / _SCHEDULER)
    return _Configured(name, source, index, configs)


def _document(place: Path) -> dict[str, Any]:
    """Return a JSON object; raise GenerationError for anything else."""
    try:
        found = json.loads(place.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it is no object")
    except (OSError, ValueError, RecursionError) as error:
        raise GenerationError(f"no readable configuration ({error})", place, "check generate.model") from None
    return found


def _cached(name: str, revision: str | None) -> Path | None:
    """Return the folder of a Hub id's files in the local cache, None if its configuration is not there."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, weights.INDEX, revision=revision)
        unet = try_to_load_from_cache(name, "unet/config.json", revision=revision)
    except HFValidationError:
        return None
    folder = Path(found).parent if isinstance(found, str) and isinstance(unet, str) else None
    return folder if folder is not None and (folder / _SCHEDULER).is_file() else None
