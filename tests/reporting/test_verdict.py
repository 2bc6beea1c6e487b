from dataclasses import replace

import pytest

from pipeline.reporting import verdict
from pipeline.reporting.statistics import Difference
from pipeline.reporting.summary import Rival, Verdict

CLEAR = Difference(0.061, 0.04, 0.083, 6, 12, 0.03125)
ONE = Difference(0.061, 0.04, 0.083, 1, 3, None)


def judged(
    best: Difference, weakest: Difference | None = None, algorithm: str = "fedavg", budget: str = "steps"
) -> Verdict:
    rival = Rival("fedadam", budget, "none", 0.78, best)
    other = Rival("fedavg", budget, "transforms", 0.6, weakest) if weakest else rival
    return Verdict(algorithm, budget, "synthetic", rival, other)


def test_a_clear_difference_is_a_claim_with_its_evidence() -> None:
    assert verdict.sentence(judged(CLEAR, Difference(0.2, 0.1, 0.3, 6, 12, 0.03125))) == (
        "With fedavg at equal steps, synthetic beats the best control (no fill with fedadam) by +6.1 points, "
        "95 % interval +4.0 to +8.3, sign-flip p = .031, 6 partitions x 2 seeds; from the weakest (transforms with "
        "fedavg) the difference is +20.0."
    )


def test_a_control_of_another_budget_is_named_with_it() -> None:
    found = judged(CLEAR, Difference(0.2, 0.1, 0.3, 6, 12, 0.03125))
    found = replace(found, best=replace(found.best, budget="epochs"))
    assert verdict.sentence(found).startswith(
        "With fedavg at equal steps, synthetic beats the best control (no fill with fedadam at equal epochs) by +6.1"
    )


def test_a_clear_loss_is_said_as_plainly() -> None:
    assert verdict.sentence(judged(Difference(-0.061, -0.083, -0.04, 6, 12, 0.03125))) == (
        "With fedavg at equal steps, synthetic falls behind the best control (no fill with fedadam) by -6.1 points, "
        "95 % interval -8.3 to -4.0, sign-flip p = .031, 6 partitions x 2 seeds."
    )


def test_a_difference_that_is_not_clear_is_no_claim() -> None:
    assert verdict.sentence(judged(Difference(0.01, -0.02, 0.04, 6, 11, 0.4375))) == (
        "With fedavg at equal steps, the difference of synthetic from the best control (no fill with fedadam) is +1.0 "
        "points, not clearly different from 0, 95 % interval -2.0 to +4.0, sign-flip p = .438, 6 partitions, 11 runs."
    )


def test_one_partition_demonstrates_and_few_cannot_be_tested() -> None:
    """However narrow the interval is, it is over seeds of one partition."""
    assert verdict.sentence(judged(ONE)) == (
        "With fedavg at equal steps, the difference of synthetic from the best control (no fill with fedadam) is +6.1 "
        "points, 95 % interval +4.0 to +8.3, 1 partition x 3 seeds. One partition: this demonstrates and does not "
        "prove; see docs/results."
    )
    few = verdict.sentence(judged(Difference(0.061, 0.04, 0.083, 5, 5, 0.0625)))
    assert few.endswith(
        "5 partitions x 1 seed. Fewer than 6 partitions: no test can be below p = .05, so this is no claim."
    )
    assert verdict.evidence(Difference(0.1, None, None, 1, 1, None)) == "1 partition x 1 seed"


def test_the_headline_is_the_first_algorithm_at_equal_steps() -> None:
    """The order in params.yaml decides; where equal steps were not trained, the first budget."""
    epochs, steps, other = judged(ONE, budget="epochs"), judged(ONE), judged(ONE, algorithm="moon")
    assert verdict.chosen([epochs, steps, other]) is steps
    assert verdict.chosen([epochs, other]) is epochs
    assert verdict.chosen([]) is None


@pytest.mark.parametrize(("p", "text"), [(1.0, "= 1.000"), (0.03125, "= .031"), (0.0009, "< .001"), (0.001, "= .001")])
def test_p(p: float, text: str) -> None:
    assert verdict.p_text(p) == text
