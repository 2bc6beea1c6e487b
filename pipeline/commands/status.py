"""Commands ``status`` and ``generate --dry-run``: what is planned, in the pool and missing, and what it would cost."""

from dataclasses import dataclass

from pipeline.generation import lengths, request
from pipeline.generation.devices import Assumption, expected_dtype
from pipeline.generation.pool import Pool
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

    @property
    def missing(self) -> int:
        return self.planned - self.held


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
    images_per_second: float | None
    """The last rate of the recipe; None if nothing of it was rendered here."""
    bytes_per_image: float | None
    """Mean of images in the pool; None if it has none of the recipe."""

    @property
    def missing(self) -> int:
        """How many images are to be rendered."""
        return self.distinct - self.held

    @property
    def batches(self) -> int:
        """About how many batches that takes."""
        return -(-self.missing // self.batch_size)

    @property
    def seconds(self) -> float | None:
        """About how long that takes."""
        return self.missing / self.images_per_second if self.images_per_second else None

    @property
    def bytes(self) -> float | None:
        """About how much the pool grows."""
        return None if self.bytes_per_image is None else self.missing * self.bytes_per_image


@dataclass(frozen=True)
class Status:
    """Each client's images, and the cost of the missing ones."""

    clients: tuple[ClientStatus, ...]
    cost: Cost
    words: tuple[tuple[str, str], ...] = ()
    """Class names and what prompts call them, where these differ."""


def status(workspace: Workspace, params: Params) -> Status:
    """Return what each client's plan wants, what the pool holds of it and what is missing, and the cost."""
    dtype = expected_dtype(workspace, params.generate.dtype)
    asked = request.current(workspace, params, dtype.dtype)
    with Pool(workspace.pool) as pool:
        words = differing(asked.plan.class_names, asked.plan.prompt_names)
        return Status(_clients(pool, asked), _cost(pool, asked, dtype), tuple(words))


def cost(workspace: Workspace, params: Params) -> Cost:
    """Return the size of the plan, how much of it is missing, and what rendering that would take.

    Raises ParameterError for a prompt that the model would cut, as rendering does.
    """
    dtype = expected_dtype(workspace, params.generate.dtype)
    asked = request.current(workspace, params, dtype.dtype)
    lengths.check(workspace, params.generate, asked)
    with Pool(workspace.pool) as pool:
        return _cost(pool, asked, dtype)


def _clients(pool: Pool, asked: Request) -> tuple[ClientStatus, ...]:
    plan, found = asked.plan, list[ClientStatus]()
    flags = {(one.lane, one.class_name): held for one, held in pool.held(plan.recipe, plan.wanted())}
    for client, planned in enumerate(plan.missing.sum(axis=1).tolist()):
        # A client's indices are the first ones of its lane's, see Plan.
        held = sum(flags[one.lane, one.class_name].count(1, 0, len(one.indices)) for one in plan.wanted_by(client))
        found.append(ClientStatus(client, planned, held))
    return tuple(found)


def _cost(pool: Pool, asked: Request, dtype: Assumption) -> Cost:
    plan, recipe = asked.plan, asked.plan.recipe
    distinct = sum(len(one.indices) for one in plan.wanted())
    return Cost(
        recipe=recipe.digest,
        dtype=dtype,
        sharing=plan.sharing,
        clients=len(plan.missing),
        planned=int(plan.missing.sum()),
        distinct=distinct,
        held=distinct - pool.lacks(recipe, plan.wanted()),
        batch_size=recipe.batch_size,
        images_per_second=pool.rate(recipe),
        bytes_per_image=pool.bytes_per_image(recipe),
    )
