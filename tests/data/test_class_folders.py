"""Class folders: every picture is a row, everything else is skipped by name, in an order that all machines share."""

import os
import tempfile
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.data import class_folders, images, pictures
from pipeline.errors import DataError
from tests.data.reading import params, save

Names = st.text(st.sampled_from("ab1 é[]*?$._-"), min_size=1, max_size=6).filter(lambda name: name.strip(". "))
Files = st.builds(
    str.__add__, Names, st.sampled_from([".png", ".PNG", ".jpg", ".tif", ".gif", ".ppm", ".jfif", ".txt", ".heic", ""])
)
Trees = st.lists(st.builds(lambda inner, file: (*inner, file), st.lists(Names, max_size=3), Files), max_size=12)


@settings(max_examples=settings().max_examples // 2)
@given(Trees)
def test_rows_and_skipped_files_are_all_files(tree: list[tuple[str, ...]]) -> None:
    """And every row is below its class's folder, whatever characters names have."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "train").mkdir()
        for parts in tree:
            place = folder.joinpath("train", *parts)
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.touch()
            except (NotADirectoryError, FileExistsError, IsADirectoryError):
                continue  # one name for a file and a folder
        every = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        if not any(usable(path) for path in every):
            with pytest.raises(DataError, match="no picture in class folders"):
                class_folders.read(folder, folder / "train")
            return
        found = class_folders.read(folder, folder / "train")
        assert sorted([found.name(row) for row in range(len(found))] + [one.path for one in found.skipped]) == every
        assert {found.name(row) for row in range(len(found))} == {path for path in every if usable(path)}
        labels = found.values("label").to_pylist()
        assert [unicodedata.normalize("NFC", file.split("/")[0]) for file in found.files] == labels


def usable(path: str) -> bool:
    """Return whether a path below the data set's folder should be a row: said again, another way."""
    _, *inner, name = path.split("/")
    hidden = any(part.startswith(".") for part in (*inner, name))
    extension = name.lower().rpartition(".")[1:]
    return bool(inner) and not hidden and "".join(extension) in pictures.suffixes() and not name.startswith(".")


def test_names_are_no_patterns(tmp_path: Path) -> None:
    for name in ("cat", "dog", "apple [red]", "*", "what?"):
        save(tmp_path / "train" / name / "img1.png", "red")
        save(tmp_path / "train" / name / "img[1].png", "blue")
    split = images.load(params(tmp_path), "train")
    assert split.class_names == ("*", "apple [red]", "cat", "dog", "what?")
    assert split.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert split.pixels(range(10))[:, 0, 0].tolist() == [[255, 0, 0], [0, 0, 255]] * 5


def test_every_format_at_any_depth(tmp_path: Path) -> None:
    for suffix in ("tif", "gif", "ppm", "jfif", "BMP"):
        save(tmp_path / "train" / "cat" / "a" / "b" / f"1.{suffix}", "red")
    save(tmp_path / "train" / "dog" / "deep" / "1.webp", "lime")
    split = images.load(params(tmp_path), "train")
    assert split.class_names == ("cat", "dog")
    assert len(split) == 6
    assert split.pixels(range(6))[:, 0, 0].argmax(axis=1).tolist() == [0, 0, 0, 0, 0, 1]
    assert split.name(5) == "train/dog/deep/1.webp"
    assert split.column("file")[5] == "dog/deep/1.webp"


def test_what_is_skipped_has_a_name_and_a_reason(tmp_path: Path) -> None:
    train = tmp_path / "train"
    for name in ("cat/1.png", ".ipynb_checkpoints/1.png", "cat/._1.png", "__MACOSX/cat/1.png", "loose.png"):
        save(train / name, "red")
    for name in ("cat/notes.txt", "cat/photo.heic", "cat/README", "empty/Thumbs.db"):
        (train / name).parent.mkdir(exist_ok=True)
        (train / name).touch()
    (train / "bare").mkdir()
    (train / "cat" / "gone.png").symlink_to("nowhere")
    (train / "cat" / "itself.png").symlink_to("itself.png")
    os.mkfifo(train / "cat" / "pipe.png")
    split = images.load(params(tmp_path), "train")
    assert split.class_names == ("cat",)
    assert len(split) == 1
    assert {one.path: one.why for one in split.skipped} == {
        "train/.ipynb_checkpoints/1.png": "hidden",
        "train/__MACOSX/cat/1.png": "hidden",
        "train/cat/._1.png": "hidden",
        "train/cat/README": "no extension is not the extension of a picture that is read",
        "train/cat/gone.png": "a link to nothing",
        "train/cat/itself.png": "a link to nothing",
        "train/cat/notes.txt": ".txt is not the extension of a picture that is read",
        "train/cat/photo.heic": ".heic is not the extension of a picture that is read",
        "train/cat/pipe.png": "not a file",
        "train/empty/Thumbs.db": ".db is not the extension of a picture that is read",
        "train/loose.png": "not in a class folder",
    }
    assert split.remarks == tuple(
        f"train/{name} has no picture that is read, and is no class" for name in ("bare", "empty")
    )


def test_links_to_folders_are_followed_but_not_in_a_circle(tmp_path: Path) -> None:
    """Two links in each of 30 folders would be a thousand million paths."""
    save(tmp_path / "elsewhere" / "1.png", "red")
    (tmp_path / "data" / "train" / "dog").mkdir(parents=True)
    (tmp_path / "data" / "train" / "cat").symlink_to(tmp_path / "elsewhere")
    save(tmp_path / "data" / "train" / "dog" / "1.png", "blue")
    (tmp_path / "data" / "train" / "dog" / "again").symlink_to(tmp_path / "data" / "train")
    for i in range(30):
        (tmp_path / f"level{i}").mkdir()
        for name in ("x", "y"):
            (tmp_path / f"level{i}" / name).symlink_to(tmp_path / f"level{i + 1}")
    (tmp_path / "data" / "train" / "dog" / "maze").symlink_to(tmp_path / "level0")
    split = images.load(params(tmp_path / "data"), "train")
    assert [split.name(row) for row in range(2)] == ["train/cat/1.png", "train/dog/1.png"]
    assert len(split) == 2
    whys = [one.why for one in split.skipped]
    assert whys.count("a link to a folder above it") == 1
    assert whys.count("a link in links") == 16


def test_numbered_classes_are_in_the_order_of_numbers(tmp_path: Path) -> None:
    names = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven")
    for number in range(12):
        save(tmp_path / "train" / str(number) / "1.png", (20 * number, 0, 0))
    split = images.load(params(tmp_path, class_names=names), "train")
    shown = split.pixels(range(12))[:, 0, 0, 0] // 20
    assert [split.class_names[label] for label in split.labels] == [names[number] for number in shown]
    assert split.label_texts == tuple(str(number) for number in range(12))


def test_one_class_however_its_accents_are_composed(tmp_path: Path) -> None:
    for form in ("NFC", "NFD"):
        save(tmp_path / "train" / unicodedata.normalize(form, "café") / f"{form}.png", "red")
    split = images.load(params(tmp_path), "train")
    assert split.class_names == (unicodedata.normalize("NFC", "café"),)
    assert split.labels.tolist() == [0, 0]


def test_names_that_are_no_text(tmp_path: Path) -> None:
    save(tmp_path / "train" / "cat" / "1.png", "red")
    content = (tmp_path / "train" / "cat" / "1.png").read_bytes()
    Path(os.fsdecode(os.fsencode(tmp_path / "train" / "cat") + b"/\xff.png")).write_bytes(content)
    split = images.load(params(tmp_path), "train")
    assert [split.name(row) for row in range(2)] == ["train/cat/1.png", r"train/cat/\xff.png"]
    assert split.fingerprint
    Path(os.fsdecode(os.fsencode(tmp_path / "train") + b"/\xff")).mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path / "train") + b"/\xff/1.png")).write_bytes(content)
    with pytest.raises(DataError, match=r"a class folder's name is not UTF-8: train/\\xff: rename it"):
        images.load(params(tmp_path), "train")


