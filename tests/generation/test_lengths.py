import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import params
from pipeline.errors import ParameterError
from pipeline.generation import lengths, prompts, tokens
from pipeline.generation.diffusion import Model
from pipeline.generation.model import ResolvedModel
from pipeline.generation.plan import Plan
from pipeline.generation.prompts import PromptSet
from pipeline.generation.request import Request
from pipeline.generation.tokens import Encoder
from pipeline.params import GenerateParams
from pipeline.workspace import Workspace
from tests.generation.conftest import small_recipe
from tests.generation.test_models import t5_tokenizer

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "data/demo/model"
NAMES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
SIXTY_WORDS = " ".join(["very"] * 58) + " nice {class}"


def asked(
    chosen: PromptSet,
    names: Sequence[str] = NAMES,
    missing: Sequence[Sequence[int]] | None = None,
    folder: Path = DEMO,
    negative: str = "",
) -> Request:
    """Return a request for one image of each class, or for other numbers of them."""
    recipe = replace(small_recipe(), prompts=chosen, negative_prompt=negative, image_size=32)
    counts = np.array(missing if missing is not None else [[1] * len(names)])
    return Request(Plan(recipe, counts, names, names, "own"), ResolvedModel(recipe, str(folder), None))


@pytest.fixture
def generate(workspace: Workspace) -> GenerateParams:
    return params.load(workspace.params).generate.model_copy(update={"prompts": "own.yaml"})


@pytest.fixture(scope="module")
def demo() -> Encoder:
    (found,) = tokens.encoders(asked(PromptSet(("{class}",))).model)
    return found


def test_two_classes_would_get_equal_images_so_the_template_is_refused(
    workspace: Workspace, generate: GenerateParams
) -> None:
    """The class is beyond the 32 tokens that the demo's model reads."""
    request = asked(PromptSet((SIXTY_WORDS,)))
    recipe = request.model.recipe
    bag, coat = (recipe.spec("0", name, 0) for name in ("bag", "coat"))
    drawn = Model(request.model, "cpu").draw([bag, replace(coat, seed=bag.seed)])
    assert np.array_equal(drawn[0], drawn[1])
    with pytest.raises(ParameterError) as caught:
        lengths.check(workspace, generate, request)
    assert caught.value.what.startswith("a prompt would lose its end: ")
    assert caught.value.what.endswith(" tokens, of which the model's text_encoder reads 32")
    assert caught.value.where.startswith(f"own.yaml, templates, {SIXTY_WORDS!r}, class 't-shirt', prompt 'very ")


