"""The sections of results, clients and cost on small histories, whose numbers are derived by hand."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from pipeline.reporting.arms import ArmRuns
from pipeline.reporting.kinds import Fill
from pipeline.reporting.page import Charts, Folded, Section, Shown, Text
from pipeline.reporting.sections import clients, cost, results
from pipeline.reporting.summarise import summarise
from pipeline.reporting.summary import Summary
from tests.reporting.charts.drawn import marks, read, texts, tips
from tests.reporting.histories import arm

PLACES = {"none": 0, "iid": 1, "mine": 2}
NAMES = ("cat", "dog")


FILLS = (Fill("none", "control", 0.0), Fill("iid", "bound", 0.0), Fill("mine", "synthetic", 2.0))


def summed(
    arms: Sequence[ArmRuns],
    target: float | None = None,
    references: Sequence[ArmRuns] = (),
    fills: Sequence[Fill] = FILLS,
) -> Summary:
    return summarise(
        arms, references, target=target, fill="mine", fills=fills, clients=4, class_names=NAMES, manifest="m"
    )


ARMS = [
    arm({1: [0.1, 0.3], 2: [0.1, 0.5]}, fill="none"),
    arm({1: [0.8, 0.8], 2: [0.8, 0.8]}, fill="iid"),
    arm({1: [0.2, 0.6], 2: [0.4, 0.8]}, fill="mine"),
]


def charts(section: Section) -> list[str]:
    return [chart for part in section.parts if isinstance(part, Charts) for chart in part.charts]


def test_accuracies_stand_beside_the_differences_from_the_best_control_and_from_each_fill() -> None:
    """Means of the last round: 40, 80 and 70 percent; mine is 30 above none, with either seed, and 10 below iid.

    iid has images that no client holds, so it is a bound and no control.
    """
    section = results.make(summed(ARMS), PLACES, {"none": "What."}, "passes once", 100)
    accuracy, differences = charts(section)
    assert texts(accuracy, "span", "name")[:3] == ["none", "iid (bound)", "mine"]
    assert [text.partition(" ")[0] for text in texts(accuracy, "span", "value")[:3]] == ["40.0", "80.0", "70.0"]
    assert [one["class"] for one in marks(accuracy, "div", "strong")] == ["row strong"]
    assert texts(differences, "span", "name")[:3] == ["best: no fill with fedavg", "none", "iid"]
    assert texts(differences, "span", "value")[0] == "+30.0 (+30.0 to +30.0)"
    assert tips(differences)[0].endswith("+30.0 to +30.0, 1 partition x 2 seeds")
    assert marks(differences, "div", "strong") == []


def test_differences_of_averaged_weights_are_a_chart_of_their_own() -> None:
    """Seed 1 tested 50, 60 and 90 percent with none, iid and mine: mine is 40 and 30 above."""
    made = []
    for one, share in zip(ARMS, (0.5, 0.6, 0.9), strict=True):
        first = one.runs[1]
        last = replace(first.rounds[-1], averaged=share)
        made.append(replace(one, runs={**one.runs, 1: replace(first, rounds=(*first.rounds[:-1], last))}))
    section = results.make(summed(made), PLACES, {}, "passes once", 100)
    (folded,) = [part for part in section.parts if isinstance(part, Folded) and "averaged" in part.title]
    (drawn,) = [chart for part in folded.parts if isinstance(part, Charts) for chart in part.charts]
    assert texts(drawn, "span", "name")[:2] == ["none", "iid"]
    assert texts(drawn, "span", "value")[:2] == ["+40.0", "+30.0"]
    plain = results.make(summed(ARMS), PLACES, {}, "passes once", 100)
    assert not any(isinstance(part, Folded) and "averaged" in part.title for part in plain.parts)


def test_one_shot_training_stands_beside_the_fills_in_bytes_to_the_target() -> None:
    """1,000 bytes to each of 4 clients and 2 MB of images are 2.0 MB; of two seeds one reaches 40 percent."""
    fills = [*FILLS, Fill("central-synthetic", "synthetic", 2.0), Fill("central-real", "bound", 0.0)]
    shots = [arm({1: [0.9], 2: [0.3]}, fill=name) for name in ("central-synthetic", "central-real")]
    section = cost.make(summed(ARMS, 0.4, shots, fills), PLACES, "1,000")
    (chart,) = charts(section)
    assert texts(chart, "span", "name")[:4] == ["none", "iid", "mine", "one-shot: central-synthetic"]
    assert texts(chart, "span", "value")[3] == "2.0 MB, 1 of 2 seeds"
    never = cost.make(summed(ARMS, 0.95, shots, fills), PLACES, "1,000")
    assert texts(charts(never)[0], "span", "value")[3].startswith("not reached: 60.0")


def test_references_are_a_chart_with_a_caution() -> None:
    central = [arm({1: [0.9]}, fill="central-real")]
    section = results.make(summed(ARMS, references=central), PLACES, {}, "passes once", 1234)
    assert texts(charts(section)[-1], "span", "name")[0] == "central-real"
    assert any(isinstance(part, Text) and "with 1,234 SGD steps" in part.text for part in section.parts)


def test_curves_share_an_axis_and_show_the_target() -> None:
    """The target is what none reaches, 40 percent; a band is from the lowest to the highest of two seeds."""
    (chart,) = charts(results.curves(summed(ARMS), ARMS, PLACES))
    assert tips(chart)[1] == "round 2\niid: 80 (80 to 80)\nmine: 70 (60 to 80)\nnone: 40 (30 to 50)"
    assert "target 40" in texts(chart)


def test_bytes_until_the_target_include_the_images_and_a_target_that_is_never_reached_has_no_bar() -> None:
    """A round moves 1,500 bytes. iid is at 80 percent in both rounds, so after 0.0015 MB; mine has 2 MB of images."""
    arms = [*ARMS[:2], arm({1: [0.7, 0.7]}, fill="mine")]
    (chart,) = charts(cost.make(summed(arms, target=0.65), PLACES, "1,000"))
    assert texts(chart, "span", "value")[:3] == ["not reached by round 2", "0.0 MB", "2.0 MB"]
    assert len(marks(chart, "rect", "bar")) == 2
    assert tips(chart)[2] == "mine: 0.0 MB of weights and 2.0 MB of images; round 1.0; 1 of 1 seeds"


def test_without_a_target_the_section_says_so() -> None:
    section = cost.make(summed([ARMS[2]]), PLACES, "1,000")
    assert [part.text for part in section.parts if isinstance(part, Text)] == [
        "No target: no arm without a fill was trained, and report.target_accuracy is null."
    ]


def test_a_row_over_clients_has_the_values_of_all_seeds_and_marks_mean_and_worst() -> None:
    """Clients see 20, 40 and 60 percent with either seed: mean 40, and the worst tenth of three is one client, 20."""
    seen = dict.fromkeys((1, 2), (0.2, 0.4, 0.6, None))
    one = arm({1: [0.3], 2: [0.3]}, by_class={1: (0.3, 0.3), 2: (0.3, 0.3)}, clients=seen)
    section = clients.make(summed([one]), [one], PLACES, NAMES)
    (chart,) = charts(section)
    assert tips(chart) == ["none: 6 values; worst 10 % 20; mean 40"]
    assert texts(chart, "span", "value")[0] == "40.0, worst 20.0"
    assert [one["x1"] for one in marks(chart, "line", "floor")] == ["20%", "40%"]
    assert any(isinstance(part, Shown) for part in section.parts) is False
    assert read(chart).get("role") == "group"


@pytest.mark.parametrize("section", ["results", "curves", "cost", "clients"])
def test_nothing_trained_is_no_error(section: str) -> None:
    empty = summed([])
    made = {
        "results": lambda: results.make(empty, PLACES, {}, "passes once", 100),
        "curves": lambda: results.curves(empty, [], PLACES),
        "cost": lambda: cost.make(empty, PLACES, "0"),
        "clients": lambda: clients.make(empty, [], PLACES, NAMES),
    }
    assert charts(made[section]()) == []
