import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.artifacts import history
from pipeline.artifacts.history import Round
from pipeline.errors import ArtifactError

FIRST = Round("none", "fedavg", "epochs", 1, 1, None, None, 60, 8, 400, 400)


def example() -> list[Round]:
    """Two rounds of seed 1 and two of seed 2; only the last of seed 1 is not its best."""
    return [
        FIRST,
        replace(FIRST, round=2, accuracy=0.5, loss=1.25),
        replace(FIRST, round=3, accuracy=0.25, loss=2.0),
        replace(FIRST, seed=2, accuracy=0.1, loss=0.1),
        replace(FIRST, seed=2, round=2, accuracy=0.75, loss=1e-06),
    ]


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "run" / "history.csv"
    history.save(path, example())
    assert history.load(path, "train") == example()
    assert path.read_text().splitlines()[:2] == [
        "fill,algorithm,budget,seed,round,accuracy,loss,samples,steps,bytes_down,bytes_up",
        "none,fedavg,epochs,1,1,,,60,8,400,400",
    ]


def test_runs_are_grouped_by_budget_and_seed() -> None:
    rows = [*example(), replace(FIRST, budget="steps")]
    grouped = history.runs(rows)
    assert {key: len(run) for key, run in grouped.items()} == {("epochs", 1): 3, ("epochs", 2): 2, ("steps", 1): 1}
    assert [row.round for row in grouped["epochs", 1]] == [1, 2, 3]


def test_metrics(tmp_path: Path) -> None:
    """Final accuracies 0.25 and 0.75 have the mean 0.5; the best ones are 0.5 and 0.75."""
    path = tmp_path / "metrics.json"
    history.save_metrics(path, example())
    assert json.loads(path.read_text()) == {
        "epochs": {
            "final_accuracy": {"seed 1": 0.25, "seed 2": 0.75},
            "best_accuracy": {"seed 1": 0.5, "seed 2": 0.75},
            "mean_final_accuracy": 0.5,
        }
    }


def test_missing_and_damaged(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    with pytest.raises(ArtifactError, match=f"no such file: {path}: run: dvc repro train"):
        history.load(path, "train")
    history.save(path, example())
    good = path.read_text()
    for text in (good.replace("seed", "sed", 1), good.replace(",60,", ",many,", 1), good[:-12], good.replace(",", ";")):
        path.write_text(text)
        with pytest.raises(ArtifactError, match=f"damaged .*{path}: run: dvc repro -f train"):
            history.load(path, "train")


def test_an_empty_file_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text("")
    with pytest.raises(ArtifactError, match="damaged"):
        history.load(path, "train")
