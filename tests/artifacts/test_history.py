import csv
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.artifacts import history, metrics
from pipeline.artifacts.history import Participation, Round, RunHistory
from pipeline.errors import ArtifactError

NAMES = ["ankle boot", "bag, small", "coat"]
COUNTS = np.array([[1, 1, 1], [0, 4, 0]])
ONE, TWO = Participation(0, 40, 5, 400, 200), Participation(1, 20, 3, 400, 200)


def run(*rounds: Round, budget: str = "epochs", seed: int = 1, last_rounds: int = 1) -> RunHistory:
    return RunHistory("none", "fedavg", budget, seed, rounds, last_rounds)


def example() -> list[RunHistory]:
    """Seed 1 ends below its best, seed 2 has an untested round, and one client sits out in between."""
    return [
        run(
            Round(1, (ONE, TWO)),
            Round(2, (TWO,), 0.5, 1.25, (0.5, None, 1.0)),
            Round(3, (ONE,), 0.25, 2.0, (0.0, None, 0.33333)),
        ),
        run(Round(1, (ONE, TWO), 0.1, 0.1), Round(2, (ONE, TWO), 0.75, 1e-06, (0.25, None, 0.0)), seed=2),
        run(Round(1, (), 1 / 3, 0.5), budget="steps"),
    ]


def save(folder: Path, runs: list[RunHistory]) -> Path:
    history.save(folder, runs, NAMES, COUNTS)
    metrics.save(folder / "metrics.json", runs, COUNTS)
    return folder


def test_a_rounds_totals_are_those_of_its_participants() -> None:
    """40 and 20 samples, 5 and 3 steps, twice 400 bytes down and 200 up; none of a round without participants."""
    both, nobody = Round(1, (ONE, TWO)), Round(2, ())
    assert (both.samples, both.steps, both.bytes_down, both.bytes_up) == (60, 8, 800, 400)
    assert (nobody.samples, nobody.steps, nobody.bytes_down, nobody.bytes_up) == (0, 0, 0, 0)


def test_tested_rounds_have_an_accuracy_also_one_of_0() -> None:
    assert [done.number for done in run(Round(1, ()), Round(2, (), 0.0, 1.0), Round(3, ())).tested] == [2]


def test_round_trip(tmp_path: Path) -> None:
    assert history.load(save(tmp_path / "new" / "folder", example())) == example()


def test_the_history_has_a_line_for_each_run_and_round(tmp_path: Path) -> None:
    """40 + 20 samples and 5 + 3 steps of the first round; twice 400 bytes down, twice 200 up."""
    save(tmp_path, example())
    assert (tmp_path / "history.csv").read_text() == (
        "fill,algorithm,budget,seed,last_rounds,round,accuracy,averaged,loss,samples,steps,bytes_down,bytes_up\n"
        "none,fedavg,epochs,1,1,1,,,,60,8,800,400\n"
        "none,fedavg,epochs,1,1,2,0.5,,1.25,20,3,400,200\n"
        "none,fedavg,epochs,1,1,3,0.25,,2.0,40,5,400,200\n"
        "none,fedavg,epochs,2,1,1,0.1,,0.1,60,8,800,400\n"
        "none,fedavg,epochs,2,1,2,0.75,,1e-06,60,8,800,400\n"
        "none,fedavg,steps,1,1,1,0.3333333333333333,,0.5,0,0,0,0\n"
    )


def test_participants_are_a_table_of_small_types_with_a_row_for_each_client_in_a_round(tmp_path: Path) -> None:
    save(tmp_path, example())
    table = pq.read_table(tmp_path / "participants.parquet")
    kinds = ["string", "int64", "int32", "int32", "int64", "int64", "int64", "int64"]
    assert dict(zip(table.column_names, map(str, table.schema.types), strict=True)) == dict(
        zip(
            ["budget", "seed", "round", "client", "samples", "steps", "bytes_down", "bytes_up"],
            kinds,
            strict=True,
        )
    )
    assert table["round"].to_pylist() == [1, 1, 2, 3, 1, 1, 2, 2]
    assert table["client"].to_pylist() == [0, 1, 1, 0, 0, 1, 0, 1]
    assert table["seed"].to_pylist() == [1] * 4 + [2] * 4


