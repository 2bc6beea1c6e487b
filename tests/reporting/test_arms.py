import math
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.artifacts import history
from pipeline.artifacts.history import Participation, RunHistory
from pipeline.errors import ArtifactError
from pipeline.reporting import arms
from pipeline.reporting.arms import ArmRuns
from pipeline.reporting.measures import ClientSpread, Reach
from tests.reporting.histories import arm, run

NAMES = ("cat", "dog", "owl")
COUNTS = np.array([[1, 1, 0], [0, 4, 0]])


def save(folder: Path, *runs: RunHistory) -> Path:
    history.save(folder, runs, NAMES, COUNTS)
    return folder


def test_the_primary_number_is_the_mean_of_the_last_rounds_of_each_seed() -> None:
    """Seed 1 is tested in two of its last three rounds: (0.7 + 0.5) / 2; seed 2 in each: (0.3 + 0.2 + 0.7) / 3."""
    found = arm({1: [0.2, 0.7, 0.5, None], 2: [0.1, 0.3, 0.2, 0.7]}, last_rounds=3)
    assert found.primaries() == pytest.approx({1: 0.6, 2: 0.4})
    assert {seed: one.last for seed, one in found.measures.items()} == {1: 0.5, 2: 0.7}


def test_an_accuracy_of_0_is_a_result() -> None:
    found = arm({1: [0.4, 0.0]})
    assert found.primaries() == {1: 0.0}
    assert found.curve() == [(1, [0.4]), (2, [0.0])]


def test_the_curve_has_the_tested_rounds_with_the_seeds_that_were_tested_in_them() -> None:
    """Seed 2 ended after round 3, as a run does that reached ``stop_at``."""
    found = arm({1: [0.1, None, 0.6, None, 0.8], 2: [0.2, None, 0.9]})
    assert found.curve() == [(1, [0.1, 0.2]), (3, [0.6, 0.9]), (5, [0.8])]


def test_bytes_of_a_curve_are_means_over_the_seeds_that_were_tested() -> None:
    """1,500 bytes a round, untested ones too; seed 2 moved nothing in its only round, since nobody took part."""
    found = arm({1: [0.1, None, 0.6], 2: [0.2]})
    idle = replace(found.runs[2], rounds=(replace(found.runs[2].rounds[0], participants=()),))
    found = replace(found, runs={1: found.runs[1], 2: idle})
    assert found.moved() == [(1, 750.0), (3, 4_500.0)]


def test_bytes_to_target_count_untested_rounds_and_not_the_rounds_after() -> None:
    """Seed 1 reaches 0.5 at round 3, so 3 rounds of 1,500 bytes; that it falls afterwards changes nothing.

    Seed 2 is above it in one test only; seed 3 is at the target itself from its first round on.
    """
    found = arm({1: [0.1, None, 0.6, 0.5, 0.4], 2: [0.1, None, 0.9, 0.4], 3: [0.5, 0.5]})
    assert found.reach(0.5) == {1: Reach(3, 4_500), 2: None, 3: Reach(1, 1_500)}


def test_bytes_to_target_are_of_all_participants_both_ways() -> None:
    """Two clients receive 10 and 20 bytes and send 1 and 2: 33 in the first round, 11 of one client in the second."""
    one, two = Participation(0, 1, 1, 10, 1), Participation(1, 1, 1, 20, 2)
    made = run([None, 0.5, 0.5])
    rounds = tuple(replace(made.rounds[i], participants=(one, two) if i == 0 else (one,)) for i in range(3))
    found = ArmRuns("fedavg", "epochs", "none", {1: replace(made, rounds=rounds)})
    assert found.reach(0.5) == {1: Reach(2, 44)}
    assert found.sent() == {10, 20}


def test_the_spread_over_clients_is_the_mean_of_each_seeds() -> None:
    """Seed 1: 0.2, 0.4 and 0.9 have the mean 0.5; seed 2: 0.3 and 0.5, and a client without tested images, the mean
    0.4. Worst (0.2 + 0.3) / 2, best (0.9 + 0.5) / 2; the deviations are sqrt(0.26 / 3) = 0.29439 and 0.1.
    """
    found = arm({1: [0.5], 2: [0.5]}, clients={1: (0.9, 0.2, 0.4), 2: (None, 0.5, 0.3)}).spread()
    assert found is not None
    assert astuple(found) == pytest.approx((0.45, 0.197196, 0.25, 0.7, 0.25), abs=1e-6)


def test_a_clients_accuracy_is_the_mean_over_the_last_rounds() -> None:
    """Client 0: (0.2 + 0.4) / 2; the first round does not count."""
    made = arm({1: [0.5, 0.5, 0.5]}, last_rounds=2)
    found = replace(made, clients={1: {1: (1.0, 1.0), 2: (0.2, None), 3: (0.4, None)}})
    assert found.of_clients(1) == pytest.approx((0.3, None))
    assert made.of_clients(1) == ()


def test_there_is_no_spread_where_no_client_has_an_accuracy() -> None:
    assert arm({1: [0.5]}).spread() is None
    assert arm({1: [0.5]}, clients={1: (None, None)}).spread() is None
    assert arm({1: [0.5], 2: [0.5]}, clients={1: (None,), 2: (0.5,)}).spread() == ClientSpread(0.5, 0.0, 0.5, 0.5, 0.5)


