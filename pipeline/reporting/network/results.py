"""The numbers of a report on networks as typed values."""

from dataclasses import dataclass

from pydantic import ConfigDict

from pipeline.reporting.network.ranges import Range

_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class OnNetwork:
    """One algorithm, budget and fill on one profile; ranges are over seeds and network draws."""

    __pydantic_config__ = _STRICT

    profile: str
    algorithm: str
    budget: str
    fill: str
    hours: Range | None
    """Until the target, with what is sent before the first round; None without a target."""
    censored_at: int | None
    """The first round at which a run ended that had not reached the target; None if every seed reaches it."""
    before_hours: Range | None
    """Until the last client has its synthetic images; None if nobody is sent any."""
    round_seconds: Range
    """Of a round, mean over a run's rounds."""
    late: float
    """Share of the uploads that no round waits for."""
    budget_hours: float | None
    """The hours that ``accuracy`` is within; None if params.yaml has none and no run without a fill was trained."""
    accuracy: Range | None
    """Of the last test by then; beyond the range if there was none."""
    shorter: float | None
    """Share of the pairs of seed and draw in which this reaches the target before the same seed without a fill does."""
    longer: float | None
    """Share in which it does so later or never; in all others neither reaches it."""


@dataclass(frozen=True)
class WithinBytes:
    """The accuracy of one algorithm, budget and fill within a number of bytes, all clients, both ways."""

    __pydantic_config__ = _STRICT

    algorithm: str
    budget: str
    fill: str
    megabytes: float
    """The budget, of which the synthetic images are sent first."""
    accuracy: Range
    """Of the last test by then, over seeds; beyond the range if there was none."""


@dataclass(frozen=True)
class Pays:
    """What a way to bring synthetic images to the clients costs once, and from which model size on it pays."""

    __pydantic_config__ = _STRICT

    way: str
    """``images``: the server sends them; ``generator``: it sends the generator, and clients draw them."""
    client_megabytes: float
    """Sent once, mean over the clients that are sent any."""
    client_hours: float
    """Of drawing on a client's device, mean over these clients; 0 where the server draws."""
    client_watt_hours: float
    """Likewise, energy."""
    hopeless: bool
    """Whether even no round at all would be too dear: it is more bytes than the control moves until the target."""
    bytes_from: float | None
    """Megabytes of a model's weights from which the fill moves fewer bytes; None if it never does."""
    hours_from: dict[str, float | None]
    """By profile, megabytes of weights from which the fill is faster in the median pair; None if it never is."""
    hours: dict[str, dict[str, Range]]
    """By profile and megabytes of weights, the fill's hours until the target as a share of the control's."""


@dataclass(frozen=True)
class BreakEven:
    """Whether the one-off cost of a fill is less than what it saves until the target accuracy."""

    __pydantic_config__ = _STRICT

    algorithm: str
    budget: str
    fill: str
    control: str
    """The fill without synthetic images that reaches the target first, in the median over seeds."""
    control_algorithm: str
    target: float
    rounds: float | None
    """Until the target, median over seeds; None if half of the seeds do not reach it."""
    control_rounds: float | None
    model_megabytes: float
    """Of the weights that one client receives in one round."""
    ways: tuple[Pays, ...]
