"""Images, bytes and time of every deficit rule, before anything is rendered."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import params
from pipeline.cli import estimate_text
from pipeline.clients.deficits import RULES
from pipeline.clients.partition import partition
from pipeline.commands.estimate import FIXED, Estimate, estimate
from pipeline.errors import ArtifactError
from pipeline.generation import devices, rates, request
from pipeline.generation.costs import stored
from pipeline.generation.pool import Pool
from pipeline.params import Params
from pipeline.stages import deficits as deficits_stage
from pipeline.stages import partition as partition_stage
from pipeline.workspace import Workspace
from tests.commands.stocked import IMAGE_BYTES, stock

ROOT = Path(__file__).parents[2]
COUNTS = np.array([[4, 1, 0], [0, 2, 2]])


def changed(loaded: Params, **values: Any) -> Params:
    """Return parameters with other values, by section and name joined with two underscores."""
    document = loaded.model_dump()
    for key, value in values.items():
        section, _, name = key.partition("__")
        document[section][name] = value
    return Params.model_validate(document)


@pytest.fixture
def loaded(workspace: Workspace) -> Params:
    return params.load(workspace.params)


def images(found: Estimate) -> dict[tuple[str, str], tuple[int, int]]:
    return {(one.rule, one.sharing): (one.planned, one.distinct) for one in found.choices}


def test_images_of_every_rule_by_hand(workspace: Workspace, loaded: Params) -> None:
    """Clients hold 4, 1, 0 and 0, 2, 2 images.

    own-max: to 4 lacks 0, 3, 4; to 2 lacks 2, 0, 0; shared, the most of each class: 2, 3, 4. global-mean: 9 / 6 is 2:
    0, 1, 2 and 2, 0, 0. fixed at 3: 0, 2, 3 and 3, 1, 1; shared 3, 2, 3.
    """
    found = estimate(workspace, changed(loaded, deficits__images_per_class=3), COUNTS, 16)
    assert (found.clients, found.classes, found.images) == (2, 3, 9)
    expected = {
        ("own-max", "own"): (9, 9),
        ("own-max", "common"): (9, 9),
        ("global-mean", "own"): (5, 5),
        ("global-mean", "common"): (5, 5),
        ("fixed", "own"): (10, 10),
        ("fixed", "common"): (10, 8),
    }
    assert {key: images(found)[key] for key in expected} == expected
    assert [one.rule for one in found.choices] == [rule for rule in RULES for _ in range(2)]
    assert (found.current.rule, found.current.sharing, found.current.distinct) == ("own-max", "own", 9)


def test_a_fixed_rule_without_a_number_is_shown_with_one_and_that_is_said(workspace: Workspace, loaded: Params) -> None:
    """To 100 images of each of the three classes and two clients that hold nine."""
    found = estimate(workspace, loaded, COUNTS, 16)
    assert images(found)["fixed", "own"] == (2 * 3 * FIXED - 9,) * 2
    assert f"fixed: params.yaml names no images_per_class, so {FIXED} is shown" in found.notes
    asked = estimate(workspace, changed(loaded, deficits__rule="fixed"), COUNTS, 16)
    assert (asked.current.images_per_class, asked.current.planned) == (0, 0)


@given(st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=1, max_size=5), st.sampled_from(
    sorted(RULES)), st.sampled_from(["own", "common"]), st.none() | st.integers(0, 20))  # fmt: skip
def test_the_estimate_is_what_the_plan_will_ask_for(
    counts: list[list[int]], rule: str, sharing: str, limit: int | None
) -> None:
    """Whatever clients hold, the rule and its limits: the same images as the stages plan from them."""
    from pipeline.clients.deficits import deficits
    from pipeline.generation.plan import Plan
    from tests.generation.conftest import small_recipe

    read = changed(params.load(ROOT / "params.yaml"), deficits__rule=rule, deficits__max_total=limit,
                   generate__sharing=sharing, generate__model="nobody/unknown")  # fmt: skip
    have = np.array(counts)
    found = estimate(Workspace(ROOT), read, have, 32).current
    plan = Plan(small_recipe(), deficits(have, read.deficits, read.seed)[1], "abc", "abc", sharing)
    assert found.planned == plan.missing.sum()
    assert found.distinct == sum(len(one.indices) for one in plan.wanted())


def test_a_million_images_of_cifar_100_and_what_the_alternatives_cost(workspace: Workspace, loaded: Params) -> None:
    """50,000 images over 100 clients, Dirichlet 0.1, as in the table of published partitions: about a million.

    With a mean of all cells it is below the number of real images, and shared by all 500: five of each class.
    """
    labels = np.repeat(np.arange(100), 500)
    drawn = loaded.partition.model_copy(update={"scheme": "dirichlet", "clients": 100, "alpha": 0.1})
    rows, owners = partition(labels, 100, drawn, 1, None)
    counts = np.zeros((100, 100), np.int64)
    np.add.at(counts, (owners, labels[rows]), 1)
    read = changed(loaded, generate__model="stable-diffusion-v1-5/stable-diffusion-v1-5", generate__steps=30,
                   generate__batch_size=16, generate__dtype="auto")  # fmt: skip
    found = estimate(workspace, read, counts, 32)
    planned = images(found)
    assert 800_000 < planned["own-max", "own"][1] < 1_400_000
    assert planned["own-max", "common"][1] < 50_000
    assert 30_000 < planned["global-mean", "own"][1] < 50_000
    assert planned["global-mean", "common"] == (planned["global-mean", "own"][0], 500)
    (a100,) = (one for one in found.devices if "A100" in one.name)
    assert found.image_flops == pytest.approx(31 * 2 * 803.3e9 + 2514.5e9, rel=1e-3)
    assert a100.seconds == pytest.approx((found.image_flops or 0) / (312e12 * 0.30), rel=1e-6)
    assert a100.joules == pytest.approx(400 * a100.seconds)
    text = estimate_text.shown(found)
    assert re.search(r"^\*  own-max +own +[\d,]{7,} ", text, re.MULTILINE)
    assert max(map(len, text.split("\n"))) <= 110


def test_sizes_are_of_photographs_until_there_are_images_of_the_recipe(workspace: Workspace, loaded: Params) -> None:
    """16 pixels a side: the bytes a pixel of 32; then the mean of the pool. Shared images are in every shard."""
    partition_stage.run(workspace, loaded)
    deficits_stage.run(workspace, loaded)
    before = estimate(workspace, loaded)
    assert before.bytes_per_image == pytest.approx(2.3 * 256)
    assert before.bytes_source == stored.SOURCE
    with Pool(workspace.pool) as pool:
        stock(pool, request.current(workspace, loaded, "float32").plan)
    after = estimate(workspace, loaded)
    assert (after.bytes_per_image, after.bytes_source) == (IMAGE_BYTES, "as those in the pool")
    own, shared = after.choices[:2]
    assert after.pool_bytes(own) == own.planned * (IMAGE_BYTES + stored.POOL_ROW)
    assert after.pool_bytes(shared) < after.pool_bytes(own)
    assert after.shard_bytes(shared) == after.shard_bytes(own) == own.planned * (IMAGE_BYTES + stored.SHARD_ROW)


def test_what_was_measured_here_stands_beside_what_is_assumed(workspace: Workspace, loaded: Params) -> None:
    """Two workers that drew 5 images a second: 0.2 s an image."""
    recipe = request_recipe(workspace, loaded)
    rates.record(workspace.pool, recipe, ["cpu", "cpu"], 5.0, 40)
    last = estimate(workspace, loaded, COUNTS, 16).devices[-1]
    assert (last.name, last.seconds, last.memory) == ("measured here, 2 x cpu", 0.2, None)
    assert "over 40 images" in last.source


def request_recipe(workspace: Workspace, loaded: Params) -> Any:
    from pipeline.generation import model

    return model.resolve(workspace, loaded.generate, loaded.seed, 16, "float32").recipe


def test_each_device_computes_in_what_it_would_use(
    workspace: Workspace, loaded: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "_CPUINFO", workspace.root / "no such file")
    automatic = estimate(workspace, changed(loaded, generate__dtype="auto"), COUNTS, 16)
    assert {one.dtype for one in automatic.devices[:-1]} == {"float16"}
    assert automatic.devices[-1].dtype == "float32"
    fixed = estimate(workspace, loaded, COUNTS, 16)
    assert {one.dtype for one in fixed.devices} == {"float32"}
    assert fixed.devices[0].seconds >= automatic.devices[0].seconds


def test_an_unknown_model_still_has_its_images_and_says_what_to_do(workspace: Workspace, loaded: Params) -> None:
    found = estimate(workspace, changed(loaded, generate__model="somebody/unknown"), COUNTS, 16)
    assert (found.model, found.image_flops, found.devices) == (None, None, ())
    text = estimate_text.shown(found).split("\n")
    assert text[2].startswith("model: no configuration of this model is here: somebody/unknown: run: hf download")
    assert any(line.startswith("*  own-max") for line in text)


def test_without_a_partition_it_is_one_line(workspace: Workspace, loaded: Params) -> None:
    with pytest.raises(ArtifactError, match=r"no such file: .*partition.parquet: run: dvc repro partition"):
        estimate(workspace, loaded)


def test_what_comes_on_top_is_said(workspace: Workspace, loaded: Params) -> None:
    read = changed(loaded, generate__gate={}, generate__lora=[{"path": "x"}], deficits__max_total=5)
    notes = estimate(workspace, read, COUNTS, 16).notes
    assert "deficits.max_total: 5 applies to every rule" in notes
    assert [note.partition(":")[0] for note in notes][-4:-2] == ["gate", "LoRA weights are not counted"]