def test_accuracy_by_class_is_the_mean_over_the_seeds_that_know_it() -> None:
    """(0.2 + 0.6) / 2; known to one seed only; to none."""
    found = arm({1: [0.5], 2: [0.5], 3: [0.5]}, by_class={1: (0.2, None, None), 2: (0.6, 0.5, None)})
    assert found.by_class() == (0.4, 0.5, None)
    assert arm({1: [0.5]}).by_class() == ()


def test_a_loss_that_is_not_finite_is_found_with_its_first_round() -> None:
    losses = {1: {2: math.nan, 3: math.inf}, 2: {1: math.inf}}
    assert arm({1: [0.1, 0.1, 0.1], 2: [0.1, 0.1], 3: [0.5]}, losses=losses).diverged() == {1: 2, 2: 1}


def test_arms_are_ordered_by_algorithm_budget_and_fill_as_each_first_appears() -> None:
    given = [
        arm({1: [0.5]}, algorithm=algorithm, fill=fill, budget=budget)
        for algorithm in ("scaffold", "fedavg")
        for fill in ("none", "iid")
        for budget in ("epochs", "steps")
    ]
    found = [(one.algorithm, one.budget, one.fill) for one in arms.ordered(given)]
    assert found == [
        (algorithm, budget, fill)
        for algorithm in ("scaffold", "fedavg")
        for budget in ("epochs", "steps")
        for fill in ("none", "iid")
    ]


keys = st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.sampled_from("12"))


@given(st.lists(keys, unique=True))
def test_ordering_keeps_every_arm_and_brings_equal_algorithms_and_budgets_together(
    drawn: list[tuple[str, str, str]],
) -> None:
    made = [ArmRuns(*key, {}) for key in drawn]
    found = arms.ordered(made)
    assert sorted(one.title for one in found) == sorted(one.title for one in made)
    algorithms = [one.algorithm for one in found]
    pairs = [(one.algorithm, one.budget) for one in found]
    assert algorithms == sorted(algorithms, key=algorithms.index)
    assert pairs == sorted(pairs, key=pairs.index)


def test_reading_gives_an_arm_for_each_budget_with_its_clients(tmp_path: Path) -> None:
    """Clients with images of the classes 0 and 1, and of 1: (0.5 + 1) / 2 and 1; of seed 2: (0 + 0.5) / 2 and 0.5."""
    runs = [
        run([None, 0.6], by_class=(0.5, 1.0, 0.0)),
        run([0.4, 0.7], seed=2, by_class=(0.0, 0.5, 1.0)),
        run([0.3], budget="steps"),
    ]
    epochs, steps = arms.read(save(tmp_path, *runs), NAMES)
    seen = {1: {2: (0.75, 1.0)}, 2: {2: (0.25, 0.5)}}
    assert epochs == ArmRuns("fedavg", "epochs", "none", {1: runs[0], 2: runs[1]}, seen)
    assert steps == ArmRuns("fedavg", "steps", "none", {1: runs[2]})


def test_reading_keeps_the_clients_of_every_round_and_their_mean_counts(tmp_path: Path) -> None:
    """Client 0 sees 1 in the first round and (0 + 0.5) / 2 in the second, client 1 sees 1 and 0.5; classes likewise."""
    made = run([0.1, 0.2, None], last_rounds=3)
    first = replace(made.rounds[0], by_class=(1.0, 1.0, 1.0))
    second = replace(made.rounds[1], by_class=(0.0, 0.5, 1.0))
    (found,) = arms.read(save(tmp_path, replace(made, rounds=(first, second, made.rounds[2]))), NAMES)
    assert found.clients == {1: {1: (1.0, 1.0), 2: (0.25, 0.5)}}
    assert found.of_clients(1) == (0.625, 0.75)
    assert found.by_class() == (0.5, 0.75, 1.0)


def test_runs_without_a_tested_round_are_known_by_their_seed_only(tmp_path: Path) -> None:
    (found,) = arms.read(save(tmp_path, run([None, None]), run([0.5], seed=2)), NAMES)
    assert (list(found.runs), found.untested) == ([2], (1,))


def test_another_number_of_classes_than_the_partition_has_is_refused(tmp_path: Path) -> None:
    save(tmp_path, run([0.5], by_class=(0.5, 1.0, 0.0)))
    with pytest.raises(ArtifactError, match=r"3 classes, but the partition has 2: .*classes.csv: run: dvc repro -f"):
        arms.read(tmp_path, NAMES[:2])


def test_a_table_of_clients_that_lacks_a_round_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, run([0.5], by_class=(0.5, 1.0, 0.0))) / "clients.csv"
    path.write_text(path.read_text().splitlines()[0] + "\n")
    with pytest.raises(ArtifactError, match=r"has no round 1 of epochs, seed 1, but classes.csv does: .*clients.csv"):
        arms.read(tmp_path, NAMES)


def test_a_missing_history_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no such file: .*: run: dvc repro train"):
        arms.read(tmp_path / "none-fedavg", NAMES)
