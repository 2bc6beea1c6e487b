"""How long bytes take over a link: closed formulas, for arrays of any shape."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

SEGMENT = 1460
"""Bytes of payload in a TCP segment: Ethernet's 1,500 less 20 for IPv4 and 20 for TCP."""
WINDOW = 10 * SEGMENT
"""Bytes that a sender may send before the first acknowledgement (RFC 6928)."""
MATHIS = 1.5**0.5
"""The constant C for losses at even distances and an acknowledgement of each segment (Mathis et al.)."""


def rate(mbits: ArrayLike, rtt: ArrayLike, loss: ArrayLike = 0.0, share: ArrayLike | None = None) -> Floats:
    """Return the Mbit/s that a link gives one transfer.

    It is the least of the link's bandwidth, the server's ``share`` for one client (Mbit/s; None: no limit), and what
    TCP reaches with this ``rtt`` (seconds) and ``loss`` (share of packets): SEGMENT / rtt * C / sqrt(loss), from
    Mathis, Semke, Mahdavi and Ott, "The Macroscopic Behavior of the TCP Congestion Avoidance Algorithm", 1997.
    """
    with np.errstate(divide="ignore", over="ignore"):  # infinite: no bound
        bound = 8e-6 * SEGMENT * MATHIS / (np.asarray(rtt, np.float64) * np.sqrt(loss))
    limited = np.minimum(np.asarray(mbits, np.float64), bound)
    return limited if share is None else np.minimum(limited, share)


def seconds(sent: ArrayLike, mbits: ArrayLike, rtt: ArrayLike, round_trips: int) -> Floats:
    """Return the seconds that ``sent`` bytes take at ``mbits`` (of ``rate``), with ``rtt`` in seconds; 0 for no byte.

    First come ``round_trips`` round trips, which set the connection up. Then the sender starts slowly: its rate is
    WINDOW / rtt at first and doubles with each round trip until it is that of the link (slow start, as a continuous
    function of time). So until it has the link's rate b (bytes a second) it sends (b * rtt - WINDOW) / ln 2 bytes in
    rtt * log2(b * rtt / WINDOW) seconds.
    """
    count, trip = np.asarray(sent, np.float64), np.asarray(rtt, np.float64)
    speed = np.asarray(mbits, np.float64) * 1e6 / 8
    growth = np.maximum(speed * trip / WINDOW, 1.0)
    slow = np.minimum(count, WINDOW * (growth - 1) / np.log(2))
    starting = trip * np.log2(1 + slow * np.log(2) / WINDOW)
    return np.where(count > 0, round_trips * trip + starting + (count - slow) / speed, 0.0)
