"""The verdict in one sentence: how far a fill is above the best control, how sure that is, and over how many runs."""

from collections.abc import Sequence

from pipeline.reporting.skew import BEFORE
from pipeline.reporting.statistics import LEAST, Difference
from pipeline.reporting.summary import Rival, Summary, Verdict

EQUAL_WORK = "steps"
"""The budget of claims: every fill takes as many local steps, so that none wins by more work."""
ONE_PARTITION = "one partition: this demonstrates and does not prove; see docs/results"


def headline(summary: Summary) -> str:
    """Return the verdict about the first algorithm at equal work, or at the first budget that there is.

    Empty if the compared fill was not trained beside a control.
    """
    found = chosen(summary.verdicts)
    return sentence(found) if found else ""


def chosen(verdicts: Sequence[Verdict]) -> Verdict | None:
    """Return the verdict of the headline; the order of algorithms in params.yaml decides, not their results."""
    first = [one for one in verdicts if one.algorithm == verdicts[0].algorithm]
    return next((one for one in first if one.budget == EQUAL_WORK), first[0] if first else None)


def competes(budget: str, samples: float, own: str, most: float) -> bool:
    """Tell whether a control is compared with a fill of the budget ``own`` that trains on ``most`` samples a round.

    Those of the fill's budget are; at equal work also those of another budget that do at most as much work. More local
    steps can do harm: with one label a client they make FedAvg diverge, so a control is no worse for having fewer.
    """
    return budget == own or (own == EQUAL_WORK and samples <= most)


def ends(budget: str, rivals: Sequence[Rival]) -> tuple[Rival, Rival] | None:
    """Return the best control, and the weakest one of the budget; None if there is no control of the budget."""
    same = [one for one in rivals if one.budget == budget]
    if not same:
        return None
    return min(rivals, key=lambda one: one.difference.mean), max(same, key=lambda one: one.difference.mean)


def sentence(verdict: Verdict) -> str:
    """Return what a verdict says: the difference from the best control first, from the weakest second."""
    best, weakest = verdict.best, verdict.weakest
    text = f"With {verdict.algorithm} at equal {verdict.budget}, {compared(verdict.fill, verdict.budget, best)}"
    if (weakest.algorithm, weakest.budget, weakest.fill) != (best.algorithm, best.budget, best.fill):
        text += f"; from the weakest ({rival(weakest, verdict.budget)}) the difference is "
        text += f"{100 * weakest.difference.mean:+.1f}"
    doubt = doubts(best.difference)
    return f"{text}. {doubt[0].upper()}{doubt[1:]}." if doubt else f"{text}."


def rival(one: Rival, budget: str) -> str:
    """Return a control's name; its budget is named if it is another one than ``budget``."""
    return named(one.algorithm, one.fill, one.budget if one.budget != budget else "")


def compared(fill: str, budget: str, best: Rival) -> str:
    """Return how a fill does beside the best control, with interval, p and the number of replicates."""
    found, control = best.difference, f"the best control ({rival(best, budget)})"
    if found.clear:
        verb = "beats" if found.mean > 0 else "falls behind"
        text = f"{fill} {verb} {control} by {100 * found.mean:+.1f} points"
    else:
        text = f"the difference of {fill} from {control} is {100 * found.mean:+.1f} points"
        text = f"{text}, not clearly different from 0" if found.partitions >= LEAST else text
    return f"{text}, {evidence(found)}"


def evidence(found: Difference) -> str:
    """Return interval, p and replicates: ``95 % interval +4.0 to +8.3, sign-flip p = .031, 6 partitions x 2 seeds``."""
    parts = []
    if found.low is not None and found.high is not None:
        parts.append(f"95 % interval {100 * found.low:+.1f} to {100 * found.high:+.1f}")
    if found.p is not None:
        parts.append(f"sign-flip p {p_text(found.p)}")
    return ", ".join([*parts, replicates(found.partitions, found.replicates)])


def replicates(partitions: int, count: int) -> str:
    """Return ``6 partitions x 2 seeds``; if partitions differ in their seeds, ``6 partitions, 11 runs``."""
    unit = f"{partitions} partition{'s' * (partitions != 1)}"
    if count % partitions:
        return f"{unit}, {count} runs"
    seeds = count // partitions
    return f"{unit} x {seeds} seed{'s' * (seeds != 1)}"


def doubts(found: Difference) -> str:
    """Return why a difference is no claim, if it has too few partitions."""
    if found.partitions == 1:
        return ONE_PARTITION
    if found.partitions < LEAST:
        return f"fewer than {LEAST} partitions: no test can be below p = .05, so this is no claim"
    return ""


def named(algorithm: str, fill: str, budget: str = "") -> str:
    """Return a control's name: ``no fill with fedadam``, ``transforms with fedavg at equal epochs``."""
    name = f"{'no fill' if fill == BEFORE else fill} with {algorithm}"
    return f"{name} at equal {budget}" if budget else name


def p_text(p: float) -> str:
    """Return ``= .031`` or ``< .001``."""
    return "< .001" if p < 0.001 else f"= {p:.3f}".replace("= 0.", "= .")
