import re
from collections.abc import Sequence

import pyarrow as pa
import pytest

from pipeline.errors import ArtifactError
from pipeline.reporting import page, sweep_page, sweep_summary, sweep_tables
from tests.reporting import pages
from tests.reporting.charts.drawn import texts
from tests.reporting.test_page import Parsed

AXES = {"alpha": ("0.1", "1")}
KINDS = {"none": "control", "transforms": "control", "synthetic": "synthetic"}


def table(gains: dict[str, Sequence[float]], **more: object) -> pa.Table:
    """Return one run for each partition: none reaches 0.5, transforms 0.52, synthetic 0.5 and its gain, by alpha."""
    rows = list[dict[str, object]]()
    for alpha, found in gains.items():
        for partition, gain in enumerate(found):
            for fill, accuracy in (("none", 0.5), ("transforms", 0.52), ("synthetic", 0.5 + gain)):
                keys = {"alpha": alpha, "cell": len(rows) // 3, "partition_seed": partition, "train_seed": 1}
                names = {"fill": fill, "algorithm": "fedavg", "budget": "steps", "kind": KINDS[fill]}
                rows.append({**keys, **names, "primary": accuracy, **more})
    return pa.Table.from_pylist(rows)


CURVES = pa.Table.from_pylist([])
SIX = (0.20, 0.21, 0.22, 0.20, 0.21, 0.22)
DOUBT = (0.02, -0.3, 0.4, 0.02, 0.03, 0.01)


def rendered(results: pa.Table, curves: pa.Table = CURVES) -> str:
    return page.render(sweep_page.make(
        name="heterogeneity", about="it depends", axes=AXES, results=results, curves=curves, fill="synthetic",
        settings={"digest": "abc"},
    ))  # fmt: skip


def test_the_verdict_comes_first_and_counts_settings_partitions_and_runs() -> None:
    """At alpha 0.1 all six partitions gain 18 to 20 points over transforms, at 1 the gain's sign varies."""
    found = Parsed(rendered(table({"0.1": SIX, "1": DOUBT})))
    text = " ".join(found.text.split())
    assert (
        "heterogeneity: it depends With fedavg at equal steps, synthetic is clearly above the best control in 1 of 2"
        in text
    )
    assert found.items[:4] == [
        "1 of 2 settings clearly above the best control",
        "6 partitions a setting",
        "6 paired replicates a difference",
        "36 runs",
    ]
    assert found.headings == [
        "Gain of synthetic over alpha",
        "Accuracy in each setting",
        "Differences of synthetic from no fill and from the best control",
        "Bytes moved until the target",
        "Clients",
        "Each client alone",
        "Images and skew of the clients",
        "Are the images good?",
        "Time until the target on networks",
        "Accuracy over rounds",
        "What was run",
    ]


@pytest.mark.parametrize(("gains", "kind"), [({"0.1": SIX, "1": SIX}, "clear"), ({"0.1": SIX, "1": DOUBT}, "open")])
def test_a_verdict_is_clear_only_if_every_setting_is(gains: dict[str, Sequence[float]], kind: str) -> None:
    assert f'class="verdict {kind}"' in rendered(table(gains))


def test_a_difference_is_bold_only_where_interval_and_test_agree() -> None:
    found = sweep_summary.summarise(table({"0.1": SIX, "1": DOUBT}), ["alpha"], "synthetic")
    shown = {row[0:1] + row[4:6]: row[6:] for row in sweep_tables.differences(found, ["alpha"], True).rows}
    best, none = "best control: transforms with fedavg", "no fill with fedavg"
    assert {key[:2]: str(key[2]).startswith("<b>") for key in shown} == {
        ("0.1", best): True, ("0.1", none): True, ("1", best): False, ("1", none): False,
    }  # fmt: skip
    ((interval, p, count),) = [rest for key, rest in shown.items() if key[:2] == ("0.1", none)]
    assert (p, count) == (".031", "6 partitions x 1 seed")
    assert interval.startswith("+20.")


def test_fewer_partitions_make_nothing_bold_and_the_page_says_so() -> None:
    text = rendered(table({"0.1": SIX[:3], "1": SIX[:3]}))
    assert '<td class="number"><b>' not in text
    assert "3 partitions" in text


def test_runs_that_never_reach_the_target_are_counted_and_no_number_stands_for_them() -> None:
    """Of six runs of a fill, the first three reach it in round 4, with 2 MB."""
    lines = table({"0.1": SIX}, target=0.6, rounds=30).to_pylist()
    for line in lines:
        reached = line["fill"] == "synthetic" and line["partition_seed"] < 3
        line |= {"target_round": 4 if reached else None, "target_bytes": 2_000_000 if reached else None}
        line |= {"image_bytes": 500_000 if line["fill"] == "synthetic" else 0}
    found = sweep_summary.summarise(pa.Table.from_pylist(lines), ["alpha"], "synthetic")
    rows = {row[3]: row[4:] for row in sweep_tables.targets(found, ["alpha"]).rows}
    assert rows == {
        "none": ("60.0", "0 of 6", "not reached by round 30", "-", "0.0", "-"),
        "transforms": ("60.0", "0 of 6", "not reached by round 30", "-", "0.0", "-"),
        "synthetic": ("60.0", "3 of 6", "4.0 (others: not reached by round 30)", "2.0", "0.5", "2.5"),
    }


def test_bytes_lie_over_an_axis_of_numbers_and_runs_that_never_reach_the_target_are_lower_bounds() -> None:
    """At alpha 1 every run of synthetic moves 2 MB of weights and 0.5 of images. At 0.1 half of them reach it so, the
    others move 9 MB in all: (2 + 9) / 2 + 0.5 = 6. The others never reach it: 9. Values are in order of number.
    """
    lines = table({"1": SIX, "0.1": SIX}, target=0.6, rounds=30, bytes_down=5 * 10**6, bytes_up=4 * 10**6).to_pylist()
    for line in lines:
        mine = line["fill"] == "synthetic"
        reached = mine and (line["alpha"] == "1" or line["partition_seed"] < 3)
        line |= {"target_round": 4 if reached else None, "target_bytes": 2_000_000 if reached else None}
        line |= {"image_bytes": 500_000 if mine else 0}
    names = dict.fromkeys(name for line in lines for name in line)
    text = rendered(pa.Table.from_pylist([dict.fromkeys(names) | line for line in lines]))
    (chart,) = [one for one in re.findall(r'<figure class="chart lines".*?</figure>', text, re.S) if "Cost over" in one]
    tips = [tip.split("&#10;") for tip in re.findall(r'data-tip="(.*?)"', chart)]
    never = "at least: 6 of 6 runs do not reach it by round 30"
    assert tips == [
        [
            "alpha 0.1", f"none: 9, {never}", f"transforms: 9, {never}",
            "synthetic: 6, at least: 3 of 6 runs do not reach it by round 30",
        ],
        ["alpha 1", f"none: 9, {never}", f"transforms: 9, {never}", "synthetic: 2.5"],
    ]  # fmt: skip
    assert len(re.findall(r'class="dot hollow', chart)) == 5
    assert "Cost over" not in rendered(table({"0.1": SIX, "1": SIX}))


def test_clients_alone_floors_and_judges_are_shown() -> None:
    """Six runs; five judges have other weights than the sixth."""
    more = {f"alone_clients_{name}": 0.25 for name in ("mean", "deviation", "worst_tenth", "best_tenth", "worst")}
    more |= {"alone_better": 0.75, "images_real": 10, "real_gini": 0.5, "skew_gini": 0.25, "floor_gini": 0.25}
    more |= {"real_hellinger": 0.75, "skew_hellinger": 0.5, "floor_hellinger": 0.125}
    lines = table({"0.1": SIX}, **more, quality_verdict="good").to_pylist()
    for line in lines:
        line["quality_judge"] = "trained " + ("a" if line["partition_seed"] else "b") * 64
        line["quality_verdict"] = "good" if line["partition_seed"] else "bad"
    found = sweep_summary.summarise(pa.Table.from_pylist(lines), ["alpha"], "synthetic")
    (first, *_) = sweep_tables.alone(found, ["alpha"]).rows
    assert first == ("0.1", "fedavg", "equal steps", "none", *["25.0"] * 5, "-", "75.0", "-")
    (first, *_) = sweep_tables.holdings(found, ["alpha"]).rows
    assert (first[5], first[-1]) == ("0.75 / 0.50 (0.12)", "0.50 / 0.25")
    assert sweep_tables.quality(found, ["alpha"]).rows == (("0.1", "trained (2 digests)", "bad: 1 of 6, good: 5 of 6"),)


def test_what_the_tables_lack_is_said() -> None:
    text = rendered(table({"0.1": SIX, "1": SIX}))
    for sentence in (
        "No target was set.",
        "No accuracy over clients",
        "No images were evaluated.",
        "No curves were kept.",
    ):
        assert sentence in text
    with pytest.raises(ArtifactError, match="lacks the columns kind"):
        rendered(table({"0.1": SIX}).drop_columns(["kind"]))


def test_every_part_is_shown_where_its_columns_are_there() -> None:
    """Two axes, five fills, two algorithms, six partitions: a curve for each of 8 settings and 2 algorithms."""
    text = pages.sweep()
    found = Parsed(text)
    assert "At equal steps: 16 charts" in text
    assert any("worst 10 %" in table_[0] for table_ in found.tables)
    assert any("hellinger, before / with" in table_[0] for table_ in found.tables)
    assert any("agreement" in table_[0] for table_ in found.tables)
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")
    assert "<a " not in text


def test_gains_lie_in_the_order_of_the_axis_and_name_their_controls() -> None:
    text = rendered(table({"1": DOUBT, "0.1": SIX}))
    (chart,) = re.findall(r'<figure class="chart lines".*?</figure>', text, re.S)
    assert texts(chart, kind="mid")[:2] == ["0.1", "1"]
    names = [name.rstrip("0123456789.-") for name in texts(chart, "li")]
    assert sorted(names) == ["no fill with fedavg", "the best control", "transforms with fedavg"]


def test_equal_tables_give_an_equal_page() -> None:
    results = table({"0.1": SIX, "1": DOUBT})
    assert rendered(results) == rendered(results)
