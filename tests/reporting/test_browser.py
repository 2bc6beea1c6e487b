"""Both pages in a headless Chromium, at phone and desktop width, light and dark."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reporting import browser
from tests.reporting.browser import Browser

PHONE, DESKTOP = 390, 1280
PROGRAM = browser.found()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason=f"no browser is installed (any of {', '.join(browser.NAMES)})")


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert PROGRAM is not None
    with Browser.start(PROGRAM, tmp_path_factory.mktemp("profile")) as started:
        yield started


def page(folder: Path, body: str, head: str = "") -> Path:
    path = folder / "page.html"
    path.write_text(f"<!doctype html><meta name=viewport content=width=device-width><title>x</title><link rel=icon href=data:,>{head}<body>{body}", encoding="utf-8")
    return path


def test_a_faultless_page_has_no_findings(window: Browser, tmp_path: Path) -> None:
    assert window.open(page(tmp_path, "<p>text</p>"), PHONE).nothing


@pytest.mark.parametrize(
    ("body", "kind", "word"),
    [
        ("<script>console.error('a fault')</script>", "errors", "a fault"),
        ("<script>addEventListener('load', () => console.warn('late'))</script>", "errors", "late"),
        ("<script>throw new Error('thrown')</script>", "errors", "thrown"),
        ("<script>Promise.reject(new Error('rejected'))</script>", "errors", "rejected"),
        ("<script>nobody.home</script>", "errors", "nobody"),
        ("<img alt=sheet src=data:image/png;base64,AAAA>", "missing", "sheet"),
        ("<img alt=other src=other.png>", "requests", "other.png"),
        ("<style>@import url(other.css);</style>", "requests", "other.css"),
        ("<div style='width: 600px'>wide</div>", "wide", "div"),
        ("<pre>" + "long " * 200 + "</pre>", "wide", "pre"),
        ("<table><tr>" + "<td>cells</td>" * 40 + "</table>", "wide", "table"),
    ],
)
def test_a_fault_is_found(window: Browser, tmp_path: Path, body: str, kind: str, word: str) -> None:
    found = window.open(page(tmp_path, body), PHONE)
    assert any(word in text for text in getattr(found, kind)), found


def test_a_script_that_the_policy_forbids_is_a_fault(window: Browser, tmp_path: Path) -> None:
    head = "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; img-src data:\">"
    found = window.open(page(tmp_path, "<script>document.title = 'taken'</script>", head), PHONE)
    assert any("Content Security Policy" in text for text in found.errors)
    assert window.evaluate("document.title") == "x"


def test_what_scrolls_by_itself_is_no_fault(window: Browser, tmp_path: Path) -> None:
    inside = "<div style='overflow-x: auto'><div style='width: 900px'>wide</div></div>"
    assert window.open(page(tmp_path, inside), PHONE).nothing
