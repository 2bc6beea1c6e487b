"""Replay the recorded rounds of a run on a network: how long each takes, and who does not arrive in time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline import progress
from pipeline.artifacts.history import RunHistory
from pipeline.evaluation.network import draws, profiles, transfer
from pipeline.evaluation.network.draws import Floats, Links
from pipeline.evaluation.network.profiles import Profile
from pipeline.network_params import NetworkParams

Int64 = NDArray[np.int64]
_AT_ONCE = 1_000_000
"""Participations, over draws, whose times are in memory together."""


@dataclass(frozen=True)
class Network:
    """A profile, and what else decides times."""

    profile: Profile
    options: NetworkParams
    """Its ``profiles`` are not read."""
    seed: int
    """The root of the draws; with equal seeds all profiles, fills and algorithms have the same draws."""


@dataclass(frozen=True)
class Replay:
    """The times of a run's rounds, in seconds, for each draw of the network."""

    seconds: Floats
    """(draw, round): from the start of a round until the server ends it; the sum of the next four."""
    down: Floats
    """(draw, round): what the last client that counts spends on receiving."""
    compute: Floats
    """(draw, round): and on training."""
    up: Floats
    """(draw, round): and on sending."""
    waiting: Floats
    """(draw, round): what the server waits after it, for clients that do not arrive before the deadline."""
    kept: NDArray[np.bool]
    """(draw, participation): whether a client arrives in time, round after round, clients in order within each."""
    starts: Int64
    """(round + 1,): where each round's participations start in ``kept``."""

    @property
    def elapsed(self) -> Floats:
        """(draw, round): seconds from the start of the run to the end of each round."""
        return np.asarray(np.cumsum(self.seconds, axis=1))


@dataclass(frozen=True)
class ClientTimes:
    """What each participant of one round does, (draw, participant), in seconds."""

    down: Floats
    compute: Floats
    up: Floats
    kept: NDArray[np.bool]


def networks(options: NetworkParams, seed: int, folder: Path = Path()) -> list[Network]:
    """Return a network for each of the profiles that ``options`` name; paths start at ``folder``.

    Raises ParameterError if a profile cannot be used. Says which files have a loss that bounds nothing.
    """
    made = [Network(profiles.load(name, folder), options, seed) for name in options.profiles]
    for one in made:
        own = one.profile.name not in profiles.shipped()
        if own and one.profile.loss is not None and not options.loss_bound:
            progress.say(f"{one.profile.name}: its loss bounds nothing, since network.loss_bound is false")
    return made


