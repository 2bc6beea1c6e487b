"""Hours and budgets of one client: 1,000 bytes at 8 Mbit/s and 500 at 4 Mbit/s take a millisecond each."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.artifacts.history import Participation, Round
from pipeline.reporting.network import hours
from pipeline.reporting.network.one_off import GENERATOR, OneOff
from tests.reporting.histories import run
from tests.reporting.network.cases import case, clock

HOUR = 3600


def test_hours_until_the_target_have_the_images_in_them() -> None:
    """64 images take a second, so a round 1.002 s. Without a fill the target is reached in round 3: 3.006 s.

    With the fill it is reached in round 1, after 2 MB of images at a megabyte a second: 2 + 1.002 s, which is sooner.
    Half of 4 rounds is 2.004 s: by then none has been tested at 30 %, the fill in no round.
    """
    none, mine = case({1: [0.1, 0.3, 0.5, 0.5]}), case({1: [0.5, 0.5, 0.6, 0.6]}, "mine", sent=2_000_000)
    first, second = hours.on_network([none, mine], clock(sample_seconds=1 / 64), None)
    assert first.hours is not None
    assert second.hours is not None
    assert first.hours.median == pytest.approx(3.006 / HOUR, rel=1e-5)
    assert second.hours.median == pytest.approx(3.002 / HOUR, rel=1e-5)
    assert (second.shorter, second.longer, first.shorter) == (1, 0, None)
    assert second.before_hours is not None
    assert second.before_hours.median == pytest.approx(2 / HOUR, rel=1e-5)
    assert first.budget_hours == pytest.approx(2.004 / HOUR, rel=1e-5)
    assert first.accuracy is not None
    assert (first.accuracy.median, first.accuracy.known) == (0.3, 1)
    assert second.accuracy is not None
    assert (second.accuracy.median, second.accuracy.known) == (None, 0)


def test_a_seed_that_never_reaches_the_target_is_counted() -> None:
    """Seed 2 ends in round 2 below it: half of the pairs have a time, so the lower half of the range is known.

    Beside no fill, which reaches it in both: seed 1 is sooner, seed 2 later.
    """
    none, mine = case({1: [0.1, 0.5, 0.5], 2: [0.5, 0.5]}), case({1: [0.5, 0.5, 0.5], 2: [0.1, 0.1]}, "mine")
    found = hours.on_network([none, mine], clock(), None)[1]
    assert found.hours is not None
    assert (found.hours.known, found.hours.high, found.censored_at) == (0.5, None, 2)
    assert found.hours.median == pytest.approx(0.002 / HOUR, rel=1e-5)
    assert (found.shorter, found.longer) == (0.5, 0.5)


def test_neither_sooner_nor_later_where_neither_reaches_it() -> None:
    never = [0.1, 0.1]
    found = hours.on_network([case({1: never}), case({1: never}, "mine")], clock(), None)[1]
    assert (found.shorter, found.longer) == (0, 0)


def test_bytes_of_a_budget_count_the_images_first() -> None:
    """A round moves 1,500 bytes; half of 4 rounds are 3,000. The fill sends 1,500 first, so one round is left."""
    none, mine = case({1: [0.1, 0.3, 0.5, 0.5]}), case({1: [0.4, 0.5, 0.6, 0.6]}, "mine", sent=1_500)
    first, second = hours.within_bytes([none, mine], None)
    assert (first.megabytes, first.accuracy.median, second.accuracy.median) == (0.003, 0.3, 0.4)
    assert hours.within_bytes([mine], None) == []
    assert hours.within_bytes([mine], 0.001)[0].accuracy.known == 0


def test_a_deadline_cuts_rounds_and_counts_who_is_late() -> None:
    """A round of 2 ms ends after 1: its one upload is late in each round and draw."""
    found = hours.on_network([case({1: [0.5, 0.5]})], clock(deadline=0.001), None)[0]
    assert found.late == 1
    assert found.round_seconds.median == pytest.approx(0.001)


def test_equal_rounds_are_replayed_once_and_each_in_its_place() -> None:
    """Client 0 takes part in rounds 1 and 3 (2 ms), nobody in round 2 and at the end: 2, 2, 4, 4 ms."""
    taking = (Participation(0, 64, 1, 1_000, 500),)
    rounds = tuple(Round(number, one) for number, one in enumerate((taking, (), taking, ()), start=1))
    found = clock().rounds(replace(run([0.5]), rounds=rounds))
    assert found.ends.tolist() == [pytest.approx([0.002, 0.002, 0.004, 0.004])] * 2
    assert found.late.tolist() == [[0, 0, 0, 0]] * 2
    assert clock().rounds(replace(run([0.5]), rounds=rounds), 3).ends[0, 0] == pytest.approx(0.006)


def test_a_run_with_drop_outs_is_timed_in_the_draw_of_its_seed() -> None:
    """Seed 1 stands for draw 1; client 1 dropped out, so only client 0 is waited for."""
    taking = (Participation(0, 64, 1, 1_000, 500), Participation(1, 64, 1, 1_000, 0))
    found = clock().rounds(replace(run([0.5]), rounds=(Round(1, taking),)))
    assert (found.draws, found.ends.tolist(), found.late.tolist()) == ((1,), [[pytest.approx(0.002)]], [[0.5]])


def test_clients_that_draw_need_the_generator_first() -> None:
    """1 MB at a megabyte a second, then 3 images of 2 s: 7 s; the client without images needs nothing."""
    once = OneOff(GENERATOR, np.array([1_000_000, 0]), np.array([3, 0]))
    timer = clock(image_seconds=2.0)
    assert timer.before(once).tolist() == [pytest.approx(7)] * 2
    assert timer.drawing_seconds(once) == 6