def test_accuracies_by_class_have_a_row_for_each_round_in_which_they_were_measured(tmp_path: Path) -> None:
    """A class without test images has an empty cell; a name with a comma is quoted."""
    save(tmp_path, example())
    assert (tmp_path / "classes.csv").read_text() == (
        'budget,seed,round,ankle boot,"bag, small",coat\n'
        "epochs,1,2,0.5,,1.0\nepochs,1,3,0.0,,0.33333\nepochs,2,2,0.25,,0.0\n"
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
    """The first client has an image of each class, the second only of one that no test image has.

    Round 2 of seed 1: (0.5 + 1) / 2 = 0.75; round 3: 0.33333 / 2, rounded; round 2 of seed 2: 0.25 / 2.
    """
    save(tmp_path, example())
    assert (tmp_path / "clients.csv").read_text() == (
        "budget,seed,round,0,1\nepochs,1,2,0.75,\nepochs,1,3,0.1667,\nepochs,2,2,0.125,\n"
    )
    assert history.load_clients(tmp_path) == {
        ("epochs", 1, 2): (0.75, None),
        ("epochs", 1, 3): (0.1667, None),
        ("epochs", 2, 2): (0.125, None),
    }


def test_a_runs_accuracy_is_the_mean_of_its_last_tested_rounds() -> None:
    """Of the last three rounds one was not tested: (0.5 + 0.25) / 2; of the last one alone, and of more than all."""
    done = (Round(1, (), 0.9), Round(2, (), 0.5), Round(3, ()), Round(4, (), 0.25, averaged=0.6))
    for count, primary, last in ((3, 0.375, [2, 4]), (1, 0.25, [4]), (9, 0.55, [1, 2, 4])):
        made = run(*done, last_rounds=count)
        assert made.primary == pytest.approx(primary)
        assert [one.number for one in made.last] == last
        assert (made.final, made.averaged) == (0.25, 0.6)
    untested = run(Round(1, (), 0.5), Round(2, ()))
    assert (untested.primary, untested.final, untested.averaged, untested.last) == (None, None, None, [])


@pytest.mark.parametrize(("target", "number"), [(0.3, 2), (0.5, 6), (0.6, None), (0.0, 1)])
def test_a_target_is_reached_by_two_tests_in_a_row(target: float, number: int | None) -> None:
    """Tests after rounds 1, 2, 4, 6 and 7 give 0.1, 0.5, 0.3, 0.5 and 0.5: the first of the two counts.

    A single 0.5 after round 2 is not enough, nor would a 0.6 in the last round be.
    """
    accuracies = {1: 0.1, 2: 0.5, 3: None, 4: 0.3, 5: None, 6: 0.5, 7: 0.5, 8: None}
    found = history.reached([Round(n, (), accuracy) for n, accuracy in accuracies.items()], target)
    assert (found.number if found else None) == number


def test_metrics(tmp_path: Path) -> None:
    """Over the last two rounds of seed 1, (0.5 + 0.25) / 2, and its last one; 0.6 is of the averaged weights.

    Of the two clients only the first has tested images: its accuracies are 0.75 and 0.16667 of seed 1, and 0.125 of
    seed 2, so (0.45833 + 0.125) / 2.
    """
    runs = [replace(one, last_rounds=2) for one in example()]
    runs[0] = replace(runs[0], rounds=(*runs[0].rounds[:2], replace(runs[0].rounds[2], averaged=0.6)))
    save(tmp_path, runs)
    assert json.loads((tmp_path / "metrics.json").read_text()) == {
        "epochs": {
            "primary_accuracy": {"seed 1": 0.375, "seed 2": 0.425},
            "final_accuracy": {"seed 1": 0.25, "seed 2": 0.75},
            "averaged_accuracy": {"seed 1": 0.6},
            "mean_primary_accuracy": 0.4,
            "mean_final_accuracy": 0.5,
            "mean_averaged_accuracy": 0.6,
            "client_accuracy": {"least": 0.2917, "median": 0.2917, "greatest": 0.2917},
        },
        "steps": {
            "primary_accuracy": {"seed 1": 0.3333},
            "final_accuracy": {"seed 1": 0.3333},
            "averaged_accuracy": {},
            "mean_primary_accuracy": 0.3333,
            "mean_final_accuracy": 0.3333,
        },
    }


def test_metrics_tell_how_clients_differ(tmp_path: Path) -> None:
    """Three clients of one class each, and one without images, who does not count.

    Accuracies by class are (0.3, 0.5, 0.8) and (0.1, 0.7, 1.0) in the last two rounds of one seed, so 0.2, 0.6, 0.9,
    and 0.4, 0.1, 0.3 of the other: least 0.2 and 0.1, median 0.6 and 0.3, greatest 0.9 and 0.4, with means 0.15, 0.45
    and 0.65. Earlier rounds do not count.
    """
    runs = [
        run(
            Round(1, (), 0.9, None, (0.9, 0.9, 0.9)),
            Round(2, (), 0.5, None, (0.3, 0.5, 0.8)),
            Round(3, (), 0.5, None, (0.1, 0.7, 1.0)),
            last_rounds=2,
        ),
        run(Round(1, (), 0.2, None, (0.4, 0.1, 0.3)), seed=2),
    ]
    metrics.save(tmp_path / "metrics.json", runs, np.array([[5, 0, 0], [0, 7, 0], [0, 0, 1], [0, 0, 0]]))
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["epochs"]["client_accuracy"] == {"least": 0.15, "median": 0.45, "greatest": 0.65}


def test_a_run_without_a_tested_round_is_kept_but_has_no_metrics(tmp_path: Path) -> None:
    """The other seed's 0.5 alone is the mean; a budget of which nothing was tested is empty."""
    runs = [run(Round(1, (ONE,))), run(Round(1, (ONE,), 0.5), seed=2), run(Round(1, (ONE,)), budget="steps")]
    assert history.load(save(tmp_path, runs)) == runs
    assert json.loads((tmp_path / "metrics.json").read_text()) == {
        "epochs": {
            "primary_accuracy": {"seed 2": 0.5},
            "final_accuracy": {"seed 2": 0.5},
            "averaged_accuracy": {},
            "mean_primary_accuracy": 0.5,
            "mean_final_accuracy": 0.5,
        },
        "steps": {"primary_accuracy": {}, "final_accuracy": {}, "averaged_accuracy": {}},
    }


def test_losses_that_are_not_finite_are_kept_as_they_are(tmp_path: Path) -> None:
    """A run that diverges has them; an empty cell would say that the round was not tested."""
    runs = [run(Round(1, (ONE,), 0.1, math.inf), Round(2, (ONE,), 0.1, math.nan), Round(3, (ONE,), 0.1))]
    infinite, undefined, missing = (done.loss for done in history.load(save(tmp_path, runs))[0].rounds)
    assert infinite == math.inf
    assert undefined is not None
    assert math.isnan(undefined)
    assert missing is None


def test_a_folder_whose_name_looks_like_a_partition_column_adds_none(tmp_path: Path) -> None:
    """Libraries that read Parquet take ``alpha=0.5`` for a column of the files below; sweeps name folders like that."""
    folder = tmp_path / "alpha=0.5" / "seed=3"
    assert history.load(save(folder, example())) == example()


@pytest.mark.parametrize("name", ["history.csv", "classes.csv", "participants.parquet"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    save(tmp_path, example())
    (tmp_path / name).unlink()
    with pytest.raises(ArtifactError, match=f"^no such file: {tmp_path / name}: run: dvc repro train$"):
        history.load(tmp_path)


def test_a_missing_table_of_clients_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=f"^no such file: {tmp_path / 'clients.csv'}: run: dvc repro train$"):
        history.load_clients(tmp_path)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("history.csv", "seed", "sed"),
        ("history.csv", ",60,", ",many,"),
        ("history.csv", ",8,800,400\nnone,fedavg,steps", "\nnone,fedavg,steps"),
        ("history.csv", ",", ";"),
        ("history.csv", "none,fedavg,epochs,1,1,2,0.5,,1.25,20,3,400,200\n", ""),
        ("history.csv", "none,fedavg,epochs,1,1,1,,,,60", "none,fedavg,epochs,1,1,2,,,,60"),
        ("classes.csv", "round", "rund"),
        ("classes.csv", "epochs,1,2,0.5,,1.0", "epochs,1,2,0.5,1.0"),
        ("classes.csv", "epochs,1,2,0.5,,1.0", "epochs"),
        ("classes.csv", "0.33333", "a third"),
        ("classes.csv", "epochs,1,3", "epochs,1,2"),
        ("clients.csv", "0.75", "x"),
        ("clients.csv", "budget,", ""),
    ],
)
def test_a_damaged_table_is_named_and_not_another(tmp_path: Path, name: str, old: str, new: str) -> None:
    save(tmp_path, example())
    path = tmp_path / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ArtifactError, match=rf"(damaged|does not match).*: {path}: run: dvc repro -f train$"):
        history.load_clients(tmp_path) if name == "clients.csv" else history.load(tmp_path)


