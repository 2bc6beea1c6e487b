import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reporting.arms import ArmRuns
from pipeline.reporting.kinds import Fill, Kind
from pipeline.reporting.measures import ClientSpread
from pipeline.reporting.statistics import Difference, Estimate
from pipeline.reporting.summarise import summarise
from pipeline.reporting.summary import ClassAccuracy, Comparison, Reference, Rival, Summary, Target
from pipeline.reporting.verdict import ONE_PARTITION
from tests.reporting.histories import arm

NAMES = ("cat", "dog", "owl")
BOUNDS: dict[str, Kind] = {"synthetic": "synthetic", "mine": "synthetic", "iid": "bound", "central-real": "bound"}
NO_TARGET = (
    "fedavg, equal epochs: no cost is reported: its target comes from the fill none, which was not trained; or set "
    "report.target_accuracy"
)


def made(
    arms: Sequence[ArmRuns],
    references: Sequence[ArmRuns] = (),
    fill: str = "synthetic",
    target: float | None = 0.5,
    names: Sequence[str] = NAMES,
) -> Summary:
    """Return the summary; fills are controls unless ``BOUNDS`` says otherwise."""
    known = [Fill(name, BOUNDS.get(name, "control"), 0.0) for name in dict.fromkeys(one.fill for one in arms)]
    return summarise(
        arms, references, target=target, fill=fill, fills=known, clients=4, class_names=names, manifest="m"
    )


def single(mean: float) -> Estimate:
    """Return the estimate of one seed, or of seeds that agree."""
    return Estimate(mean, None, None, 1, 1)


def agreed(mean: float, seeds: int = 2) -> Difference:
    return Difference(mean, mean, mean, 1, seeds, None)


def test_every_number_of_an_arm_by_hand() -> None:
    """The last two rounds of seed 1 have the mean (0.7 + 0.2) / 2 = 0.45; seed 2 was tested in one of them: 0.6.

    Mean 0.525, half width t(0.975, 1) * (0.15 / sqrt 2) / sqrt 2 = 12.7062 * 0.075 = 0.9530. Last 0.2 and 0.6: mean
    0.4, half width 12.7062 * 0.2 = 2.5412. Each round has 64 samples. Seed 2 reaches 0.5 at round 2, since its tests
    there and in round 4 follow each other; seed 1 is above it in one test only, and ends at round 4. Clients of seed 1:
    0.1 and 0.3, of seed 2: 0.7 and 0.3. Means (0.2 + 0.5) / 2, deviations (0.1 + 0.2) / 2, worst (0.1 + 0.3) / 2, best
    (0.3 + 0.7) / 2. Classes: cat (0.9 + 0.7) / 2, dog 0.25, owl unknown, so dog is the worst.
    """
    (found,) = made(
        [
            arm(
                {1: [0.1, 0.1, 0.7, 0.2], 2: [0.3, 0.6, None, 0.6]},
                fill="synthetic",
                steps=7,
                clients={1: (0.1, 0.3), 2: (0.7, 0.3)},
                by_class={1: (0.9, 0.5, None), 2: (0.7, 0.0, None)},
                last_rounds=2,
            )
        ]
    ).arms
    assert (found.algorithm, found.budget, found.fill) == ("fedavg", "epochs", "synthetic")
    assert found.primary == Estimate(0.525, -0.428, 1.478, 1, 2)
    assert found.last == Estimate(0.4, -2.1412, 2.9412, 1, 2)
    assert found.averaged is None
    assert found.by_seed == {1: 0.45, 2: 0.6}
    assert (found.samples_per_round, found.steps_per_round) == (64, 7)
    assert found.target == Target(0.5, 1, 2.0, 0.0, 4)
    assert found.clients == ClientSpread(0.35, 0.15, 0.2, 0.5, 0.2)
    assert found.worst_class == ClassAccuracy("dog", 0.25)


def test_the_name_of_the_worst_class_is_safe_to_print() -> None:
    """`dvc metrics show` prints every text of the report's numbers as it is."""
    names = ("cat\x1b[31m", "\u202edog", "owl")
    (found,) = made([arm({1: [0.4]}, by_class={1: (0.9, 0.5, None)})], names=names).arms
    assert found.worst_class == ClassAccuracy(r"\u202edog", 0.5)


def test_the_averaged_weights_are_an_accuracy_of_their_own() -> None:
    """Known to one seed only, so without an interval."""
    both = arm({1: [0.4], 2: [0.5]})
    last = replace(both.runs[1].rounds[-1], averaged=0.75)
    one = replace(both, runs={1: replace(both.runs[1], rounds=(last,)), 2: both.runs[2]})
    assert made([one]).arms[0].averaged == single(0.75)


