from dataclasses import astuple, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.artifacts.history import Participation
from pipeline.reporting import measures
from pipeline.reporting.measures import ClientSpread, Reach
from tests.reporting.histories import run


def test_the_primary_number_is_the_mean_over_the_last_rounds_and_not_the_last_or_the_best() -> None:
    """An oscillation of period 2, read at one phase: the last round has 0.3, the best 0.9, the last four 0.6."""
    found = measures.measure(run([0.1, 0.9, 0.3, 0.9, 0.3], last_rounds=4))
    assert (found.primary, found.primary_rounds, found.last) == pytest.approx((0.6, 4, 0.3))


def test_rounds_without_a_test_are_left_out_of_the_mean_and_counted() -> None:
    """Of the last three rounds two were tested: 0.5 and 0.7. A run shorter than asked for has all its rounds."""
    found = measures.measure(run([0.9, 0.5, None, 0.7], last_rounds=3))
    assert (found.primary, found.primary_rounds) == pytest.approx((0.6, 2))
    short = measures.measure(run([0.2, 0.4], last_rounds=10))
    assert (short.primary, short.primary_rounds) == pytest.approx((0.3, 2))
    late = measures.measure(run([0.9, 0.4, None, None], last_rounds=2))
    assert (late.primary, late.primary_rounds, late.last) == (0.4, 1, 0.4)


def test_the_parts_of_a_central_run_are_no_repetitions_of_its_end() -> None:
    assert measures.measure(run([0.1, 0.5, 0.7, 0.8], last_rounds=1)).primary == 0.8


def test_averaged_weights_are_tested_once_in_the_last_round() -> None:
    made = run([0.4, 0.5])
    rounds = (made.rounds[0], replace(made.rounds[1], averaged=0.8))
    assert measures.measure(replace(made, rounds=rounds)).averaged == 0.8
    assert measures.measure(made).averaged is None


def test_local_work_and_bytes_by_hand() -> None:
    """Round 1: two clients with 10 and 20 samples in 1 and 2 steps, 100 + 200 bytes down, 5 + 6 up; round 2: the first
    alone. Samples (30 + 10) / 2, steps (3 + 1) / 2, bytes down 300 + 100, up 11 + 5.
    """
    one, two = Participation(0, 10, 1, 100, 5), Participation(1, 20, 2, 200, 6)
    made = run([None, 0.5])
    rounds = (replace(made.rounds[0], participants=(one, two)), replace(made.rounds[1], participants=(one,)))
    found = measures.measure(replace(made, rounds=rounds))
    assert (found.samples_per_round, found.steps_per_round) == (20, 2)
    assert (found.bytes_down, found.bytes_up, found.rounds) == (400, 16, 2)


def test_a_run_without_a_tested_round_has_no_numbers() -> None:
    with pytest.raises(ValueError, match="no tested round: none, fedavg, epochs, seed 1"):
        measures.measure(run([None, None]))


def test_the_spread_over_clients_by_hand() -> None:
    """12 clients from 0 to 0.22 in steps of 0.02: 10 % are 1.2, rounded up 2. Worst (0 + 0.02) / 2, best (0.2 + 0.22)
    / 2; mean 0.11; variance 0.02^2 (12^2 - 1) / 12 = 0.0047667.
    """
    found = measures.spread([0.02 * i for i in range(12)])
    assert found is not None
    assert (found.mean, found.worst_tenth, found.best_tenth, found.worst) == pytest.approx((0.11, 0.01, 0.21, 0.0))
    assert found.deviation == pytest.approx(0.0047667**0.5, abs=1e-5)


def test_of_up_to_ten_clients_a_tenth_is_one() -> None:
    """Of 0.1, 0.2 and 0.3: mean 0.2, variance 0.02 / 3."""
    found = measures.spread([0.3, 0.1, 0.2])
    assert found is not None
    assert astuple(found) == pytest.approx((0.2, (0.02 / 3) ** 0.5, 0.1, 0.3, 0.1))
    assert measures.spread([i / 10 for i in range(10)]).worst_tenth == 0  # type: ignore[union-attr]
    assert measures.spread([0.5]) == ClientSpread(0.5, 0.0, 0.5, 0.5, 0.5)