@pytest.mark.parametrize("path", sorted((ROOT / "data/prompts").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_sets_fit_the_demo_or_the_line_says_which_do(
    project: Path, workspace: Workspace, generate: GenerateParams, path: Path
) -> None:
    shutil.copytree(ROOT / "data/prompts", project / "data/prompts")
    request = asked(prompts.load(path, domains=True))
    if path.stem != "diverse":
        lengths.check(workspace, generate, request)
        return
    with pytest.raises(ParameterError) as caught:
        lengths.check(workspace, generate, request)
    fitting = ", ".join(f"data/prompts/{name}.yaml" for name in ("class-name", "diverse-short", "domains", "plain"))
    assert caught.value.fix.endswith(f"; or set generate.prompts to a set that fits: {fitting}")


@pytest.mark.parametrize("path", sorted((ROOT / "data/prompts").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_sets_fit_clip_with_long_class_names(path: Path, demo: Encoder) -> None:
    """CLIP reads 77. Its words and punctuation marks are counted as two tokens each, and the class as 25."""
    chosen = prompts.load(path, domains=True)
    for _, text in chosen.sentences(""):
        assert 2 + 25 + 2 * len(text.replace(",", " , ").split()) <= 77


def test_a_class_with_a_long_name_or_override_is_refused_where_images_of_it_are_asked_for(
    workspace: Workspace, generate: GenerateParams
) -> None:
    """28 letters that no caption of the demo has are a token each."""
    plain, long = PromptSet(("a photo of a {class}",)), "zyxwvutsrqponmlkjihgfedcbazyxwvuts"
    request = asked(plain, ("bag", long), [[1, 0], [2, 1]])
    lengths.check(workspace, generate, request, [0])
    renamed = replace(request.plan, class_names=("bag", "z"))
    with pytest.raises(ParameterError) as caught:
        lengths.check(workspace, generate, replace(request, plan=renamed), [0, 1])
    assert f"class 'z' ({long!r} in prompts), prompt 'a photo of a {long}'" in caught.value.where


def test_a_long_negative_prompt_is_refused(workspace: Workspace, generate: GenerateParams) -> None:
    plain = PromptSet(("{class}",))
    lengths.check(workspace, generate, asked(plain, negative="blurred"))
    with pytest.raises(ParameterError) as caught:
        lengths.check(workspace, generate, asked(plain, negative="blurred " * 8))
    assert caught.value.where == f"params.yaml, generate.negative_prompt = {'blurred ' * 8!r}"
    assert caught.value.fix == "shorten it"


def test_where_nothing_is_asked_for_nothing_is_refused(workspace: Workspace, generate: GenerateParams) -> None:
    request = asked(PromptSet((SIXTY_WORDS,)), missing=[[0] * 10])
    lengths.check(workspace, generate, replace(request, model=ResolvedModel(request.model.recipe, "nowhere", None)))


def test_two_classes_that_the_model_cannot_tell_apart_are_refused(
    workspace: Workspace, generate: GenerateParams
) -> None:
    """CLIP's tokenizer knows no capitals."""
    lengths.check(workspace, generate, asked(PromptSet(("{class}",)), ("A", "b")))
    with pytest.raises(ParameterError) as caught:
        lengths.check(workspace, generate, asked(PromptSet(("{class}",)), ("A", "b", "a")))
    assert str(caught.value) == (
        "the model reads 'A' and 'a' as the same, so two classes would get the same images: "
        "params.yaml, generate.class_overrides: give one of them other words"
    )


def encoder(kind: str) -> Encoder:
    clip = transformers.CLIPTokenizer.from_pretrained(DEMO / "tokenizer")
    return Encoder("text_encoder", 32, True, clip if kind == "clip" else t5_tokenizer(), False)


ENCODERS = {kind: encoder(kind) for kind in ("clip", "t5")}
WORDS = st.text("ab-,.'’é 3_", min_size=1, max_size=8).filter(str.strip)
VALUES = st.lists(WORDS, min_size=1, max_size=3).map(tuple)
TEMPLATES = st.lists(
    st.sampled_from(["{class}", "{class},", "{x}", "({y})", "{x}.", "a", "{x}{y}", "b-{class}"]), min_size=1
)


@settings(max_examples=200)
@given(st.sampled_from(sorted(ENCODERS)), st.lists(TEMPLATES, min_size=1, max_size=2), VALUES, VALUES, VALUES)
def test_no_sentence_is_longer_than_the_longest_where_that_is_said(
    kind: str, templates: list[list[str]], x: tuple[str, ...], y: tuple[str, ...], names: tuple[str, ...]
) -> None:
    """Values with blanks, accents and punctuation, at the places of templates where they touch other characters."""
    texts = tuple(" ".join(["{class}", *words]) for words in templates)
    used = [(name, values) for name, values in (("x", x), ("y", y)) if any(f"{{{name}}}" in text for text in texts)]
    chosen, read = PromptSet(texts, tuple(used)), ENCODERS[kind]
    every = [text for name in names for _, text in chosen.sentences(name)]
    found = [sentence.text for sentence in lengths.longest(read, chosen, names)]
    assert set(found) <= set(every)
    if lengths.complete(read, chosen):
        assert max(read.counts(found)) == max(read.counts(every))
    else:
        assert any("{x}{y}" in text for text in texts)


JOINED = PromptSet(("{class} {a}{b}",), (("a", ("x", "ankle ", "p")), ("b", ("y", "boot", "h"))))


@pytest.mark.parametrize("images", [1, 100])
def test_values_that_touch_are_checked_sentence_by_sentence(demo: Encoder, images: int) -> None:
    """With fewer images than sentences, only those of the images count; with more, all do."""
    assert not lengths.complete(demo, JOINED)
    recipe = replace(small_recipe(), prompts=JOINED)
    plan = Plan(recipe, np.array([[images]]), ("bag",), ("bag",), "own")
    texts = [text for _, text in JOINED.sentences("bag")]
    own = [recipe.spec("0", "bag", index).prompt for index in range(images)]
    counted = texts if images == 100 else own
    most, over = max(demo.counts(counted)), max(demo.counts(texts))
    at_most = max(demo.counts([s.text for s in lengths.longest(demo, JOINED, ["bag"])]))
    for limit in range(2, over + 1):
        cut = lengths._first_cut(replace(demo, limit=limit), plan, None, ["bag"])
        assert (cut is not None) == (max(most, at_most) > limit)


def test_many_sentences_are_checked_in_parts(
    workspace: Workspace, generate: GenerateParams, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one sentence that is cut comes late; a bar shows how far the check is."""
    monkeypatch.setattr(lengths, "_AT_ONCE", 3)
    monkeypatch.setattr(lengths, "_MANY", 5)
    fits = PromptSet(("{class} {a}{b}",), (("a", tuple("xyzuvw")), ("b", ("a", "b"))))
    lengths.check(workspace, generate, asked(fits, ("bag",), [[50]]))
    assert "prompts: 12/12 sentences" in capsys.readouterr().err
    lengths.check(workspace, generate, asked(fits, ("bag",), [[7]]))
    assert "prompts: 7/7 sentences" in capsys.readouterr().err
