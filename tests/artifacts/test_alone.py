from pathlib import Path

import pytest

from pipeline.artifacts import alone
from pipeline.artifacts.alone import Alone
from pipeline.errors import ArtifactError

FOUND = [Alone("none", "epochs", 1, 0, 0.5, 0.25), Alone("none", "steps", 2**62, 12, None, 1 / 3)]


def test_round_trip(tmp_path: Path) -> None:
    alone.save(tmp_path / "new", FOUND)
    assert alone.load(tmp_path / "new") == FOUND
    alone.save(tmp_path / "none", [])
    assert alone.load(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("old", "new"),
    [("seed", "sed"), ("0.25", "x"), (",0.5,0.25", ",0.5"), ("fill,budget,seed,client,own,whole\n", ""), (",0,", ",,")],
)
def test_a_damaged_table_is_named(tmp_path: Path, old: str, new: str) -> None:
    alone.save(tmp_path, FOUND)
    path = tmp_path / "alone.csv"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ArtifactError, match=f"^damaged .*: {path}: run: dvc repro -f train$"):
        alone.load(tmp_path)


def test_a_missing_table_and_a_model_that_is_named_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=f"^no such file: {tmp_path / 'alone.csv'}: run: dvc repro train$"):
        alone.load(tmp_path)
    alone.save(tmp_path, [FOUND[0], FOUND[0]])
    with pytest.raises(ArtifactError, match="names a client's model twice"):
        alone.load(tmp_path)
