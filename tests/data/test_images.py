from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.atomic import sha256
from pipeline.data import images
from pipeline.errors import DataError
from tests.data.reading import params, save


def save_plain(path: Path, columns: dict[str, list[Any]]) -> None:
    """Write a Parquet file without label features; column ``image`` holds single-coloured pictures."""
    import io

    from datasets import Dataset, Features
    from datasets import Image as ImageFeature
    from datasets.utils import disable_progress_bars

    def png(colour: int) -> bytes:
        buffer = io.BytesIO()
        Image.new("L", (8, 8), colour).save(buffer, "PNG")
        return buffer.getvalue()

    disable_progress_bars()
    rows = {**columns, "image": [{"bytes": png(colour), "path": None} for colour in columns["image"]]}
    plain = Dataset.from_dict(rows)
    Dataset.from_dict(rows, features=Features({**plain.features, "image": ImageFeature()})).to_parquet(path)


def save_folder(folder: Path) -> None:
    """Write a split of class folders: cat 0, cat 1 (grey 10, 20) and dog 0 (grey 200)."""
    for name, colour in (("cat/0", 10), ("cat/1", 20), ("dog/0", 200)):
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (20, 20), colour).save(path)


def test_parquet(small_data: Path) -> None:
    split = images.load(params(small_data), "train")
    assert split.class_names == ("ankle boot", "bag", "coat")
    assert split.labels.tolist() == [0] * 20 + [1] * 20 + [2] * 20
    assert split.image_size == 16
    pixels = split.pixels([0, 25, 59])
    assert pixels.shape == (3, 16, 16, 3)
    assert pixels.dtype == np.uint8
    assert pixels.mean(axis=(1, 2)).argmax(axis=1).tolist() == [0, 1, 2]
    assert len(images.load(params(small_data), "test").labels) == 12


def test_several_parquet_files_are_one_split_in_name_order(tmp_path: Path) -> None:
    save_plain(tmp_path / "train-1.parquet", {"image": [5], "label": ["b"]})
    save_plain(tmp_path / "train-0.parquet", {"image": [7, 9], "label": ["a", "b"]})
    split = images.load(params(tmp_path), "train")
    assert split.labels.tolist() == [0, 1, 1]
    assert split.pixels([0, 1, 2])[:, 0, 0, 0].tolist() == [7, 9, 5]


def test_image_folder(tmp_path: Path) -> None:
    save_folder(tmp_path / "train")
    split = images.load(params(tmp_path), "train")
    assert split.class_names == ("cat", "dog")
    assert split.labels.tolist() == [0, 0, 1]
    assert split.pixels([2, 1])[:, 3, 3].tolist() == [[200] * 3, [20] * 3]


def test_pictures_are_cut_to_the_middle_square_and_scaled(tmp_path: Path) -> None:
    """The middle 8x8 of a 16x8 picture is white, the rest black: cut and halved it is white, but for blurred edges."""
    save_folder(tmp_path / "train")
    wide = Image.new("RGB", (16, 8))
    wide.paste((255, 255, 255), (4, 0, 12, 8))
    wide.save(tmp_path / "train" / "cat" / "0.png")
    split = images.load(params(tmp_path, image_size=4), "train")
    assert split.image_size == 4
    assert split.picture(0).size == (4, 4)
    assert split.pixels([0]).min() > 220
    assert split.pixels([0])[:, :, 1:3].min() == 255


@pytest.mark.parametrize("keep", [0.5, 0.0])
def test_a_damaged_picture_is_named_by_its_file(tmp_path: Path, keep: float) -> None:
    save_folder(tmp_path / "train")
    victim = tmp_path / "train" / "dog" / "0.png"
    content = victim.read_bytes()
    victim.write_bytes(content[: int(len(content) * keep)])
    loaded = images.load(params(tmp_path, image_size=8), "train")
    last = len(loaded.labels) - 1
    with pytest.raises(DataError, match=r"a picture cannot be decoded \(.*\): train/dog/0.png: .*remove it"):
        loaded.pixels([last])


