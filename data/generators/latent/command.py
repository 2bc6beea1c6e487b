"""What the programs have in common: a user's mistake is one line on stderr and exit code 2."""

import sys
from collections.abc import Callable

from pipeline import progress
from pipeline.errors import PipelineError

_INTERRUPTED = 130


def run(work: Callable[[], None]) -> None:
    """Do the work; exit with 2 after an error that a user can cause, with 130 after Ctrl-C."""
    try:
        work()
    except PipelineError as error:
        progress.say(f"error: {error}")
        sys.exit(2)
    except KeyboardInterrupt:
        progress.say("error: interrupted: what is finished is kept: run again to resume")
        sys.exit(_INTERRUPTED)