def test_a_target_that_nobody_reaches_and_classes_that_nobody_measured() -> None:
    """Runs of 1 and 3 rounds: after the first of them nobody knows more."""
    (found,) = made([arm({1: [0.4], 2: [0.4, 0.4, 0.9]})]).arms
    assert found.target == Target(0.5, 0, None, None, 1)
    assert (found.clients, found.worst_class) == (None, None)


def test_megabytes_are_means_over_the_seeds_that_reach_the_target() -> None:
    """400 rounds of 1,500 bytes are 0.6 MB; the seed that never reaches the target does not count."""
    slow = [*([None] * 399), 0.5, 0.5]
    (found,) = made([arm({1: slow, 2: [0.4]})]).arms
    assert found.target == Target(0.5, 1, 400.0, 0.6, 1)


def test_a_target_is_what_the_arm_without_a_fill_reaches_with_its_algorithm_and_budget() -> None:
    """Without a fill, fedavg has the mean (0.3 + 0.5) / 2, moon 0.7; at equal steps nobody trained without a fill."""
    arms = [
        arm({1: [0.9, 0.3], 2: [0.9, 0.5]}),
        arm({1: [0.4, 0.4], 2: [0.5, 0.1]}, fill="synthetic"),
        arm({1: [0.7]}, algorithm="moon"),
        arm({1: [0.7, 0.7]}, algorithm="moon", fill="synthetic"),
        arm({1: [0.9, 0.9]}, fill="synthetic", budget="steps"),
    ]
    found = {(one.algorithm, one.budget, one.fill): one.target for one in made(arms, target=None).arms}
    assert found["fedavg", "epochs", "synthetic"] == Target(0.4, 1, 1.0, 0.0, 2)
    assert found["fedavg", "epochs", "none"] == Target(0.4, 1, 1.0, 0.0, 2)
    assert found["moon", "epochs", "synthetic"] == Target(0.7, 1, 1.0, 0.0, None)
    assert found["fedavg", "steps", "synthetic"] is None


