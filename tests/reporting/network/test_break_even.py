"""When a fill pays, derived by hand for one client: a round of W MB of weights takes 2 W seconds and moves 1.5 W MB."""

import pytest

from pipeline.reporting.network import tables
from pipeline.reporting.network.break_even import break_even
from pipeline.reporting.network.by_size import LARGEST, sizes
from pipeline.reporting.network.results import BreakEven
from tests.reporting.network.cases import case, clock

SLOW, FAST = [0.1, 0.3, 0.5, 0.5], [0.5, 0.5, 0.6, 0.6]


def found(sent: int, fast: list[float], slow: list[float]) -> BreakEven:
    mine = case({1: fast}, "mine", sent=sent)
    made = break_even(mine, [case({1: slow})], [mine.one_off], [clock()], 10.0)
    assert made is not None
    return made


def test_a_fill_pays_from_the_size_at_which_rounds_cost_more_than_images() -> None:
    """2 rounds are saved, 3 W MB and 4 W s. 2 MB of images in 2 s pay from W = 2/3 MB in bytes, 1/2 MB in time.

    Weights of 0.001 MB move 0.0045 MB in the control's three rounds, less than 2 MB: hopeless. With 5 MB the fill needs
    2 + 10 s, the control 30 s.
    """
    made = found(2_000_000, FAST, SLOW)
    (way,) = made.ways
    assert (made.rounds, made.control_rounds, made.model_megabytes, way.hopeless) == (1, 3, 0.001, True)
    assert (way.bytes_from, way.client_megabytes) == (0.67, 2)
    assert way.hours_from["even"] == pytest.approx(0.5, rel=0.03)
    assert way.hours["even"]["5"].median == pytest.approx(12 / 30, rel=1e-4)
    text = tables.sentence(made, way)
    assert "never pays for weights of 0.001 MB" in text
    assert "it saves bytes from 0.67 MB of weights on" in text


def test_a_fill_that_saves_no_round_never_pays() -> None:
    (way,) = found(1_000, SLOW, SLOW).ways
    assert (way.bytes_from, way.hours_from) == (None, {"even": None})
    assert "That never pays" in tables.sentence(found(1_000, SLOW, SLOW), way)


def test_a_fill_that_never_reaches_the_target_never_pays_and_is_sooner_in_no_pair() -> None:
    (way,) = found(1_000, [0.1, 0.1], SLOW).ways
    assert (way.bytes_from, way.hours_from["even"], way.hours["even"]["5"].median) == (None, None, None)


def test_a_control_that_never_reaches_it_counts_with_all_its_rounds() -> None:
    """4 rounds, of which the fill saves 3: 4.5 W MB against 2 MB pay from 0.44 MB on."""
    made = found(2_000_000, FAST, [0.1] * 4)
    assert (made.control_rounds, made.ways[0].bytes_from) == (None, 0.44)


def test_the_control_is_the_one_that_reaches_the_target_first_whatever_its_algorithm() -> None:
    mine = case({1: FAST}, "mine", sent=1)
    rivals = [case({1: SLOW}), case({1: [0.1, 0.5, 0.5]}, algorithm="fedadam"), case({1: [0.1]}, "oversample")]
    made = break_even(mine, rivals, [mine.one_off], [clock()], 10.0)
    assert made is not None
    assert (made.control, made.control_algorithm, made.control_rounds) == ("none", "fedadam", 2)


def test_nothing_to_compare_with_is_no_answer() -> None:
    mine = case({1: FAST}, "mine", sent=1)
    assert break_even(mine, [], [mine.one_off], [clock()], 10.0) is None
    assert break_even(mine, [case({2: SLOW})], [mine.one_off], [clock()], 10.0) is None
    assert break_even(case({1: FAST}, target=None), [case({1: SLOW})], [mine.one_off], [clock()], 10.0) is None


def test_the_sizes_shown_have_the_runs_own_in_place_of_one_near_it() -> None:
    assert sizes(0.25) == [0.25, 1, 5, 45, 100, 350]
    assert sizes(44.7) == [1, 5, 44.7, 100, 350]
    assert max(sizes(0.25)) < LARGEST
