"""The pool of finished synthetic images; all of its SQL is in this package."""

from pipeline.generation.pool.exchange import (
    Exported,
    Imported,
    export_pool,
    import_images,
    import_pool,
    import_shards,
)
from pipeline.generation.pool.maintenance import Collected, Entry, Stats, gc, list_recipes, stats
from pipeline.generation.pool.receive import Receiver
from pipeline.generation.pool.store import Pool, StoredImage

__all__ = [
    "Collected",
    "Entry",
    "Exported",
    "Imported",
    "Pool",
    "Receiver",
    "Stats",
    "StoredImage",
    "export_pool",
    "gc",
    "import_images",
    "import_pool",
    "import_shards",
    "list_recipes",
    "stats",
]
