"""A stage ends when DVC, which started it, is gone."""

import os
import signal
import threading
import time

_EVERY = 0.5  # seconds


def end_with_dvc() -> None:
    """Have a thread end this process when DVC is gone; nothing happens where DVC did not start it.

    A SIGTERM ends ``dvc repro`` at once, and DVC does not pass it on, so that its stage would run on by itself. The
    stage's workers end with it.
    """
    if "DVC_STAGE" not in os.environ:
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_EVERY)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