def replay(run: RunHistory, network: Network, chosen: Sequence[int] | None = None) -> Replay:
    """Return how long each recorded round takes on a network, in ``chosen`` draws; None: in the first ``draws`` ones.

    A round starts when the server starts to send to all its clients, and ends when the last of them has sent its
    update, when ``first`` of them have, or at the deadline, whatever comes first. A client that arrives at that moment
    counts. One whose drop-out is recorded (it received, and sent nothing) never arrives, and only a deadline waits for
    it. A round without a participant takes no time.

    A draw is known by its number. Drop-outs of training seed s are recorded in draw s, so a run that has them is to be
    replayed in the draw ``run.seed``: in others, other clients are slow.
    """
    flat = _Flat.of(run)
    numbers = tuple(range(network.options.draws) if chosen is None else chosen)
    parts, kept = np.zeros((5, len(numbers), len(run.rounds))), np.zeros((len(numbers), len(flat.client)), np.bool)
    step = max(_AT_ONCE // max(len(flat.client), 1), 1)
    for start in range(0, len(numbers), step):
        some = slice(start, start + step)
        kept[some] = _end(flat, _times(flat, network, numbers[some]), network.options, parts[:, some])
    seconds, down, compute, up, waiting = list(parts)
    return Replay(seconds, down, compute, up, waiting, kept, flat.starts)


def clients(run: RunHistory, network: Network, number: int) -> ClientTimes:
    """Return what the participants of round ``number`` (from 1) do in each draw."""
    flat, draws_ = _Flat.of(run, number), network.options.draws
    times = _times(flat, network, tuple(range(draws_)))
    return ClientTimes(times[0], times[1], times[2], _end(flat, times, network.options, np.zeros((5, draws_, 1))))


def distribute(sizes: Sequence[int], network: Network, chosen: Sequence[int] | None = None) -> Floats:
    """Return the seconds, (draw, client), in which each client receives so many bytes once, all at the same time.

    It is what a fill costs before training starts: the shards of each client, or the generator's weights. With
    ``redraw``, links are those of round 0, which comes before all others. ``chosen`` are draws, as for ``replay``.
    """
    sent, options = np.asarray(sizes, np.int64), network.options
    share = None if options.server is None else options.server / max(int((sent > 0).sum()), 1)
    numbers = tuple(range(options.draws) if chosen is None else chosen)
    drawn = _drawn(network.seed, numbers, len(sent), (0,) if options.redraw else (None,))
    links = _links(network, drawn[:, :, 0, : len(sent)])
    return _over(sent, links.down, links, share, options)


@dataclass(frozen=True)
class _Flat:
    """The participations of a run's rounds in one row, (participation,)."""

    client: Int64
    samples: Int64
    down: Int64
    up: Int64
    place: Int64
    """Which of the rounds, from 0."""
    numbers: Int64
    """Of the rounds, (round,), from 1."""
    starts: Int64
    """(round + 1,)"""

    @classmethod
    def of(cls, run: RunHistory, only: int | None = None) -> "_Flat":
        rounds = [done for done in run.rounds if only is None or done.number == only]
        rows = [
            (one.client, one.samples, one.bytes_down, one.bytes_up, place)
            for place, done in enumerate(rounds)
            for one in done.participants
        ]
        table = np.array(rows, np.int64).reshape(-1, 5)
        starts = np.cumsum([0, *(len(done.participants) for done in rounds)])
        numbers = np.array([done.number for done in rounds], np.int64)
        client, samples, down, up, place = list(table.T)
        return cls(client, samples, down, up, place, numbers, np.asarray(starts, np.int64))

    @property
    def sizes(self) -> Int64:
        """How many participate in each round, (round,)."""
        return np.diff(self.starts)

    @property
    def cells(self) -> tuple[Int64, Int64]:
        """Where each participation is in a matrix (round, participant)."""
        return self.place, np.arange(len(self.place)) - self.starts[self.place]


@lru_cache(maxsize=8)
def _drawn(seed: int, numbers: tuple[int, ...], clients: int, rounds: tuple[int | None, ...]) -> draws.Uniforms:
    """Return the numbers of draws, (channel, draw, round, client), for at least so many clients."""
    count = 1 << max(clients - 1, 0).bit_length()  # so that runs with about as many clients share an array
    found = [[draws.uniforms(seed, draw, count, number) for number in rounds] for draw in numbers]
    return np.array(found, np.uint16).reshape(len(numbers), len(rounds), -1, count).transpose(2, 0, 1, 3)


def _times(flat: _Flat, network: Network, numbers: tuple[int, ...]) -> Floats:
    """Return the seconds of down, compute and up, (3, draw, participation)."""
    options, count = network.options, int(flat.client.max(initial=0)) + 1
    rounds = tuple(flat.numbers.tolist()) if options.redraw else (None,)
    drawn = _drawn(network.seed, numbers, count, rounds)
    if options.redraw:
        links = _links(network, drawn[:, :, flat.place, flat.client])
    else:
        links = _links(network, drawn[:, :, 0]).of(flat.client)
    share = None if options.server is None else options.server / flat.sizes[flat.place]
    return np.stack(
        [
            _over(flat.down, links.down, links, share, options),
            flat.samples * options.sample_seconds * links.slowness,
            _over(flat.up, links.up, links, share, options),
        ]
    )


def _links(network: Network, numbers: draws.Uniforms) -> Links:
    return draws.links(network.profile, numbers, network.options.coupling, network.options.compute_spread)


def _over(sent: Int64, mbits: Floats, links: Links, share: ArrayLike | None, options: NetworkParams) -> Floats:
    """Return the seconds of ``sent`` bytes in one direction of links."""
    loss = links.loss if options.loss_bound else 0.0
    return transfer.seconds(sent, transfer.rate(mbits, links.rtt, loss, share), links.rtt, options.round_trips)


def _end(flat: _Flat, times: Floats, options: NetworkParams, parts: Floats) -> NDArray[np.bool]:
    """Write seconds, down, compute, up and waiting to ``parts``, (5, draw, round); return who arrives in time."""
    arrival = np.where((flat.up == 0) & (flat.down > 0), np.inf, times.sum(axis=0))  # drop-outs never arrive
    shape = (len(arrival), len(flat.numbers), int(flat.sizes.max(initial=0)) + 1)
    matrix = np.full(shape, np.inf)
    matrix[:, *flat.cells] = arrival
    end = _ends(np.sort(matrix, axis=-1), flat.sizes, options)
    kept: NDArray[np.bool] = arrival <= end[:, flat.place]
    matrix = np.full(shape, -np.inf)
    matrix[:, *flat.cells] = np.where(kept, arrival, -np.inf)
    drawn, rounds = np.nonzero(np.isfinite(matrix).any(axis=-1))  # where somebody counts
    last = flat.starts[rounds] + matrix.argmax(axis=-1)[drawn, rounds]
    parts[0] = parts[4] = end
    parts[1:4, drawn, rounds] = times[:, drawn, last]
    parts[4, drawn, rounds] -= arrival[drawn, last]
    return kept


def _ends(arrivals: Floats, sizes: Int64, options: NetworkParams) -> Floats:
    """Return when each round ends, (draw, round), from arrivals in ascending order, (draw, round, participant)."""
    wanted = np.broadcast_to(sizes if options.first is None else _wanted(options.first, sizes), arrivals.shape[:2])
    if options.deadline is None:  # nobody waits for those who never arrive
        wanted = np.minimum(wanted, np.isfinite(arrivals).sum(axis=-1))
    place = np.maximum(wanted - 1, 0)[..., None]
    end = np.where(wanted > 0, np.take_along_axis(arrivals, place, axis=-1)[..., 0], 0.0)
    return end if options.deadline is None else np.minimum(end, options.deadline)


def _wanted(first: float, sizes: Int64) -> Int64:
    """Return how many updates end a round, at most all: a number, or a share of the round's clients, rounded up."""
    if isinstance(first, float):
        return np.array([math.ceil(round(first * size, 9)) for size in sizes.tolist()], np.int64)
    return np.minimum(sizes, first)