@pytest.mark.parametrize("name", ["history.csv", "classes.csv", "clients.csv", "participants.parquet"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"PAR1"])
def test_an_empty_or_foreign_file_is_damaged(tmp_path: Path, name: str, content: bytes) -> None:
    save(tmp_path, example())
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=rf"(damaged|holds no round).*: {tmp_path / name}: run: dvc repro -f train"):
        history.load_clients(tmp_path) if name == "clients.csv" else history.load(tmp_path)


def test_participants_of_other_columns_or_without_values_are_damaged(tmp_path: Path) -> None:
    save(tmp_path, example())
    path = tmp_path / "participants.parquet"
    table = pq.read_table(path)
    names = table.column_names
    empty = pa.array([None] * len(table), pa.int64())
    for broken in (
        table.drop_columns(["steps"]),
        table.select(list(reversed(names))),
        table.set_column(names.index("steps"), "steps", table["steps"].cast(pa.string())),
        table.set_column(names.index("steps"), "steps", empty),
    ):
        pq.write_table(broken, path)
        with pytest.raises(ArtifactError, match=f"damaged .*: {path}"):
            history.load(tmp_path)


def test_totals_that_are_not_those_of_the_participants_are_refused(tmp_path: Path) -> None:
    """Both files are whole, but of different runs."""
    save(tmp_path / "mine", example())
    first = replace(example()[0], rounds=(Round(1, (ONE,)), *example()[0].rounds[1:]))
    save(tmp_path / "other", [first, *example()[1:]])
    shutil.copy(tmp_path / "other/participants.parquet", tmp_path / "mine")
    with pytest.raises(ArtifactError, match=r"does not match participants.parquet in round 1: .*history.csv"):
        history.load(tmp_path / "mine")


