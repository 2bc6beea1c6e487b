from pathlib import Path

import pytest

from pipeline.artifacts import inventory
from pipeline.artifacts.inventory import Bad, Duplicates, Inventory, SplitInventory
from pipeline.errors import ArtifactError

BAD = (Bad(3, "cat/a.png", "damaged"),)
TRAIN = SplitInventory("train", "array", 6, BAD, (("notes.txt", "no picture"),), {"RGB": 5}, {"4x5": 5}, 1, ("a",))
EXAMPLE = Inventory(
    class_names=("cat", "dog"),
    label_texts=("0", "1"),
    train_counts=(2, 1),
    test_counts=(1, 1),
    holdout=0.4,
    image_size=4,
    background="white",
    on_bad="skip",
    splits=(TRAIN,),
    duplicates=Duplicates(1, 0, 0, 1, (("a", "b"),)),
)


def test_round_trip_and_equal_bytes(tmp_path: Path) -> None:
    EXAMPLE.save(tmp_path / "a.json")
    EXAMPLE.save(tmp_path / "b.json")
    assert inventory.load(tmp_path / "a.json") == EXAMPLE
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_what_is_not_used_is_counted_over_splits() -> None:
    assert (EXAMPLE.bad, EXAMPLE.skipped) == (1, 1)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"class_names": 5}', '{"x": 1}'])
def test_a_missing_and_a_damaged_file_are_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "inventory.json"
    with pytest.raises(ArtifactError, match=r"^no such file: .*inventory.json: run: dvc repro partition$"):
        inventory.load(path)
    path.write_text(text)
    with pytest.raises(ArtifactError, match=r"^damaged \(.*\): .*inventory.json: run: dvc repro -f partition$"):
        inventory.load(path)
