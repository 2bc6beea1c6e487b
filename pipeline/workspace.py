"""Every file that an experiment reads or writes, named once, below the folder of one experiment."""

import contextlib
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import ParameterError

CACHE_VARIABLE = "GEN_FEDSD_CACHE"
SHARED_VARIABLE = "GEN_FEDSD_SHARED_CACHE"
"""Set to 1, it says that everybody who may write to the cache is trusted."""


def default_cache() -> Path:
    """Return the folder of what is kept between runs and shared by clones: ``$GEN_FEDSD_CACHE``, else the user's."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gen-fedsd"


def check_cache(folder: Path) -> None:
    """Make the cache's folder for this user alone, unless it is there; raise ParameterError if others may write to it.

    What is in the cache is used as it is: whoever may write there decides what images and results are.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        reason = _written_by_others(folder)
    except OSError:  # whoever writes there reports it; commands that need no cache go on
        return
    if reason and os.environ.get(SHARED_VARIABLE) != "1":
        fix = f"{reason[1]}, set {CACHE_VARIABLE} to another folder, or, to trust them all, set {SHARED_VARIABLE}=1"
        raise ParameterError(f"others may write to the cache ({reason[0]})", folder, fix)


def _written_by_others(folder: Path) -> tuple[str, str] | None:
    """Return why others may change what is in a folder, and what to do about it; None if they may not.

    Root may do anything anyway. The entries matter only where others may enter the folder.
    """
    known = {folder: folder.stat()}
    if known[folder].st_mode & 0o011:
        for path in folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # a temporary file of another run
                known[path] = path.lstat()
    for path, found in known.items():
        if found.st_uid not in (os.getuid(), 0):
            return f"{path} belongs to user {found.st_uid}", "take it over with chown"
        if found.st_mode & 0o022 and not stat.S_ISLNK(found.st_mode):
            return f"{path} has the mode {stat.S_IMODE(found.st_mode):04o}", f"run chmod 700 {folder}"
    return None


@dataclass(frozen=True)
class Workspace:
    """The folder of one experiment, where params.yaml is, and the cache that it shares with others.

    Losing the cache costs time, never correctness.
    """

    root: Path = Path()
    """The current directory, unless another one is named; several workspaces can be used in one process."""
    cache: Path = field(default_factory=default_cache)
    origin: Path | None = None
    """Where relative paths in params.yaml start, if not at the root: a cell of a sweep has the project's."""

    def __post_init__(self) -> None:
        check_cache(self.cache)

    def at(self, text: str) -> Path:
        """Return the place that a path in params.yaml names: relative ones start at the root, or at ``origin``."""
        return (self.origin or self.root) / text

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
    def quality(self) -> Path:
        """What the stage ``evaluate`` found out about the synthetic images."""
        return self.data / "quality.json"

    @property
    def evaluation(self) -> Path:
        """The folder of the pictures that the stage ``evaluate`` draws."""
        return self.data / "evaluate"

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
    def ledger(self) -> Path:
        """What was spent here, line by line; DVC does not track it, since it differs from run to run."""
        return self.data / "ledger.jsonl"

    @property
    def ledger_page(self) -> Path:
        """What was spent here, as a page; DVC does not track it either."""
        return self.data / "ledger.html"

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
    def embeddings(self) -> Path:
        """The folder of images' features, one file for each extractor."""
        return self.cache / "embeddings"

    @property
    def judges(self) -> Path:
        """The folder of the judges that were trained here."""
        return self.cache / "judges"

    @property
    def runs(self) -> Path:
        """The store of finished training runs."""
        return self.cache / "runs"

    def fingerprint(self, of: str) -> Path:
        """Return the place of the fingerprint of the images, the words, the drop-outs, the model or the judge."""
        return self.data / "fingerprints" / f"{_plain(of)}.json"

    def fill(self, name: str) -> Path:
        """Return the place of the holdings of one fill."""
        return self.data / "fills" / f"{_plain(name)}.parquet"

    def run(self, fill: str, algorithm: str) -> Path:
        """Return the folder of the results of one fill and algorithm."""
        return self.data / "train" / f"{_plain(fill)}-{_plain(algorithm)}"

    def alone(self, fill: str) -> Path:
        """Return the folder of the results of clients that train alone with one fill."""
        return self.data / "train" / f"alone-{_plain(fill)}"

    def metrics(self, fill: str, algorithm: str) -> Path:
        """Return the place of the figures of one fill and algorithm that DVC shows."""
        return self.data / "metrics" / f"{_plain(fill)}-{_plain(algorithm)}.json"

    def preview(self, client: int) -> Path:
        """Return the place of a client's contact sheet."""
        return self.data / f"preview-client-{client:05}.png"

    def sweep(self, name: str) -> Path:
        """Return the folder of a sweep: its cells, and the tables of their results."""
        return self.data / "sweeps" / _plain(name, "a sweep")

    def comparison(self, kind: str) -> Path:
        """Return the place of what ``evaluate --compare`` writes, ``png`` or ``json``."""
        return self.data / f"compare.{kind}"


def _plain(name: str, where: str = "a fill or an algorithm") -> str:
    """Return a name that stands for one file; raise ParameterError for any that could lead elsewhere."""
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise ParameterError(f"not a name {name!r}", where, "use small letters, digits and dashes")
    return name
