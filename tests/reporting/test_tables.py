from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.artifacts.alone import Alone
from pipeline.artifacts.holdings import Holdings
from pipeline.artifacts.partition import Source
from pipeline.reporting import tables
from pipeline.reporting.arms import ArmRuns
from pipeline.reporting.kinds import Fill
from pipeline.reporting.summarise import summarise
from pipeline.reporting.summary import Summary
from tests.reporting.histories import arm

NAMES = ("cat", "dog", "owl")


def made(*arms: ArmRuns, fill: str = "mine", names: tuple[str, ...] = NAMES, **more: Any) -> Summary:
    """Return the summary; the fill mine and the reference central-synthetic have 2.5 MB of synthetic images."""
    fills = [Fill("none", "control", 0.0), Fill("mine", "synthetic", 2.5), Fill("central-synthetic", "synthetic", 2.5)]
    given: dict[str, Any] = {"references": [], "target": 0.5} | more
    return summarise(arms, fill=fill, fills=fills, clients=1_000, class_names=names, manifest="m", **given)


def test_results_have_fills_then_differences_and_a_table_for_each_algorithm_and_budget() -> None:
    """The mean of the last two rounds beside the last one; 64 samples and 7 steps a round. Seeds agree, so intervals
    have no width; one seed has none.
    """
    arms = [
        arm({1: [0.2, 0.4], 2: [0.2, 0.4]}, steps=7, last_rounds=2),
        arm({1: [0.5, 0.7], 2: [0.5, 0.7]}, fill="mine", last_rounds=2),
        arm({1: [0.9]}, fill="iid", budget="steps", last_rounds=2),
    ]
    arms = [_with_averaged(one, share) for one, share in zip(arms, (0.45, 0.75, 0.95), strict=True)]
    central = arm({1: [0.8]}, fill="central-real", budget="steps")
    epochs, steps, references = tables.results(made(*arms, references=[central]))
    assert (epochs.title, epochs.differences) == ("fedavg, equal epochs", 1)
    assert epochs.head == (
        "fill", "mean of the last 2 rounds", "last round", "averaged weights", "samples a round", "steps a round",
        "replicates", "p",
    )  # fmt: skip
    two, one = "1 partition x 2 seeds", "1 partition x 1 seed"
    assert epochs.rows == (
        ("none", "30.0 (30.0 to 30.0)", "40.0 (40.0 to 40.0)", "45.0", "64", "7", two, "-"),
        ("mine", "60.0 (60.0 to 60.0)", "70.0 (70.0 to 70.0)", "75.0", "64", "2", two, "-"),
        ("mine - none", "+30.0 (+30.0 to +30.0)", "-", "+30.0", "-", "-", two, "-"),
    )
    assert (steps.title, steps.rows) == ("fedavg, equal steps", (("iid", "90.0", "90.0", "95.0", "64", "2", one, "-"),))
    assert references.rows == (("central-real", "80.0", one),)


def _with_averaged(one: ArmRuns, share: float) -> ArmRuns:
    """Return an arm whose first seed tested the average of its weights."""
    *rounds, last = one.runs[1].rounds
    tested = replace(one.runs[1], rounds=(*rounds, replace(last, averaged=share)))
    return replace(one, runs={**one.runs, 1: tested})


def test_a_difference_of_averaged_weights_is_of_the_seeds_that_tested_them_with_both_fills() -> None:
    """Seed 1 only: +20 points. With other seeds there is none. From 6 partitions on a difference has a p."""
    arms = [arm({1: [0.5], 2: [0.5]}), arm({1: [0.6], 2: [0.6]}, fill="mine")]
    both = made(_with_averaged(arms[0], 0.6), _with_averaged(arms[1], 0.8))
    found = both.comparisons[0].averaged
    assert found is not None
    assert (found.mean, found.replicates) == (0.2, 1)
    lone = made(_with_averaged(arms[0], 0.6), arms[1])
    assert lone.comparisons[0].averaged is None
    assert tables.results(lone)[0].rows[-1][3] == "-"
    sure = replace(both.comparisons[0], difference=replace(both.comparisons[0].difference, partitions=6, p=0.03125))
    assert tables.results(replace(both, comparisons=(sure,)))[0].rows[-1][-1] == ".031"


def test_without_references_there_is_no_table_of_them() -> None:
    assert [table.title for table in tables.results(made(arm({1: [0.5]})))] == ["fedavg, equal epochs"]


