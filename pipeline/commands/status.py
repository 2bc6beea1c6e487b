"""Commands ``status`` and ``generate --dry-run``: what is planned, in the pool and missing, and what it would cost."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from pipeline import ledger
from pipeline.artifacts import manifest, partition
from pipeline.commands import dvc
from pipeline.generation import gate, lengths, rates, request
from pipeline.generation.devices import Assumption, expected_dtype, record_dtype, resolve_dtype
from pipeline.generation.gate import Refusals
from pipeline.generation.pool import Pool
from pipeline.generation.rates import Estimate
from pipeline.generation.render import render_probe
from pipeline.generation.request import Request
from pipeline.generation.words import differing
from pipeline.params import Params
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class ClientStatus:
    """The images of one client."""

    client: int
    planned: int
    held: int
    """Of the planned images, those in the pool."""
    sharded: int
    """Of the planned images, those in shards on disk: all or none of a client's."""
    name: str = ""
    """What the user calls the client, if not by its number."""

    @property
    def lacking(self) -> int:
        """How many images are known to be neither in the pool nor in a shard."""
        return 0 if self.sharded else self.planned - self.held


@dataclass(frozen=True)
class Shards:
    """What is on disk of an earlier run, by its manifest."""

    images: int
    """In files that are there, with the size that the manifest names; ``verify`` compares every byte."""
    damaged: int
    """Images in files that are not there, or of another size."""
    planned: int
    """Images in whole files of clients whose plan is the present one, so that rendering would give the same again."""
    changes: bool | None
    """Whether DVC would run ``generate`` again; None if nobody asked or DVC cannot say."""


@dataclass(frozen=True)
class Gated:
    """What is known of the gate's refusals."""

    name: str
    """Of its judge."""
    judged: int
    """Of the images that are planned, and of those that were refused before them."""
    refused: int
    left: int
    """Planned images that are not known to pass."""
    unknown: int
    """Planned images of classes of which nothing is judged yet, so that nothing can be said of their refusals."""
    more: int
    """About how many images are still to be drawn in place of refused ones, in the other classes."""

    @classmethod
    def of(cls, name: str, count: Refusals, planned: Sequence[int]) -> Self:
        """Return what scores say of a plan with so many images of each class."""
        more, unknown = 0.0, 0
        for accepted, refused, wanted in zip(count.accepted, count.refused, planned, strict=True):
            if accepted:
                more += (wanted - accepted) * refused / accepted
            else:
                unknown += wanted
        left = sum(planned) - sum(count.accepted)
        return cls(name, count.judged, sum(count.refused), left, unknown, round(more))