def test_a_folder_that_is_itself_the_class_folders(tmp_path: Path) -> None:
    for name in ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"):
        save(tmp_path / name, "red")
    here = params(tmp_path, train=".", test=None, holdout=0.5)
    assert images.load(here, ".").labels.tolist() == [0, 1]
    assert images.load(here, None).labels.tolist() == [0, 1]
    with pytest.raises(DataError, match="reads every folder as a class, also 'test'"):
        images.load(params(tmp_path, train="."), ".")


def test_no_pictures_in_class_folders(tmp_path: Path) -> None:
    save(tmp_path / "train" / "1.png", "red")
    (tmp_path / "train" / "metadata.csv").touch()
    with pytest.raises(DataError, match=r"no picture in class folders, and 2 other files: .*CSV are not read"):
        images.load(params(tmp_path), "train")


def test_content_and_not_hidden_files_times_or_places_decide_the_fingerprint(tmp_path: Path) -> None:
    for place in ("a", "b/c"):
        save(tmp_path / place / "train" / "cat" / "1.png", "red")
        save(tmp_path / place / "train" / "dog" / "1.png", "blue")
    first, second = (images.load(params(tmp_path / place), "train").fingerprint for place in ("a", "b/c"))
    assert first == second
    (tmp_path / "a" / "train" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "a" / "train" / "cat" / "._1.png").write_bytes(b"x")
    os.utime(tmp_path / "a" / "train" / "cat" / "1.png", (1, 1))
    assert images.load(params(tmp_path / "a"), "train").fingerprint == first
    Image.new("RGB", (16, 16), "white").save(tmp_path / "a" / "train" / "cat" / "1.png")
    assert images.load(params(tmp_path / "a"), "train").fingerprint != first
