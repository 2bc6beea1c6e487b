"""Replay the recorded rounds of a run on a network: how long each takes, and who does not arrive in time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
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
    flat, options = _Flat.of(run), network.options
    numbers = range(options.draws) if chosen is None else chosen
    parts = np.zeros((5, len(numbers), len(run.rounds)))
    kept = np.zeros((len(numbers), len(flat.client)), np.bool)
    for place, draw in enumerate(numbers):
        times = _times(flat, network, draw)
        kept[place] = _end(flat, times, options, parts[:, place])
    seconds, down, compute, up, waiting = list(parts)
    return Replay(seconds, down, compute, up, waiting, kept, flat.starts)


def clients(run: RunHistory, network: Network, number: int) -> ClientTimes:
    """Return what the participants of round ``number`` (from 1) do in each draw."""
    flat = _Flat.of(run, number)
    parts = np.zeros((5, network.options.draws, 1))
    every = np.stack([_times(flat, network, draw) for draw in range(network.options.draws)], axis=1)
    kept = [_end(flat, every[:, draw], network.options, parts[:, draw]) for draw in range(network.options.draws)]
    return ClientTimes(every[0], every[1], every[2], np.stack(kept))


def distribute(sizes: Sequence[int], network: Network, chosen: Sequence[int] | None = None) -> Floats:
    """Return the seconds, (draw, client), in which each client receives so many bytes once, all at the same time.

    It is what a fill costs before training starts: the shards of each client, or the generator's weights. With
    ``redraw``, links are those of round 0, which comes before all others.
    """
    sent, options = np.asarray(sizes, np.int64), network.options
    share = None if options.server is None else options.server / max(int((sent > 0).sum()), 1)
    number = 0 if options.redraw else None
    found = []
    for draw in range(options.draws) if chosen is None else chosen:
        links = _links(network, draws.uniforms(network.seed, draw, len(sent), number))
        found.append(_over(sent, links.down, links, share, options))
    return np.stack(found)


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


def _times(flat: _Flat, network: Network, draw: int) -> Floats:
    """Return the seconds of down, compute and up of each participation, (3, participation), in one draw."""
    options, count = network.options, int(flat.client.max(initial=-1)) + 1
    if options.redraw:
        every = np.stack([draws.uniforms(network.seed, draw, count, number) for number in flat.numbers.tolist()])
        chosen = every[flat.place, :, flat.client].T
    else:
        chosen = draws.uniforms(network.seed, draw, count)[:, flat.client]
    links = _links(network, chosen)
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
    """Write a draw's seconds, down, compute, up and waiting to ``parts``, (5, round); return who arrives in time."""
    arrival = np.where((flat.up == 0) & (flat.down > 0), np.inf, times.sum(axis=0))  # drop-outs never arrive
    matrix = np.full((len(flat.numbers), int(flat.sizes.max(initial=0)) + 1), np.inf)
    matrix[flat.cells] = arrival
    end = _ends(np.sort(matrix, axis=1), np.isfinite(matrix).sum(axis=1), flat.sizes, options)
    kept = arrival <= end[flat.place]
    matrix[flat.cells] = np.where(kept, arrival, -np.inf)
    matrix[np.isposinf(matrix)] = -np.inf
    someone = np.isfinite(matrix).any(axis=1)
    last = flat.starts[:-1][someone] + matrix.argmax(axis=1)[someone]
    parts[0] = end
    parts[1:4, someone] = times[:, last]
    parts[4] = end
    parts[4, someone] = end[someone] - arrival[last]
    return kept


def _ends(arrivals: Floats, arriving: Int64, sizes: Int64, options: NetworkParams) -> Floats:
    """Return when each round ends, (round,), from its arrivals in ascending order, (round, participant)."""
    wanted = sizes if options.first is None else np.minimum(_wanted(options.first, sizes), sizes)
    if options.deadline is None:
        wanted = np.minimum(wanted, arriving)
    rows = np.arange(len(sizes))
    end = np.where(wanted > 0, arrivals[rows, np.maximum(wanted - 1, 0)], 0.0)
    return end if options.deadline is None else np.minimum(end, options.deadline)


def _wanted(first: float, sizes: Int64) -> Int64:
    """Return how many updates end a round: a number, or a share of the clients of the round, rounded up."""
    if isinstance(first, float):
        return np.array([math.ceil(round(first * size, 9)) for size in sizes.tolist()], np.int64)
    return np.full(len(sizes), first, np.int64)
