"""A data set is decoded once, found by content, and what is counted is what is loaded."""

import io
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from pipeline.data import arrays, decoded, pictures
from pipeline.data.decoded import Decoded
from pipeline.errors import DataError
from pipeline.params import DataParams
from pipeline.workspace import Workspace


def params(folder: Path, **values: Any) -> DataParams:
    return DataParams.model_validate({"path": str(folder), "image_size": 16, **values})


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was decoded so far; it is decoded all the same."""
    found: list[bytes] = []
    real: Callable[..., Any] = pictures.decode

    def counting(content: bytes, *rest: Any) -> Any:
        found.append(content)
        return real(content, *rest)

    monkeypatch.setattr(pictures, "decode", counting)
    return found


def files(workspace: Workspace) -> list[str]:
    return sorted(path.name for path in workspace.arrays.iterdir())


def test_another_workspace_or_place_decodes_nothing(
    workspace: Workspace, small_data: Path, tmp_path: Path, decodes: list[bytes]
) -> None:
    """60 training pictures and 12 for testing are decoded once; a newer copy with a hidden file is the same."""
    first = decoded.open_data(workspace, params(small_data))
    assert len(decodes) == 72
    kept = files(workspace)
    elsewhere = tmp_path / "moved" / "here"
    shutil.copytree(small_data, elsewhere)
    (elsewhere / ".DS_Store").write_bytes(b"x")
    for file in elsewhere.iterdir():
        os.utime(file, (0, 0))
    decodes.clear()
    again = decoded.open_data(Workspace(tmp_path / "other", workspace.cache), params(elsewhere))
    assert decodes == []
    assert files(workspace) == kept
    assert again.fingerprint == first.fingerprint
    assert again.inventory == first.inventory
    assert (again.train.path, again.train.content) == (first.train.path, first.train.content)


def test_pictures_lie_in_the_data_sets_own_order(workspace: Workspace, small_data: Path) -> None:
    found = decoded.open_data(workspace, params(small_data))
    assert np.array_equal(found.train.pixels, found.source.pixels(range(60)))
    assert found.train_labels.tolist() == found.source.labels.tolist() == np.repeat([0, 1, 2], 20).tolist()
    assert found.train_rows.tolist() == found.split_rows.tolist() == list(range(60))
    assert (len(found.test), found.test_rows, found.test.image_size) == (12, None, 16)
    assert found.inventory.test_counts == (4, 4, 4)


def test_another_size_or_another_picture_is_another_array(
    workspace: Workspace, small_data: Path, decodes: list[bytes]
) -> None:
    """Other class names, another hold-out and another on_bad are the same pictures."""
    first = decoded.open_data(workspace, params(small_data))
    decodes.clear()
    for same in ({"class_names": ["a", "b", "c"]}, {"on_bad": "skip"}, {"test": None, "holdout": 0.5}):
        assert decoded.open_data(workspace, params(small_data, **same)).train.path == first.train.path
    assert decodes == []
    smaller = decoded.open_data(workspace, params(small_data, image_size=8))
    assert (smaller.train.pixels.shape, smaller.test.pixels.shape) == ((60, 8, 8, 3), (12, 8, 8, 3))
    assert len(decodes) == 72


def test_the_size_is_that_of_the_training_pictures(workspace: Workspace, tmp_path: Path) -> None:
    """The first is 6 x 8, and test pictures of 12 x 12 are brought to its shorter side."""
    for split, size in (("train", (6, 8)), ("test", (12, 12))):
        for name in "ab":
            place = tmp_path / "photos" / split / name / "1.png"
            place.parent.mkdir(parents=True)
            Image.new("RGB", size, "red").save(place)
    found = decoded.open_data(workspace, params(tmp_path / "photos", image_size=None))
    assert found.train.image_size == found.test.image_size == found.inventory.image_size == 6
    assert [split.sizes for split in found.inventory.splits] == [{"6x8": 2}, {"12x12": 2}]


@pytest.mark.parametrize("ending", [".json", ".pictures.npy", ".labels.npy", ".sha256", ".npy"])
def test_what_is_lost_or_damaged_is_decoded_again(
    workspace: Workspace, small_data: Path, decodes: list[bytes], ending: str
) -> None:
    first = decoded.open_data(workspace, params(small_data))
    place = first.train.path.with_suffix(ending)
    whole = place.read_bytes()
    for damage in (whole[: len(whole) // 3], b""):
        place.write_bytes(damage)
        decodes.clear()
        again = decoded.open_data(workspace, params(small_data))
        assert len(decodes) == 60
        assert place.read_bytes() == whole
        assert again.inventory == first.inventory


def test_held_out_pictures_are_rows_of_the_same_array(workspace: Workspace, small_data: Path) -> None:
    """Half of 20 of each class; another seed holds others out; nothing is trained on and tested on."""
    chosen = params(small_data, test=None, holdout=0.5)
    found = decoded.open_data(workspace, chosen)
    assert found.test.path == found.train.path
    assert found.test_rows is not None
    assert sorted([*found.train_rows.tolist(), *found.test_rows.tolist()]) == list(range(60))
    assert found.inventory.train_counts == found.inventory.test_counts == (10, 10, 10)
    other = decoded.open_data(workspace, chosen.model_copy(update={"holdout_seed": 1}))
    assert other.train_rows.tolist() != found.train_rows.tolist()
    assert other.fingerprint != found.fingerprint
    assert len(arrays.listed(workspace.arrays)) == 1


def encoded(kind: str, **values: Any) -> bytes:
    """Return a picture of 30 x 20 random pixels, two frames if it is a GIF."""
    buffer, rng = io.BytesIO(), np.random.default_rng(1)
    frames = [Image.fromarray(rng.integers(0, 256, (20, 30, 3)).astype(np.uint8)) for _ in range(2)]
    more = {"save_all": True, "append_images": frames[1:]} if kind == "GIF" else {}
    frames[0].save(buffer, kind, **more, **values)
    return buffer.getvalue()


def test_every_bad_row_of_both_splits_is_listed(workspace: Workspace, tmp_path: Path) -> None:
    """Seven rows, of which two are good: a PNG with 2 MB of text and a GIF of two frames, half of which is bad."""
    remarks = PngImagePlugin.PngInfo()
    remarks.add_text("a", "x" * 2_000_000)
    gif = encoded("GIF")
    pictures: list[bytes | None] = [
        encoded("PNG", pnginfo=remarks), None, encoded("JPEG")[:400], gif, gif[:300], b"text", encoded("PNG")
    ]  # fmt: skip
    names = ["a", "b", "b", "b", "a", "a", None]
    for split in ("train", "test"):
        image = pa.array([{"bytes": content, "path": None} for content in pictures])
        pq.write_table(pa.table({"image": image, "label": names}), tmp_path / f"{split}.parquet")
    found = decoded.open_data(workspace, params(tmp_path, on_bad="skip"))
    for looked in found.inventory.splits:
        assert [(one.row, one.name) for one in looked.bad] == [
            (row, f"{looked.name}.parquet row {row}") for row in (1, 2, 4, 5, 6)
        ]
        assert looked.bad[4].why == "no label"
        assert all(0 < len(one.why) < 100 for one in looked.bad)
        assert (looked.rows, looked.animated, looked.sizes) == (7, 1, {"30x20": 2})
    assert found.train.labels.tolist() == found.test.labels.tolist() == [0, 1]
    assert found.split_rows.tolist() == [0, 3]
    held = decoded.look(workspace, params(tmp_path, on_bad="skip", test=None, holdout=0.5))
    assert sum(held.inventory.train_counts) + sum(held.inventory.test_counts) == 2


GOOD, BAD, TWIN = "good", "bad", "twin"
KINDS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([GOOD, BAD, TWIN])), min_size=1, max_size=12)


def photos(folder: Path, split: str, kinds: list[tuple[str, str]]) -> list[tuple[str, int]]:
    """Write class folders; return the class and the level of each good picture, in the order of the files' names.

    Each picture has a level of its own, but twins have 255.
    """
    good = []
    for i, (name, kind) in enumerate(kinds):
        place = folder / split / name / f"{i:02}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        level = 255 if kind == TWIN else 10 * i + (5 if split == "test" else 0)
        Image.new("L", (5, 4), level).save(place)
        if kind == BAD:
            place.write_bytes(place.read_bytes()[:40])
        else:
            good.append((name, level))
    return sorted(good, key=lambda one: one[0])


def expected_twins(train: list[tuple[str, int]], test: list[tuple[str, int]]) -> tuple[int, int, int, int]:
    """Count by comparing each picture with each other one."""
    both = train + test
    repeats = [
        sum(one[1] == other[1] for other in some[:i]) > 0 for some in (train, test) for i, one in enumerate(some)
    ]
    mixed = [any(one[1] == other[1] and one[0] != other[0] for other in both) for one in both]
    between = [any(one[1] == other[1] for other in train) for one in test]
    return sum(repeats[: len(train)]), sum(repeats[len(train) :]), sum(mixed), sum(between)


@settings(max_examples=15)
@given(KINDS, KINDS)
def test_what_is_counted_is_what_is_loaded(train: list[tuple[str, str]], test: list[tuple[str, str]]) -> None:
    """Good pictures keep their labels and pixels whatever lies between them; bad ones are counted and named."""
    with tempfile.TemporaryDirectory() as place:
        folder, workspace = Path(place) / "photos", Workspace(Path(place), Path(place) / "cache")
        all_three = [(name, GOOD) for name in "abc"]  # so that the test split has no class of its own
        good = [photos(folder, "train", all_three + train), photos(folder, "test", test)]
        chosen = params(folder, image_size=4, on_bad="skip")
        if not good[1]:
            with pytest.raises(DataError, match=r"^no test picture can be used: .*photos: see data/inventory.json$"):
                decoded.open_data(workspace, chosen)
            return
        found = decoded.open_data(workspace, chosen)
        check(found, good, train, test)
        if found.inventory.bad:
            with pytest.raises(DataError, match=rf"^{found.inventory.bad} pictures cannot be used, the first: "):
                decoded.open_data(workspace, chosen.model_copy(update={"on_bad": "refuse"}))


def check(
    found: Decoded, good: list[list[tuple[str, int]]], train: list[tuple[str, str]], test: list[tuple[str, str]]
) -> None:
    known, names = found.inventory, found.class_names
    assert names == ("a", "b", "c")
    for stored, expected, counts in zip(
        (found.train, found.test), good, (known.train_counts, known.test_counts), strict=True
    ):
        loaded = [
            (names[label], int(level)) for label, level in zip(stored.labels, stored.pixels[:, 0, 0, 0], strict=True)
        ]
        assert loaded == expected
        assert counts == tuple(sum(one[0] == name for one in expected) for name in names)
    for split, kinds in zip(known.splits, (train, test), strict=True):
        assert len(split.bad) == sum(kind == BAD for _, kind in kinds)
        assert split.rows - len(split.bad) == sum(split.modes.values()) == sum(split.sizes.values())
    assert found.train_labels.tolist() == found.source.whole().labels[found.split_rows].tolist()
    twins = known.duplicates
    assert (twins.train, twins.test, twins.labels, twins.between) == expected_twins(*good)
    assert len(twins.examples) <= 20
