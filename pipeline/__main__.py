"""Entry point: ``python -m pipeline``, also installed as ``gen-fedsd``."""

import io
import os
import sys

import typer

from pipeline import orphans, printable
from pipeline.cli import app
from pipeline.errors import PipelineError

# The base of what typer raises for options and commands that do not exist; typer does not export it by name.
UsageError: type[Exception] = typer.BadParameter.__bases__[0]
INTERRUPTED = 130
"""The exit code that typer returns after Ctrl-C, as shells do."""


def main() -> None:
    """Run the command line; a user's mistake is one line on stderr and exit code 2, a bug keeps its traceback."""
    orphans.end_with_dvc()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr is: not every terminal has every letter
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except PipelineError as error:
        _fail(str(error), 2)
    except UsageError as error:
        _fail(f"{error.format_message().rstrip('.')}: command line: see gen-fedsd --help", 2)  # type: ignore[attr-defined]
    except BrokenPipeError:  # the reader of the output stopped, as in `gen-fedsd status | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    if code == INTERRUPTED:
        _fail("interrupted: what is finished is kept: run again to resume", INTERRUPTED)
    sys.exit(code)


def _fail(text: str, code: int) -> None:
    print(f"error: {printable.line(text)}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
