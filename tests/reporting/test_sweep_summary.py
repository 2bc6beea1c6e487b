from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pytest

from pipeline.errors import ArtifactError
from pipeline.reporting import sweep_summary
from pipeline.reporting.statistics import Difference
from pipeline.reporting.sweep_summary import Setting, SweepSummary
from pipeline.reporting.sweep_targets import Reached

KINDS = {"synthetic": "synthetic", "gated": "synthetic", "iid": "bound"}
SIX = range(1, 7)


def rows(
    fill: str,
    base: float,
    *,
    partitions: Iterable[int] = SIX,
    seeds: Iterable[int] = (1, 2),
    spread: float = 0.01,
    algorithm: str = "fedavg",
    budget: str = "steps",
    alpha: str = "0.1",
    **more: Any,
) -> list[dict[str, Any]]:
    """Return a row for each partition and seed: ``base``, higher by ``spread`` for each partition after the first."""
    return [
        {
            "alpha": alpha,
            "partition_seed": partition,
            "train_seed": seed,
            "fill": fill,
            "algorithm": algorithm,
            "budget": budget,
            "kind": KINDS.get(fill, "control"),
            "primary": base + spread * (partition - 1),
            **more,
        }
        for partition in partitions
        for seed in seeds
    ]


def summarise(*parts: list[dict[str, Any]], axes: tuple[str, ...] = ("alpha",)) -> SweepSummary:
    made = [row for part in parts for row in part]
    names = dict.fromkeys(name for row in made for name in row)
    whole = pa.Table.from_pylist([dict.fromkeys(names) | row for row in made])
    return sweep_summary.summarise(whole, axes, "synthetic")


def difference(setting: Setting, fill: str, role: str) -> tuple[str, str, Difference, int]:
    (found,) = [one for one in setting.comparisons if (one.fill, one.role) == (fill, role)]
    return found.control, found.algorithm, found.difference, found.unpaired


def test_a_fill_beside_every_control_over_six_partitions() -> None:
    """Partitions differ by up to 5 points, yet every difference is the same in each: synthetic is 30 points above none,
    20 above transforms and 5 above none with moon, the best control; iid is no control. All six partitions agree, so
    p = 2 / 2^6, and the interval has no width.
    """
    found = summarise(
        rows("none", 0.3), rows("transforms", 0.4), rows("synthetic", 0.6), rows("iid", 0.9),
        rows("none", 0.55, algorithm="moon"), rows("none", 0.9, budget="epochs"),
    )  # fmt: skip
    steps = found.settings[0]
    assert (dict(steps.axes), steps.algorithm, steps.budget) == ({"alpha": "0.1"}, "fedavg", "steps")
    assert [(one.fill, one.kind) for one in steps.fills] == [
        ("none", "control"), ("transforms", "control"), ("synthetic", "synthetic"), ("iid", "bound"),
    ]  # fmt: skip
    assert steps.fills[0].primary.mean == pytest.approx(0.325)
    assert (steps.fills[0].primary.partitions, steps.fills[0].primary.replicates) == (6, 12)
    for role, control, algorithm, gap in (
        ("none", "none", "fedavg", 0.3),
        ("best", "none", "moon", 0.05),
        ("weakest", "none", "fedavg", 0.3),
    ):
        name, of, apart, unpaired = difference(steps, "synthetic", role)
        assert (name, of, unpaired, apart.p, apart.clear) == (control, algorithm, 0, 0.03125, True)
        assert (apart.mean, apart.low, apart.high) == pytest.approx((gap, gap, gap))
    assert [one.control for one in steps.comparisons if (one.fill, one.role) == ("synthetic", "other")] == [
        "transforms",
        "iid",
    ]
    assert difference(steps, "transforms", "best")[:2] == ("none", "moon")
    assert found.headline == steps.sentence
    assert steps.sentence == (
        "With fedavg at equal steps, synthetic beats the best control (no fill with moon) by +5.0 points, "
        "95 % interval +5.0 to +5.0, sign-flip p = .031, 6 partitions x 2 seeds; "
        "from the weakest (no fill with fedavg) the difference is +30.0."
    )
    assert found.remarks[-1].endswith("each at p < .05 by itself: p is not corrected for their number")


