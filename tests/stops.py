"""Programs that stop at a chosen moment, so that a test kills or interrupts them there, on machines of any speed.

A moment is one of Python's audit events (https://docs.python.org/3/library/audit_events.html), such as the renaming of
a file, in one of the program's processes. The program itself is not changed: Python imports ``sitecustomize`` first.
"""

import os
from dataclasses import dataclass
from pathlib import Path

HOOK = """
import os, re, sys, time

EVENT, PATTERN, COUNT, MARK = os.environ["TESTS_STOP_AT"].split("|")
left = int(COUNT)


def stop(event, arguments):
    global left
    if event != EVENT or left == 0:
        return
    current = getattr(sys.modules.get("multiprocessing.process"), "current_process", None)
    name = current().name if current else "MainProcess"
    if not re.search(PATTERN, f"{name} {sys._getframe(1).f_code.co_filename} {arguments}"):
        return
    left -= 1
    if left == 0:
        os.close(os.open(MARK, os.O_CREAT))
        while True:
            time.sleep(60)


sys.addaudithook(stop)
"""


@dataclass(frozen=True)
class Moment:
    """The ``count``-th time in a process that an event comes whose description matches a pattern.

    The description is the name of the process, the file that has the calling code, and the event's arguments.
    """

    event: str
    pattern: str
    count: int = 1

    def environment(self, folder: Path) -> dict[str, str]:
        """Return the environment of a program that stops then; ``stopped(folder)`` tells whether it has."""
        (folder / "hook").mkdir(parents=True, exist_ok=True)
        (folder / "hook" / "sitecustomize.py").write_text(HOOK)
        (folder / "stopped").unlink(missing_ok=True)
        path = os.pathsep.join(filter(None, [str(folder / "hook"), os.environ.get("PYTHONPATH")]))
        stop = f"{self.event}|{self.pattern}|{self.count}|{folder / 'stopped'}"
        return {**os.environ, "PYTHONPATH": path, "TESTS_STOP_AT": stop}


def stopped(folder: Path) -> bool:
    return (folder / "stopped").exists()
