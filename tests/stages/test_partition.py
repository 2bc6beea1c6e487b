import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import params
from pipeline.artifacts import inventory
from pipeline.artifacts import partition as artifact
from pipeline.artifacts.inventory import Bad
from pipeline.data import images
from pipeline.errors import DataError
from pipeline.params import Params
from pipeline.stages import partition
from pipeline.workspace import Workspace


def test_the_stage_writes_partition_and_picture(workspace: Workspace) -> None:
    loaded = params.load(workspace.params)
    partition.run(workspace, loaded)
    split = artifact.load(workspace.partition)
    real = images.load(loaded.data, "train")
    assert sorted(split.rows.tolist()) == list(range(60))
    assert (np.lexsort((split.rows, split.clients)) == np.arange(60)).all()
    assert np.array_equal(split.labels, real.labels[split.rows])
    assert (split.counts() > 0).sum(axis=1).tolist() == [2] * 4
    assert (split.class_names, split.client_count, split.image_size) == (real.class_names, 4, 16)
    assert split.fingerprint == real.fingerprint
    pixels = real.pixels(range(60))
    np.testing.assert_allclose(split.mean, pixels.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(split.std, pixels.std(axis=(0, 1, 2)))
    assert (workspace.arrays / f"{split.source.array}.npy").is_file()
    assert split.source.images == 60
    assert workspace.partition_picture.read_bytes().startswith(b"\x89PNG")
    first = workspace.partition.read_bytes()
    partition.run(workspace, loaded)
    assert workspace.partition.read_bytes() == first
    for root, own, same in ((7, 8, False), (8, 7, True), (8, None, False)):
        section = loaded.partition.model_copy(update={"seed": own})
        partition.run(workspace, loaded.model_copy(update={"seed": root, "partition": section}))
        assert (workspace.partition.read_bytes() == first) == same


def with_bad(workspace: Workspace, on_bad: str) -> Params:
    """Return parameters of 20 cats and 25 dogs, of which 22 are no pictures, and of a test picture each and half a cat.

    A dog and a cat of the test are a training cat; a text and a hidden file lie beside them.
    """
    folder = workspace.root / "photos"
    for split, name, count in (("train", "cat", 20), ("train", "dog", 3), ("test", "cat", 1), ("test", "dog", 1)):
        for i in range(count):
            place = folder / split / name / f"{i:02}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20, 16), (10 * i, 200, 90 if split == "train" else 0)).save(place)
    for i in range(3, 25):
        (folder / f"train/dog/{i:02}.png").write_text("no picture")
    whole = (folder / "train/cat/00.png").read_bytes()
    (folder / "test/cat/half.png").write_bytes(whole[: len(whole) // 2])
    (folder / "test/dog/seen.png").write_bytes(whole)
    (folder / "train/cat/notes.txt").write_text("a text")
    (folder / "train/cat/.DS_Store").write_text("hidden")
    document = params.load(workspace.params).model_dump(exclude_unset=True)
    document["data"] |= {"path": "photos", "on_bad": on_bad}
    document["partition"] |= {"scheme": "iid", "clients": 2}
    return Params.model_validate(document)


def test_bad_pictures_are_all_listed_and_refused(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """A second run tells the same from what the first one kept."""
    chosen = with_bad(workspace, "refuse")
    for _ in range(2):
        with pytest.raises(DataError) as caught:
            partition.run(workspace, chosen)
        line = r"23 pictures cannot be used, the first: \S*dog/03.png \(.*\): photos, split 'train': repair or .*"
        assert re.fullmatch(line, str(caught.value))
        said = capsys.readouterr().err
        assert "train: 22 pictures cannot be used\n" in said
        assert said.count("no picture") + said.count("not a picture") >= 20
        assert "- 2 more are in data/inventory.json\n" in said
        assert "test: 1 pictures cannot be used\n" in said
        assert "half.png: " in said
        assert not workspace.partition.exists()
        found = inventory.load(workspace.inventory)
        assert [len(split.bad) for split in found.splits] == [22, 1]
    assert "look at" not in said


def test_bad_pictures_are_left_out_if_asked(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """23 of 45 training pictures and 3 of 4 test pictures are good; rows count the good ones, cats first."""
    partition.run(workspace, with_bad(workspace, "skip"))
    said = capsys.readouterr().err
    found, split = inventory.load(workspace.inventory), artifact.load(workspace.partition)
    assert (found.train_counts, found.test_counts) == ((20, 3), (1, 2))
    assert re.search(r"\npartition: skew of labels \(.*\): Hellinger 0.\d\d \(0.\d\d\), .*, Gini of sizes 0.02\n", said)
    train, test = found.splits
    assert (train.rows, test.rows, train.modes, test.sizes) == (45, 4, {"RGB": 23}, {"20x16": 3})
    assert train.bad[0] == Bad(23, train.bad[0].name, train.bad[0].why)
    assert sorted(split.rows.tolist()) == list(range(23))
    assert split.labels.tolist() == np.repeat([0, 1], [20, 3])[split.rows].tolist()
    assert [path for path, _ in train.skipped if "notes" in path]
    assert "train: 22 pictures are left out (data.on_bad: skip)" in said
    twins = found.duplicates
    # Training pictures 0 to 2 of cats and dogs have equal colours; the test has picture 0 once more, as a dog.
    assert (twins.train, twins.test, twins.labels, twins.between) == (3, 1, 9, 1)
    assert "equal pictures: 3 repeat a training picture, 1 repeat a test picture" in said


def test_pictures_for_testing_are_held_out_of_one_array(workspace: Workspace, small_data: Path) -> None:
    """A fifth of 20 pictures of each of three classes are 12; clients get the other 48, and nothing is stored twice."""
    document = params.load(workspace.params).model_dump(exclude_unset=True)
    document["data"] |= {"test": None, "holdout": 0.2}
    partition.run(workspace, Params.model_validate(document))
    found, split = inventory.load(workspace.inventory), artifact.load(workspace.partition)
    assert (found.train_counts, found.test_counts) == ((16,) * 3, (4,) * 3)
    assert (len(split.rows), split.source.images, len(found.splits)) == (48, 60, 1)
    assert len(list(workspace.arrays.glob("*[0-9a-f].npy"))) == 1


def test_the_stage_shows_what_prompts_call_the_classes(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = params.load(workspace.params)
    partition.run(workspace, loaded)
    assert "prompts say" not in capsys.readouterr().err
    (workspace.root / "words.csv").write_text("bag,handbag\n")
    changed = loaded.generate.model_copy(update={"class_overrides": "words.csv"})
    partition.run(workspace, loaded.model_copy(update={"generate": changed}))
    assert "partition: prompts say 'handbag' for 'bag'\n" in capsys.readouterr().err
