"""The gate at work: a judge looks at rendered images, and later indices replace those that it refuses.

In each lane and class the indices are walked from 0 until as many images pass as are wanted. Who is refused follows
from the scores in the pool alone, so devices, workers, their order and a kill change nothing.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from pipeline import judges, progress
from pipeline.artifacts import partition
from pipeline.artifacts.deficits import Deficits
from pipeline.artifacts.encoded import Encoding
from pipeline.artifacts.gate import DIGITS, Gate, Score
from pipeline.data import decoded
from pipeline.data.real_parts import real_parts
from pipeline.errors import GenerationError
from pipeline.generation.plan import Plan, Wanted
from pipeline.generation.pool import Pool, StoredImage, scores
from pipeline.generation.recipe import Recipe
from pipeline.judges import Judge, Training
from pipeline.params import Params
from pipeline.workspace import Workspace

WHERE = "generate.gate.judge"
"""The section of params.yaml that names the judge."""
_AT_ONCE = 256  # images that are decoded and judged together


@dataclass(frozen=True)
class OpenGate:
    """A gate with its judge at hand."""

    gate: Gate
    judge: Judge
    most_refusals: int | float
    """Of a class, over all lanes: a number, or the largest share of what is judged, below 1."""

    def most(self, wanted: int) -> int:
        """Return how many images of a class may be refused where so many are wanted."""
        bound = self.most_refusals
        # As a share: refused / (refused + wanted) <= bound. The small term keeps 0.9 of 1 from being 8.99999.
        return bound if isinstance(bound, int) else math.floor(bound * wanted / (1 - bound) + 1e-9)

    def bounds(self, plan: Plan) -> list[int]:
        """Return how many images of each class of a plan may be refused."""
        wanted = [0] * len(plan.class_names)
        for one in replace(plan, refused={}).wanted():
            wanted[one.label] += len(one.indices)
        return list(map(self.most, wanted))

    def score(self, recipe: Recipe, images: Sequence[StoredImage], intended: Sequence[int]) -> list[Score]:
        """Return the judge's score of each image, decoded from its stored bytes.

        Raises GenerationError if the judge returns no probabilities.
        """
        encoding = Encoding(recipe.image_format, recipe.image_size)
        given = self.judge.probabilities(np.stack([np.asarray(encoding.decode(one.image)) for one in images]))
        if given.ndim != 2 or len(given) != len(images) or not ((given >= 0) & (given <= 1 + 1e-3)).all():
            fix = "choose another generate.gate.judge"
            raise GenerationError("the judge returned values that are no probabilities", self.gate.name, fix)
        found = given.argmax(axis=1).tolist()
        return [
            Score(label, top, min(1.0, round(float(row[label]), DIGITS)))
            for label, top, row in zip(intended, found, given, strict=True)
        ]


def opened(workspace: Workspace, params: Params, lacking: Deficits, device: str) -> OpenGate | None:
    """Return the gate that parameters ask for, or None; its judge is loaded, or trained, when it is first asked.

    ``device`` is where the judge works. Raises ParameterError if there is no such judge, or if it lacks a class.
    """
    chosen = params.generate.gate
    if chosen is None:
        return None

    def training() -> Training:
        data, split = decoded.open_data(workspace, params.data), partition.load(workspace.partition)
        split.check_source(data.fingerprint, params.data.path)
        parts = real_parts(data, split)
        if parts.source == "clients":
            progress.say(f"note: the gate's judge learns from {parts.describe}")
        return Training(data.train, parts.judge)

    names, words = lacking.class_names, lacking.words
    judge = judges.load(workspace, chosen.judge, names, words, training, device, WHERE)
    folder = workspace.at(chosen.judge.model)
    called = folder.name if folder.is_dir() else judge.name  # manifests contain no path
    return OpenGate(Gate(judge.digest, called, chosen.least_probability), judge, chosen.most_refusals)


@dataclass(frozen=True)
class Refusals:
    """What a gate said so far of the images that a plan wants, by label."""

    accepted: tuple[int, ...]
    refused: tuple[int, ...]

    @property
    def judged(self) -> int:
        return sum(self.accepted) + sum(self.refused)

    def text(self, class_names: Sequence[str]) -> str:
        """Return how many images were refused, in all and of each class that has any, of how many."""
        each = [
            f"{name} {refused} of {refused + accepted}"
            for name, refused, accepted in zip(class_names, self.refused, self.accepted, strict=True)
            if refused
        ]
        return f"{sum(self.refused)} of {self.judged} images refused{': ' if each else ''}{', '.join(each)}"


def settled(pool: Pool, plan: Plan, clients: Sequence[int] | None = None) -> tuple[Plan, Refusals]:
    """Return the plan without the images that its gate refuses, as far as scores are known, and their numbers.

    It is final for these clients (default: all) if the pool has a score of everything that it wants. Without a gate
    it is the plan itself.
    """
    gate, refused = plan.gate, dict[tuple[str, str], list[int]]()
    accepted, left_out = [0] * len(plan.class_names), [0] * len(plan.class_names)
    for one in replace(plan, refused={}).wanted(clients) if gate is not None else ():
        assert gate is not None
        passed, failed = _walk(one, scores.known(pool, plan.recipe, gate.judge, one), gate)
        accepted[one.label] += passed
        left_out[one.label] += len(failed)
        if failed:
            refused[one.lane, one.class_name] = failed
    return replace(plan, refused=refused), Refusals(tuple(accepted), tuple(left_out))


def _walk(wanted: Wanted, known: Iterable[tuple[int, Score]], gate: Gate) -> tuple[int, list[int]]:
    """Return how many images pass, and the indices that do not, of those that have to be drawn for certain.

    An index that is not judged yet may pass, so it counts as one of those that are wanted.
    """
    accepted, refused, number = 0, list[int](), len(wanted.indices)
    for index, score in known:
        if index - len(refused) >= number:
            break
        if gate.accepts(score):
            accepted += 1
        else:
            refused.append(index)
    return accepted, refused


class Watch:
    """Judges images as they come into the pool, and stops when a class has too many refusals."""

    def __init__(self, pool: Pool, plan: Plan, gate: OpenGate, clients: Sequence[int] | None = None) -> None:
        self._pool, self._plan, self._gate, self._clients = pool, plan, gate, clients
        self._labels = {name: label for label, name in enumerate(plan.prompt_names)}
        self._most = gate.bounds(plan)
        self.plan, self._count = plan, Refusals((), ())

    @property
    def refusals(self) -> str:
        """How many images were refused, of how many."""
        return f"{sum(self._count.refused)} of {self._count.judged} images"

    def ready(self) -> None:
        """Have the judge loaded or trained, and tried on one black image, before the diffusion model takes its place.

        Also since training draws random numbers for all threads of this process.
        """
        size = self._plan.recipe.image_size
        self._gate.judge.probabilities(np.zeros((1, size, size, 3), np.uint8))

    def settle(self) -> Plan:
        """Judge what the pool holds of the plan, until nothing of it is left to judge; return the plan as it is then.

        Raises GenerationError if a class has too many refusals. The scores stay.
        """
        while True:
            self.plan, self._count = settled(self._pool, self._plan, self._clients)
            self._check()
            if not self._judge_held():
                return self.plan

    def judge(self, images: Sequence[StoredImage]) -> int:
        """Judge images that the plan wants, and that are in the pool now; return how many are refused.

        Raises GenerationError if a class has too many refusals. The scores stay.
        """
        recipe = self._plan.recipe
        intended = [self._labels[one.spec.class_name] for one in images]
        given = self._gate.score(recipe, images, intended) if images else []
        scores.put(self._pool, recipe, self._gate.gate.judge, zip((one.spec for one in images), given, strict=True))
        accepted, refused = list(self._count.accepted), list(self._count.refused)
        for score in given:
            (accepted if self._gate.gate.accepts(score) else refused)[score.intended] += 1
        before = sum(self._count.refused)
        self._count = Refusals(tuple(accepted), tuple(refused))
        self._check()
        return sum(refused) - before

    def _judge_held(self) -> int:
        """Judge all images of the plan that the pool holds and the judge has not seen; return how many."""
        unseen = [one for one in self._unseen() if one.indices]
        total = sum(len(one.indices) for one in unseen)
        if total:
            with progress.bar("judge", total, "images") as advance:
                images = self._fetched(unseen)
                while some := list(islice(images, _AT_ONCE)):
                    self.judge(some)
                    advance(len(some))
        return total

    def _unseen(self) -> Iterator[Wanted]:
        recipe = self._plan.recipe
        for one, held in self._pool.held(recipe, self.plan.wanted(self._clients)):
            seen = {index for index, _ in scores.known(self._pool, recipe, self._gate.gate.judge, one)}
            there = zip(one.indices, held, strict=True)
            yield replace(one, indices=[index for index, is_held in there if is_held and index not in seen])

    def _fetched(self, wanted: Sequence[Wanted]) -> Iterator[StoredImage]:
        for one in wanted:
            yield from self._pool.fetch(self._plan.recipe, one)

    def _check(self) -> None:
        for label, (most, refused) in enumerate(zip(self._most, self._count.refused, strict=True)):
            if refused > most:
                name, judged = self._plan.class_names[label], refused + self._count.accepted[label]
                what = (
                    f"the gate refused {refused} of {judged} images of class {name!r} "
                    f"({100 * refused / judged:.0f} %), and at most {most} may be refused"
                )
                where = f"judge {self._gate.gate.name}, least_probability {self._gate.gate.least_probability:g}"
                fix = (
                    "choose other words for the class (generate.class_overrides), another prompt set or guidance, or a "
                    "lower generate.gate.least_probability; or raise generate.gate.most_refusals: images and scores "
                    "are kept, so the next run resumes"
                )
                raise GenerationError(what, where, fix)
