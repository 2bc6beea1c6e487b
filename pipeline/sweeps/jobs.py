"""Several processes that carry out the cells of one sweep; each is the same command, and their locks share the work."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

VARIABLE = "GEN_FEDSD_SWEEP_HELPER"
"""Set in a process that another one started to help: the descriptor of a pipe that ends with its starter."""


@contextmanager
def helpers(count: int, arguments: Sequence[str]) -> Iterator[None]:
    """Run so many further processes with these arguments of the command line while the block runs, and wait for them.

    They end when this process ends, even if it is killed; what they have not finished is open then.
    """
    ending, kept = os.pipe()
    try:
        command = [sys.executable, "-m", "pipeline", *arguments]
        environment = {**os.environ, VARIABLE: str(ending)}
        started = [
            subprocess.Popen(command, env=environment, pass_fds=[ending], stdin=subprocess.DEVNULL)
            for _ in range(count)
        ]
        os.close(ending)
        yield
        for one in started:
            one.wait()
    finally:
        os.close(kept)


def follow_starter() -> bool:
    """Return whether this process helps another one; if so, it ends as soon as that one has ended, and not by Ctrl-C.

    A cell can be left at any moment, so it need not be ended with care.
    """
    given = os.environ.pop(VARIABLE, "")
    if not given:
        return False

    def watch() -> None:
        os.read(int(given), 1)  # nobody writes: it returns when the other end is closed
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=watch, daemon=True).start()
    return True
