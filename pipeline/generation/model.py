"""Where the diffusion model is, and the recipe that parameters and model give together."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import GenerationError, ParameterError
from pipeline.generation import prompts, weights
from pipeline.generation.recipe import Lora, Recipe
from pipeline.params import GenerateParams, LoraParams
from pipeline.workspace import Workspace

_SAFETENSORS = ".safetensors"
_LORA_FILE = "pytorch_lora_weights.safetensors"
"""What diffusers and its training scripts call it."""


@dataclass(frozen=True)
class ResolvedModel:
    """A recipe, and where this machine finds its model."""

    recipe: Recipe
    model: str
    """A folder, a single ``.safetensors`` file, or a Hub id."""
    revision: str | None
    """The commit, for a Hub id; for a single file, that of its configuration."""
    config: str | None = None
    """For a single file: the folder or Hub id of its configuration."""
    lora: tuple[Path, ...] = ()
    """The files of the recipe's LoRA weights, in the same order."""

    @property
    def settings(self) -> str:
        """Where the configuration, the tokenizers and the scheduler are: a folder, or with ``revision`` a Hub id."""
        return self.model if self.config is None else self.config

    def folder(self, *patterns: str) -> Path:
        """Return the folder of ``settings``; of a Hub id, files of these names are fetched if they are not there."""
        if self.revision is None:
            return Path(self.settings)
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(self.settings, revision=self.revision, allow_patterns=list(patterns)))


@dataclass(frozen=True)
class _Found:
    """A model's identity and place, see ``ResolvedModel``."""

    identity: str
    model: str
    revision: str | None
    config: str | None = None


def resolve(
    workspace: Workspace, params: GenerateParams, seed: int, image_size: int, dtype: str, *, domains: bool = False
) -> ResolvedModel:
    """Pin the model and fill in what the parameters leave open.

    ``image_size`` is the data set's, ``dtype`` what ``auto`` stands for; ``domains`` tells whether the data set has
    any, so that prompts can name them. What cannot change a byte is not part of the
    recipe: the negative prompt where no image is guided, the quality of a PNG, LoRA weights of scale 0.
    Raises GenerationError if the model cannot be found, ParameterError if the prompt set cannot be used.
    """
    sentences = prompts.load(workspace.at(params.prompts), workspace.data / "prompts", domains)
    found = _find(workspace, params)
    chosen = [one for one in params.lora if one.scale]
    files = tuple(_lora_file(workspace, one) for one in chosen)
    guidance = tuple(sorted(set(params.guidance)))
    recipe = Recipe(
        seed=seed,
        model=found.identity,
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
        lora=tuple(Lora(weights.file_digest(file), one.scale) for file, one in zip(files, chosen, strict=True)),
    )
    return ResolvedModel(recipe, found.model, found.revision, found.config, files)


def _find(workspace: Workspace, params: GenerateParams) -> _Found:
    """Return the identity and the place of the model; weights that cannot be loaded are an error here if it is local.

    Raises GenerationError or ParameterError.
    """
    place = workspace.at(params.model)
    if place.suffix == _SAFETENSORS and not place.is_dir():
        return _single_file(workspace, place, params)
    if params.config is not None:
        fix = "set it to null: a folder and a Hub model have their configuration with them"
        where = f"params.yaml, generate.config = {params.config}"
        raise ParameterError("only a single .safetensors file needs it", where, fix)
    if not place.is_dir():
        commit = _commit(params.model, params.revision, "generate.model")
        return _Found(f"{params.model}@{commit}", params.model, commit)
    digest = weights.folder_digest(place)
    weights.check_folder(place, params.variant)
    return _Found(digest, str(place), None)


def _single_file(workspace: Workspace, file: Path, params: GenerateParams) -> _Found:
    """Return the identity of a single file, whose configuration is elsewhere, and the places of both."""
    if not file.is_file():
        raise GenerationError("no such file", file, "check generate.model")
    if params.variant is not None:
        where = f"params.yaml, generate.variant = {params.variant}"
        raise ParameterError("a single file has no variants", where, "set it to null")
    if params.config is None:
        likely = weights.likely_configuration(file)
        hint = f"such as {likely}" if likely else "of the model that it was trained from"
        what = "a single file says nothing of the model's configuration, tokenizer and scheduler"
        raise ParameterError(what, file, f"set generate.config to a diffusers folder or a Hub id {hint}")
    config, commit = workspace.at(params.config), None
    if config.is_dir():
        settings = weights.configuration_digest(config)
    else:
        commit = _commit(params.config, params.revision, "generate.config")
        settings = f"{params.config}@{commit}"
    listing = f"checkpoint {weights.file_digest(file)}\nconfig {settings}\n"
    digest = f"sha256:{hashlib.sha256(listing.encode()).hexdigest()}"
    return _Found(digest, str(file), commit, params.config if commit else str(config))


def _lora_file(workspace: Workspace, lora: LoraParams) -> Path:
    """Return the file of LoRA weights; from the Hub it is fetched, or found in the local cache.

    Raises ParameterError if there is no such file, or several and none is named.
    """
    where, place = f"params.yaml, generate.lora, {lora.path}", workspace.at(lora.path)
    if place.is_file() or place.suffix == _SAFETENSORS:
        if lora.file is not None:
            raise ParameterError("it is a file itself", f"{where}, file = {lora.file}", "leave file out")
        file = place
    elif place.is_dir():
        file = place / (lora.file or _only_file(place, where))
    else:
        file = Path(_fetched(lora.path, lora.file or _LORA_FILE, lora.revision, "generate.lora, its file and revision"))
    if file.suffix != _SAFETENSORS:
        raise ParameterError("not a .safetensors file", f"{where}, {file.name}", "only safetensors are read")
    if not file.is_file():
        raise ParameterError("no such file of LoRA weights", file, "check generate.lora")
    return file


def _only_file(folder: Path, where: str) -> str:
    """Return the name of the LoRA weights in a folder."""
    there = sorted(file.name for file in folder.glob(f"*{_SAFETENSORS}"))
    if _LORA_FILE in there or len(there) == 1:
        return _LORA_FILE if _LORA_FILE in there else there[0]
    fix = f"name one: file: {', '.join(there)}" if there else "check generate.lora"
    raise ParameterError(f"{len(there) or 'no'} .safetensors files in this folder", where, fix)


def _commit(model: str, revision: str | None, key: str) -> str:
    """Return the commit of a Hub model; its small index file is fetched, or found in the local cache."""
    fix = f"{key} and generate.revision; for a gated model accept its terms and log in"
    return Path(_fetched(model, weights.INDEX, revision, fix)).parent.name


def _fetched(repository: str, file: str, revision: str | None, keys: str) -> str:
    """Return the place of a file of a Hub repository in the local cache."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return hf_hub_download(repository, file, revision=revision)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        what = f"no such folder, and not found on the Hub ({error})"
        raise GenerationError(what, repository, f"check {keys}") from None
