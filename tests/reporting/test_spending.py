"""What a workspace cost, by a ledger, artifacts and a report that were written by hand."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import ledger_text
from pipeline.commands import spending as command
from pipeline.errors import ArtifactError
from pipeline.ledger import Entry
from pipeline.reporting import spending, spending_tables
from pipeline.reporting.units import duration, quantity
from pipeline.stages import report
from pipeline.workspace import Workspace
from tests.stages.test_report import runs, written


def entry(stage: str, device_seconds: float, kind: str = "cpu", method: str = "RAPL", **counts: int) -> Entry:
    """Return a line: half as many seconds passed, and each device-second took 10 J."""
    return Entry(
        1_800_000_000, stage, kind, "any", 2, device_seconds / 2, device_seconds, 10 * device_seconds, method, counts
    )


def keep(workspace: Workspace, *entries: Entry) -> None:
    workspace.ledger.parent.mkdir(parents=True, exist_ok=True)
    workspace.ledger.write_text("".join(json.dumps(asdict(one)) + "\n" for one in entries))


@pytest.fixture
def reported(workspace: Workspace, document: dict[str, Any]) -> Workspace:
    """A workspace with six synthetic images, and a report in which they bring 10 points."""
    loaded = written(workspace, document, runs())
    keep(
        workspace,
        entry("generate", 4.0, images_rendered=2),
        entry("generate", 8.0, images_rendered=1, images_reused=3),
        entry("train synthetic fedavg", 30.0, method="12 W x device-seconds", runs_trained=4, bytes_down=7_000),
        entry("generate", 1.0, kind="cuda", method="NVML"),
    )
    report.run(workspace, loaded)
    return workspace


def test_lines_are_summed_by_stage_and_kind_of_device(reported: Workspace) -> None:
    """4 + 8 device-seconds of a CPU for three images, 1 of a GPU, 30 of training."""
    found = spending.of(reported)
    drawn, trained, gpu = found.lines
    assert (drawn.stage, drawn.kind, drawn.seconds, drawn.device_seconds, drawn.joules) == (
        "generate",
        "cpu",
        6,
        12,
        120,
    )
    assert drawn.counts == {"images_rendered": 3, "images_reused": 3}
    assert (trained.counts, gpu.kind) == ({"runs_trained": 4, "bytes_down": 7_000}, "cuda")
    whole = spending.total(found.lines)
    assert (whole.device_seconds, whole.kind) == (43, "cpu, cuda")
    assert whole.methods == ("RAPL", "12 W x device-seconds", "NVML")
    assert spending_tables.whole(found) == ("in all: 3 images rendered, 3 from the pool, 4 runs trained, 7 kB down")


def test_the_price_is_that_of_all_images_of_the_plan(reported: Workspace) -> None:
    """13 device-seconds for three of six images: 26 for all; 10 points of accuracy, so 2.6 s and 26 J a point."""
    found = spending.of(reported)
    assert found.price is not None
    assert (found.price.rendered, found.price.images, found.price.device_seconds) == (3, 6, 26)
    assert found.price.joules == 260
    assert [(one.algorithm, one.budget) for one in found.gains] == [("fedavg", "epochs"), ("fedavg", "steps")]
    assert [one.difference.mean for one in found.gains] == pytest.approx([0.1, 0.1])
    rows = spending_tables.points(found).rows
    assert [row[:2] for row in rows] == [("fedavg", "equal epochs"), ("fedavg", "equal steps")]
    assert rows[0][3].startswith("2.6 s")
    assert rows[0][4] == "26 J"


def test_a_fill_that_gains_nothing_has_no_price_of_a_point(workspace: Workspace, document: dict[str, Any]) -> None:
    loaded = written(workspace, document, runs(fills=("synthetic", "none")))
    keep(workspace, entry("generate", 4.0, images_rendered=2))
    report.run(workspace, loaded)
    assert {row[3:] for row in spending_tables.points(spending.of(workspace)).rows} == {("no gain", "")}


def test_images_that_nobody_rendered_here_have_no_known_price(reported: Workspace) -> None:
    keep(reported, entry("generate", 0.0, images_reused=6))
    found = spending.of(reported)
    assert (found.price, spending_tables.points(found).rows) == (None, ())
    assert "is not known here" in spending_tables.price(found.price)


def test_the_report_page_is_the_same_whatever_was_spent(reported: Workspace, document: dict[str, Any]) -> None:
    """It only names the ledger's page, which differs."""
    pages = [path.read_bytes() for path in (reported.report_page, reported.ledger_page)]
    keep(reported, entry("generate", 400.0, images_rendered=1))
    report.run(reported, written(reported, document, runs()))
    again = [path.read_bytes() for path in (reported.report_page, reported.ledger_page)]
    assert again[0] == pages[0]
    assert again[1] != pages[1]
    assert b'<a href="ledger.html">' in pages[0]
    for text in (b"12 W", b"device-seconds"):
        assert text not in pages[0]
        assert text in pages[1]