def test_differences_are_taken_seed_by_seed() -> None:
    """At equal epochs both differences are 0.3, so they have no spread, though the accuracies do.

    At equal steps they are 0.1 and 0.2: mean 0.15, half width t(0.975, 1) * (0.1 / sqrt 2) / sqrt 2 = 0.6353.
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
        Comparison("fedavg", "epochs", "synthetic", "none", agreed(0.3), {1: 0.3, 2: 0.3}),
        Comparison(
            "fedavg", "steps", "synthetic", "none", Difference(0.15, -0.4853, 0.7853, 1, 2, None), {1: 0.1, 2: 0.2}
        ),
    )


def test_a_seed_that_only_one_arm_has_is_left_out_of_the_difference_and_remarked() -> None:
    """Without pairing, the means 0.6 and 0.3 would differ by 0.3; the paired seeds 2 and 3 differ by 0.2."""
    found = made([arm({2: [0.2], 3: [0.4]}), arm({1: [0.8], 2: [0.4], 3: [0.6]}, fill="synthetic")])
    assert [one.by_seed for one in found.comparisons] == [{2: 0.2, 3: 0.2}]
    assert found.comparisons[0].difference == agreed(0.2)
    assert found.remarks == (
        "fedavg, synthetic, equal epochs: the difference from none leaves out seed 1",
        ONE_PARTITION,
    )


def test_arms_that_share_no_seed_have_no_difference() -> None:
    found = made([arm({1: [0.2], 2: [0.3]}), arm({3: [0.8], 4: [0.9]}, fill="synthetic")])
    assert found.comparisons == ()
    assert len(found.arms) == 2
    assert found.verdicts == ()
    assert found.remarks == (
        "fedavg, synthetic, equal epochs: the difference from none is missing: they share no seed",
        ONE_PARTITION,
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
    assert found.remarks == (ONE_PARTITION,)


def test_the_verdict_is_against_the_best_control_of_any_algorithm_that_does_at_most_as_much_work() -> None:
    """Synthetic has 0.8. Of the controls at equal steps, none with moon is the best (0.7), none with fedavg the weakest
    (0.3). iid is better, but no federation has it; synthetic with moon is no control.

    At equal epochs, none has 0.25 with half the samples and 0.75 with more: only the first one competes at equal steps,
    and is neither. Oversample then has 0.72 there with fewer, and is the best. Steps do not compete at epochs.
    """
    arms = [
        arm({1: [value], 2: [value]}, algorithm=algorithm, budget=budget, fill=fill, samples=samples)
        for algorithm, budget, fill, value, samples in (
            ("fedavg", "epochs", "none", 0.25, 32),
            ("fedavg", "epochs", "synthetic", 0.8, 64),
            ("fedavg", "steps", "none", 0.3, 64),
            ("fedavg", "steps", "transforms", 0.5, 64),
            ("fedavg", "steps", "synthetic", 0.8, 64),
            ("fedavg", "steps", "iid", 0.9, 64),
            ("moon", "steps", "none", 0.7, 64),
            ("moon", "steps", "synthetic", 0.6, 64),
            ("moon", "epochs", "none", 0.75, 65),
        )
    ]
    epochs, fedavg, moon = made(arms).verdicts
    assert epochs.best == Rival("moon", "epochs", "none", 0.75, agreed(0.05))
    assert epochs.weakest == Rival("fedavg", "epochs", "none", 0.25, agreed(0.55))
    assert (fedavg.algorithm, fedavg.budget, fedavg.fill) == ("fedavg", "steps", "synthetic")
    assert fedavg.best == Rival("moon", "steps", "none", 0.7, agreed(0.1))
    assert fedavg.weakest == Rival("fedavg", "steps", "none", 0.3, agreed(0.5))
    assert moon.best == Rival("moon", "steps", "none", 0.7, agreed(-0.1))
    less = arm({1: [0.72], 2: [0.72]}, fill="oversample", samples=63)
    _, fedavg, _ = made([*arms, less]).verdicts
    assert fedavg.best == Rival("fedavg", "epochs", "oversample", 0.72, agreed(0.08))
    assert fedavg.weakest == Rival("fedavg", "steps", "none", 0.3, agreed(0.5))


def test_rivals_are_compared_on_the_seeds_that_they_share() -> None:
    """Transforms has the mean 0.6, yet 0.4 on seed 1, the only one that synthetic has: there none is better."""
    arms = [
        arm({1: [0.5], 2: [0.5]}),
        arm({1: [0.4], 2: [0.8]}, fill="transforms"),
        arm({1: [0.9]}, fill="synthetic"),
        arm({2: [0.9]}, fill="oversample"),
    ]
    (found,) = made(arms).verdicts
    assert (found.best.fill, found.best.accuracy, found.best.difference.mean) == ("none", 0.5, 0.4)
    assert (found.weakest.fill, found.weakest.accuracy) == ("transforms", 0.4)


def test_a_control_is_not_compared_with_itself() -> None:
    arms = [arm({1: [0.5]}, algorithm=name, fill="transforms") for name in ("fedavg", "moon")]
    assert made(arms, fill="transforms").verdicts == ()


def test_a_compared_fill_that_was_not_trained_is_remarked() -> None:
    found = made([arm({1: [0.5], 2: [0.5]}), arm({1: [0.5], 2: [0.5]}, fill="iid")], fill="synthetic")
    assert (found.comparisons, found.verdicts) == ((), ())
    assert found.remarks == (
        "no differences are reported: report.fill is 'synthetic', which is not among the trained fills (none, iid)",
    )


def test_a_fill_without_another_is_remarked() -> None:
    found = made([arm({1: [0.5], 2: [0.5]}, fill="synthetic")])
    assert found.remarks == ("no differences are reported: 'synthetic' is the only fill that was trained",)


def test_without_an_arm_without_a_fill_there_is_no_target_which_is_remarked() -> None:
    found = made([arm({1: [0.5], 2: [0.5]}, fill=fill) for fill in ("synthetic", "iid")], target=None)
    assert [one.target for one in found.arms] == [None, None]
    assert found.remarks == (NO_TARGET, ONE_PARTITION)


def test_references_are_listed_by_fill_and_their_weights_are_sent_once() -> None:
    """0.8 and 0.9: mean 0.85, half width 12.7062 * 0.05. 1,000 bytes to each of 4 clients are 0.004 MB, shown as 0."""
    central = [
        arm({1: [0.1, 0.8], 2: [0.1, 0.9]}, fill="central-real", budget="steps"),
        arm({1: [0.7], 2: [0.7]}, fill="central-synthetic", budget="steps"),
    ]
    found = made([arm({1: [0.5], 2: [0.5]}), arm({1: [0.5], 2: [0.5]}, fill="synthetic")], central)
    assert found.references == (
        Reference("central-real", Estimate(0.85, 0.2147, 1.4853, 1, 2), {1: 0.8, 2: 0.9}, 0.0),
        Reference("central-synthetic", Estimate(0.7, 0.7, 0.7, 1, 2), {1: 0.7, 2: 0.7}, 0.0),
    )
    assert found.remarks == (ONE_PARTITION,)


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
        ONE_PARTITION,
    )


def test_nothing_at_all_was_tested() -> None:
    found = made([arm({1: [None]}), arm({1: [None]}, fill="synthetic")])
    assert (found.arms, found.comparisons) == ((), ())
    assert found.remarks == (
        "fedavg, none, equal epochs: seed 1 left out, since no round was tested",
        "fedavg, synthetic, equal epochs: seed 1 left out, since no round was tested",
    )
    assert found.verdicts == ()


def test_one_seed_has_no_interval_which_is_remarked_once() -> None:
    found = made([arm({1: [0.5]}), arm({1: [0.7]}, fill="synthetic")])
    assert found.comparisons[0].difference == Difference(0.2, None, None, 1, 1, None)
    assert found.remarks == ("one seed only: no number has an interval", ONE_PARTITION)


def test_an_arm_of_one_seed_among_others_is_named() -> None:
    found = made([arm({1: [0.5]}), arm({1: [0.7], 2: [0.8]}, fill="synthetic")])
    assert found.comparisons[0].difference == Difference(0.2, None, None, 1, 1, None)
    assert found.remarks[-2] == "one seed only, hence no interval: fedavg, none, equal epochs"


def test_a_loss_that_is_not_finite_is_remarked_and_the_accuracy_counts() -> None:
    """A diverged run is a result, if a bad one: leaving it out would flatter its arm."""
    losses = {2: {1: math.inf, 2: math.nan}}
    found = made([arm({1: [0.5, 0.5], 2: [0.1, 0.1]}, losses=losses), arm({1: [0.5], 2: [0.5]}, fill="synthetic")])
    assert found.arms[0].primary.mean == 0.3
    assert found.remarks[0] == "fedavg, none, equal epochs: the test loss of seed 2 is not finite (first in round 1)"


def test_runs_that_trained_nothing_are_remarked() -> None:
    central = [arm({1: [0.1], 2: [0.1]}, fill="central-synthetic", budget="steps", steps=0)]
    found = made([arm({1: [0.5], 2: [0.5]}), arm({1: [0.5], 2: [0.5]}, fill="synthetic")], central)
    assert found.remarks[0] == (
        "fedavg, central-synthetic, equal steps: no client took a step, so the accuracy is that of the initial weights"
    )


def test_runs_that_end_at_different_rounds_are_remarked() -> None:
    found = made([arm({1: [0.5, 0.6], 2: [0.7]}), arm({1: [0.5], 2: [0.5]}, fill="synthetic")])
    assert found.arms[0].by_seed == {1: 0.6, 2: 0.7}
    assert found.remarks[0] == (
        "fedavg, none, equal epochs: runs end after 1 or 2 rounds, so later points of the curve are means over fewer "
        "seeds"
    )


def test_a_mean_over_fewer_rounds_than_the_end_of_a_run_has_is_remarked() -> None:
    """Seed 1 ended early: of its last three rounds two were tested. Seed 2 had two rounds in all, and both count."""
    found = made([arm({1: [0.5, 0.5, None, 0.5], 2: [0.5, 0.5]}, last_rounds=3)])
    assert found.last_rounds == 2
    assert found.remarks[-1] == (
        "fedavg, none, equal epochs: seed 1 was tested in 2 of its last 3 rounds, its mean is over these"
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
        assert one.difference.low == (
            None if len(common) == 1 else pytest.approx(-(two.difference.high or 0), abs=1e-4)
        )
        assert (one.difference.p, one.difference.clear) == (None, False)


@given(st.dictionaries(st.integers(1, 4), st.lists(st.none() | shares, min_size=1, max_size=5), min_size=1), shares)
def test_costs_fit_the_curves(accuracies: dict[int, list[float | None]], target: float) -> None:
    """Who reaches the target is tested at or above it twice in a row, after 1,500 bytes a round."""
    arms = [arm(accuracies)]
    values = {seed: [value for value in run if value is not None] for seed, run in accuracies.items()}
    reach = [seed for seed, run in values.items() if any(min(pair) >= target for pair in pairwise(run))]
    found = made(arms, target=target, fill="none").arms
    tested = [seed for seed, run in values.items() if run]
    assert [list(one.by_seed) for one in found] == ([tested] if tested else [])
    for one in found:
        assert one.target is not None
        assert one.target.seeds == len(reach)
        assert (one.target.rounds is None) == (not reach)
        assert (one.target.censored_at is None) == (len(reach) == len(tested))
        assert all(at is None or at.bytes == 1_500 * at.round for at in arms[0].reach(target).values())