def test_default_size_is_the_shorter_side_of_the_first_picture(tmp_path: Path) -> None:
    save_folder(tmp_path / "train")
    Image.new("RGB", (16, 12)).save(tmp_path / "train" / "cat" / "0.png")
    assert images.load(params(tmp_path), "train").image_size == 12


def test_the_fingerprint_follows_content_and_not_place(tmp_path: Path) -> None:
    fingerprints = []
    for folder, colour, label in (("a", 1, "x"), ("b", 1, "x"), ("c", 2, "x"), ("d", 1, "z")):
        (tmp_path / folder).mkdir()
        save_plain(tmp_path / folder / "train.parquet", {"image": [colour, 3], "label": [label, "y"]})
        fingerprints.append(images.load(params(tmp_path / folder), "train").fingerprint)
    assert fingerprints[0] == fingerprints[1]
    assert len(set(fingerprints)) == 3


def test_the_fingerprint_of_an_image_folder_follows_labels(tmp_path: Path) -> None:
    save_folder(tmp_path / "train")
    before = images.load(params(tmp_path), "train").fingerprint
    (tmp_path / "train" / "cat" / "1.png").rename(tmp_path / "train" / "dog" / "1.png")
    assert images.load(params(tmp_path), "train").fingerprint != before


def test_columns_can_be_named(tmp_path: Path) -> None:
    save_plain(tmp_path / "train.parquet", {"image": [1, 2, 3], "fine": [2, 0, 1], "coarse": [1, 0, 1]})
    with pytest.raises(DataError, match=r"no column looks like it: params.yaml, data.label_column: name one of .*fine"):
        images.load(params(tmp_path), "train")
    split = images.load(params(tmp_path, label_column="coarse", class_names=("low", "high")), "train")
    assert (split.labels.tolist(), split.class_names) == ([1, 0, 1], ("low", "high"))
    with pytest.raises(DataError, match=r"no column 'colour': params.yaml, data.label_column: columns of"):
        images.load(params(tmp_path, label_column="colour"), "train")


def test_the_fingerprint_follows_the_label_column(tmp_path: Path) -> None:
    save_plain(tmp_path / "train.parquet", {"image": [1, 2, 3], "fine": [2, 0, 1], "coarse": [1, 0, 1]})
    fine, coarse = (images.load(params(tmp_path, label_column=name), "train") for name in ("fine", "coarse"))
    assert fine.fingerprint != coarse.fingerprint


def test_number_labels_keep_their_number_in_a_split_that_lacks_one(tmp_path: Path) -> None:
    save_plain(tmp_path / "train.parquet", {"image": [1, 2, 3], "label": [2, 0, 1]})
    save_plain(tmp_path / "test.parquet", {"image": [1, 2], "label": [2, 0]})
    named = params(tmp_path, class_names=("ankle boot", "bag", "coat"))
    assert images.load(named, "train").labels.tolist() == [2, 0, 1]
    assert images.load(named, "test").labels.tolist() == [2, 0]


def test_class_folders_keep_their_number_in_a_split_that_lacks_one(tmp_path: Path) -> None:
    save_folder(tmp_path / "train")
    save_folder(tmp_path / "test")
    (tmp_path / "test" / "cat" / "0.png").unlink()
    (tmp_path / "test" / "cat" / "1.png").unlink()
    named = params(tmp_path, class_names=("cat", "dog"))
    assert images.load(named, "train").labels.tolist() == [0, 0, 1]
    assert images.load(named, "test").labels.tolist() == [1]


def test_two_image_columns_must_be_told_apart(tmp_path: Path) -> None:
    from datasets import Dataset, Features, Value
    from datasets import Image as ImageFeature

    features = Features({"front": ImageFeature(), "back": ImageFeature(), "label": Value("int64")})
    Dataset.from_dict({"front": [None], "back": [None], "label": [0]}, features).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(DataError, match=r"2 columns could be it \(front, back\): params.yaml, data.image_column"):
        images.load(params(tmp_path), "train")


