"""The page's form in a headless Chromium: its script computes what Python does, for other networks and rounds."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.artifacts.history import Participation, Round, RunHistory
from pipeline.reporting import page
from pipeline.reporting.arms import ArmRuns
from pipeline.reporting.network import embedded, tables
from pipeline.reporting.page import Page, Verdict
from pipeline.reporting.sections import network
from tests.reporting import browser, crowd
from tests.reporting.browser import Browser

PROGRAM = browser.found()
FILLS = ("none", "synthetic")
ROUNDS, SENT = 12, 300_000
ASIDE = "no fill of these"
"""What is compared, so that nobody asks whether it pays."""


def run(fill: str, seed: int, scale: int = 1) -> RunHistory:
    """Return rounds of 6 of 20 clients of unlike work; seed 2 without a fill never reaches what seed 1 does."""
    rng, rounds = np.random.default_rng(seed), []
    for number in range(1, ROUNDS + 1):
        chosen = sorted(rng.choice(crowd.CLIENTS, 6, replace=False).tolist())
        work = [(client, 40 * client + 80 * (fill == "synthetic")) for client in chosen]
        taking = tuple(Participation(client, count, 1, scale * SENT, scale * SENT) for client, count in work)
        accuracy = (0.05 * number + 0.2 * (fill == "synthetic")) * (0.6 if seed == 2 and fill == "none" else 1)
        rounds.append(Round(number, taking, round(accuracy, 4) if number % 2 == 0 else None))
    return RunHistory(fill, "fedavg", "steps", seed, tuple(rounds), 2)


def arms(scale: int = 1) -> list[ArmRuns]:
    return [ArmRuns("fedavg", "steps", fill, {seed: run(fill, seed, scale) for seed in (1, 2, 3)}) for fill in FILLS]


SETTINGS: Sequence[tuple[dict[str, str], dict[str, Any], int]] = [
    ({}, {}, 1),
    ({"profile": "LAN"}, {"profiles": ("LAN",)}, 1),
    ({"deadline": "2.5"}, {"deadline": 2.5}, 1),
    ({"first": "4"}, {"first": 4}, 1),
    ({"first": "0.7", "deadline": "30", "profile": "LAN"}, {"first": 0.7, "deadline": 30.0, "profiles": ("LAN",)}, 1),
    ({"size": "30"}, {}, 100),
]
"""What a reader chooses, the parameters that stand for it, and how many times as large the weights are."""
LOADS: Sequence[dict[str, Any]] = [{}, {"redraw": True, "coupling": "independent", "loss_bound": True, "server": 20.0}]


def written(folder: Path, **options: Any) -> Path:
    """Write a page of nothing but the section."""
    found, studied = arms(), crowd.study(arms(), ASIDE, **options)
    numbers = studied.added_to(crowd.summary(found, ("a",)))
    section = network.make(numbers, studied, {fill: place for place, fill in enumerate(FILLS)})
    path = folder / f"{len(options)}.html"
    path.write_text(page.render(Page("t", "h", Verdict("v"), [], [section])), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if PROGRAM is None:
        pytest.skip(f"no browser is installed (any of {', '.join(browser.NAMES)})")
    with Browser.start(PROGRAM, tmp_path_factory.mktemp("profile")) as started:
        yield started


def cells(window: Browser) -> list[list[str]]:
    """Return the table as the page shows it, without its head."""
    script = (
        "[...document.querySelectorAll('.live table tr')].map((row) => [...row.cells].map((one) => one.textContent))"
    )
    shown: list[list[str]] = window.evaluate(script)
    return shown[1:]


def choose(window: Browser, chosen: dict[str, str]) -> None:
    fields = "const fields = document.querySelector('.live form').elements;"
    sets = "".join(f"fields.{name}.value = '{value}';" for name, value in chosen.items())
    window.evaluate(
        f"(() => {{ {fields} {sets} fields.profile.dispatchEvent(new Event('change', {{ bubbles: true }})); }})()"
    )


def numbers(texts: Sequence[str]) -> tuple[list[str], list[float]]:
    """Return the words of texts and their numbers."""
    whole = " | ".join(texts).replace(",", "")
    return re.findall(r"[a-z%]+", whole), [float(one) for one in re.findall(r"\d+\.?\d*", whole)]


@pytest.mark.parametrize("options", LOADS, ids=["usual", "redrawn, independent"])
def test_the_form_shows_what_python_computes(window: Browser, tmp_path: Path, options: dict[str, Any]) -> None:
    """Half a unit in the last of three digits is allowed: the script rounds a tie up, and numbers once."""
    assert window.open(written(tmp_path, **options), 1280).nothing
    before = cells(window)
    for chosen, given, scale in SETTINGS:
        choose(window, {"profile": "world", "deadline": "", "first": "", "size": "0.3"} | chosen)
        studied = crowd.study(arms(scale), ASIDE, **{**options, **given})
        # Images stay as large as they are.
        name = given.get("profiles", ("world",))[0]
        for shown, wanted in zip(cells(window), tables.hours(studied.network, name).rows, strict=True):
            words, values = numbers(shown)
            assert words == numbers(wanted)[0], (chosen, shown, wanted)
            assert values == pytest.approx(numbers(wanted)[1], rel=0.006, abs=0.011), (chosen, shown, wanted)
        assert window.evaluate("document.querySelector('.live caption').textContent") == name
    choose(window, {"profile": "world", "deadline": "", "first": "", "size": "0.3"})
    assert cells(window) == before
    assert window.look(1280).nothing


def test_bars_follow_the_form_and_late_updates_are_said(window: Browser, tmp_path: Path) -> None:
    window.open(written(tmp_path), 390)
    widths = "[...document.querySelectorAll('.live rect.bar')].map((one) => one.getAttribute('width'))"
    static = window.evaluate(widths)
    choose(window, {})
    drawn = window.evaluate(widths)
    assert [float(one[:-1]) for one in drawn] == pytest.approx([float(one[:-1]) for one in static], abs=0.02)
    choose(window, {"deadline": "0.001"})
    assert window.evaluate(widths) != drawn
    assert "100.0 % of an arm's updates come too late" in window.evaluate(
        "document.querySelector('output').textContent"
    )
    assert window.look(390).nothing


def test_without_scripts_the_numbers_stand_and_the_form_is_hidden(tmp_path: Path) -> None:
    text = written(tmp_path).read_text(encoding="utf-8")
    assert '<form class="switch" hidden>' in text
    assert "time until the target" in text


def test_what_is_embedded_is_small_and_left_out_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """20 clients, 7 draws, 2 channels of 2 bytes: 560 bytes, 4/3 of that in base64. 39 numbers are no draw."""
    studied = crowd.study(arms(), ASIDE)
    found = embedded.live(studied)
    assert found is not None
    assert len(found["uniforms"]) == 4 * -(-560 // 3)
    monkeypatch.setattr(embedded, "MOST_NUMBERS", 125)
    fewer = embedded.live(studied)
    assert fewer is not None
    assert fewer["draws"] == 3
    monkeypatch.setattr(embedded, "MOST_NUMBERS", 39)
    assert embedded.live(studied) is None
    section = network.make(
        replace(crowd.summary(arms(), ("a",)), network=studied.network), studied, {"none": 0, "synthetic": 1}
    )
    assert any("too many for a page" in getattr(part, "text", "") for part in section.parts)
