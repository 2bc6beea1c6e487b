"""Every file that the project reads or writes, named once. Relative paths are relative to the repository's root."""

import os
from pathlib import Path

PARAMS = Path("params.yaml")

PARTITION = Path("data/partition.parquet")
PARTITION_PICTURE = Path("data/partition.png")
DEFICITS = Path("data/deficits.csv")
SHARDS = Path("data/shards")
MANIFEST = Path("data/manifest.json")
TRAIN = Path("data/train")
CENTRAL = Path("data/central")
REPORT_PAGE = Path("data/report.html")
REPORT_METRICS = Path("data/report.json")
REPORT_CURVES = Path("data/report.csv")
TIMINGS = Path("data/timings")
"""Wall times by stage; DVC does not track them, since they differ from run to run."""

CACHE_VARIABLE = "GEN_FEDSD_CACHE"


def cache() -> Path:
    """Return the folder of what is kept between runs and shared by clones: the pool, and decoded images.

    ``$GEN_FEDSD_CACHE``, else ``gen-fedsd`` in the user's cache folder. Losing it costs time, never correctness.
    """
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gen-fedsd"


def pool() -> Path:
    """Return the place of the pool, one SQLite file."""
    return cache() / "pool.sqlite"


def shard(client: int, part: int = 0) -> Path:
    """Return the place of one client's shard, or of a further part of one that is too big for one file."""
    return SHARDS / (f"client-{client:05}.part-{part:03}.parquet" if part else f"client-{client:05}.parquet")


def preview(client: int) -> Path:
    """Return where a client's contact sheet goes."""
    return Path(f"data/preview-client-{client:05}.png")


def timing(stage: str) -> Path:
    """Return the place of a stage's wall time."""
    return TIMINGS / f"{stage.replace(' ', '-')}.json"


def ends(title: str) -> Path:
    """Return where stands after how many seconds each of the runs with this title ended."""
    return TIMINGS / "runs" / f"{title.replace(' ', '-')}.json"


def run(fill: str, algorithm: str) -> Path:
    """Return the folder of one training run's results."""
    return TRAIN / f"{fill}-{algorithm}"
