from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.network import transfer


def test_bytes_over_bandwidth() -> None:
    """Without a round-trip time 2 MB at 8 Mbit/s take 16 / 8 = 2 s, and no byte takes none."""
    assert transfer.seconds([2_000_000, 0], 8.0, 0.0, 3).tolist() == [2.0, 0.0]


def test_round_trips_come_first_and_only_if_there_is_something_to_send() -> None:
    """The initial window of 14,600 bytes is 2 round trips of 0.25 s at 29,200 bytes/s, so there is no slow start.

    29,200 bytes take 3 x 0.25 + 1 s.
    """
    rate = 29_200 * 8 / 1e6
    assert transfer.seconds([29_200, 0], rate, 0.25, 3).tolist() == pytest.approx([1.75, 0])


def test_slow_start_by_hand() -> None:
    """With 1 s a round trip a link of 29,200 bytes/s has twice the initial window on its way: one round trip of growth.

    In it 14,600 / ln 2 bytes are sent, and 14,600 x (sqrt 2 - 1) / ln 2 in the first half of it. Then come 29,200 more
    in one second.
    """
    rate, unit = 29_200 * 8 / 1e6, 14_600 / log(2)
    found = transfer.seconds([unit, unit * (sqrt(2) - 1), unit + 29_200], rate, 1.0, 0)
    assert found.tolist() == pytest.approx([1.0, 0.5, 2.0])


def test_the_closed_formula_is_the_integral_of_the_rate() -> None:
    """10 MB at 50 Mbit/s and 80 ms: bytes sent by t, summed in steps of 10 microseconds, reach 10 MB at the same t."""
    rate, trip = 50.0, 0.08
    whole = transfer.seconds(10_000_000, rate, trip, 0).item()
    times = np.arange(0, 2 * whole, 1e-5)
    speed = np.minimum(rate * 1e6 / 8, transfer.WINDOW / trip * 2 ** np.minimum(times / trip, 60))
    assert times[np.searchsorted(np.cumsum(speed) * 1e-5, 10_000_000)] == pytest.approx(whole, abs=1e-4)


def test_the_bound_of_mathis_by_hand() -> None:
    """sqrt(1.5 / 0.0006) = 50 segments of 1,460 bytes in each 0.1 s: 5.84 Mbit/s; faster links get no more."""
    assert transfer.rate([100.0, 2.0], 0.1, 0.0006).tolist() == pytest.approx([5.84, 2.0])
    assert transfer.rate(100.0, 0.1, 0.0).tolist() == 100.0
    assert transfer.rate(100.0, 0.0, 0.1).tolist() == 100.0


def test_a_client_gets_no_more_than_the_servers_share() -> None:
    assert transfer.rate([100.0, 2.0], 0.1, 0.0, 5.0).tolist() == [5.0, 2.0]


def time_of(sent: int, mbits: float, trip: float, loss: float, share: float, trips: int) -> float:
    return transfer.seconds(sent, transfer.rate(mbits, trip, loss, share), trip, trips).item()


links = st.tuples(
    st.integers(0, 10**9), st.floats(0.05, 1000), st.floats(0, 1), st.floats(0, 0.5), st.floats(0.01, 1000),
    st.integers(0, 5),
)  # fmt: skip
shares = st.floats(0, 1)


@given(links, shares, shares, shares, shares)
def test_a_better_link_never_costs_time(
    link: tuple[int, float, float, float, float, int], narrow: float, near: float, clean: float, fair: float
) -> None:
    """More bandwidth, a larger share, a shorter round trip, less loss, fewer bytes; each by itself."""
    sent, mbits, trip, loss, share, trips = link
    worse = time_of(*link)
    better = [
        time_of(sent, mbits * (1 + 9 * narrow), trip, loss, share, trips),
        time_of(sent, mbits, trip * near, loss, share, trips),
        time_of(sent, mbits, trip, loss * clean, share, trips),
        time_of(sent, mbits, trip, loss, share * (1 + 9 * fair), trips),
        time_of(int(sent * near), mbits, trip, loss, share, trips),
    ]
    assert max(better) <= worse * (1 + 1e-9)
