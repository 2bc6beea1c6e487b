from dataclasses import replace

import numpy as np

from pipeline.artifacts.holdings import Holdings
from pipeline.artifacts.partition import Source
from pipeline.reporting import tables
from pipeline.reporting.arms import ArmRuns
from pipeline.reporting.summarise import summarise
from pipeline.reporting.summary import Summary
from tests.reporting.histories import arm

NAMES = ("cat", "dog", "owl")


def made(*arms: ArmRuns, fill: str = "mine", names: tuple[str, ...] = NAMES) -> Summary:
    return summarise(arms, [], target=0.5, fill=fill, class_names=names, manifest="m")


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


def test_costs_have_a_row_for_each_arm_and_dashes_where_no_seed_reaches_the_target() -> None:
    """200 rounds of 1,500 bytes are 0.3 MB; of two seeds one reaches 0.5."""
    slow = [*([None] * 199), 0.5]
    table = tables.costs(made(arm({1: slow, 2: [0.1]}), arm({1: [0.1], 2: [0.2]}, fill="mine", budget="steps")))
    assert table.head[3:] == ("seeds that reach it", "rounds", "MB, all clients, both ways")
    assert table.rows == (
        ("fedavg", "none", "equal epochs", "1 of 2", "200.0", "0.3"),
        ("fedavg", "mine", "equal steps", "0 of 2", "-", "-"),
    )


def test_accuracy_over_clients_and_the_worst_class_in_percent() -> None:
    """An arm of which no clients are known has no row."""
    known = arm(
        {1: [0.5], 2: [0.5]},
        clients={1: (0.1, 0.5, 0.95), 2: (0.3, 0.5, 0.85)},
        by_class={1: (0.9, 0.25, None), 2: (0.9, 0.35, None)},
    )
    table = tables.over_clients(made(known, arm({1: [0.5], 2: [0.5]}, fill="mine")))
    assert table.head == ("algorithm", "fill", "budget", "least", "median", "greatest", "worst class")
    assert table.rows == (("fedavg", "none", "equal epochs", "20.0", "50.0", "90.0", "dog 30.0"),)


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