def test_a_control_that_does_less_work_competes_at_equal_steps() -> None:
    """none has 0.1 at equal steps and 0.5 at equal epochs, with half the samples: that is the best control of synthetic
    at equal steps, and none at equal steps the weakest. At equal epochs more work does not compete, nor unknown work.
    """
    parts = [
        rows("none", 0.1, samples_per_round=100.0),
        rows("none", 0.5, budget="epochs", samples_per_round=50.0),
        rows("oversample", 0.7, budget="epochs"),
        rows("oversample", 0.2, samples_per_round=100.0),
        rows("synthetic", 0.6, samples_per_round=100.0),
        rows("synthetic", 0.55, budget="epochs", samples_per_round=50.0),
    ]
    steps, epochs = sorted(summarise(*parts).settings, key=lambda one: one.budget, reverse=True)
    assert (steps.verdict is None, epochs.verdict is None) == (False, False)
    best = difference(steps, "synthetic", "best")[2]
    assert best.mean == pytest.approx(0.1)
    assert steps.sentence.startswith(
        "With fedavg at equal steps, synthetic beats the best control (no fill with fedavg at equal epochs) by +10.0"
    )
    assert "from the weakest (no fill with fedavg) the difference is +50.0" in steps.sentence
    assert "the best control (oversample with fedavg) by -15.0" in epochs.sentence


def test_a_setting_without_the_compared_fill_has_no_verdict() -> None:
    (moon,) = summarise(rows("none", 0.3, algorithm="moon")).settings
    assert (moon.verdict, moon.sentence, moon.comparisons) == (None, "", ())


def test_replicates_that_one_side_lacks_are_counted_and_left_out() -> None:
    """Synthetic misses partition 6, and has a seed 3 in partition 1 that none lacks: pairs are 5 x 2, and 2 + 1 are not
    paired. Without pairing the mean difference would not be 0.2.
    """
    found = summarise(
        rows("none", 0.3, spread=0.05),
        rows("synthetic", 0.5, partitions=range(1, 6), spread=0.05) + rows("synthetic", 0.9, partitions=[1], seeds=[3]),
    )
    control, _, apart, unpaired = difference(found.settings[0], "synthetic", "none")
    assert apart.mean == pytest.approx(0.2)
    assert (control, apart.partitions, apart.replicates, unpaired) == ("none", 5, 10, 3)
    assert not apart.clear
    assert found.remarks[:2] == (
        "alpha 0.1, fedavg, equal steps: none has 12 of 13 replicates; differences pair what both have",
        "alpha 0.1, fedavg, equal steps: synthetic has 11 of 13 replicates; differences pair what both have",
    )
    assert found.remarks[-1].endswith(
        "differences are no claims: fewer than 6 partitions: no test can be below p = .05, so this is no claim"
    )


def test_the_headline_counts_settings_and_names_the_least_and_the_greatest_difference() -> None:
    """At alpha 0.1 +30 points, at 1 -10, at 10 the sign changes with the partition."""
    found = summarise(
        rows("none", 0.3), rows("synthetic", 0.6),
        rows("none", 0.3, alpha="1"), rows("synthetic", 0.2, alpha="1"),
        rows("none", 0.5, alpha="10", spread=0.01), rows("synthetic", 0.475, alpha="10", spread=0.02),
    )  # fmt: skip
    assert found.headline == (
        "With fedavg at equal steps, synthetic is clearly above the best control in 1 of 3 settings, clearly below it "
        "in 1, and not clearly different in 1; "
        "the least difference is -10.0 points (alpha 1; 95 % interval -10.0 to -10.0, sign-flip p = .031, "
        "6 partitions x 2 seeds); "
        "the greatest difference is +30.0 points (alpha 0.1; 95 % interval +30.0 to +30.0, sign-flip p = .031, "
        "6 partitions x 2 seeds)."
    )