def test_clients_without_an_accuracy_do_not_count() -> None:
    """A client without an image of any tested class has none; in a table it is empty, in an array not a number."""
    assert measures.spread([None, 0.4, float("nan"), 0.6]) == measures.spread([0.4, 0.6])
    assert measures.spread([None, None]) is None
    assert measures.spread([]) is None


def test_a_clients_accuracy_is_the_mean_over_the_last_rounds() -> None:
    """Client 0: (0.2 + 0.6) / 2; client 1 has none; round 1 is not among the last two, and round 9 no round at all."""
    clients = {1: (1.0, None), 2: (0.2, None), 3: (0.6, None), 9: (0.9, None)}
    found = measures.measure(run([0.5, 0.5, 0.5], last_rounds=2), clients)
    assert found.clients is not None
    assert astuple(found.clients) == pytest.approx((0.4, 0.0, 0.4, 0.4, 0.4))
    assert measures.measure(run([0.5, 0.5])).clients is None


def test_a_target_is_reached_by_two_tests_in_a_row_of_which_the_first_counts() -> None:
    """1,500 bytes a round. One test above 0.5 is chance; the tests of rounds 4 and 6 follow each other."""
    made = run([0.1, 0.6, 0.4, 0.5, None, 0.7, 0.2])
    assert measures.reach(made, 0.5) == Reach(4, 6_000)
    assert measures.reach(run([0.1, 0.6, 0.4, 0.7]), 0.5) is None
    assert measures.reach(run([0.9]), 0.5) is None
    assert measures.reach(run([0.5, 0.5]), 0.5) == Reach(1, 1_500)


def test_a_central_run_reaches_a_target_in_no_round() -> None:
    """Its last test counts, not two in a row of parts of one training."""
    made = run([0.6, 0.6, 0.4], last_rounds=1)
    assert measures.reach_once(made, 0.4, 9_000) == Reach(0, 9_000)
    assert measures.reach_once(made, 0.5, 9_000) is None


def test_columns_name_every_number_once() -> None:
    """A table has them in this order, empty where nothing is known."""
    found = measures.measure(run([0.5], last_rounds=1), {1: (0.25, 0.75)}).columns()
    assert list(found) == [
        "primary", "primary_rounds", "last", "averaged", "rounds", "samples_per_round", "steps_per_round",
        "bytes_down", "bytes_up", "clients_mean", "clients_deviation", "clients_worst_tenth", "clients_best_tenth",
        "clients_worst",
    ]  # fmt: skip
    assert (found["clients_mean"], found["averaged"]) == (0.5, None)
    assert measures.measure(run([0.5])).columns()["clients_worst"] is None


shares = st.floats(0, 1)


@given(st.lists(shares, min_size=1, max_size=40))
def test_the_spread_is_in_order(drawn: list[float]) -> None:
    found = measures.spread(drawn)
    assert found is not None
    assert found.worst <= found.worst_tenth + 1e-12
    assert found.worst_tenth <= found.mean + 1e-12
    assert found.mean <= found.best_tenth + 1e-12
    assert found.deviation <= 0.5 + 1e-12


@given(st.lists(st.none() | shares, min_size=1, max_size=12), shares)
def test_what_is_reached_was_tested_twice_and_earlier_pairs_were_not(drawn: list[float | None], target: float) -> None:
    found = measures.reach(run(drawn), target)
    tested = [(number, value) for number, value in enumerate(drawn, 1) if value is not None]
    pairs = [one[0] for one, two in pairwise(tested) if min(one[1], two[1]) >= target]
    assert (found.round if found else None) == (min(pairs) if pairs else None)
    assert found is None or found.bytes == 1_500 * found.round
