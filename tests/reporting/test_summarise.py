import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reporting import summary
from pipeline.reporting.arms import ArmRuns
from pipeline.reporting.interval import Interval
from pipeline.reporting.summarise import summarise
from pipeline.reporting.summary import ClassAccuracy, Comparison, Reference, Spread, Summary
from tests.reporting.histories import arm

NAMES = ("cat", "dog", "owl")


def made(arms: Sequence[ArmRuns], references: Sequence[ArmRuns] = (), fill: str = "synthetic") -> Summary:
    return summarise(arms, references, target=0.5, fill=fill, class_names=NAMES, manifest="m")


def test_every_number_of_an_arm_by_hand() -> None:
    """Seeds end at 0.2 and 0.6: mean 0.4, half width t(0.975, 1) * (0.4 / sqrt 2) / sqrt 2 = 12.7062 * 0.2 = 2.5412.

    Best are 0.7 and 0.6: mean 0.65, half width 12.7062 * 0.05 = 0.6353. Seed 1 reaches 0.5 in round 2, seed 2 in round
    3: mean 2.5 rounds; 3,000 and 4,500 bytes have the mean 0.00375 MB, which two decimals show as 0.0. Clients: least
    (0.1 + 0.3) / 2, median (0.2 + 0.5) / 2, greatest (0.3 + 0.7) / 2. Classes: cat (0.9 + 0.7) / 2, dog 0.25, owl
    unknown, so dog is the worst.
    """
    (found,) = made(
        [
            arm(
                {1: [0.1, 0.7, 0.2], 2: [0.3, None, 0.6]},
                fill="synthetic",
                steps=7,
                clients={1: (0.1, 0.3), 2: (0.7, 0.3)},
                by_class={1: (0.9, 0.5, None), 2: (0.7, 0.0, None)},
            )
        ]
    ).arms
    assert (found.algorithm, found.budget, found.fill) == ("fedavg", "epochs", "synthetic")
    assert found.final == Interval(0.4, 2.5412)
    assert found.best == Interval(0.65, 0.6353)
    assert found.final_by_seed == {1: 0.2, 2: 0.6}
    assert found.steps_per_round == 7
    assert (found.seeds_at_target, found.rounds_to_target, found.megabytes_to_target) == (2, 2.5, 0.0)
    assert found.clients == Spread(0.2, 0.35, 0.5)
    assert found.worst_class == ClassAccuracy("dog", 0.25)


def test_the_name_of_the_worst_class_is_safe_to_print() -> None:
    """`dvc metrics show` prints every text of the report's numbers as it is."""
    names = ("cat\x1b[31m", "\u202edog", "owl")
    arms = [arm({1: [0.4]}, by_class={1: (0.9, 0.5, None)})]
    (found,) = summarise(arms, [], target=0.5, fill="synthetic", class_names=names, manifest="m").arms
    assert found.worst_class == ClassAccuracy(r"\u202edog", 0.5)


def test_a_target_that_nobody_reaches_and_classes_that_nobody_measured() -> None:
    (found,) = made([arm({1: [0.4]})]).arms
    assert (found.seeds_at_target, found.rounds_to_target, found.megabytes_to_target) == (0, None, None)
    assert (found.clients, found.worst_class) == (None, None)
    assert found.final == Interval(0.4, None)


def test_megabytes_are_means_over_the_seeds_that_reach_the_target() -> None:
    """400 rounds of 1,500 bytes are 0.6 MB; the seed that never reaches the target does not count."""
    slow = [*([None] * 399), 0.5]
    (found,) = made([arm({1: slow, 2: [0.4]})]).arms
    assert (found.seeds_at_target, found.rounds_to_target, found.megabytes_to_target) == (1, 400.0, 0.6)


def test_differences_are_taken_seed_by_seed() -> None:
    """At equal epochs both differences are 0.3, so they have no spread, though the accuracies do.

    At equal steps they are 0.1 and 0.2: mean 0.15, half width t(0.975, 1) * (0.1 / sqrt 2) / sqrt 2 = 12.7062 * 0.05.
    """
    found = made(
        [
            arm({1: [0.2], 2: [0.6]}),
            arm({1: [0.5], 2: [0.9]}, fill="synthetic"),
            arm({1: [0.4], 2: [0.7]}, budget="steps"),
            arm({1: [0.5], 2: [0.9]}, fill="synthetic", budget="steps"),
        ]
    ).comparisons
    assert found == (
        Comparison("fedavg", "epochs", "synthetic", "none", Interval(0.3, 0.0), {1: 0.3, 2: 0.3}),
        Comparison("fedavg", "steps", "synthetic", "none", Interval(0.15, 0.6353), {1: 0.1, 2: 0.2}),
    )


