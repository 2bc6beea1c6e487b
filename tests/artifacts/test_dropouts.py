from pathlib import Path

import pytest

from pipeline.artifacts import dropouts
from pipeline.artifacts.dropouts import Dropout
from pipeline.errors import ArtifactError


def test_round_trip(tmp_path: Path) -> None:
    lost = [Dropout(1, 2, 0, "none", "fedavg", "epochs"), Dropout(-1, 1, 3), Dropout(2, 1, 1, None, "moon")]
    dropouts.save(tmp_path / "lost.csv", lost)
    assert dropouts.load(tmp_path / "lost.csv") == lost


def test_a_file_that_somebody_wrote(tmp_path: Path) -> None:
    """Columns in any order, no names, an empty line."""
    (tmp_path / "lost.csv").write_text("client,seed,round\n4,1,2\n\n0, 1, 3\n")
    assert dropouts.load(tmp_path / "lost.csv") == [Dropout(1, 2, 4), Dropout(1, 3, 0)]


def test_which_runs_one_concerns() -> None:
    assert Dropout(1, 2, 0).concerns("none", "fedavg", "epochs", 1)
    assert Dropout(1, 2, 0, "none", "fedavg", "epochs").concerns("none", "fedavg", "epochs", 1)
    others = (
        Dropout(2, 2, 0),
        Dropout(1, 2, 0, "iid"),
        Dropout(1, 2, 0, None, "moon"),
        Dropout(1, 2, 0, None, None, "steps"),
    )
    for other in others:
        assert not other.concerns("none", "fedavg", "epochs", 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "columns missing: "),
        ("seed,round\n1,1\n", "columns seed, round: "),
        ("seed,round,client,clinet\n1,1,1,1\n", "columns seed, round, client, clinet: "),
        ("seed,round,client,seed\n1,1,1,1\n", "columns seed, round, client, seed: "),
        ("seed,round,client\n1,1\n", "2 cells where the first line has 3: FILE, line 2: "),
        ("seed,round,client\n1,1,1\n1,x,1\n", "seed, round and client are no whole numbers: FILE, line 3: "),
        ("seed,round,client\n1,1.5,1\n", "seed, round and client are no whole numbers: FILE, line 2: "),
        ("seed,round,client\n1,0,1\n", "round 0, client 1: FILE, line 2: rounds count from 1, clients from 0"),
        ("seed,round,client\n1,1,-1\n", "round 1, client -1: FILE, line 2: "),
        ('seed,round,client\n1,"1\n', "is no CSV file ("),
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    place = tmp_path / "lost.csv"
    place.write_text(text)
    with pytest.raises(ArtifactError) as raised:
        dropouts.load(place)
    assert str(raised.value).startswith(message.replace("FILE", str(place)))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot be read"):
        dropouts.load(tmp_path / "lost.csv")
