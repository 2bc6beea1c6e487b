import json
from dataclasses import replace
from pathlib import Path

import numpy as np
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


def test_accuracies_by_class_lie_in_a_table_of_their_own(tmp_path: Path) -> None:
    """A round without a test has no row, and a class without test images an empty cell."""
    rows = [
        FIRST,
        replace(FIRST, round=2, by_class=(0.5, None, 1.0)),
        replace(FIRST, seed=2, by_class=(0.0, None, 0.25)),
    ]
    history.save_classes(tmp_path / "run" / "classes.csv", rows, ["ankle boot", "bag, small", "coat"])
    assert (tmp_path / "run" / "classes.csv").read_text() == (
        'budget,seed,round,ankle boot,"bag, small",coat\nepochs,1,2,0.5,,1.0\nepochs,2,1,0.0,,0.25\n'
    )


def test_the_accuracy_that_a_client_would_see_by_hand() -> None:
    """Classes are recognised to 1/2, 1/4, unknown and 1.

    The first client has 3 and 1 images of the first two: (3 / 2 + 1 / 4) / 4 = 7 / 16. The second has 2 of the first, 9
    of the unknown and 2 of the last class: (1 + 2) / 4 = 3 / 4. The third has only unknown ones, the fourth none.
    """
    counts = np.array([[3, 1, 0, 0], [2, 0, 9, 2], [0, 0, 5, 0], [0, 0, 0, 0]])
    seen = history.for_clients((0.5, 0.25, None, 1.0), counts)
    assert seen[:2].tolist() == [7 / 16, 3 / 4]
    assert np.isnan(seen[2:]).tolist() == [True, True]


def test_the_accuracy_of_each_client_in_every_tested_round(tmp_path: Path) -> None:
    """The first client has one image of each class, the second only of one that no test image has."""
    rows = [
        replace(FIRST, by_class=(0.5, None, 1.0)),
        replace(FIRST, round=2),
        replace(FIRST, round=3, by_class=(0.0, None, 0.33333)),
    ]
    history.save_clients(tmp_path / "clients.csv", rows, np.array([[1, 1, 1], [0, 4, 0]]))
    assert (tmp_path / "clients.csv").read_text() == "budget,seed,round,0,1\nepochs,1,1,0.75,\nepochs,1,3,0.1667,\n"


def test_metrics_tell_how_clients_differ(tmp_path: Path) -> None:
    """Three clients of one class each, and one without images, who does not count.

    Final accuracies by class are 0.2, 0.6, 0.9 of one seed and 0.4, 0.1, 0.3 of the other: least 0.2 and 0.1, median
    0.6 and 0.3, greatest 0.9 and 0.4, with means 0.15, 0.45 and 0.65. Earlier rounds do not count, and neither does a
    budget of which no classes are known.
    """
    rows = [
        replace(FIRST, accuracy=0.9, by_class=(0.9, 0.9, 0.9)),
        replace(FIRST, round=2, accuracy=0.5, by_class=(0.2, 0.6, 0.9)),
        replace(FIRST, round=3),
        replace(FIRST, seed=2, accuracy=0.2, by_class=(0.4, 0.1, 0.3)),
        replace(FIRST, budget="steps", accuracy=0.2),
    ]
    path = tmp_path / "metrics.json"
    history.save_metrics(path, rows, np.array([[5, 0, 0], [0, 7, 0], [0, 0, 1], [0, 0, 0]]))
    metrics = json.loads(path.read_text())
    assert metrics["epochs"]["client_accuracy"] == {"least": 0.15, "median": 0.45, "greatest": 0.65}
    assert "client_accuracy" not in metrics["steps"]
    history.save_metrics(path, rows)
    assert "client_accuracy" not in json.loads(path.read_text())["epochs"]


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