@pytest.mark.parametrize("name", ["classes.csv", "participants.parquet"])
def test_rounds_that_the_history_lacks_are_refused(tmp_path: Path, name: str) -> None:
    """The history was cut after the first seed; what the other file knows beyond it must not vanish unnoticed."""
    save(tmp_path / "whole", example())
    save(tmp_path / "cut", example()[:1])
    shutil.copy(tmp_path / "whole" / name, tmp_path / "cut")
    number = 2 if name == "classes.csv" else 1
    with pytest.raises(ArtifactError, match=f"has no round {number} of epochs, seed 2, but {name} does: .*history.csv"):
        history.load(tmp_path / "cut")


def test_accuracies_by_class_of_an_untested_round_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path, example()) / "history.csv"
    path.write_text(path.read_text().replace("0.5,,1.25", ",,"))
    with pytest.raises(ArtifactError, match=r"does not match classes.csv in round 2: .*history.csv"):
        history.load(tmp_path)


def test_a_folder_holds_one_fill_and_algorithm(tmp_path: Path) -> None:
    """The tables beside the history do not name them, so two would be mixed up."""
    path = save(tmp_path, example()) / "history.csv"
    path.write_text(path.read_text().replace("none,fedavg,steps", "other,fedavg,steps"))
    with pytest.raises(ArtifactError, match="holds runs of more than one fill or algorithm"):
        history.load(tmp_path)


def test_a_history_without_a_run_is_refused(tmp_path: Path) -> None:
    save(tmp_path, [])
    with pytest.raises(ArtifactError, match=f"holds no round: {tmp_path / 'history.csv'}"):
        history.load(tmp_path)


counts = st.integers(0, 2**40)
shares = st.floats(0, 1)
participations = st.builds(Participation, st.integers(0, 9), counts, counts, counts, counts)


@st.composite
def rounds(draw: st.DrawFn) -> tuple[Round, ...]:
    """Draw one to four rounds; only tested ones have accuracies by class, and only some of these."""
    made = []
    for number in range(1, draw(st.integers(1, 4)) + 1):
        chosen = tuple(sorted(draw(st.lists(participations, max_size=3)), key=lambda one: one.client))
        accuracy = draw(st.none() | shares)
        loss = None if accuracy is None else draw(st.floats(0, allow_infinity=True))
        by_class = draw(st.none() | st.tuples(*[st.none() | shares] * 3)) if accuracy is not None else None
        averaged = draw(st.none() | shares)
        made.append(Round(number, chosen, accuracy, loss, by_class, averaged))
    return tuple(made)


keys = st.tuples(st.sampled_from(["epochs", "steps"]), st.integers(0, 2**62))


@settings(max_examples=60)
@given(st.dictionaries(keys, rounds(), min_size=1, max_size=4))
def test_any_history_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, drawn: dict[tuple[str, int], tuple[Round, ...]]
) -> None:
    folder = tmp_path_factory.mktemp("run")
    runs = [RunHistory("none", "fedavg", budget, seed, done) for (budget, seed), done in drawn.items()]
    assert history.load(save(folder, runs)) == runs
    tested = {(r.budget, r.seed, d.number) for r in runs for d in r.rounds if d.by_class is not None}
    clients = history.load_clients(folder)
    assert set(clients) == tested
    assert all(share is None or 0 <= share <= 1 for seen in clients.values() for share in seen)
    with (folder / "history.csv").open(newline="") as file:
        assert len(list(csv.reader(file))) == 1 + sum(len(one.rounds) for one in runs)
