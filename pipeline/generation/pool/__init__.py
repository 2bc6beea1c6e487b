"""The pool of finished synthetic images; all of its SQL is in this package."""

from pipeline.generation.pool.exchange import Exported, Imported, export_pool, import_pool
from pipeline.generation.pool.maintenance import Collected, Entry, Stats, gc, list_recipes, stats
from pipeline.generation.pool.store import Pool, StoredImage

__all__ = [
    "Collected",
    "Entry",
    "Exported",
    "Imported",
    "Pool",
    "Stats",
    "StoredImage",
    "export_pool",
    "gc",
    "import_pool",
    "list_recipes",
    "stats",
]
