"""Progress on stderr: a bar with rate and time left on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipeline import printable

_LINE_EVERY = 15.0  # seconds between plain lines


class Advance(Protocol):
    """Report that ``count`` more units are done; ``note`` replaces the text after the bar."""

    def __call__(self, count: int = 1, note: str = "") -> None: ...


def say(text: str) -> None:
    """Print one line of progress on stderr; what would end the line or drive the terminal is escaped."""
    print(printable.line(text), file=sys.stderr, flush=True)


@contextmanager
def bar(title: str, total: int, unit: str, already: int = 0) -> Iterator[Advance]:
    """Show progress over ``total`` units while the block runs; yield the function that advances it.

    ``already`` of the units were done before: they count as done, but not in the rate.
    """
    done, start, printed = already, time.monotonic(), time.monotonic()
    console = Console(stderr=True)

    def text(note: str) -> str:
        rate = (done - already) / max(time.monotonic() - start, 1e-9)
        return f"{rate:.1f} {unit}/s{'  ' + note if note else ''}"

    if console.is_terminal:
        names, notes = (TextColumn(f"{{task.{what}}}", markup=False) for what in ("description", "fields[note]"))
        columns = (names, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), notes)
        with Progress(*columns, console=console) as progress:
            task = progress.add_task(printable.line(title), total=total, completed=already, note="")

            def advance(count: int = 1, note: str = "") -> None:
                nonlocal done
                done += count
                progress.update(task, advance=count, note=printable.line(text(note)))

            yield advance
        return

    def line(count: int = 1, note: str = "") -> None:
        nonlocal done, printed
        done += count
        now = time.monotonic()
        if done == total or now - printed >= _LINE_EVERY:
            printed = now
            left = (now - start) / max(done - already, 1) * (total - done)
            say(f"{title}: {done}/{total} {unit}, {text(note)}, {left:.0f} s left")

    yield line
