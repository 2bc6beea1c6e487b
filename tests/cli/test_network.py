from pathlib import Path

from pipeline.cli import network
from pipeline.commands.network import Times, Written, every_profile


def test_profiles() -> None:
    """One line for each; the world's lowest, middle and highest quantile."""
    head, *lines = network.profiles_text(every_profile()).split("\n")
    assert head.split()[:2] == ["profile", "quantiles"]
    (dsl,) = [line for line in lines if line.startswith("DSL ")]
    assert dsl.split()[1:5] == ["0.5", "1.5", "0.384", "50"]
    (states,) = [line for line in lines if line.startswith("US ")]
    assert "3.11 / 121.076 / 697.038" in states
    assert states.endswith("M-Lab NDT, October 2025, 25,430,008 tests in US")


def test_times() -> None:
    lines = network.times_text([Times("world", "fedavg", "steps", "none", (0.5, 12.25, 2500), 75.5, 0.125)]).split("\n")
    assert lines[1].split() == ["world", "fedavg", "steps", "none", "12.2", "0.5", "to", "2,500", "75.5", "12.5", "%"]


def test_what_was_written() -> None:
    done = Written(Path("lost.csv"), "world", 4, 1200, 8000, 1)
    assert network.written_text(done) == (
        "lost.csv: 1,200 of 8,000 updates of 4 runs do not arrive (world)\n"
        "1 runs ended before the last round: all updates of later rounds arrive\n"
        "to train so: train.dropouts: lost.csv"
    )