def test_a_seed_that_only_one_arm_has_is_left_out_of_the_difference_and_remarked() -> None:
    """Without pairing, the means 0.6 and 0.3 would differ by 0.3; the paired seeds 2 and 3 differ by 0.2."""
    found = made([arm({2: [0.2], 3: [0.4]}), arm({1: [0.8], 2: [0.4], 3: [0.6]}, fill="synthetic")])
    assert [one.by_seed for one in found.comparisons] == [{2: 0.2, 3: 0.2}]
    assert found.comparisons[0].difference == Interval(0.2, 0.0)
    assert found.remarks == ("fedavg, synthetic, equal epochs: the difference from none leaves out seed 1",)


def test_arms_that_share_no_seed_have_no_difference() -> None:
    found = made([arm({1: [0.2], 2: [0.3]}), arm({3: [0.8], 4: [0.9]}, fill="synthetic")])
    assert found.comparisons == ()
    assert len(found.arms) == 2
    assert found.remarks == (
        "fedavg, synthetic, equal epochs: the difference from none is missing: they share no seed",
    )


def test_the_compared_fill_is_compared_with_every_other_of_the_same_algorithm_and_budget() -> None:
    """An arm that only one budget or algorithm has is compared there only; the arms come in any order."""
    both = {1: [0.5], 2: [0.5]}
    arms = [
        arm(both, fill=fill, algorithm=algorithm, budget=budget)
        for algorithm, budget, fill in (
            ("fedavg", "epochs", "none"),
            ("fedavg", "steps", "none"),
            ("fedavg", "epochs", "mine"),
            ("fedavg", "steps", "mine"),
            ("fedavg", "epochs", "iid"),
            ("moon", "epochs", "iid"),
            ("moon", "epochs", "mine"),
        )
    ]
    found = made(arms, fill="mine")
    assert [(one.algorithm, one.budget, one.fill, one.control) for one in found.comparisons] == [
        ("fedavg", "epochs", "mine", "none"),
        ("fedavg", "epochs", "mine", "iid"),
        ("fedavg", "steps", "mine", "none"),
        ("moon", "epochs", "mine", "iid"),
    ]
    assert [(one.algorithm, one.budget, one.fill) for one in found.arms] == [
        ("fedavg", "epochs", "none"),
        ("fedavg", "epochs", "mine"),
        ("fedavg", "epochs", "iid"),
        ("fedavg", "steps", "none"),
        ("fedavg", "steps", "mine"),
        ("moon", "epochs", "mine"),
        ("moon", "epochs", "iid"),
    ]
    assert found.remarks == ()


def test_names_that_earlier_reports_kept_for_themselves_are_ordinary_names() -> None:
    both = {1: [0.5], 2: [0.5]}
    names = ("central", "manifest", "target_accuracy", "synthetic_minus", "arms")
    arms = [arm(both, fill=fill, algorithm=algorithm) for algorithm in names for fill in names]
    found = made(arms, fill="synthetic_minus")
    assert len(found.arms) == 25
    assert len(found.comparisons) == 20


def test_a_compared_fill_that_was_not_trained_is_remarked() -> None:
    found = made([arm({1: [0.5], 2: [0.5]}), arm({1: [0.5], 2: [0.5]}, fill="iid")], fill="synthetic")
    assert found.comparisons == ()
    assert found.remarks == (
        "no differences are reported: report.fill is 'synthetic', which is not among the trained fills (none, iid)",
    )


def test_a_fill_without_another_is_remarked() -> None:
    found = made([arm({1: [0.5], 2: [0.5]}, fill="synthetic")])
    assert found.remarks == ("no differences are reported: 'synthetic' is the only fill that was trained",)


def test_references_are_listed_by_fill() -> None:
    """0.8 and 0.9: mean 0.85, half width 12.7062 * 0.05."""
    central = [
        arm({1: [0.1, 0.8], 2: [0.1, 0.9]}, fill="central-real", budget="steps"),
        arm({1: [0.7], 2: [0.7]}, fill="central-synthetic", budget="steps"),
    ]
    found = made([arm({1: [0.5], 2: [0.5]}), arm({1: [0.5], 2: [0.5]}, fill="synthetic")], central)
    assert found.references == (
        Reference("central-real", Interval(0.85, 0.6353), {1: 0.8, 2: 0.9}),
        Reference("central-synthetic", Interval(0.7, 0.0), {1: 0.7, 2: 0.7}),
    )
    assert found.remarks == ()


def test_runs_without_a_tested_round_are_left_out_and_remarked() -> None:
    """An arm of which nothing was tested is left out as a whole, a reference too."""
    found = made(
        [
            arm({1: [None], 2: [0.5], 3: [0.5]}),
            arm({2: [0.5], 3: [0.5]}, fill="synthetic"),
            arm({1: [None], 2: [None]}, fill="iid"),
        ],
        [arm({1: [None]}, fill="central-real", budget="steps")],
    )
    assert [one.fill for one in found.arms] == ["none", "synthetic"]
    assert found.references == ()
    assert found.remarks == (
        "fedavg, none, equal epochs: seed 1 left out, since no round was tested",
        "fedavg, iid, equal epochs: seeds 1, 2 left out, since no round was tested",
        "fedavg, central-real, equal steps: seed 1 left out, since no round was tested",
    )


