from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import params
from pipeline.artifacts.manifest import Manifest
from pipeline.artifacts.partition import Partition
from pipeline.errors import ArtifactError
from pipeline.params import Params
from pipeline.reporting import settings
from pipeline.workspace import Workspace
from tests.reporting import world

DATA = world.inventory()


@pytest.fixture
def loaded(workspace: Workspace) -> Params:
    return params.load(workspace.params)


def changed(loaded: Params, section: str, **values: Any) -> Params:
    document = loaded.model_dump()
    document[section] |= values
    return Params.model_validate(document)


def shards(tmp_path: Path, **recipe: Any) -> Manifest:
    return world.manifest(tmp_path / "manifest.json", ["cat", "dog", "owl"], world.RECIPE | recipe)


def table(loaded: Params, split: Partition, made: Manifest) -> dict[str, str]:
    return settings.table(loaded, split, made, DATA, world.deficits(split))


def test_every_setting_of_the_small_experiment(loaded: Params, tmp_path: Path) -> None:
    """Six synthetic images in four shards; the partition has no seed of its own, so it takes the root seed 7."""
    split = world.partition(loaded)
    assert table(loaded, split, shards(tmp_path)) == {
        "real images": f"60 of {Path(loaded.data.path).name}, fingerprint {split.fingerprint}",
        "pictures": "16 pixels a side, white behind transparent ones",
        "left out": "2 bad pictures (on_bad: skip), 3 files that are not read",
        "partition": "2 classes a client, 4 clients, seed 7",
        "deficits": "own-max, ratio 1",
        "synthetic images": "6, each client has its own (sharing: own)",
        "model": f"{Path(loaded.generate.model).name} (0123456789abcdef01234567...)",
        "sampling": "2 steps, guidance 2, float32",
        "prompts": "one {class}",
        "recipe": "r" * 16,
        "training": "simple-cnn, 2 rounds, clients a round: all",
        "algorithms": "fedavg",
        "local training": "1 epochs, batch 8, SGD 0.05, schedule constant, momentum 0.9, weight decay 0, augment none",
        "order of images": "shuffled, real images 1 times as often as others",
        "weights of clients": "by all images",
        "tests": "every 5 rounds, and after each of the last 10",
        "seeds": "1",
    }


def test_every_limit_is_named_with_what_it_cuts(loaded: Params, tmp_path: Path) -> None:
    """0, 3, 2 and 1 images are lacking. Two thirds are 4; at most 1 a client leaves 2.67, so 3; at most 2 in all."""
    other = changed(loaded, "deficits", rule="fixed", images_per_class=9, ratio=2 / 3, max_per_client=1, max_total=2)
    assert table(other, world.partition(other), shards(tmp_path))["deficits"] == (
        "fixed, 9 images a class, ratio 0.666667, max_per_client 1, max_total 2: the rule asks for 6 images, "
        "ratio cuts 2, max_per_client cuts 1, max_total cuts 1, so 2 are made"
    )


def test_images_that_nobody_holds_are_counted(loaded: Params, tmp_path: Path) -> None:
    """By max_images, or since an assignment does not list them: 40 of 60 here."""
    split = world.partition(loaded)
    fewer = replace(split, rows=split.rows[:40], clients=split.clients[:40], labels=split.labels[:40])
    assert table(loaded, fewer, shards(tmp_path))["real images"].startswith("40 of the 60 training images of ")


def test_classes_that_no_client_has_are_named(loaded: Params, tmp_path: Path) -> None:
    """EMNIST's class names have such an entry."""
    split = world.partition(loaded)
    wide = replace(split, class_names=("N/A", *split.class_names), labels=split.labels + 1)
    found = table(loaded, wide, shards(tmp_path))
    assert found["classes that no client has"] == "1 of 4 (N/A), lacked by nobody"


def test_shared_images_are_said_to_be(loaded: Params, tmp_path: Path) -> None:
    found = table(loaded, world.partition(loaded), replace(shards(tmp_path), sharing="common"))
    assert found["synthetic images"] == "6, clients share them (sharing: common)"


