"""The section ``network`` of params.yaml: on which networks recorded rounds are timed, and what a round waits for."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.section import Section
from pipeline.values import MOST, Count, Names, Positive, Share, StrictPositive

Coupling = Literal["quantile", "independent"]
_Time = Annotated[float, Field(gt=0, le=MOST)]


class NetworkParams(Section):
    """How long rounds take; it changes times only, and no training reads it."""

    profiles: Annotated[Names, Field(min_length=1)] = ("world", "US", "mobile", "LAN")
    """Shipped profiles by name, and CSV files by path."""
    coupling: Coupling = "quantile"
    draws: Annotated[Positive, Field(le=10_000)] = 100
    redraw: bool = False
    deadline: _Time | None = None
    first: StrictPositive | Share | None = None
    server: Annotated[float, Field(gt=0, le=MOST)] | None = None
    """Mbit/s, in each direction."""
    round_trips: Count = 3
    loss_bound: bool = False
    sample_seconds: Annotated[float, Field(ge=0, le=MOST)] = 0.001
    compute_spread: Annotated[float, Field(ge=0, le=5)] = 0.7
    budget_hours: _Time | None = None
    budget_megabytes: Annotated[float, Field(gt=0, le=MOST)] | None = None
    generator_megabytes: Annotated[float, Field(gt=0, le=MOST)] = 2132
    image_seconds: Annotated[float, Field(ge=0, le=MOST)] = 15.0
    image_watts: Annotated[float, Field(ge=0, le=MOST)] = 10.0
