"""What the check of prompts counts is what the text encoders of real pipelines are given."""

import inspect
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import transformers

from pipeline.errors import GenerationError
from pipeline.generation import tokens
from pipeline.generation.diffusion import Model
from pipeline.generation.model import ResolvedModel
from pipeline.generation.tokens import Encoder
from tests.generation.conftest import small_recipe
from tests.generation.test_models import KINDS, load

DRAWN = ("sdxl", "lcm", "pixart-alpha", "pixart-sigma", "sd3", "flux", "cogview4")


@dataclass(frozen=True)
class Read:
    """A pipeline, and what its text encoders were last given, by name."""

    model: Model
    encoders: list[Encoder]
    given: dict[str, list[int]]

    def draw(self, prompt: str) -> None:
        spec = replace(self.model.recipe.spec("0", "bag", 0), prompt=prompt)
        self.given.clear()
        self.model.draw([spec])


def record(model: Model, folder: Path) -> Read:
    """Record the numbers of tokens of the first call of each text encoder: the first text is the prompt."""
    given: dict[str, list[int]] = {}
    for name, part in model.pipeline.components.items():
        if name.startswith("text_encoder"):

            def hook(_: Any, args: tuple[Any, ...], options: dict[str, Any], name: str = name) -> None:
                given.setdefault(name, (args[0] if args else options["input_ids"])[0].tolist())

            part.register_forward_pre_hook(hook, with_kwargs=True)
    return Read(model, tokens.encoders(ResolvedModel(small_recipe(), str(folder), None)), given)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Callable[[Callable[[Any], Any]], Path]:
    """A function that saves a tiny pipeline, and returns its folder."""
    tokenizer = transformers.CLIPTokenizer.from_pretrained(tiny_model / "tokenizer")

    @cache
    def save(build: Callable[[Any], Any]) -> Path:
        folder = tmp_path_factory.mktemp("models")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            build(tokenizer).save_pretrained(folder)
        return folder

    return save


@pytest.fixture(scope="module", params=["sd", *DRAWN])
def read(
    request: pytest.FixtureRequest, folders: Callable[[Callable[[Any], Any]], Path], tiny_model: Path, guided: Model
) -> Read:
    if request.param == "sd":
        return record(guided, tiny_model)
    kind = KINDS[request.param]
    folder = folders(kind.build)
    return record(load(kind, folder), folder)


def of_length(encoder: Encoder, count: int) -> str:
    """Return a text of so many tokens, another one for each encoder; each further letter of its last word is one."""
    letter = "xyz"[int(encoder.name.removeprefix("text_encoder").strip("_") or "1") - 1]
    text = f"Bag {letter}"
    text += letter * (count - encoder.counts([text])[0])
    assert encoder.counts([text]) == [count]
    return text


def test_encoders_get_a_text_of_as_many_tokens_as_the_limit_whole_and_cut_a_longer_one(read: Read) -> None:
    assert [encoder.name for encoder in read.encoders] == sorted(
        name for name in read.model.pipeline.components if name.startswith("text_encoder")
    )
    for encoder in read.encoders:
        fits, too_long = of_length(encoder, encoder.limit), of_length(encoder, encoder.limit + 1)
        read.draw(fits)
        whole = encoder.ids([fits])[0]
        assert len(whole) == encoder.limit
        assert read.given[encoder.name][-len(whole) :] == whole
        read.draw(too_long)
        assert len(read.given[encoder.name]) == encoder.limit < len(encoder.ids([too_long])[0])


def test_capitals_count_as_the_pipeline_reads_them(read: Read) -> None:
    read.draw("Bag ABC")
    for encoder in read.encoders:
        ids = encoder.ids(["Bag ABC"])[0]
        given = read.given[encoder.name]
        assert ids in (given[: len(ids)], given[-len(ids) :])


@pytest.mark.parametrize("kind", sorted(tokens.LIMITS))
def test_limits_are_those_that_diffusers_has(kind: str) -> None:
    source = inspect.getsource(getattr(diffusers, kind))
    for part, limit in tokens.LIMITS[kind].items():
        assert part in inspect.signature(getattr(diffusers, kind).__init__).parameters
        if limit is None:
            assert "tokenizer.model_max_length" in source
        else:
            own = limit + 2 if kind == "SanaPipeline" else limit
            assert re.search(rf"max_(sequence_)?length(: int)? ?= ?{own}\b", source)


def test_an_encoder_that_a_pipeline_lacks_is_left_out(
    folders: Callable[[Callable[[Any], Any]], Path], tmp_path: Path
) -> None:
    """Many use Stable Diffusion 3 without its largest encoder."""
    pipeline = diffusers.DiffusionPipeline.from_pretrained(
        folders(KINDS["sd3"].build), text_encoder_3=None, tokenizer_3=None
    )
    pipeline.save_pretrained(tmp_path / "sd3")
    found = tokens.encoders(ResolvedModel(small_recipe(), str(tmp_path / "sd3"), None))
    assert [(encoder.name, encoder.limit) for encoder in found] == [("text_encoder", 24), ("text_encoder_2", 24)]


def test_a_kind_whose_limits_are_unknown_is_said(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = (tiny_model / "model_index.json").read_text()
    (tmp_path / "model_index.json").write_text(index.replace("StableDiffusionPipeline", "OtherPipeline"))
    (tmp_path / "tokenizer").symlink_to(tiny_model / "tokenizer")
    (found,) = tokens.encoders(ResolvedModel(small_recipe(), str(tmp_path), None))
    assert (found.name, found.limit) == ("text_encoder", 24)
    assert "OtherPipeline: it is not known how much its text encoders read" in capsys.readouterr().err


def test_a_tokenizer_that_cannot_be_read_is_one_line(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text((tiny_model / "model_index.json").read_text())
    with pytest.raises(GenerationError, match="cannot read the tokenizers") as caught:
        tokens.encoders(ResolvedModel(small_recipe(), str(tmp_path), None))
    assert "\n" not in str(caught.value)


def test_of_a_hub_model_only_the_tokenizers_are_needed(hub_home: Path, tiny_model: Path) -> None:
    """As in the Hub's local cache before the weights are fetched."""
    folder = hub_home / "hub" / "models--someone--words"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("c" * 40)
    shutil.copytree(tiny_model / "tokenizer", folder / "snapshots" / ("c" * 40) / "tokenizer")
    shutil.copy(tiny_model / "model_index.json", folder / "snapshots" / ("c" * 40))
    (found,) = tokens.encoders(ResolvedModel(small_recipe(), "someone/words", "c" * 40))
    assert (found.limit, found.counts(["a bag"])) == (24, [6])


def test_sana_keeps_two_tokens_of_its_limit_for_where_its_instruction_and_the_prompt_meet() -> None:
    default = inspect.signature(diffusers.SanaPipeline.__call__).parameters["max_sequence_length"].default
    assert tokens.LIMITS["SanaPipeline"] == {"tokenizer": default - 2}