def test_images_of_each_fill_by_hand() -> None:
    """Two clients of three classes. Client 0 has a cat and a dog, client 1 an owl.

    The first fill adds nothing: 2 and 1 real images, 3 of 6 cells. The second one repeats the dog three times: 3 added.
    The third holds an image of each class at both clients, and the real ones of client 0: 2 real, 6 added.
    """
    none = np.empty(0, np.int64)

    def held(fill: str, real: list[list[int]], drawn: int, counts: list[list[int]]) -> Holdings:
        rows = {
            "real": tuple(np.array(own, np.int64) for own in real),
            "drawn": (np.arange(drawn), np.arange(drawn)) if drawn else (none, none),
        }
        sources = {"real": Source("a", 9), "drawn": Source("b", 3)}
        each = np.ones(2, np.int64)
        return Holdings(
            fill, sources, rows, {"steps": each}, each, (0.0,) * 3, (1.0,) * 3, None, NAMES, 8, np.array(counts)
        )

    table = tables.images(
        [
            held("none", [[0, 4], [2]], 0, [[1, 1, 0], [0, 0, 1]]),
            held("again", [[0, 4, 4, 4, 4], [2]], 0, [[1, 4, 0], [0, 0, 1]]),
            held("drawn", [[0, 4], []], 3, [[2, 2, 1], [1, 1, 1]]),
        ],
        "real",
    )
    assert table.rows == (
        ("none", "3", "0", "1 to 1", "3 of 6 (50 %)"),
        ("again", "3", "3", "1 to 4", "3 of 6 (50 %)"),
        ("drawn", "2", "6", "2 to 3", "6 of 6 (100 %)"),
    )


def test_costs_say_who_reaches_the_target_and_until_when_the_others_did_not() -> None:
    """200 rounds of 1,500 bytes are 0.3 MB; of two seeds one reaches 0.5, the other ended at round 1. One-shot training
    reaches it with one seed of two: its weights go to 1,000 clients once, 1,000 bytes each, 1 MB, and all synthetic
    images to one place.
    """
    slow = [*([None] * 199), 0.5, 0.5]
    arms = (
        arm({1: slow, 2: [0.1]}),
        arm({1: [0.5, 0.5]}, fill="mine"),
        arm({1: [0.1], 2: [0.2, 0.9]}, fill="mine", budget="steps"),
    )
    central = [arm({1: [0.5], 2: [0.4]}, fill=name, budget="steps") for name in ("central-real", "central-synthetic")]
    table = tables.costs(made(*arms, references=central))
    assert table.head[3:] == (
        "target", "seeds that reach it", "rounds", "MB, all clients, both ways", "MB of images, once", "MB in all",
    )  # fmt: skip
    once = ("one-shot", "central-synthetic", "-", "50.0", "1 of 2", "0", "1.0", "2.5", "3.5")
    assert table.rows == (
        ("fedavg", "none", "equal epochs", "50.0", "1 of 2", "200.0 (others: not reached by round 1)",
         "0.3", "0.0", "0.3"),
        ("fedavg", "mine", "equal epochs", "50.0", "1 of 1", "1.0", "0.0", "2.5", "2.5"),
        once,
        ("fedavg", "mine", "equal steps", "50.0", "0 of 2", "not reached by round 1", "-", "2.5", "-"),
        once,
    )  # fmt: skip


def test_a_one_shot_training_below_the_target_is_said() -> None:
    central = arm({1: [0.4]}, fill="central-synthetic", budget="steps")
    rows = tables.costs(made(arm({1: [0.5]}), references=[central])).rows
    assert rows[1] == ("one-shot", "central-synthetic", "-", "50.0", "0 of 1", "not reached", "1.0", "2.5", "3.5")


def test_arms_without_a_target_have_no_row() -> None:
    assert tables.costs(made(arm({1: [0.5]}, fill="mine"), target=None)).rows == ()


def test_accuracy_over_clients_and_the_worst_class_in_percent() -> None:
    """An arm of which no clients are known has no row. Means 0.5 and 0.6; squares of distances from them
    0.16 + 0.01 + 0.25 = 0.42 and 0.09 + 0.04 + 0.01 = 0.14.
    """
    known = arm(
        {1: [0.5], 2: [0.5]},
        clients={1: (0.1, 0.4, 1.0), 2: (0.3, 0.8, 0.7)},
        by_class={1: (0.9, 0.25, None), 2: (0.9, 0.35, None)},
    )
    table = tables.over_clients(made(known, arm({1: [0.5], 2: [0.5]}, fill="mine")))
    assert table.head == (
        "algorithm", "fill", "budget", "mean", "deviation", "worst 10 %", "best 10 %", "worst", "worst class",
    )  # fmt: skip
    deviation = 50 * ((0.42 / 3) ** 0.5 + (0.14 / 3) ** 0.5)
    assert table.rows == (
        ("fedavg", "none", "equal epochs", "55.0", f"{deviation:.1f}", "20.0", "90.0", "20.0", "dog 30.0"),
    )


