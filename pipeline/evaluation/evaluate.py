"""Measure synthetic images against real ones, class by class, and judge them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline import judges
from pipeline.artifacts.gate import Gate
from pipeline.artifacts.quality import Flags, Model, Quality, Report
from pipeline.evaluation import agreement, diagnosis, flags, likeness, usefulness, verdict
from pipeline.evaluation.agreement import Agreement
from pipeline.evaluation.diagnosis import Sets
from pipeline.evaluation.flags import Remarks
from pipeline.evaluation.likeness import Likeness
from pipeline.evaluation.sides import Int64, Reference, Side, shared
from pipeline.evaluation.usefulness import Accuracies
from pipeline.judges import Judge
from pipeline.params import Params
from pipeline.workspace import Workspace

ALL = "all"


@dataclass(frozen=True)
class Subject:
    """The synthetic images that are evaluated."""

    side: Side
    """Those that are looked at."""
    remarks: Remarks
    """On all of them."""
    recipe: str
    gate: Gate | None = None
    refused: Int64 | None = None
    """(classes,) images that the gate refused, if there is one."""


@dataclass(frozen=True)
class Found:
    """All measurements, before they are sorted by class."""

    accuracies: Accuracies
    agreement: Agreement
    judge: Agreement
    """On the real validation images: its own accuracy."""
    sets: Sets
    likeness: Likeness
    constant: Int64
    black: Int64


def evaluate(
    workspace: Workspace, params: Params, real: Reference, subject: Subject, words: Sequence[str], device: str
) -> tuple[Report, Likeness]:
    """Return the report on synthetic images, and where copies were found.

    ``words`` are what prompts call the classes. Raises ParameterError if the judge or the extractor cannot be had.
    """
    judge = load_judge(workspace, params, real, words, device)
    extract = likeness.extractor(workspace, params, real, device)
    features = likeness.features(workspace, extract, real, subject.side)
    constant, black = flags.constant(subject.side)
    found = Found(
        accuracies=usefulness.measure(workspace, params, real, subject.side),
        agreement=agreement.measure(judge, subject.side),
        judge=agreement.measure(judge, real.validation),
        sets=_sets(params, real, subject.side, features),
        likeness=likeness.measure(subject.side, real, features),
        constant=constant,
        black=black,
    )
    everything = np.arange(len(real.class_names))
    classes = [
        _quality(params, real, subject, found, name, everything[[label]]) for label, name in enumerate(real.class_names)
    ]
    whole = _quality(params, real, subject, found, ALL, everything)
    report = Report(
        sentence=verdict.sentence(whole, classes),
        whole=whole,
        classes=tuple(classes),
        judge=Model(judge.name, judge.digest),
        extractor=Model(extract.name, extract.digest),
        classifier=params.train.model,
        recipe=subject.recipe,
        real=real.parts.describe,
        seeds=len(params.evaluate.seeds),
        steps=params.evaluate.steps,
        thresholds=_thresholds(params),
        left_out=(*_on_gate(subject, judge), *_left_out(params, real, subject, found)),
    )
    return report, found.likeness


def load_judge(workspace: Workspace, params: Params, real: Reference, words: Sequence[str], device: str) -> Judge:
    """Return the judge of ``evaluate.judge``."""
    training = judges.Training(real.data.train, real.parts.judge)
    return judges.load(workspace, params.evaluate.judge, real.class_names, words, lambda: training, device)


def _sets(params: Params, real: Reference, synthetic: Side, features: likeness.Features) -> Sets:
    counts = shared(params.evaluate.least_images, synthetic, real.reference, real.validation)
    return Sets(
        counts,
        synthetic=likeness.first(features.synthetic, synthetic, counts),
        real=likeness.first(features.reference, real.reference, counts),
        others=likeness.first(features.validation, real.validation, counts),
    )


def _quality(params: Params, real: Reference, subject: Subject, found: Found, name: str, labels: Int64) -> Quality:
    """Return what is known of the images of one label, or of all, and the verdict on them."""
    known = Quality(
        class_name=name,
        images=int(subject.remarks.images[labels].sum()),
        used=int(subject.side.counts[labels].sum()),
        reference=int(real.reference.counts[labels].sum()),
        validation=int(real.validation.counts[labels].sum()),
        usefulness=found.accuracies.of(labels),
        agreement=found.agreement.of(labels),
        judge_accuracy=found.judge.of(labels),
        distances=diagnosis.measure(found.sets, labels, params.evaluate.distances),
        copies=found.likeness.of(labels),
        flags=_flags(subject, found, labels),
        verdict="unknown",
        failures=(),
        why="",
    )
    decided = verdict.decide(known, params.evaluate)
    return replace(known, verdict=decided.verdict, failures=decided.failures, why=decided.why)


def _flags(subject: Subject, found: Found, labels: Int64) -> Flags:
    noted = subject.remarks
    return Flags(
        images=int(noted.images[labels].sum()),
        constant=int(found.constant[labels].sum()),
        black=int(found.black[labels].sum()),
        faint=int(noted.faint[labels].sum()),
        redrawn=int(noted.redrawn[labels].sum()),
        refused=None if subject.gate is None or subject.refused is None else int(subject.refused[labels].sum()),
    )


def _thresholds(params: Params) -> dict[str, float]:
    chosen = params.evaluate
    return {
        "useful.bad": chosen.useful.bad,
        "useful.good": chosen.useful.good,
        "agreeing.bad": chosen.agreeing.bad,
        "agreeing.good": chosen.agreeing.good,
        "least_density": chosen.least_density,
        "least_coverage": chosen.least_coverage,
        "most_repeated": chosen.most_repeated,
        "most_copied": chosen.most_copied,
    }


def _on_gate(subject: Subject, judge: Judge) -> Iterator[str]:
    """Yield what a gate means for the numbers."""
    if subject.gate is not None and subject.gate.judge == judge.digest:
        yield "the judge is the gate's own, so it agrees with every image that passed: only usefulness says more"


def _left_out(params: Params, real: Reference, subject: Subject, found: Found) -> list[str]:
    """Return sentences on what was cut or not measured."""
    said = [] if real.parts.source == "unused" else [f"the real images are {real.parts.describe}"]
    there, used = int(subject.remarks.images.sum()), int(subject.side.counts.sum())
    if used < there:
        most = params.evaluate.images_per_class
        said.append(
            f"{used} of {there} synthetic images are looked at: up to {most} a class (evaluate.images_per_class)"
        )
    trained, held = int(real.training.counts.sum()), len(real.split.rows)
    if trained < held:
        said.append(f"copies are looked for among {trained} of {held} images of the clients (evaluate.against)")
    lacking = [name for name, count in zip(real.class_names, found.accuracies.counts, strict=True) if not count]
    if lacking:
        fewest = params.evaluate.least_images
        what = "usefulness and distances leave out classes with"
        said.append(f"{what} fewer than {fewest} synthetic, reference or validation images: {', '.join(lacking)}")
    if not found.likeness.hashed:
        said.append("the perceptual hash does not tell these images apart, so only equal images count as nearly equal")
    return said + diagnosis.left_out(found.sets, params.evaluate.distances)