def test_targets_are_censored_and_other_numbers_are_means() -> None:
    """Of 4 runs 2 reach the target, after 10 and 20 rounds and 1 and 3 MB: means 15 and 2. Empty cells are not 0."""
    made = rows("none", 0.5, partitions=[1], seeds=[1, 2, 3, 4], target=0.4, last=0.25, averaged=None)
    for row, at, moved in ((made[0], 10, 1e6), (made[2], 20, 3e6)):
        row |= {"target_round": at, "target_bytes": moved}
    made[0]["averaged"] = 0.75
    (result,) = summarise(made).settings[0].fills
    assert result.target == Reached(2, 4, 15.0, 2.0)
    assert result.last is not None
    assert result.averaged is not None
    assert (result.last.mean, result.averaged.mean, result.averaged.replicates) == (0.25, 0.75, 1)
    assert (result.numbers["target"], "cell" in result.numbers, "train_seed" in result.numbers) == (0.4, False, False)
    never = summarise(rows("none", 0.5, target=0.4, target_round=None, target_bytes=None)).settings[0].fills[0]
    assert never.target == Reached(0, 12, None, None)
    bare = summarise(rows("none", 0.5)).settings[0].fills[0]
    assert (bare.target, bare.last, bare.averaged) == (None, None, None)


def test_runs_without_a_result_and_repeated_ones_are_said() -> None:
    made = rows("none", 0.5, partitions=[1], seeds=[1])
    found = summarise(made, made, [made[0] | {"primary": None, "train_seed": 2}])
    assert found.remarks[:2] == (
        "1 runs without an accuracy are left out",
        "1 runs repeat a replicate of their setting and are left out",
    )
    assert found.settings[0].fills[0].primary.replicates == 1


def test_a_sweep_without_axes_has_one_point() -> None:
    """Seeds alone are no axis; an empty value of an axis is an empty text."""
    found = summarise(rows("none", 0.3), rows("synthetic", 0.6), axes=())
    assert [setting.title for setting in found.settings] == ["fedavg, equal steps"]
    empty = summarise([row | {"alpha": None} for row in rows("none", 0.3)] + rows("none", 0.3))
    assert [setting.axes["alpha"] for setting in empty.settings] == ["", "0.1"]


def test_a_table_that_lacks_columns_is_refused() -> None:
    table = pa.Table.from_pylist(rows("none", 0.3)).drop_columns(["kind"])
    with pytest.raises(ArtifactError, match="lacks the columns kind, ratio: the sweep's results: run: gen-fedsd sweep"):
        sweep_summary.summarise(table, ["alpha", "ratio"], "synthetic")
    with pytest.raises(ArtifactError, match="kind 'odd' of the fill 'none'"):
        summarise(rows("none", 0.3, kind="odd"))


def test_equal_partitions_count_once_in_whatever_order_the_rows_are() -> None:
    """Six seeds give a setting three partitions, each twice: 3 of 6 runs of each fill count, those of seeds 1 to 3.

    The same digest at another setting is another partition. Another training seed of an equal partition counts, as one
    more run of that partition.
    """
    made = rows("none", 0.5, seeds=[1]) + rows("synthetic", 0.9, seeds=[1])
    for row in made:
        row["partition_digest"] = "abc"[(row["partition_seed"] - 1) % 3]
    other = [row | {"alpha": "1"} for row in made if row["partition_seed"] in (4, 5)]
    second = [row | {"train_seed": 2} for row in made if row["partition_seed"] == 4]
    for parts in (made + other + second, second + other + made[::-1]):
        found = summarise(parts)
        by_alpha = {setting.axes["alpha"]: setting for setting in found.settings}
        values = by_alpha["0.1"].fills[0].values
        assert set(values) == {(1, 1), (2, 1), (3, 1), (1, 2)}
        assert set(by_alpha["1"].fills[0].values) == {(4, 1), (5, 1)}
        assert found.remarks[0] == (
            "6 runs are left out: another partition seed gave their setting a partition that it has already, which "
            "counts once"
        )