def test_the_command_prints_it_and_writes_the_page(reported: Workspace) -> None:
    found = command.show(reported)
    text = ledger_text.shown(found).split("\n")
    assert text[0].split() == ["stage", "on", "passed", "worked", "energy", "what"]
    assert " ".join(text[1].split()) == "generate cpu 6 s 12 s 120 J 3 images rendered, 3 from the pool"
    assert any(line.startswith("energy by NVML: the GPUs' own counters") for line in text)
    assert any(line.startswith("energy by 12 W x device-seconds: assumed") for line in text)
    assert max(map(len, text)) <= 110
    page = reported.ledger_page.read_text()
    assert "3 images were rendered here, in 4.33 device-seconds each" in page
    assert "What a point of accuracy cost" in page


def test_what_is_on_disk_is_measured(reported: Workspace) -> None:
    """The shards of the manifest, and 100 bytes in the pool; what stages share is not counted twice."""
    reported.pool.parent.mkdir(parents=True, exist_ok=True)
    reported.pool.write_bytes(b"x" * 100)
    sizes = {one.name: one.bytes for one in spending.of(reported).stored}
    shards = sum(path.stat().st_size for path in reported.shards.rglob("*") if path.is_file())
    files = sum(path.stat().st_size for path in reported.data.rglob("*") if path.is_file())
    assert sizes["pool of images"] == 100
    assert sizes["shards"] == shards > 0
    assert sizes["shards"] + sizes["other files of the stages"] == files


def test_an_empty_workspace_has_an_empty_ledger(workspace: Workspace) -> None:
    found = command.show(workspace)
    assert ledger_text.shown(found).startswith("nothing was spent here yet, by the ledger\n")
    assert "No image of the plan was rendered here" in workspace.ledger_page.read_text()


def test_damaged_lines_are_said_on_the_page_and_damaged_artifacts_are_errors(
    reported: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    with reported.ledger.open("a") as file:
        file.write("{\n")
    assert command.show(reported).damaged == 1
    assert "1 lines of the ledger are damaged" in reported.ledger_page.read_text()
    assert "1 of 5 lines are damaged" in capsys.readouterr().err
    reported.manifest.write_text("{")
    with pytest.raises(ArtifactError):
        command.show(reported)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, "0 B"), (999.4, "999 B"), (999.6, "1 kB"), (2_614_000_000, "2.61 GB"), (1.5e18, "1,500 PB")],
)
def test_quantities_have_three_digits(value: float, expected: str) -> None:
    assert quantity(value, "B") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, "0 s"), (59.99, "1 min"), (59.4, "59.4 s"), (3600 * 25, "1.04 d"), (86_400 * 365.25 * 1234, "1,234 y")],
)
def test_durations_have_the_largest_unit_that_fits(value: float, expected: str) -> None:
    assert duration(value) == expected


def test_paths_of_the_ledger_are_in_the_folder_of_the_stages(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert {workspace.ledger.parent, workspace.ledger_page.parent} == {workspace.data}
