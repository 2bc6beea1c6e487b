import json
import shutil
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from pipeline import seeds
from pipeline.artifacts.spec import ImageSpec
from pipeline.generation import devices, model, words
from pipeline.generation.prompts import PromptSet
from pipeline.generation.recipe import Lora, Recipe, differences
from pipeline.params import GenerateParams
from pipeline.workspace import Workspace

ROOT = Path(__file__).parents[2]
DOMAINS = tuple(f"domain {i}" for i in range(10))
VARIED = PromptSet(("a {domain} of a {class}", "one {class}, {domain}"), (("domain", DOMAINS),))
SCALES = (1.0, 2.0, 3.0, 4.0, 5.0)
CLASSES = ("ankle boot", "bag", "coat")

CHANGED: dict[str, Any] = {
    "seed": 8,
    "model": "sha256:1",
    "variant": "fp16",
    "scheduler": "DDIMScheduler",
    "scheduler_options": {"steps_offset": 1},
    "steps": 3,
    "guidance": (2.5,),
    "prompts": PromptSet(("{class}",)),
    "negative_prompt": "text",
    "render_size": 32,
    "image_size": 32,
    "image_format": "webp",
    "quality": 80,
    "dtype": "float16",
    "batch_size": 5,
    "compile": True,
    "format_version": 4,
    "lora": (Lora("sha256:1", 0.5), Lora("sha256:2", 1.0)),
}


class Case(NamedTuple):
    """A change of one parameter, in params.yaml's words, and whose images it changes."""

    name: str
    value: Any
    changes: str
    """``all``, ``none``, or the one class whose images change."""
    base: dict[str, Any] = {}  # noqa: RUF012  # never changed
    """What is set otherwise before and after."""


SIZES = ("root seed", "data image size")
CASES = [
    Case("root seed", 8, "all"),
    Case("data image size", 32, "all"),
    Case("data image size", 32, "none", {"image_size": 20}),
    Case("model", "another weight", "all"),
    Case("model", "another place", "none"),
    Case("revision", "main", "none"),  # of a folder; a Hub model's commit is tested where models are found
    Case("variant", "fp16", "all"),
    Case("config", "another scheduler", "all"),
    Case("config", "another place", "none"),
    Case("lora", [("a", 1.0)], "all"),
    Case("lora", [("a", 0.5)], "all", {"lora": [("a", 1.0)]}),
    Case("lora", [("b", 1.0)], "all", {"lora": [("a", 1.0)]}),
    Case("lora", [("b", 1.0), ("a", 1.0)], "all", {"lora": [("a", 1.0), ("b", 1.0)]}),
    Case("lora", [("a", 1.0), ("b", 0.0)], "none", {"lora": [("a", 1.0)]}),
    Case("lora", [("a in another place", 1.0)], "none", {"lora": [("a", 1.0)]}),
    Case("scheduler", "PNDMScheduler", "all"),
    Case("scheduler_options", {"timestep_spacing": "trailing"}, "all"),
    Case("scheduler_options", {"b": 2, "a": 1}, "none", {"scheduler_options": {"a": 1, "b": 2}}),
    Case("steps", 3, "all"),
    Case("guidance", 3.0, "all"),
    Case("guidance", [2.0, 3.0], "all"),
    Case("guidance", [2.0], "none"),
    Case("guidance", 2, "none"),
    Case("guidance", [2.0, 2.0], "none"),
    Case("guidance", [3.0, 1.0, 2.0, 1.0], "none", {"guidance": {"low": 1, "high": 3, "step": 1}}),
    Case("guidance", {"low": 1, "high": 3, "step": 0.5}, "all", {"guidance": {"low": 1, "high": 3, "step": 1}}),
    Case("prompts", "another set", "all"),
    Case("prompts", "the same in other words", "none"),
    Case("class_overrides", {"bag": "handbag"}, "bag"),
    Case("class_overrides", {"bag": "bag"}, "none"),
    Case("negative_prompt", "text", "all"),
    Case("negative_prompt", "text", "all", {"guidance": [1.0, 2.0]}),
    Case("negative_prompt", "text", "none", {"guidance": [0.5, 1.0]}),
    Case("render_size", 32, "all"),
    Case("image_size", 20, "all"),
    Case("image_size", 28, "none"),  # the data set's
    Case("image_format", "jpeg", "all"),
    Case("image_format", "webp", "all", {"image_format": "jpeg"}),
    Case("quality", 80, "none"),
    Case("quality", 80, "all", {"image_format": "jpeg"}),
    Case("quality", 80, "all", {"image_format": "webp"}),
    Case("dtype", "bfloat16", "all"),
    Case("dtype", devices.resolve_dtype("auto", ["cpu"]), "none", {"dtype": "auto"}),
    Case("batch_size", 5, "all"),
    Case("compile", True, "all"),
    Case("gate", {"least_probability": 0.9, "most_refusals": 0.9}, "none"),  # it chooses among images
    Case("sharing", "common", "none"),
    Case("shard_megabytes", 5, "none"),
]


