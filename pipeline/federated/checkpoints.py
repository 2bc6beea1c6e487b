"""The state of interrupted runs: written every few rounds into the cache, whole or not at all, deleted at the end."""

from pathlib import Path

from pipeline import progress
from pipeline.federated import runs, state_file
from pipeline.federated.simulation import Run, RunState


class Checkpoint:
    """The checkpoint of one run, found by everything that decides the run."""

    def __init__(self, folder: Path, name: str, run: Run, every: int) -> None:
        self._name, self._every, self._last = name, every, run.rounds
        self.path = folder / f"{runs.digest(run)}.safetensors"

    def load(self) -> RunState | None:
        """Return the state that was kept last, or None; a damaged file counts as none, and is reported."""
        if not self.path.is_file():
            return None
        try:
            return state_file.read(self.path)
        except state_file.DAMAGED:
            progress.say(f"{self.path} is damaged; {self._name} starts again")
            return None

    def keep(self, at: RunState) -> None:
        """Write the state every few rounds and after the last one, whose test comes later.

        Raises ArtifactError if the disk is full.
        """
        if at.rounds[-1].number % self._every == 0 or at.rounds[-1].number == self._last:
            state_file.write(self.path, at)

    def forget(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)
