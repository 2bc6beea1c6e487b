"""What a model's text encoders read of a text: each cuts it after a number of tokens. Loads no torch."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import progress
from pipeline.errors import GenerationError
from pipeline.generation.model import ResolvedModel

LIMITS: dict[str, dict[str, int | None]] = {
    "StableDiffusionPipeline": {"tokenizer": None},
    "StableDiffusionXLPipeline": {"tokenizer": None, "tokenizer_2": None},
    "LatentConsistencyModelPipeline": {"tokenizer": None},
    "StableDiffusion3Pipeline": {"tokenizer": None, "tokenizer_2": None, "tokenizer_3": 256},
    "FluxPipeline": {"tokenizer": None, "tokenizer_2": 512},
    "PixArtAlphaPipeline": {"tokenizer": 120},
    "PixArtSigmaPipeline": {"tokenizer": 300},
    "ChromaPipeline": {"tokenizer": 512},
    "AuraFlowPipeline": {"tokenizer": 256},
    "CogView3PlusPipeline": {"tokenizer": 224},
    "CogView4Pipeline": {"tokenizer": 1024},
    "SanaPipeline": {"tokenizer": 298},
    "HunyuanDiTPipeline": {"tokenizer": 77, "tokenizer_2": 256},
    "IFPipeline": {"tokenizer": 77},
    "Kandinsky3Pipeline": {"tokenizer": 128},
}
"""How many tokens of each tokenizer, marks of begin and end among them, the pipelines of diffusers pass on.

None: as many as the tokenizer says. Sana has 300, less two where its instruction and the prompt meet."""

_LOWERED = ("PixArtAlphaPipeline", "PixArtSigmaPipeline", "SanaPipeline", "IFPipeline")
"""These pipelines turn texts into small letters first."""
_SPLITTING = ("CLIPTokenizer", "T5Tokenizer")
"""Tokenizers of which no token reaches over a blank."""
_LIBRARY = "transformers"
"""Of the tokenizers that are read; no other code is loaded."""


@dataclass(frozen=True)
class Encoder:
    """One text encoder of a pipeline, known by its tokenizer."""

    name: str
    limit: int
    """Tokens that it reads, marks of begin and end among them; far above any prompt if the tokenizer does not know."""
    splits: bool
    """Whether no token reaches over a blank, so that the words of a text count independently."""
    tokenizer: Any
    lowers: bool

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the numbers of each text's tokens, also of those beyond the limit."""
        given = [text.lower().strip() for text in texts] if self.lowers else list(texts)
        found: list[list[int]] = self.tokenizer(given, truncation=False, padding=False, verbose=False)["input_ids"]
        return found

    def counts(self, texts: Sequence[str]) -> list[int]:
        """Return the number of each text's tokens."""
        return [len(ids) for ids in self.ids(texts)]


def encoders(model: ResolvedModel) -> list[Encoder]:
    """Return the text encoders of a model; say so if it is of a kind whose limits are not known.

    Of a Hub model only the tokenizers are fetched, if they are not in the local cache. Raises GenerationError for a
    tokenizer that cannot be read.
    """
    try:
        index = json.loads((model.folder("model_index.json") / "model_index.json").read_text(encoding="utf-8"))
        parts = {name: value for name, value in index.items() if "tokenizer" in name and value and value[0] == _LIBRARY}
        kind, folder = index["_class_name"], model.folder(*(f"{name}/*" for name in parts))
        loaded = {name: _tokenizer(folder / name, value[1]) for name, value in parts.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ImportError) as error:
        raise GenerationError(
            f"cannot read the tokenizers ({error})", model.settings, "check generate.model"
        ) from error
    known = LIMITS.get(kind)
    if known is None:
        progress.say(f"{kind}: it is not known how much its text encoders read, only what their tokenizers say")
    found = []
    for name, tokenizer in loaded.items():
        limit = (known or {}).get(name) or int(tokenizer.model_max_length)
        splits = type(tokenizer).__name__.removesuffix("Fast") in _SPLITTING
        found.append(Encoder(name.replace("tokenizer", "text_encoder"), limit, splits, tokenizer, kind in _LOWERED))
    return found


def _tokenizer(folder: Path, kind: str) -> Any:
    import transformers

    transformers.logging.set_verbosity_error()
    return getattr(transformers, kind).from_pretrained(folder, local_files_only=True)
