"""The files of a pre-trained judge: a folder, or a Hub id that is fetched; safetensors only, and no code."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.data import digests
from pipeline.errors import DataError, ParameterError

_SETTINGS = (".json", ".txt", ".model")
_WEIGHTS = ".safetensors"
_PATTERNS = ["*.json", "*.txt", "*.model", "model*.safetensors"]
_CODE = "auto_map"
"""The entry of a configuration that names Python files of the model's author."""


@dataclass(frozen=True)
class Files:
    """A pre-trained model, of which only the configuration was read."""

    model: str
    """The folder, or a Hub id."""
    commit: str | None
    """Of a Hub id."""
    identity: str
    """``sha256:`` and a digest of settings and weights, whatever their place; or ``id@commit``."""
    config: Mapping[str, Any]
    where: str
    """The key of params.yaml that names it."""

    def folder(self) -> Path:
        """Return the folder of all files; those of a Hub id are fetched if they are not there.

        Raises ParameterError if it has no safetensors, or if it would run code of its author.
        """
        folder = Path(self.model) if self.commit is None else _snapshot(self.model, self.commit, self.where)
        if not list(folder.glob(f"*{_WEIGHTS}")):
            fix = "choose a model that has safetensors: pickled weights are never loaded"
            raise ParameterError("no weights in safetensors", folder, fix)
        for file in sorted(folder.glob("*.json")):
            if _CODE in _read(file):
                fix = "choose a model of one of transformers' own kinds"
                raise ParameterError(f"the model asks to run code of its author ({_CODE})", file, fix)
        return folder


def find(model: str, revision: str | None, root: Path, where: str) -> Files:
    """Return a model's files; of a Hub id the configuration is fetched, or found in the local cache.

    ``root`` is where relative paths start, ``where`` the key of params.yaml that names the model. Raises ParameterError
    if there is no such model.
    """
    folder = root / model
    if folder.is_dir():
        config = folder / "config.json"
        if not config.is_file():
            raise ParameterError("no transformers model here: config.json is missing", folder, f"check {where}")
        return Files(str(folder), None, f"sha256:{_digest(folder)}", _read(config), where)
    config = _fetched(model, revision, where)
    commit = config.parent.name
    return Files(model, commit, f"{model}@{commit}", _read(config), where)


def _digest(folder: Path) -> str:
    chosen = sorted(file for file in folder.iterdir() if file.suffix in (*_SETTINGS, _WEIGHTS) and file.is_file())
    try:
        named = zip(chosen, digests.of(folder, chosen), strict=True)
        listing = "".join(f"{file.name} {digest}\n" for file, digest in named)
    except DataError as error:
        raise ParameterError(error.what, error.where, error.fix) from None
    return hashlib.sha256(listing.encode()).hexdigest()


def _read(file: Path) -> dict[str, Any]:
    """Return the entries of a JSON file; none of one that holds a list, such as a vocabulary."""
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ParameterError(f"cannot be read ({type(error).__name__})", file, "restore it") from None
    return read if isinstance(read, dict) else {}


def _fetched(model: str, revision: str | None, where: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(model, "config.json", revision=revision))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise _missing(model, where, error) from None


def _snapshot(model: str, commit: str, where: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, revision=commit, allow_patterns=_PATTERNS))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise _missing(model, where, error) from None


def _missing(model: str, where: str, error: Exception) -> ParameterError:
    what = f"no such folder, and not found on the Hub ({error})"
    return ParameterError(what, f"params.yaml, {where} = {model!r}", "write trained, a folder or a Hub id")
