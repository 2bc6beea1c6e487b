"""Both pages in a headless Chromium, at phone and desktop width, light and dark."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.reporting import browser, crowd, pages
from tests.reporting.browser import Browser

PHONE, DESKTOP = 390, 1280
PROGRAM = browser.found()
MISSING = f"no browser is installed (any of {', '.join(browser.NAMES)}); on Debian: apt-get install chromium"
pytestmark = pytest.mark.skipif(PROGRAM is None and not os.environ.get("CI"), reason=MISSING)


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert PROGRAM is not None, MISSING
    with Browser.start(PROGRAM, tmp_path_factory.mktemp("profile")) as started:
        yield started


def page(folder: Path, body: str, head: str = "") -> Path:
    path = folder / "page.html"
    start = "<!doctype html><meta name=viewport content=width=device-width><title>x</title><link rel=icon href=data:,>"
    path.write_text(f"{start}{head}<body>{body}", encoding="utf-8")
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


PAGES: dict[str, Callable[[], str]] = {
    "report": lambda: pages.report(pages.crowded()),
    "bare report": lambda: pages.report(pages.bare()),
    "sweep": pages.sweep,
    "bare sweep": pages.bare_sweep,
    "ledger": lambda: pages.ledger_of(crowd.names(20)),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write each page once."""
    folder, paths = tmp_path_factory.mktemp("pages"), {}
    for name, make in PAGES.items():
        paths[name] = folder / f"{name}.html"
        paths[name].write_text(make(), encoding="utf-8")
    return paths


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_page_fits_shows_all_pictures_and_reports_nothing(
    window: Browser, written: dict[str, Path], name: str, width: int, dark: bool
) -> None:
    """Also after a reader opened everything that is folded, and read the values of every chart."""
    found = window.open(written[name], width, dark=dark)
    assert found.nothing, found
    window.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    window.evaluate(
        "document.querySelectorAll('.chart [data-tip]').forEach((one) => "
        "one.dispatchEvent(new PointerEvent('pointerover', { bubbles: true })))"
    )
    found = window.look(width)
    assert found.nothing, found
    assert window.evaluate("document.images.length + document.querySelectorAll('.chart').length") > 0


def test_a_page_is_dark_where_the_reader_wants_it_and_light_on_paper(window: Browser, written: dict[str, Path]) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    window.open(written["bare report"], DESKTOP)
    assert window.evaluate(colour) == "rgb(255, 255, 255)"
    window.open(written["bare report"], DESKTOP, dark=True)
    assert window.evaluate(colour) == "rgb(20, 23, 26)"
    window.call("Emulation.setEmulatedMedia", media="print", features=[])
    assert window.evaluate(colour) == "rgb(255, 255, 255)"
    window.call("Emulation.setEmulatedMedia", media="")


def test_values_are_read_with_a_pointer_and_with_keys(window: Browser, written: dict[str, Path]) -> None:
    """The tip is what a screen reader is told, since it is the page's status."""
    window.open(written["bare report"], PHONE)
    tips = "[...document.querySelectorAll('.chart.lines [data-tip]')].map((one) => one.dataset.tip)"
    first, second = window.evaluate(tips)[:2]
    tip = "document.querySelector('[role=status]').textContent"
    window.evaluate("document.querySelector('.chart.lines').focus()")
    window.key("ArrowRight")
    assert window.evaluate(tip) == first
    window.key("ArrowRight")
    assert window.evaluate(tip) == second
    window.key("Escape")
    assert window.evaluate(tip) == ""
    left, top = window.evaluate(
        "(() => { const one = document.querySelector('.chart.lines .hit'); one.scrollIntoView({ block: 'center' });"
        " const box = one.getBoundingClientRect(); return [box.x + 2, box.y + 20]; })()"
    )
    window.call("Input.dispatchMouseEvent", type="mouseMoved", x=left, y=top)
    assert window.evaluate(tip) == first
    sides = window.evaluate(
        "(({ left, right, top }) => [left, right, top])(document.querySelector('.tip').getBoundingClientRect())"
    )
    assert min(sides[0], sides[2], PHONE - sides[1]) >= 0


def test_no_name_of_a_stranger_runs_or_becomes_an_element(window: Browser, written: dict[str, Path]) -> None:
    assert window.open(written["report"], DESKTOP).nothing
    assert window.evaluate("document.scripts.length") == 1
    assert window.evaluate("document.querySelectorAll('img:not([alt])').length") == 0
    assert window.evaluate("document.body.textContent.includes('</script><script>alert(1)</script>')")


def test_a_print_shows_what_is_folded(window: Browser, written: dict[str, Path], tmp_path: Path) -> None:
    window.open(written["bare report"], DESKTOP)
    closed = "document.querySelectorAll('details:not([open])').length"
    assert window.evaluate(closed) > 0
    window.pdf(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    assert window.evaluate(closed) == 0