def test_a_fill_has_one_kind_whatever_its_first_row_is() -> None:
    """Where the ratio is 0 the synthetic fill adds nothing: its runs are those of a control, yet it is none.

    So of the two other fills, none is the only control of transforms; with the kind of the first row it would be gated.
    """
    gated = rows("gated", 0.6)
    for row in gated[:3]:
        row["kind"] = "control"
    made = rows("none", 0.3), rows("transforms", 0.4), gated, rows("iid", 0.9, kind="synthetic")
    found = summarise(*made, rows("gated", 0.6, kind="control", alpha="1"), rows("iid", 0.9, alpha="1"))
    kinds = {(setting.axes["alpha"], one.fill): one.kind for setting in found.settings for one in setting.fills}
    assert (kinds["0.1", "gated"], kinds["1", "gated"], kinds["0.1", "iid"]) == ("synthetic", "synthetic", "bound")
    assert difference(found.settings[0], "transforms", "best")[0] == "none"


def test_central_runs_are_results_and_compared_with_nothing() -> None:
    """The table writes their budget as steps, since they are trained by steps: 2,000, and not those of the others."""
    found = summarise(
        rows("none", 0.3), rows("synthetic", 0.6),
        rows("central-real", 0.9, kind="bound", central=True), rows("pooled", 0.2, kind="control", central=True),
    )  # fmt: skip
    (setting,) = found.settings
    assert [(one.fill, one.central) for one in setting.fills] == [
        ("none", False), ("synthetic", False), ("central-real", True), ("pooled", True),
    ]  # fmt: skip
    assert {(one.fill, one.control) for one in setting.comparisons} == {("synthetic", "none")}
    assert setting.verdict is not None
    assert setting.verdict.best.fill == setting.verdict.weakest.fill == "none"
    assert (
        "central-real, pooled: trained centrally, with other work than any budget; shown, and compared with none"
        in found.remarks
    )


def test_each_difference_is_one_test_whatever_roles_it_plays() -> None:
    """Three fills with fedavg (a0, at, as), two with fedadam (d0, ds); d0 is the best control of all, a0 the weakest.

    as: d0 (best), a0 (no fill, and weakest), at. at: d0, a0 (twice). a0: at. ds: d0 (no fill, and best), a0. d0: at. So
    12 differences are listed, of 7 pairs: as-d0, as-a0, as-at, at-d0, at-a0, ds-d0, ds-a0.
    """
    found = summarise(
        rows("none", 0.3), rows("transforms", 0.4), rows("synthetic", 0.6),
        rows("none", 0.5, algorithm="fedadam"), rows("synthetic", 0.7, algorithm="fedadam"),
    )  # fmt: skip
    assert sum(len(setting.comparisons) for setting in found.settings) == 12
    assert found.remarks[-1].startswith("7 differences are tested, each at p < .05 by itself")


def test_a_best_control_of_one_algorithm_is_called_that() -> None:
    """Algorithms that trained no control, and controls of another budget, do not compete."""
    told = "the best control is the best of fedavg only: no control was trained with another algorithm"
    alone = rows("none", 0.3), rows("synthetic", 0.6), rows("synthetic", 0.6, algorithm="moon")
    assert told in summarise(*alone).remarks
    assert told not in summarise(*alone, rows("none", 0.2, algorithm="moon")).remarks
    assert not [one for one in summarise(rows("none", 0.3)).remarks if one.startswith("the best control")]


def test_texts_of_the_table_are_counted() -> None:
    """Two partitions of two seeds each: three runs are good, one is not."""
    made = rows("none", 0.5, partitions=[1, 2], quality_verdict="good")
    made[0]["quality_verdict"] = "bad"
    (result,) = summarise(made).settings[0].fills
    assert result.texts == {"quality_verdict": {"bad": 1, "good": 3}}
