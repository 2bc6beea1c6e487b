"""The verdict on a class: usefulness decides, then label agreement; distances only name what is wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from pipeline.artifacts.quality import Copies, Distance, Failure, Quality, Report, Spread, Verdict
from pipeline.evaluate_params import Bounds, EvaluateParams

_ORDER: tuple[Verdict, ...] = ("bad", "doubtful", "good")
_SHOWN = 4  # classes in one sentence
_FEWEST = 3  # copies that are no accident of one or two images


@dataclass(frozen=True)
class Judgement:
    """A verdict, what is wrong, and the reason in one sentence."""

    verdict: Verdict
    failures: tuple[Failure, ...]
    why: str


def decide(known: Quality, params: EvaluateParams) -> Judgement:
    """Return the verdict on images of which the numbers are known.

    Usefulness is the accuracy with synthetic images as a share of that with as many real ones; agreement is a share of
    the judge's own accuracy. One standard error of either counts in the images' favour, for one step at most.
    Usefulness gives the verdict. Agreement that is worse lowers it by one step, and decides where usefulness is not
    known. Too many copies of training images lower a good verdict to doubtful.
    """
    copies, made, real = known.copies, known.usefulness.synthetic, known.usefulness.real
    worth = ratio(made.mean if made else None, real.mean if real else None)
    agreed = ratio(known.agreement, known.judge_accuracy)
    doubt = _error(made, real, len(params.seeds)) if made and real else 0.0
    verdict = _level(worth, ratio(doubt, real.mean if real else None), params.useful)
    doubt = _of_share(known.agreement, known.used)
    other = _level(agreed, ratio(doubt, known.judge_accuracy), params.agreeing)
    if verdict is None or (other is not None and _ORDER.index(other) < _ORDER.index(verdict)):
        verdict = other if verdict is None else _ORDER[_ORDER.index(verdict) - 1]
    copied = _copied(copies, params)
    if copied and verdict in ("good", None):
        verdict = "doubtful"
    failures = _failures(verdict, other, known.distances, copies, params, copied)
    return Judgement(verdict or "unknown", failures, _why(worth, agreed))


def ratio(value: float | None, of: float | None) -> float | None:
    """Return a share, None if it is not known, or if real images reach nothing."""
    return None if value is None or not of else value / of


def _error(one: Spread, other: Spread, seeds: int) -> float:
    """Return the standard error of the difference between two means over seeds; 0 with one seed."""
    return sqrt(((one.std or 0.0) ** 2 + (other.std or 0.0) ** 2) / seeds)


def _of_share(share: float | None, images: int) -> float:
    """Return the standard error of a share of so many images; 0 if it is not known."""
    return sqrt(share * (1 - share) / images) if share is not None and images else 0.0


def _copied(copies: Copies, params: EvaluateParams) -> bool:
    """Return whether too many images are equal, nearly equal or close to a training image."""
    most = max(copies.training, round((copies.close or 0.0) * copies.images))
    return most >= _FEWEST and most > params.most_copied * copies.images


def _level(value: float | None, doubt: float | None, bounds: Bounds) -> Verdict | None:
    """Return the verdict on a value, or the next better one if that is within doubt; None of no value."""
    if value is None:
        return None
    level, other = (sum(one >= bound for bound in (bounds.bad, bounds.good)) for one in (value, value + (doubt or 0.0)))
    return _ORDER[min(level + 1, other)]


def _failures(
    verdict: Verdict | None,
    agreeing: Verdict | None,
    distances: Sequence[Distance],
    copies: Copies,
    params: EvaluateParams,
    copied: bool,
) -> tuple[Failure, ...]:
    """Return what is wrong with images that are not good, the most certain first; there is always a cause.

    Images that the judge does not recognise are generated badly. Of recognisable ones, some cover too little of what is
    real or repeat themselves, the others differ from it.
    """
    if verdict in ("good", None):
        return ()
    found: list[Failure] = ["poor generation"] if agreeing in ("bad", "doubtful") else []
    # What real images have in common, too, is no fault of synthetic ones.
    share = copies.near / max(1, copies.images) if copies.near_synthetic is None else copies.near_synthetic
    repeated = share > (copies.near_real or 0.0) + params.most_repeated
    if repeated or _below(distances, "Clipped Coverage", params.least_coverage):
        found.append("low diversity")
    if _below(distances, "Clipped Density", params.least_density):
        found.append("distribution mismatch")
    if copied:
        found.append("copies")
    return tuple(found) or ("distribution mismatch",)


def _below(distances: Sequence[Distance], name: str, least: float) -> bool:
    found = next((one for one in distances if one.name == name), None)
    return found is not None and bool(found.floor) and found.value < least * (found.floor or 0)


def _why(worth: float | None, agreed: float | None) -> str:
    useful = "usefulness is not known" if worth is None else f"{100 * worth:.0f} % of the accuracy with real images"
    judged = "agreement is not known" if agreed is None else f"agreement {100 * agreed:.0f} % of the judge's accuracy"
    return f"{useful}; {judged}"


def sentence(whole: Quality, classes: Sequence[Quality]) -> str:
    """Return the verdict on all images in one sentence."""
    counts = {level: [one for one in classes if one.verdict == level] for level in (*reversed(_ORDER), "unknown")}
    others = ((level, counts[level]) for level in ("doubtful", "bad", "unknown"))
    parts = [f"{len(counts['good'])} of {len(classes)} classes are good"]
    parts += [f"{len(named)} {level} ({_named(named)})" for level, named in others if named]
    useful = whole.usefulness
    if useful.synthetic and useful.real and useful.both:
        reached = (
            f"trained on synthetic images the classifier reaches {100 * useful.synthetic.mean:.1f} % on real ones, "
            f"{100 * useful.real.mean:.1f} % trained on as many real images, {100 * useful.both.mean:.1f} % on both"
        )
    else:
        reached = "there were too few images to train the classifier"
    return f"{', '.join(parts)}; {reached}."


def between(first: Report, second: Report) -> str:
    """Return which of two sets of images is more useful, A or B; less than two standard errors are no difference."""
    one, other = (report.whole.usefulness.synthetic for report in (first, second))
    if one is None or other is None:
        return "Which side is more useful is not known: there were too few images to train the classifier."
    gap, error = one.mean - other.mean, _error(one, other, first.seeds)
    means = f"{100 * one.mean:.1f} % and {100 * other.mean:.1f} %"
    numbers = f"{means}, standard error of the difference {100 * error:.1f}"
    if first.seeds < 2 or abs(gap) <= 2 * error:
        return f"Neither side is clearly more useful: {numbers}."
    return f"{'A' if gap > 0 else 'B'} is more useful: {numbers}."


def _named(classes: Sequence[Quality]) -> str:
    texts = [f"{one.class_name}: {', '.join(one.failures)}" if one.failures else one.class_name for one in classes]
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more
