"""Every file that an experiment reads or writes, named once, below the folder of one experiment."""

import os
from dataclasses import dataclass, field
from pathlib import Path

CACHE_VARIABLE = "GEN_FEDSD_CACHE"


def default_cache() -> Path:
    """Return the folder of what is kept between runs and shared by clones: ``$GEN_FEDSD_CACHE``, else the user's."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gen-fedsd"


@dataclass(frozen=True)
class Workspace:
    """The folder of one experiment, where params.yaml is, and the cache that it shares with others.

    Losing the cache costs time, never correctness.
    """

    root: Path = Path()
    """The current directory, unless another one is named; several workspaces can be used in one process."""
    cache: Path = field(default_factory=default_cache)

    def at(self, text: str) -> Path:
        """Return the place that a path in params.yaml names: relative ones start at the root."""
        return self.root / text

    @property
    def params(self) -> Path:
        return self.root / "params.yaml"

    @property
    def data(self) -> Path:
        """The folder of everything that the stages write."""
        return self.root / "data"

    @property
    def partition(self) -> Path:
        return self.data / "partition.parquet"

    @property
    def inventory(self) -> Path:
        """What the data set holds, and what of it is used."""
        return self.data / "inventory.json"

    @property
    def partition_picture(self) -> Path:
        return self.data / "partition.png"

    @property
    def deficits(self) -> Path:
        return self.data / "deficits.csv"

    @property
    def shards(self) -> Path:
        """The folder of the clients' shards."""
        return self.data / "shards"

    @property
    def manifest(self) -> Path:
        return self.data / "manifest.json"

    @property
    def arithmetic(self) -> Path:
        """Which dtype ``generate.dtype: auto`` stood for when images were last rendered; DVC does not track it."""
        return self.data / "arithmetic.json"

    @property
    def report_page(self) -> Path:
        return self.data / "report.html"

    @property
    def report_metrics(self) -> Path:
        return self.data / "report.json"

    @property
    def report_curves(self) -> Path:
        return self.data / "report.csv"

    @property
    def timings(self) -> Path:
        """Wall times by stage; DVC does not track them, since they differ from run to run."""
        return self.data / "timings"

    @property
    def pool(self) -> Path:
        """The store of finished synthetic images, one SQLite file."""
        return self.cache / "pool.sqlite"

    @property
    def arrays(self) -> Path:
        """The folder of decoded images."""
        return self.cache / "arrays"

    @property
    def checkpoints(self) -> Path:
        """The folder of the state of interrupted training runs."""
        return self.cache / "checkpoints"

    @property
    def runs(self) -> Path:
        """The store of finished training runs."""
        return self.cache / "runs"

    def fill(self, name: str) -> Path:
        """Return the place of the holdings of one fill."""
        return self.data / "fills" / f"{name}.parquet"

    def run(self, fill: str, algorithm: str) -> Path:
        """Return the folder of the results of one fill and algorithm."""
        return self.data / "train" / f"{fill}-{algorithm}"

    def preview(self, client: int) -> Path:
        """Return the place of a client's contact sheet."""
        return self.data / f"preview-client-{client:05}.png"

    def timing(self, stage: str) -> Path:
        """Return the place of a stage's wall time."""
        return self.timings / f"{stage.replace(' ', '-')}.json"
