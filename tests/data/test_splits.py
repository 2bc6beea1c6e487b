"""Which files are a split: whole names, whole sets, one place."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data import images, splits
from pipeline.errors import DataError
from tests.data.reading import params, png, save, table


def parquet(folder: Path, *names: str) -> None:
    """Write files of one row each; the picture's red level is the number of the file."""
    for i, name in enumerate(names):
        table(folder / name, [png((i, 0, 0))], [0])


def reds(folder: Path, split: str = "train", **others: Any) -> list[int]:
    found = images.load(params(folder, **others), split)
    return [int(red) for red in found.pixels(range(len(found)))[:, 0, 0, 0]]


def test_names_are_whole(tmp_path: Path) -> None:
    parquet(tmp_path, "train.parquet", "train_extra.parquet", "train-more.parquet", "test_ood-00000-of-00001.parquet")
    parquet(tmp_path, "test-00000-of-00001.parquet", "._train.parquet", "TRAIN.PARQUET")
    train, test = (images.load(params(tmp_path), split) for split in ("train", "test"))
    assert (len(train), len(test)) == (1, 1)
    assert {one.path: one.why.split(" (")[0] for one in test.skipped} == {
        "._train.parquet": "hidden",
        "TRAIN.PARQUET": "Parquet of no split that is used",
        "test_ood-00000-of-00001.parquet": "Parquet of no split that is used",
        "train-more.parquet": "Parquet of no split that is used",
        "train_extra.parquet": "Parquet of no split that is used",
    }


def test_files_are_in_the_order_of_their_numbers_and_no_patterns(tmp_path: Path) -> None:
    parquet(tmp_path, "train-1.parquet", "train-2 [fixed].parquet", "train-9*.parquet", "train-10?.parquet")
    assert reds(tmp_path) == [0, 1, 2, 3]


