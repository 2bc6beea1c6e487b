"""Command ``status --estimate``: what the images of each deficit rule would cost, before anything is rendered."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline import energy
from pipeline.artifacts import partition
from pipeline.clients.deficits import RULES, deficits
from pipeline.errors import GenerationError, PipelineError
from pipeline.generation import model, rates
from pipeline.generation.costs import gpus, look_up, stored
from pipeline.generation.costs.gpus import Device
from pipeline.generation.costs.look_up import Found
from pipeline.generation.costs.model_cost import ModelCost
from pipeline.generation.devices import cores, resolve_dtype
from pipeline.generation.pool import Pool
from pipeline.generation.recipe import Recipe
from pipeline.params import Params
from pipeline.workspace import Workspace

SHARINGS = ("own", "common")
FIXED = 100
"""Images of each class of the rule ``fixed`` where params.yaml names no number."""


@dataclass(frozen=True)
class Choice:
    """The images of one deficit rule and one way of sharing."""

    rule: str
    sharing: str
    """``own``: each client has its own images; ``common``: clients share them."""
    current: bool
    """Whether params.yaml asks for it."""
    planned: int
    """Images of all clients; one that several clients share counts for each of them."""
    distinct: int
    """Images to render."""
    images_per_class: int | None = None
    """Of the rule ``fixed``."""


@dataclass(frozen=True)
class DeviceCost:
    """What one image costs on one device."""

    name: str
    seconds: float
    """For one image."""
    joules: float
    """For one image."""
    dtype: str
    """In which it would compute."""
    memory: float | None
    """Bytes that the model and a batch take; None if only the rate is known."""
    capacity: float | None
    """Bytes that the device has."""
    peak: float | None
    """Operations a second at most, in ``dtype``."""
    used: float | None
    """The share of it that is reached."""
    watts: float
    source: str
    """Where peak, utilisation and watts come from, for readers."""


@dataclass(frozen=True)
class Estimate:
    """Images, time, memory and disk of each choice."""

    clients: int
    classes: int
    images: int
    """Real images that clients hold."""
    choices: tuple[Choice, ...]
    bytes_per_image: float
    """Of an encoded image."""
    bytes_source: str
    """Where that comes from, for readers."""
    model: ModelCost | None
    """None if nothing is known of the model, see ``unknown``."""
    unknown: str
    """Why nothing is known of the model, and what to do; empty if it is known."""
    calls: int
    """How often the denoiser is called for a batch."""
    passes: float
    """How often each call passes an image through it: 2 with guidance."""
    batch_size: int
    devices: tuple[DeviceCost, ...]
    """If nothing is known of the model, only those on which its rate was measured."""
    notes: tuple[str, ...] = ()
    """What was assumed, for readers."""

    def pool_bytes(self, choice: Choice) -> float:
        """Return what the pool grows by."""
        return choice.distinct * (self.bytes_per_image + stored.POOL_ROW)

    def shard_bytes(self, choice: Choice) -> float:
        """Return what all shards have: an image that clients share is in the shard of each."""
        return choice.planned * (self.bytes_per_image + stored.SHARD_ROW)

    @property
    def image_flops(self) -> float | None:
        """Operations of one image; None if nothing is known of the model."""
        return None if self.model is None else self.model.image_flops(self.calls, self.passes)

    @property
    def current(self) -> Choice:
        """What params.yaml asks for."""
        return next(one for one in self.choices if one.current)


def estimate(
    workspace: Workspace, params: Params, counts: NDArray[np.int64] | None = None, image_size: int | None = None
) -> Estimate:
    """Return what the images of every deficit rule would cost with the model; nothing is rendered or fetched.

    ``counts`` are the real images that clients hold, (clients, classes), and ``image_size`` is the data set's, in
    pixels a side; both default to those of the workspace's partition. Raises ArtifactError if there is none.
    """
    if counts is None or image_size is None:
        split = partition.load(workspace.partition)
        counts = split.counts() if counts is None else counts
        image_size = split.image_size if image_size is None else image_size
    found, unknown = _model(workspace, params)
    known = _devices(params, found) if found else []
    recipes = list(_recipes(workspace, params, image_size))
    size, source = _bytes(workspace, params, recipes, image_size)
    chosen = params.generate
    return Estimate(
        clients=counts.shape[0],
        classes=counts.shape[1],
        images=int(counts.sum()),
        choices=_choices(params, counts),
        bytes_per_image=size,
        bytes_source=source,
        model=found.cost if found else None,
        unknown=unknown,
        calls=found.calls if found else chosen.steps,
        passes=found.cost.passes(chosen.guidance) if found else 1.0,
        batch_size=chosen.batch_size,
        devices=(*known, *_measured(workspace, recipes)),
        notes=tuple(_notes(params, found)),
    )


def _model(workspace: Workspace, params: Params) -> tuple[Found | None, str]:
    """Return what is known of the model, or why nothing is."""
    try:
        return look_up.of(workspace, params.generate), ""
    except GenerationError as error:
        return None, str(error)


def _devices(params: Params, found: Found) -> list[DeviceCost]:
    """Return the cost on each named GPU and on this machine's processor."""
    half = resolve_dtype(params.generate.dtype, ["cuda"])
    here = resolve_dtype(params.generate.dtype, ["cpu"])
    rows = [_on(one, params, found, half, 1) for one in gpus.GPUS]
    return [*rows, _on(gpus.cpu(here), params, found, here, cores())]