def test_class_names_must_cover_the_labels_and_differ(small_data: Path) -> None:
    with pytest.raises(DataError, match="2 class names for 3 classes"):
        images.load(params(small_data, class_names=("a", "b")), "train")
    with pytest.raises(DataError, match="two classes have the name 'a'"):
        images.load(params(small_data, class_names=("a", "b", "a")), "train")


def test_unlabelled_rows_keep_their_place(tmp_path: Path, make_images: Any) -> None:
    make_images(tmp_path / "train.parquet", np.zeros((2, 8, 8, 3), np.uint8), [1, -1])
    assert images.load(params(tmp_path), "train").labels.tolist() == [1, -1]
    make_images(tmp_path / "train.parquet", np.zeros((2, 8, 8, 3), np.uint8), [-1, -1])
    with pytest.raises(DataError, match="label every row"):
        images.load(params(tmp_path), "train")


def test_missing_split_data_set_and_damage(tmp_path: Path, small_data: Path) -> None:
    with pytest.raises(
        DataError, match=r"no split 'validation': .*: expected validation.parquet, .*there is test, train"
    ):
        images.load(params(small_data), "validation")
    with pytest.raises(DataError, match=r"cannot load the data set .*no-such/data-set, split 'train'"):
        images.load(params(Path("no-such/data-set")), "train")
    (tmp_path / "train.parquet").write_bytes(b"no Parquet at all")
    with pytest.raises(DataError, match="cannot load the data set"):
        images.load(params(tmp_path), "train")


@pytest.mark.parametrize("given", [None, 24])
def test_the_size_is_the_training_splits_for_every_split(tmp_path: Path, given: int | None) -> None:
    for split, side in (("train", 32), ("test", 48)):
        save(tmp_path / split / "cat" / "1.png", "red", (side, side + 5))
    for split in ("train", "test"):
        found = images.load(params(tmp_path, image_size=given), split)
        assert found.image_size == found.pixels([0]).shape[1] == (given or 32)


def test_the_size_is_that_of_the_first_picture_that_can_be_decoded(tmp_path: Path) -> None:
    (tmp_path / "train" / "cat").mkdir(parents=True)
    (tmp_path / "train" / "cat" / "0.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"no picture can be decoded \(not a picture.*\): train/cat/0.png"):
        images.load(params(tmp_path), "train")
    save(tmp_path / "train" / "cat" / "1.png", "red", (20, 30))
    assert images.load(params(tmp_path), "train").image_size == 20


def test_a_transparent_picture_is_on_the_background(tmp_path: Path) -> None:
    (tmp_path / "train" / "cat").mkdir(parents=True)
    Image.new("RGBA", (8, 8), (9, 9, 9, 0)).save(tmp_path / "train" / "cat" / "1.png")
    shown = [images.load(params(tmp_path, **given), "train") for given in ({}, {"background": "#010203"})]
    assert [split.pixels([0])[0, 0, 0].tolist() for split in shown] == [[255, 255, 255], [1, 2, 3]]
    assert shown[0].fingerprint != shown[1].fingerprint
    assert shown[0].fingerprint == images.load(params(tmp_path, background="#FFFFFF"), "train").fingerprint


def test_what_decides_pixels_and_what_decides_more(tmp_path: Path) -> None:
    """Names and what happens to bad pictures change no pixel, and arrays are kept by pixels."""
    save_folder(tmp_path / "train")
    plain = images.load(params(tmp_path), "train")
    named = images.load(params(tmp_path, class_names={"cat": "kitten"}), "train")
    lenient = images.load(params(tmp_path, on_bad="skip"), "train")
    small = images.load(params(tmp_path, image_size=5), "train")
    assert plain.pictures_digest == named.pictures_digest == lenient.pictures_digest != small.pictures_digest
    assert len({plain.fingerprint, named.fingerprint, lenient.fingerprint, small.fingerprint}) == 4


def test_a_picture_is_told_as_it_was(tmp_path: Path) -> None:
    save_folder(tmp_path / "train")
    found = images.load(params(tmp_path, image_size=5), "train").read(0)
    assert (found.mode, found.size, found.animated) == ("L", (20, 20), False)
    assert found.sha256 == sha256(tmp_path / "train" / "cat" / "0.png")