@settings(max_examples=settings().max_examples // 3)
@given(st.sets(st.integers(0, 3)), st.integers(1, 4))
def test_numbered_sets_are_whole(tmp_path_factory: pytest.TempPathFactory, numbers: set[int], count: int) -> None:
    folder = tmp_path_factory.mktemp("set")
    for number in numbers:
        (folder / f"train-{number:05}-of-{count:05}-0a1b.parquet").touch()
    found = splits._parquet(folder, "train")
    if numbers == set(range(count)) or not numbers:
        assert len(splits._whole(found, "train")) == len(numbers)
    else:
        with pytest.raises(DataError, match="the files of split 'train' are not one whole set"):
            splits._whole(found, "train")


@pytest.mark.parametrize("other", ["train.parquet", "train-00000-of-00001.parquet", "train-7.parquet"])
def test_a_set_beside_another_is_refused(tmp_path: Path, other: str) -> None:
    """Each row would be there twice."""
    parquet(tmp_path, "train-00000-of-00002.parquet", "train-00001-of-00002.parquet", other)
    with pytest.raises(DataError, match=r"not one whole set .*: .*: add the missing files, or remove those of another"):
        reds(tmp_path)


@pytest.mark.parametrize("inner", ["", "data/", "plain_text/"])
def test_files_may_be_in_the_only_folder_that_has_some(tmp_path: Path, inner: str) -> None:
    parquet(tmp_path, f"{inner}train-00000-of-00001.parquet")
    parquet(tmp_path, "other/something.parquet", ".hidden/train.parquet")
    assert reds(tmp_path) == [0]
    assert images.load(params(tmp_path), "train").name(0) == f"{inner}train-00000-of-00001.parquet row 0"


def test_several_folders_are_asked_about(tmp_path: Path) -> None:
    parquet(tmp_path, "fine/train.parquet", "coarse/train.parquet")
    with pytest.raises(DataError, match=r"several places \(coarse/\*.parquet, fine/\*.parquet\): .*: name one of them"):
        reds(tmp_path)
    assert reds(tmp_path / "fine") == [0]


def test_a_folder_of_parquet_files_has_the_name_of_the_split(tmp_path: Path) -> None:
    """As the Hub's own conversion has it."""
    parquet(tmp_path, "train/0000.parquet", "train/0001.parquet")
    assert reds(tmp_path) == [0, 1]
    save(tmp_path / "train" / "cat" / "1.png", "red")
    with pytest.raises(DataError, match=r"several places \(train/\*.parquet, class folders\)"):
        reds(tmp_path)


def test_class_folders_beside_parquet_files_are_asked_about(tmp_path: Path) -> None:
    parquet(tmp_path, "train.parquet")
    save(tmp_path / "train" / "cat" / "1.png", "red")
    with pytest.raises(DataError, match="split 'train' is in several places"):
        reds(tmp_path)


@pytest.mark.parametrize("split", ["../x", "/etc", "", "..", "a/b", "\0", "x" * 300])
def test_a_split_is_a_name_in_the_folder(tmp_path: Path, split: str) -> None:
    parquet(tmp_path, "train.parquet")
    with pytest.raises(DataError, match=r"is no split's name|no split 'x|cannot be read"):
        images.load(params(tmp_path, train=split), split)


@pytest.mark.parametrize(
    "path", ["no/such/folder", "./nowhere", "/nowhere", "", "\0", "../x" * 2000, "http://x/y", "a b"]
)
def test_what_is_neither_a_folder_nor_a_hub_id_asks_no_network(tmp_path: Path, path: str) -> None:
    with pytest.raises(DataError, match=r"no such folder, and no Hub id|cannot be read|no split 'train'"):
        images.load(params(Path(path)).model_copy(update={"path": path}), "train", tmp_path)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    parquet(tmp_path, "train.parquet")
    with pytest.raises(DataError, match=r"not a folder: .*train.parquet: name the folder"):
        reds(tmp_path / "train.parquet")


@pytest.mark.parametrize("name", ["train.csv", "train.jsonl", "train.zip", "Train.tar.gz"])
def test_other_formats_are_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(
        DataError, match=rf"of a format that is not read \({name}\): .*: write train.parquet, or unpack"
    ):
        reds(tmp_path)


def test_another_split_is_offered(tmp_path: Path) -> None:
    parquet(tmp_path, "training-0.parquet")
    save(tmp_path / "valid" / "cat" / "1.png", "red")
    with pytest.raises(DataError, match=r"no split 'train': .*; there is training, valid: set data.train and"):
        reds(tmp_path)


def saved(folder: Path, *names: str) -> None:
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Image

    features = Features({"image": Image(), "label": ClassLabel(names=["cat", "dog"])})
    rows = {"image": [{"bytes": png((i, 0, 0)), "path": None} for i in range(2)], "label": [1, 0]}
    made = Dataset.from_dict(rows, features=features)
    if names:
        DatasetDict(dict.fromkeys(names, made)).save_to_disk(str(folder))
    else:
        made.save_to_disk(str(folder))


def test_save_to_disk(tmp_path: Path) -> None:
    saved(tmp_path / "both", "train", "test")
    found = images.load(params(tmp_path / "both"), "test")
    assert (found.class_names, found.labels.tolist(), found.name(1)) == (("cat", "dog"), [1, 0], "test row 1")
    assert reds(tmp_path / "both") == [0, 1]
    with pytest.raises(DataError, match=r"no split 'valid': .*: its splits are test, train"):
        reds(tmp_path / "both", "valid")
    saved(tmp_path / "one")
    assert images.load(params(tmp_path / "one", train=".", test="x"), ".").labels.tolist() == [1, 0]
    with pytest.raises(DataError, match=r"no split 'train': .*: its only split has no name: write '.' in data.train"):
        reds(tmp_path / "one")


@pytest.mark.parametrize(
    "state",
    ["no JSON", "[]", "{}", '{"_data_files": [{"filename": 5}]}', '{"_data_files": [{"filename": "../../x.arrow"}]}'],
)
def test_a_state_of_save_to_disk_opens_nothing_elsewhere(tmp_path: Path, state: str) -> None:
    saved(tmp_path / "both", "train")
    (tmp_path / "x.arrow").write_bytes(next((tmp_path / "both" / "train").glob("*.arrow")).read_bytes())
    (tmp_path / "both" / "train" / "state.json").write_text(state)
    with pytest.raises(DataError, match="save the data set again with save_to_disk"):
        reds(tmp_path / "both")


def test_damaged_and_incomplete_arrow_files(tmp_path: Path) -> None:
    saved(tmp_path, "train")
    [arrow] = (tmp_path / "train").glob("*.arrow")
    arrow.write_bytes(arrow.read_bytes()[:100])
    with pytest.raises(DataError, match="cannot load the data set"):
        reds(tmp_path)
    state = json.loads((tmp_path / "train" / "state.json").read_text())
    arrow.unlink()
    assert state["_data_files"]
    with pytest.raises(DataError, match="cannot load the data set"):
        reds(tmp_path)
