"""Where the diffusion model is, and the recipe that parameters and model give together."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.atomic import sha256
from pipeline.errors import GenerationError
from pipeline.generation import prompts
from pipeline.generation.recipe import Recipe
from pipeline.params import GenerateParams
from pipeline.workspace import Workspace

_DECISIVE = (".json", ".txt", ".safetensors", ".model", ".jinja")
"""Settings, vocabularies, weights, SentencePiece tokenizers, chat templates; pickled weights are never loaded."""
_UNUSED = ("safety_checker", "feature_extractor")
"""Parts that decide no byte: the safety checker is off, and nothing else reads pictures."""


@dataclass(frozen=True)
class ResolvedModel:
    """A recipe, and where this machine finds its model."""

    recipe: Recipe
    model: str
    """A folder, or a Hub id."""
    revision: str | None
    """The commit, for a Hub id."""

    @property
    def settings(self) -> str:
        """Where the configuration, the tokenizers and the scheduler are: a folder, or with ``revision`` a Hub id."""
        return self.model


def resolve(workspace: Workspace, params: GenerateParams, seed: int, image_size: int, dtype: str) -> ResolvedModel:
    """Pin the model and fill in what the parameters leave open.

    ``image_size`` is the data set's, ``dtype`` what ``auto`` stands for. What cannot change a byte is not part of the
    recipe: the negative prompt where no image is guided, the quality of a PNG.
    Raises GenerationError if the model cannot be found, ParameterError if the prompt set cannot be used.
    """
    sentences = prompts.load(workspace.at(params.prompts), workspace.data / "prompts")
    folder = workspace.at(params.model)
    revision = None if folder.is_dir() else _commit(params.model, params.revision)
    guidance = tuple(sorted(set(params.guidance)))
    recipe = Recipe(
        seed=seed,
        model=_digest(folder) if revision is None else f"{params.model}@{revision}",
        variant=params.variant,
        scheduler=params.scheduler,
        scheduler_options=params.scheduler_options,
        steps=params.steps,
        guidance=guidance,
        prompts=sentences,
        negative_prompt=params.negative_prompt if guidance[-1] > 1 else "",
        render_size=params.render_size,
        image_size=params.image_size or image_size,
        image_format=params.image_format,
        quality=None if params.image_format == "png" else params.quality,
        dtype=dtype,
        batch_size=params.batch_size,
        compile=params.compile,
    )
    return ResolvedModel(recipe, str(folder) if revision is None else params.model, revision)


def _digest(folder: Path) -> str:
    """Return the identity of a model folder: its configuration and weights, whatever its place."""
    if not (folder / "model_index.json").is_file():
        fix = "point generate.model at a diffusers folder or a Hub id"
        raise GenerationError("no diffusers model here: model_index.json is missing", folder, fix)
    try:
        files = sorted(_files(folder))
        listing = "".join(f"{file.relative_to(folder).as_posix()} {sha256(file)}\n" for file in files)
    except OSError as error:
        raise GenerationError(f"cannot read the model ({error})", folder, "check the folder and your rights") from None
    return f"sha256:{hashlib.sha256(listing.encode()).hexdigest()}"


def _files(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Yield the files of a model that decide bytes, also in linked folders, but not in a link to a folder above."""
    here = folder.resolve()
    if here in above:
        return
    for entry in folder.iterdir():
        if entry.is_dir():
            if above or entry.name not in _UNUSED:
                yield from _files(entry, (*above, here))
        elif entry.suffix in _DECISIVE and entry.is_file():
            yield entry


def _commit(model: str, revision: str | None) -> str:
    """Return the commit of a Hub model; its small index file is fetched, or found in the local cache."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        index = hf_hub_download(model, "model_index.json", revision=revision)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        fix = "check generate.model and generate.revision; for a gated model accept its terms and log in"
        raise GenerationError(f"no such folder, and not found on the Hub ({error})", model, fix) from None
    return Path(index).parent.name