def test_every_parameter_has_a_case() -> None:
    """A new parameter must say which images it changes."""
    assert {case.name for case in CASES} == {*GenerateParams.model_fields, *SIZES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-{case.changes}")
def test_a_parameter_changes_the_images_that_hang_on_it_and_no_others(
    case: Case, tiny_model: Path, tmp_path: Path
) -> None:
    base = {"model": str(tiny_model), "dtype": "float32", "guidance": 2.0}
    base |= {"prompts": str(ROOT / "data/prompts/plain.yaml"), **case.base}
    if case.name == "variant":
        base["model"] = str(with_variant(tiny_model, tmp_path / "both"))
    if case.name == "config":
        single = tmp_path / "single.safetensors"
        shutil.copyfile(tiny_model / "unet/diffusion_pytorch_model.safetensors", single)
        base |= {"model": str(single), "config": str(tiny_model)}
    if "lora" in base:
        base["lora"] = loras(case.base["lora"], tmp_path)
    before = images(base, 7, 28)
    if case.name == "root seed":
        after = images(base, case.value, 28)
    elif case.name == "data image size":
        after = images(base, 7, case.value)
    else:
        after = images({**base, case.name: written(case, tiny_model, tmp_path)}, 7, 28)
    changed = {label for label in CLASSES if not before[label] & after[label]}
    assert changed == {"all": set(CLASSES), "none": set()}.get(case.changes, {case.changes})
    for label in set(CLASSES) - changed:
        assert before[label] == after[label]


def images(document: dict[str, Any], seed: int, image_size: int) -> dict[str, set[tuple[str, ImageSpec]]]:
    """Return what some images of each class are known by in the pool, and what they are drawn from."""
    params = GenerateParams.model_validate(document)
    dtype = devices.resolve_dtype(params.dtype, ["cpu"])
    recipe = model.resolve(Workspace(), params, seed, image_size, dtype).recipe
    spoken = words.for_classes(CLASSES, words.read(Workspace(), params))
    names = dict(zip(CLASSES, spoken, strict=True))
    return {
        label: {(recipe.digest, recipe.spec("0", name, i, retry)) for i in range(3) for retry in range(2)}
        for label, name in names.items()
    }


def with_variant(model: Path, copy: Path) -> Path:
    """Copy a model, and write all its weights a second time, as a variant."""
    shutil.copytree(model, copy)
    for file in list(copy.rglob("*.safetensors")):
        shutil.copyfile(file, file.with_suffix(".fp16.safetensors"))
    return copy


def loras(values: list[tuple[str, float]], folder: Path) -> list[dict[str, Any]]:
    """Write files of weights whose content follows from the first letter of their name."""
    for name, _ in values:
        save_file({name[0]: torch.zeros(ord(name[0]))}, folder / f"{name}.safetensors")
    return [{"path": str(folder / f"{name}.safetensors"), "scale": scale} for name, scale in values]


def written(case: Case, model: Path, folder: Path) -> Any:
    """Return the value of a case, and make the files that it names."""
    if case.name == "lora":
        return loras(case.value, folder)
    if case.name == "config":
        shutil.copytree(model, folder / "config")
        (folder / "config/unet/diffusion_pytorch_model.safetensors").unlink()  # weights beside it are not read
        if case.value == "another scheduler":
            settings = folder / "config/scheduler/scheduler_config.json"
            settings.write_text(settings.read_text().replace("epsilon", "v_prediction"))
        return str(folder / "config")
    if case.name == "model":
        shutil.copytree(model, folder / "model")
        if case.value == "another weight":
            weights = folder / "model/unet/diffusion_pytorch_model.safetensors"
            tensors = load_file(weights)
            tensors["conv_in.bias"] = tensors["conv_in.bias"] + 1e-3
            save_file(tensors, weights, {"format": "pt"})
        return str(folder / "model")
    if case.name == "prompts":
        sentence = "one {class}" if case.value == "another set" else "a photo of a {class}"
        (folder / "prompts.yaml").write_text(f"# in other words\ntemplates: ['{sentence}']\n")
        return str(folder / "prompts.yaml")
    return case.value


def test_every_field_changes_the_digest(recipe: Recipe) -> None:
    assert set(CHANGED) == {field.name for field in fields(Recipe)}
    digests = {recipe.digest, *(replace(recipe, **{name: value}).digest for name, value in CHANGED.items())}
    assert len(digests) == 1 + len(CHANGED)


def test_every_part_of_a_prompt_set_changes_the_digest(recipe: Recipe) -> None:
    a, b, c = ("x", "y"), ("x",), ("y", "x")
    sets = [
        PromptSet(("{class} {a}",), (("a", a),)),
        PromptSet(("{class} {a}",), (("a", b),)),
        PromptSet(("{class} {a}",), (("a", c),)),
        PromptSet(("{class} {a}", "{class} {a}"), (("a", a),)),
        PromptSet(("{class} {b}",), (("b", a),)),
        PromptSet(("{class} {a} {b}",), (("a", a), ("b", b))),
        PromptSet(("{class} {a} {b}",), (("a", b), ("b", a))),
    ]
    assert len({replace(recipe, prompts=one).digest for one in sets}) == len(sets)


def test_equal_recipes_have_equal_digests_whatever_the_order_of_options(recipe: Recipe) -> None:
    one = replace(recipe, scheduler_options={"a": 1, "b": 2})
    other = replace(recipe, scheduler_options={"b": 2, "a": 1})
    assert one.digest == other.digest
    assert len(one.digest) == 16
    assert int(one.digest, 16) >= 0


@pytest.mark.parametrize("name", [None, *sorted(CHANGED)])
def test_a_recipe_can_be_built_again_from_what_it_says(recipe: Recipe, name: str | None) -> None:
    """Also after a way through JSON, as in the pool and the manifest."""
    sentences = PromptSet(("{a} of {class}", "{b} {class}"), (("a", ("x", "y")), ("b", ("z",)), ("c", ("v", "w"))))
    varied = replace(recipe, prompts=sentences, guidance=SCALES, scheduler_options={"a": [1, 2.5, None]})
    made = varied if name is None else replace(varied, **{name: CHANGED[name]})
    for described in (made.as_dict(), json.loads(json.dumps(made.as_dict(), sort_keys=True))):
        again = Recipe.from_dict(described)
        assert again == made
        assert again.digest == made.digest
        assert again.spec("0", "bag", 1) == made.spec("0", "bag", 1)


def test_what_describes_no_recipe_is_an_error(recipe: Recipe) -> None:
    described = recipe.as_dict()
    for name in set(described) - {"format_version", "lora"}:
        with pytest.raises(ValueError):  # noqa: PT011 - pydantic's, whose text is its own
            Recipe.from_dict({key: value for key, value in described.items() if key != name})
    with pytest.raises(ValueError, match="prompt\n"):
        Recipe.from_dict({**described, "prompt": "{class}"})
    with pytest.raises(ValueError, match=r"prompts\.templates"):
        Recipe.from_dict({**described, "prompts": {}})


def test_a_recipe_without_lora_says_nothing_of_it(recipe: Recipe) -> None:
    """So that images of earlier versions, which knew no LoRA, stay in use."""
    assert "lora" not in recipe.as_dict()
    assert replace(recipe, lora=(Lora("sha256:1", 0.5),)).as_dict()["lora"] == [{"digest": "sha256:1", "scale": 0.5}]


def test_a_spec_says_all_that_decides_the_image(recipe: Recipe) -> None:
    sentences = PromptSet(("a {class}, one {class}",))
    made = replace(recipe, negative_prompt="text", prompts=sentences).spec("3", "{bag}", 4, 2)
    assert (made.lane, made.class_name, made.index, made.retry) == ("3", "{bag}", 4, 2)
    assert (made.prompt, made.negative_prompt, made.guidance) == ("a {bag}, one {bag}", "text", 2.0)
    assert made.seed == seeds.derive(7, "image", "3", "{bag}", 4, 2)
    assert recipe.spec("3", "bag", 4).seed == seeds.derive(7, "image", "3", "bag", 4)


@given(st.integers(0, 3), st.sampled_from(["0", "1", "common"]), st.sampled_from(["a", "b"]), st.integers(0, 3))
def test_no_two_images_share_a_seed(index: int, lane: str, name: str, retry: int) -> None:
    recipe = Recipe(7, "m", None, None, {}, 2, SCALES, VARIED, "", None, 16, "png", None, "float32", 4, False)
    others = {
        recipe.spec(other_lane, other_name, i, r).seed
        for other_lane in ("0", "1", "common")
        for other_name in ("a", "b")
        for i in range(4)
        for r in range(4)
        if (other_lane, other_name, i, r) != (lane, name, index, retry)
    }
    assert recipe.spec(lane, name, index, retry).seed not in others
    assert len(others) == 3 * 2 * 4 * 4 - 1


@pytest.mark.parametrize("name", sorted(set(CHANGED) - {"seed"}))
def test_only_the_root_seed_and_the_name_decide_the_seed(recipe: Recipe, name: str) -> None:
    """So that, say, two guidance scales draw the same scenes and can be compared in pairs."""
    assert replace(recipe, **{name: CHANGED[name]}).spec("0", "bag", 1).seed == recipe.spec("0", "bag", 1).seed
    assert replace(recipe, seed=8).spec("0", "bag", 1).seed != recipe.spec("0", "bag", 1).seed


def choices(recipe: Recipe, lane: str = "0", class_name: str = "bag", count: int = 40) -> list[tuple[str, float]]:
    """Return the sentence, less the class, and the guidance scale of a lane's first images."""
    specs = [recipe.spec(lane, class_name, i) for i in range(count)]
    return [(spec.prompt.replace(class_name, "_"), spec.guidance) for spec in specs]


@settings(max_examples=50)
@given(st.sampled_from(["0", "12", "common"]), st.sampled_from(CLASSES), st.integers(0, 10**6), st.integers(1, 3))
def test_a_retry_keeps_the_sentence_and_the_scale(lane: str, name: str, index: int, retry: int) -> None:
    """Else images that come out unusable would push choices aside."""
    recipe = Recipe(7, "m", None, None, {}, 2, SCALES, VARIED, "", None, 16, "png", None, "float32", 4, False)
    first, again = recipe.spec(lane, name, index), recipe.spec(lane, name, index, retry)
    assert (again.prompt, again.guidance) == (first.prompt, first.guidance)
    assert again.seed != first.seed


@pytest.mark.parametrize("name", sorted(set(CHANGED) - {"seed", "guidance", "prompts"}))
def test_choices_hang_on_nothing_but_the_root_seed_and_the_name(recipe: Recipe, name: str) -> None:
    varied = replace(recipe, prompts=VARIED, guidance=SCALES)
    assert choices(replace(varied, **{name: CHANGED[name]})) == choices(varied)
    assert choices(replace(varied, seed=8)) != choices(varied)


def test_lanes_and_classes_choose_for_themselves(recipe: Recipe) -> None:
    varied = replace(recipe, prompts=VARIED, guidance=SCALES)
    made = [choices(varied, lane, name) for lane in ("0", "1", "common") for name in CLASSES]
    assert all(one != other for i, one in enumerate(made) for other in made[:i])


def test_other_scales_leave_the_sentences_as_they_are(recipe: Recipe) -> None:
    varied = replace(recipe, prompts=VARIED, guidance=SCALES)
    sentences = [sentence for sentence, _ in choices(varied)]
    assert [sentence for sentence, _ in choices(replace(varied, guidance=(1.0, 9.0)))] == sentences
    assert [sentence for sentence, _ in choices(replace(varied, guidance=(2.0,)))] == sentences


def test_choices_are_spread_evenly_and_independently(recipe: Recipe) -> None:
    """Of 2,000 images each of 5 scales, 10 domains and 2 templates; and each of their 100 combinations.

    By chance 2,000 / n of each, give or take its square root; the bounds are 5 of those away.
    """
    made = choices(replace(recipe, prompts=VARIED, guidance=SCALES), count=2_000)
    for options, counts in (
        (5, Counter(scale for _, scale in made)),
        (10, Counter(word for word in DOMAINS for sentence, _ in made if word in sentence)),
        (2, Counter(sentence.startswith("one") for sentence, _ in made)),
        (100, Counter(made)),
    ):
        mean = 2_000 / options
        assert len(counts) == options
        assert mean - 5 * mean**0.5 < min(counts.values())
        assert max(counts.values()) < mean + 5 * mean**0.5


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        ({"steps": 2, "seed": 1}, {"seed": 1, "steps": 2}, []),
        ({"steps": 2, "seed": 1}, {"steps": 3, "seed": 1}, ["steps"]),
        ({"steps": 2, "quality": None}, {"steps": 2}, ["quality"]),
        ({"steps": 2}, {"steps": 3, "more": None}, ["steps", "more"]),
    ],
)
def test_differences_of_recipes_also_name_what_only_one_has(
    mine: dict[str, Any], theirs: dict[str, Any], expected: list[str]
) -> None:
    """A recipe of another version may lack a setting, or have one that this version does not know."""
    assert differences(mine, theirs) == expected