def _on(device: Device, params: Params, found: Found, dtype: str, workers: int) -> DeviceCost:
    cost, chosen = found.cost, params.generate
    seconds = device.seconds(cost, found.calls, cost.passes(chosen.guidance), chosen.batch_size, dtype)
    single = device.computes_single(dtype)
    return DeviceCost(
        name=device.name,
        seconds=seconds,
        joules=seconds * device.watts,
        dtype=dtype,
        memory=workers * cost.memory_bytes(chosen.batch_size, chosen.guidance, dtype),
        capacity=device.memory,
        peak=device.peak_single if single else device.peak_half,
        used=device.used_single if single else device.used_half,
        watts=device.watts,
        source=device.source,
    )


def _waits(params: Params, found: Found) -> bool:
    """Return whether operators are too short for the fastest GPU."""
    cost, half = found.cost, resolve_dtype(params.generate.dtype, ["cuda"])
    work = params.generate.batch_size * cost.passes(params.generate.guidance) * cost.denoiser_flops
    return work / gpus.GPUS[0].rate(half) < cost.denoiser_operators * gpus.LAUNCH


def _recipes(workspace: Workspace, params: Params, image_size: int) -> Iterator[Recipe]:
    """Yield the recipe on each kind of device; none if the model is on the Hub, where its commit would be asked for."""
    if workspace.at(params.generate.model).exists():
        for dtype in dict.fromkeys(resolve_dtype(params.generate.dtype, [kind]) for kind in ("cpu", "cuda")):
            with contextlib.suppress(PipelineError):
                yield model.resolve(workspace, params.generate, params.seed, image_size, dtype).recipe


def _measured(workspace: Workspace, recipes: Sequence[Recipe]) -> list[DeviceCost]:
    """Return the cost as it was measured here; none if nothing of this speed was rendered."""
    found = []
    for recipe in recipes:
        if (rate := rates.estimate(workspace.pool, recipe)) is not None:
            known, seconds = rate.based_on, 1 / rate.images_per_second
            watts = energy.watts(known.kind, known.hardware) * known.workers
            name = f"measured here, {known.workers} x {known.kind}"
            source = f"measured here over {known.images} images on {known.hardware}, beside whatever else ran"
            unknown = (None, None, None, None)
            found.append(DeviceCost(name, seconds, seconds * watts, recipe.dtype, *unknown, watts, source))
    return found


def _bytes(workspace: Workspace, params: Params, recipes: Sequence[Recipe], size: int) -> tuple[float, str]:
    """Return the bytes of an encoded image, and where that comes from: images of the recipe, else photographs."""
    if workspace.pool.is_file():
        with Pool(workspace.pool) as pool:
            for recipe in recipes:
                if mean := pool.bytes_per_image(recipe):
                    return mean, "as those in the pool"
    return stored.bytes_per_image(params.generate.image_format, params.generate.image_size or size), stored.SOURCE


def _notes(params: Params, found: Found | None) -> list[str]:
    """Return what was assumed, in one line each."""
    limits = {
        "ratio": params.deficits.ratio if params.deficits.ratio != 1 else None,
        "max_per_client": params.deficits.max_per_client,
        "max_total": params.deficits.max_total,
    }
    notes = [f"deficits.{name}: {value} applies to every rule" for name, value in limits.items() if value is not None]
    if not params.deficits.images_per_class:
        notes.append(f"fixed: params.yaml names no images_per_class, so {FIXED} is shown")
    if params.generate.gate is not None:
        notes.append("gate: what it will refuse is not known before images are judged, and comes on top")
    if params.generate.lora:
        notes.append("LoRA weights are not counted")
    if found is not None and _waits(params, found):
        notes.append(f"the model is so small that GPUs wait for each operator to start ({1e6 * gpus.LAUNCH:.0f} µs)")
    if found is not None:
        notes.append("not counted: loading the model, encoding prompts (each once), storing images")
    return notes


def _choices(params: Params, counts: NDArray[np.int64]) -> tuple[Choice, ...]:
    """Return every rule with every sharing; the limits of params.yaml apply to all of them."""
    found = []
    for rule in RULES:
        # A ``fixed`` rule that asks for nothing would compare nothing.
        height = params.deficits.images_per_class or FIXED
        chosen = params.deficits.model_copy(update={"rule": rule, "images_per_class": height})
        if rule == params.deficits.rule:
            chosen = params.deficits
        _, missing = deficits(counts, chosen, params.seed)
        for sharing in SHARINGS:
            distinct = missing if sharing == "own" else missing.max(axis=0)
            current = (rule, sharing) == (params.deficits.rule, params.generate.sharing)
            asked = chosen.images_per_class if rule == "fixed" else None
            found.append(Choice(rule, sharing, current, int(missing.sum()), int(distinct.sum()), asked))
    return tuple(found)
