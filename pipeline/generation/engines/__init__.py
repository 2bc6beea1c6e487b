"""Engines: who renders the batches, inline in this process or in one worker process for each device."""

from pipeline.generation.engines.engine import Batch, Engine, Rendered
from pipeline.generation.engines.inline import Inline
from pipeline.generation.engines.processes import Processes
from pipeline.generation.model import ResolvedModel

__all__ = ["Batch", "Engine", "Inline", "Processes", "Rendered", "make"]


def make(model: ResolvedModel, devices: list[str]) -> Engine:
    """Return the engine for these devices: one renders inline, several in a process each."""
    return Inline(model, devices[0]) if len(devices) == 1 else Processes(model, devices)