def test_nothing_at_all_was_tested() -> None:
    found = made([arm({1: [None]}), arm({1: [None]}, fill="synthetic")])
    assert (found.arms, found.comparisons) == ((), ())
    assert found.remarks == (
        "fedavg, none, equal epochs: seed 1 left out, since no round was tested",
        "fedavg, synthetic, equal epochs: seed 1 left out, since no round was tested",
    )
    assert summary.result_tables(found) == []


def test_one_seed_has_no_interval_which_is_remarked_once() -> None:
    found = made([arm({1: [0.5]}), arm({1: [0.7]}, fill="synthetic")])
    assert found.comparisons[0].difference == Interval(0.2, None)
    assert found.remarks == ("one seed only: no number has an interval",)


def test_an_arm_of_one_seed_among_others_is_named() -> None:
    found = made([arm({1: [0.5]}), arm({1: [0.7], 2: [0.8]}, fill="synthetic")])
    assert found.comparisons[0].difference == Interval(0.2, None)
    assert found.remarks[-1] == "one seed only, hence no interval: fedavg, none, equal epochs"


def test_a_loss_that_is_not_finite_is_remarked_and_the_accuracy_counts() -> None:
    """A diverged run is a result, if a bad one: leaving it out would flatter its arm."""
    losses = {2: {1: math.inf, 2: math.nan}}
    found = made([arm({1: [0.5, 0.5], 2: [0.1, 0.1]}, losses=losses), arm({1: [0.5], 2: [0.5]}, fill="synthetic")])
    assert found.arms[0].final.mean == 0.3
    assert found.remarks == ("fedavg, none, equal epochs: the test loss of seed 2 is not finite (first in round 1)",)


def test_runs_that_trained_nothing_are_remarked() -> None:
    central = [arm({1: [0.1], 2: [0.1]}, fill="central-synthetic", budget="steps", steps=0)]
    found = made([arm({1: [0.5], 2: [0.5]}), arm({1: [0.5], 2: [0.5]}, fill="synthetic")], central)
    assert found.remarks == (
        "fedavg, central-synthetic, equal steps: no client took a step, so the accuracy is that of the initial weights",
    )


def test_runs_that_end_at_different_rounds_are_remarked() -> None:
    found = made([arm({1: [0.5, 0.6], 2: [0.7]}), arm({1: [0.5], 2: [0.5]}, fill="synthetic")])
    assert found.arms[0].final_by_seed == {1: 0.6, 2: 0.7}
    assert found.remarks == (
        "fedavg, none, equal epochs: runs end after 1 or 2 rounds, so later points of the curve are means over fewer "
        "seeds",
    )


shares = st.floats(0, 1)


@given(
    st.dictionaries(st.integers(1, 6), shares, min_size=1),
    st.dictionaries(st.integers(1, 6), shares, min_size=1),
)
def test_a_difference_is_the_mean_over_common_seeds_and_turns_its_sign_with_the_roles(
    mine: dict[int, float], other: dict[int, float]
) -> None:
    arms = [arm({s: [v] for s, v in mine.items()}, fill="a"), arm({s: [v] for s, v in other.items()}, fill="b")]
    there, back = (made(arms, fill=fill).comparisons for fill in "ab")
    common = set(mine) & set(other)
    assert [set(one.by_seed) for one in there] == ([common] if common else [])
    for one, two in zip(there, back, strict=True):
        assert one.difference.mean == pytest.approx(sum(mine[s] - other[s] for s in common) / len(common), abs=1e-4)
        assert one.difference.mean == -two.difference.mean
        assert one.difference.half_width == two.difference.half_width
        assert (one.difference.half_width is None) == (len(common) == 1)


@given(st.dictionaries(st.integers(1, 4), st.lists(st.none() | shares, min_size=1, max_size=5), min_size=1), shares)
def test_costs_fit_the_curves(accuracies: dict[int, list[float | None]], target: float) -> None:
    """Who reaches the target does so in a tested round at or above it, and after 1,500 bytes a round."""
    arms = [arm(accuracies)]
    found = summarise(arms, [], target=target, fill="none", class_names=NAMES, manifest="m")
    reach = [s for s, run in accuracies.items() if any(v is not None and v >= target for v in run)]
    tested = [s for s, run in accuracies.items() if any(v is not None for v in run)]
    assert [list(one.final_by_seed) for one in found.arms] == ([tested] if tested else [])
    for one in found.arms:
        assert one.seeds_at_target == len(reach)
        assert one.best.mean >= one.final.mean - 1e-4
        rounds, moved = arms[0].reach(target)
        assert moved == [1_500 * number for number in rounds]
