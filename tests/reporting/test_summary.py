import pytest

from pipeline.artifacts.history import Round
from pipeline.errors import ArtifactError
from pipeline.reporting import summary
from pipeline.reporting.summary import Interval


def history(fill: str, accuracies: dict[tuple[str, int], list[float | None]]) -> list[Round]:
    return [
        Round(fill, "fedavg", budget, seed, number, accuracy, None, samples=64, steps=2, bytes_down=1_000, bytes_up=500)
        for (budget, seed), run in accuracies.items()
        for number, accuracy in enumerate(run, start=1)
    ]


def test_interval_is_students_t() -> None:
    """Of 1, 2, 3: mean 2, sample deviation 1, t(0.975, 2) = 4.3027, so 4.3027 / sqrt(3) = 2.4842."""
    found = Interval.of([1.0, 2.0, 3.0])
    assert found.mean == 2
    assert found.half_width == pytest.approx(2.4842, abs=1e-4)
    assert Interval.of([0.5]) == Interval(0.5, None)


def test_differences_are_taken_seed_by_seed() -> None:
    """Differences 0.3 and 0.3 have no spread, though the accuracies themselves do."""
    none = history("none", {("epochs", 1): [0.2], ("epochs", 2): [0.6], ("steps", 1): [0.4], ("steps", 2): [0.7]})
    filled = history("synthetic", {("both", 1): [0.5], ("both", 2): [0.9]})
    numbers = summary.summarise({"fedavg": {"none": none, "synthetic": filled}}, {}, 0.5, "m")
    assert numbers["fedavg"]["epochs"]["synthetic_minus"]["none"] == {"mean": 0.3, "half_width": 0.0}
    difference = numbers["fedavg"]["steps"]["synthetic_minus"]["none"]
    assert difference["mean"] == pytest.approx(0.15)
    assert difference["half_width"] == pytest.approx(12.7062 * 0.05, abs=1e-3)  # t(0.975, 1) * 0.0707 / sqrt(2)


def test_bytes_to_target_count_untested_rounds_too() -> None:
    """Seed 1 reaches 0.5 at round 3 (a round between is not tested): 3 rounds of 1,500 bytes. Seed 2 never does."""
    rounds = history("none", {("epochs", 1): [0.1, None, 0.6], ("epochs", 2): [0.1, None, 0.4]})
    arm = summary.arms({"none": rounds})["epochs"]["none"]
    assert arm.reach(0.5) == ([3], [4_500])
    described = arm.describe(0.5)
    assert (described["seeds_at_target"], described["rounds_to_target"]) == (1, 3.0)
    assert arm.describe(0.9)["megabytes_to_target"] is None
    assert arm.curve() == [(1, 0.1, 0.1, 0.1), (3, 0.5, 0.4, 0.6)]


def test_the_table_has_both_budgets_and_the_differences() -> None:
    none = history("none", {("epochs", 1): [0.25], ("steps", 1): [0.5]})
    filled = history("synthetic", {("both", 1): [0.75]})
    numbers = summary.summarise({"fedavg": {"none": none, "synthetic": filled}}, {"real": none[:1]}, 0.5, "m")
    assert summary.table(numbers, "fedavg") == [
        ["fill", "equal epochs", "equal steps"],
        ["none", "25.0", "50.0"],
        ["synthetic", "75.0", "75.0"],
        ["synthetic - none", "+50.0", "+25.0"],
    ]
    text = summary.as_text(numbers)
    assert "real images alone: 25.0" in text


def test_without_a_report_the_error_says_what_to_run(
    tmp_path: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    with pytest.raises(ArtifactError, match="no report yet"):
        summary.load()