@dataclass(frozen=True)
class Cost:
    """The size of the plan, how much of it is missing, and what rendering that would take."""

    recipe: str
    """Digest of the recipe."""
    dtype: Assumption
    """The arithmetic of the recipe, and where that comes from."""
    sharing: str
    clients: int
    planned: int
    """Images of all clients; one that several clients share counts for each of them."""
    distinct: int
    held: int
    """Of the distinct images, those in the pool."""
    batch_size: int
    rate: Estimate | None
    """None if nothing of this speed was rendered here."""
    bytes_per_image: float | None
    """Mean of images in the pool; None if it has none of the recipe."""
    gated: Gated | None = None
    """None without a gate."""

    @property
    def missing(self) -> int:
        """How many images are to be rendered; with a gate at least."""
        return self.distinct - self.held

    @property
    def expected(self) -> int:
        """How many images are to be rendered if the gate refuses as many of each class as it did so far."""
        return self.missing if self.gated is None else self.missing + self.gated.more

    @property
    def batches(self) -> int:
        """About how many batches that takes."""
        return -(-self.expected // self.batch_size)

    @property
    def seconds(self) -> float | None:
        """About how long that takes."""
        return self.expected / self.rate.images_per_second if self.rate else None

    @property
    def bytes(self) -> float | None:
        """About how much the pool grows."""
        return None if self.bytes_per_image is None else self.expected * self.bytes_per_image


@dataclass(frozen=True)
class Status:
    """Each client's images, the cost of those that the pool lacks, and the shards of an earlier run."""

    clients: tuple[ClientStatus, ...]
    cost: Cost
    shards: Shards | None
    """None without a manifest."""
    words: tuple[tuple[str, str], ...] = ()
    """Class names and what prompts call them, where these differ."""


def status(workspace: Workspace, params: Params) -> Status:
    """Return what each client's plan wants, what pool and shards hold of it, and what rendering the rest would cost."""
    dtype = expected_dtype(workspace, params.generate.dtype)
    asked = request.current(workspace, params, dtype.dtype)
    whole, shards = _shards(workspace, asked)
    with Pool(workspace.pool) as pool:
        asked, found = _cost(pool, asked, dtype, None)
        clients = _clients(pool, asked, whole, partition.load(workspace.partition).client_names)
    if shards is not None and found.missing:  # DVC takes seconds to answer
        changed = dvc.changes(workspace.root, "generate")
        shards = replace(shards, changes=None if changed is None else bool(changed))
    words = differing(asked.plan.class_names, asked.plan.prompt_names)
    return Status(clients, found, shards, tuple(words))


def cost(workspace: Workspace, params: Params, devices: list[str] | None = None) -> Cost:
    """Return the size of the plan, how much of it is missing, and what rendering that would take.

    ``devices`` has a name for each worker; without it the arithmetic and the rate are those of the last rendering.
    Raises ParameterError for a prompt that the model would cut, as rendering does.
    """
    if devices is None:
        dtype = expected_dtype(workspace, params.generate.dtype)
    else:
        why = "set in params.yaml" if params.generate.dtype != "auto" else f"on {devices[0]}"
        dtype = Assumption(resolve_dtype(params.generate.dtype, devices), why)
    asked = request.current(workspace, params, dtype.dtype)
    lengths.check(workspace, params.generate, asked)
    with Pool(workspace.pool) as pool:
        return _cost(pool, asked, dtype, devices)[1]


@ledger.accounted("probe", lambda given: given["devices"], reported=True)
def probe(workspace: Workspace, params: Params, devices: list[str]) -> int:
    """Render one missing batch on each device into the pool, so that the rate is known; return how many images."""
    dtype = resolve_dtype(params.generate.dtype, devices)
    asked = request.current(workspace, params, dtype)
    if params.generate.dtype == "auto":
        record_dtype(workspace, dtype)
    with Pool(workspace.pool) as pool, pool.writing():
        return render_probe(pool, asked, devices)


def _shards(workspace: Workspace, asked: Request) -> tuple[set[int], Shards | None]:
    """Return the clients whose planned images are in whole files, and what is on disk."""
    if not workspace.manifest.is_file():
        return set(), None
    known, plan = manifest.load(workspace.manifest), asked.plan
    current, whole, images = set[int](), 0, 0
    for shard in known.shards:
        images += shard.rows
        if all(path.is_file() and path.stat().st_size == file.bytes for file, path in known.files(shard)):
            whole += shard.rows
            if shard.client < len(plan.missing) and shard.plan == plan.digest(shard.client):
                current.add(shard.client)
    planned = int(plan.missing[sorted(current)].sum())
    return current, Shards(whole, images - whole, planned, None)


def _clients(pool: Pool, asked: Request, sharded: set[int], names: Sequence[str] | None) -> tuple[ClientStatus, ...]:
    plan, found = asked.plan, list[ClientStatus]()
    flags = {(one.lane, one.class_name): held for one, held in pool.held(plan.recipe, plan.wanted())}
    for client, planned in enumerate(plan.missing.sum(axis=1).tolist()):
        # A client's indices are the first ones of its lane's, see Plan.
        held = sum(flags[one.lane, one.class_name].count(1, 0, len(one.indices)) for one in plan.wanted_by(client))
        name = names[client] if names else ""
        found.append(ClientStatus(client, planned, held, planned if client in sharded else 0, name))
    return tuple(found)


def _cost(pool: Pool, asked: Request, dtype: Assumption, devices: list[str] | None) -> tuple[Request, Cost]:
    """Return the request without the images that the gate is known to refuse, and what it costs."""
    plan, count = gate.settled(pool, asked.plan)
    recipe, planned = plan.recipe, [0] * len(plan.class_names)
    for one in plan.wanted():
        planned[one.label] += len(one.indices)
    distinct = sum(planned)
    cost = Cost(
        recipe=recipe.digest,
        dtype=dtype,
        sharing=plan.sharing,
        clients=len(plan.missing),
        planned=int(plan.missing.sum()),
        distinct=distinct,
        held=distinct - pool.lacks(recipe, plan.wanted()),
        batch_size=recipe.batch_size,
        rate=rates.estimate(pool.path, recipe, devices),
        bytes_per_image=pool.bytes_per_image(recipe),
        gated=None if plan.gate is None else Gated.of(plan.gate.name, count, planned),
    )
    return replace(asked, plan=plan), cost