def test_clients_alone_beside_the_same_clients_in_a_federation() -> None:
    """Alone, client 0 has 0.9 on its labels and 0.3 on all, client 1 has 0.5 and 0.2. In the federation they have 0.8
    and 0.6, and the model 0.4: on its own labels only client 1 is better off, on the whole test both are. Nobody ran
    the fill mine in a federation at equal epochs.
    """
    models = [
        Alone("none", "epochs", 1, 0, 0.9, 0.3),
        Alone("none", "epochs", 1, 1, 0.5, 0.2),
        Alone("mine", "epochs", 1, 0, None, 0.5),
    ]
    table = tables.alone(made(arm({1: [0.4]}, clients={1: (0.8, 0.6)}), alone=models))
    assert table.head[7:] == ("whole test", "federation", "better off, own labels", "better off, whole test")
    assert table.rows == (
        ("none", "equal epochs", "70.0", "20.0", "50.0", "90.0", "50.0", "25.0", "fedavg", "50.0", "100.0"),
        ("mine", "equal epochs", "-", "-", "-", "-", "-", "50.0", "-", "-", "-"),
    )


def test_accuracy_by_class_has_a_table_for_each_budget_and_a_column_for_each_fill() -> None:
    """The mean over seeds: cat (0.2 + 0.4) / 2. A fill whose classes are unknown has no column."""
    both = {1: [0.5], 2: [0.5]}
    arms = [
        arm(both, by_class={1: (0.2, 0.5, None), 2: (0.4, 0.5, None)}),
        arm(both, fill="mine", by_class={1: (0.6, 1.0, None), 2: (0.6, 1.0, None)}),
        arm(both, fill="iid"),
        arm(both, fill="mine", budget="steps", by_class={1: (0.0, 0.1, 0.2), 2: (0.0, 0.1, 0.2)}),
    ]
    epochs, steps = tables.by_class(made(*arms), arms, NAMES)
    assert (epochs.title, epochs.head) == ("fedavg, equal epochs", ("class", "none", "mine"))
    assert epochs.rows == (("cat", "30.0", "60.0"), ("dog", "50.0", "100.0"), ("owl", "-", "-"))
    assert (steps.title, steps.head) == ("fedavg, equal steps", ("class", "mine"))
    assert steps.rows == (("cat", "0.0"), ("dog", "10.0"), ("owl", "20.0"))


def test_without_accuracies_by_class_there_is_no_table() -> None:
    one = arm({1: [0.5]})
    assert tables.by_class(made(one), [one], NAMES) == []


def test_of_many_classes_the_worst_of_the_compared_fill_are_shown_and_the_title_says_so() -> None:
    """32 classes: class i is recognised to i / 100 by the compared fill, except one without test images.

    The 30 lowest are all but that one and the class 31; the other fill, whose order is the reverse, decides nothing.
    """
    names = tuple(f"class-{i}" for i in range(32))
    rising = tuple(None if i == 5 else i / 100 for i in range(32))
    falling = tuple(1 - i / 100 for i in range(32))
    arms = [arm({1: [0.5]}, by_class={1: falling}), arm({1: [0.5]}, fill="mine", by_class={1: rising})]
    (table,) = tables.by_class(made(*arms, names=names), arms, names)
    assert table.title == "fedavg, equal epochs: 30 of 32 classes, those recognised worst"
    assert [row[0] for row in table.rows] == [f"class-{i}" for i in range(31) if i != 5]
    assert table.rows[1] == ("class-1", "99.0", "1.0")


def test_without_the_compared_fill_the_first_decides_which_classes_are_shown() -> None:
    names = tuple(f"class-{i}" for i in range(31))
    falling = tuple(1 - i / 100 for i in range(31))
    arms = [arm({1: [0.5]}, by_class={1: falling})]
    (table,) = tables.by_class(made(*arms, names=names), arms, names)
    assert [row[0] for row in table.rows] == [f"class-{i}" for i in range(1, 31)]


def test_each_algorithm_has_tables_of_its_own() -> None:
    one = arm({1: [0.5]}, by_class={1: (0.1, 0.2, 0.3)})
    arms = [one, replace(one, algorithm="moon")]
    assert [table.title for table in tables.by_class(made(*arms), arms, NAMES)] == [
        "fedavg, equal epochs",
        "moon, equal epochs",
    ]