def test_many_scales_and_sentences_are_counted(loaded: Params, tmp_path: Path) -> None:
    """Three scales; two templates, three kinds and two views make 12 sentences."""
    prompts = {"templates": ["a {kind} of one {class}", "{class}"], "kind": ["a", "b", "c"], "view": ["x", "y"]}
    made = shards(tmp_path, guidance=[1.0, 2.5, 3.0], prompts=prompts)
    found = table(loaded, world.partition(loaded), made)
    assert found["sampling"] == "2 steps, guidance one of 3 scales from 1 to 3, float32"
    assert found["prompts"] == "one of 12 sentences, such as: a {kind} of one {class}"


def test_a_seed_of_the_partitions_own_and_a_share_of_clients(loaded: Params, tmp_path: Path) -> None:
    other = changed(changed(loaded, "partition", seed=3), "train", clients_per_round=0.5, seeds=[1, 5])
    found = table(other, world.partition(other), shards(tmp_path))
    assert found["partition"] == "2 classes a client, 4 clients, seed 3"
    assert found["training"].endswith("clients a round: 0.5")
    assert found["seeds"] == "1, 5"


def test_local_steps_replace_local_epochs(loaded: Params, tmp_path: Path) -> None:
    other = changed(loaded, "train", local_steps=9, local_epochs=4)
    found = table(other, world.partition(other), shards(tmp_path))
    assert found["local training"].startswith("9 steps, batch 8")


def test_what_decides_the_training_is_named(loaded: Params, tmp_path: Path) -> None:
    values = {
        "algorithms": ["fedavg", "fedprox"], "options": {"fedavg": {}, "fedprox": {"mu": 0.01}},
        "schedule": "exponential", "decay": 0.99, "clip_norm": 5, "augment": "shift", "sampling": "class-balanced",
        "real_weight": 2,
        "weights": "real", "eval_every": 1, "last_rounds": 4, "stop_at": 0.655,
    }  # fmt: skip
    other = changed(loaded, "train", **values)
    found = table(other, world.partition(other), shards(tmp_path))
    assert found["training"].endswith(", ends at 65.5 % in two tests in a row")
    assert found["algorithms"] == "fedavg; fedprox (mu 0.01)"
    assert found["local training"] == (
        "1 epochs, batch 8, SGD 0.05, schedule exponential, factor 0.99, momentum 0.9, weight decay 0, gradients "
        "clipped at 5, augment shift"
    )
    assert found["order of images"] == "class-balanced, real images 2 times as often as others"
    assert found["weights of clients"] == "by real images"
    assert found["tests"] == "after every round, and after each of the last 4"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"scheme": "dirichlet", "alpha": 0.1}, "Dirichlet(0.1) label shares"),
        ({"scheme": "labels", "labels_per_client": 3}, "3 classes a client"),
        ({"scheme": "quantity", "alpha": 5}, "Dirichlet(5) sizes"),
        ({"scheme": "iid"}, "IID"),
        ({"scheme": "column", "column": "writer"}, "a client for each writer"),
        ({"scheme": "assignment", "assignment": "owners.csv"}, "clients as owners.csv lists them"),
    ],
)
def test_schemes_in_words(loaded: Params, values: dict[str, Any], text: str) -> None:
    assert settings.scheme(changed(loaded, "partition", **values).partition) == text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"local_epochs": 1}, "passes once over what it has in a round"),
        ({"local_epochs": 5}, "passes 5 times over what it has in a round"),
        ({"local_epochs": 5, "local_steps": 8}, "takes 8 SGD steps a round"),
    ],
)
def test_local_work_in_words(loaded: Params, values: dict[str, Any], text: str) -> None:
    assert settings.local_work(changed(loaded, "train", **values).train) == text


def test_a_recipe_of_another_kind_is_one_line(loaded: Params, tmp_path: Path) -> None:
    split, made = world.partition(loaded), shards(tmp_path)
    changes: list[dict[str, Any]] = [{"model": 5}, {"guidance": []}, {"prompts": []}, {"prompts": {"a": ["b"]}}]
    for change in [*changes, {"steps": "2"}, {"dtype": None}]:
        other = replace(made, recipe_text={**made.recipe_text, **change})
        with pytest.raises(ArtifactError, match=r"damaged \(recipe_text: "):
            settings.table(loaded, split, other, DATA, world.deficits(split))
