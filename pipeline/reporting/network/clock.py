"""When the rounds of recorded runs end on the draws of one profile, and when clients have what is sent first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.artifacts.history import Participation, Round, RunHistory
from pipeline.evaluation.network import draws, replay
from pipeline.evaluation.network.replay import Network
from pipeline.reporting.network.one_off import OneOff
from pipeline.reporting.network.ranges import Float64
from pipeline.reporting.network.timed import Timed


@dataclass(frozen=True)
class Clock:
    """The draws of one profile; equal clients have equal links whatever they send."""

    network: Network
    image_seconds: float
    """Of drawing one image on the reference device; a client takes its slowness times as long."""

    @property
    def profile(self) -> str:
        return self.network.profile.name

    def rounds(self, run: RunHistory, scale: float = 1.0) -> Timed:
        """Return when the rounds of a run end, with ``scale`` times as many bytes both ways.

        Rounds in which the same clients do the same work are equal, unless links are drawn again in each. A run with
        recorded drop-outs is timed in the one draw in which these clients are late.
        """
        chosen = (run.seed,) if has_drop_outs(run) else None
        if self.network.options.redraw:
            rounds, places = list(run.rounds), np.arange(len(run.rounds))
        else:
            first: dict[tuple[Participation, ...], int] = {}
            places = np.array([first.setdefault(done.participants, len(first)) for done in run.rounds], np.int64)
            rounds = [Round(number, clients) for number, clients in enumerate(first, start=1)]
        found = replay.replay(replace(run, rounds=tuple(_scaled(rounds, scale))), self.network, chosen)
        starts, sizes = found.starts[:-1], np.diff(found.starts)
        # An empty last round would start behind all participations.
        missed = np.pad(~found.kept, ((0, 0), (0, 1))).astype(np.float64)
        late = np.where(sizes > 0, np.add.reduceat(missed, starts, axis=1), 0.0) / np.maximum(sizes, 1)
        return Timed(run, np.cumsum(found.seconds[:, places], axis=1), late[:, places], chosen)

    def before(self, one_off: OneOff, chosen: Sequence[int] | None = None) -> Float64:
        """Return when the last client has its synthetic images, seconds (draws,); 0 where none is sent any.

        ``chosen`` are the draws, None stands for all.
        """
        received = replay.distribute(one_off.down.tolist(), self.network, chosen)
        return np.asarray((received + self._drawing(one_off, chosen)).max(axis=1, initial=0.0))

    def drawing_seconds(self, one_off: OneOff) -> float:
        """Return how long a client draws its images, mean over the clients that do and over the draws; 0 for none."""
        drawing = one_off.drawn > 0
        return float(self._drawing(one_off, None)[:, drawing].mean()) if drawing.any() else 0.0

    def _drawing(self, one_off: OneOff, chosen: Sequence[int] | None) -> Float64:
        """Return the seconds in which clients draw their images, (draws, clients)."""
        options, clients = self.network.options, len(one_off.drawn)
        numbers = range(options.draws) if chosen is None else chosen
        if not one_off.drawn.any():
            return np.zeros((len(numbers), clients))
        number = 0 if options.redraw else None
        every = (draws.uniforms(self.network.seed, draw, clients, number) for draw in numbers)
        links = (draws.links(self.network.profile, one, options.coupling, options.compute_spread) for one in every)
        return np.asarray(one_off.drawn * self.image_seconds * np.stack([one.slowness for one in links]))


def has_drop_outs(run: RunHistory) -> bool:
    """Return whether some client dropped out of a round of a run."""
    return any(one.dropped for done in run.rounds for one in done.participants)


def _scaled(rounds: Sequence[Round], scale: float) -> Iterator[Round]:
    """Yield rounds that move more or fewer bytes, none of them rounded to 0."""
    for done in rounds:
        moved = [
            replace(one, bytes_down=_times(one.bytes_down, scale), bytes_up=_times(one.bytes_up, scale))
            for one in done.participants
        ]
        yield done if scale == 1 else replace(done, participants=tuple(moved))


def _times(count: int, scale: float) -> int:
    return max(1, round(count * scale)) if count else 0
