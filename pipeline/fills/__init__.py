"""Fills: what a client's missing classes are filled with before training, and the references beside them.

One file is one fill; its name, with dashes, is the fill's name in params.yaml. A file defines ``make``, which returns
the holdings, and begins with a sentence that reports quote. A fill whose images no stage has made defines ``images``
too, which returns the array that its holdings call by the fill's name.
"""

import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from types import ModuleType

from pipeline.artifacts.holdings import Holdings
from pipeline.data.arrays import Stored
from pipeline.errors import ArtifactError, ParameterError
from pipeline.fills.common.given import REAL, SYNTHETIC, UNUSED, Given


def names() -> tuple[str, ...]:
    """Return the names of all fills."""
    files = (found.name for found in pkgutil.iter_modules(__path__) if not found.ispkg)
    return tuple(sorted(name.replace("_", "-") for name in files))


def check(chosen: Iterable[str], where: str) -> None:
    """Raise ParameterError for a name that is no fill."""
    known = names()
    for name in chosen:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            fix = f"did you mean {close[0]!r}?" if close else f"one of {', '.join(known)}"
            raise ParameterError(f"unknown fill {name!r}", where, fix)


def describe(name: str) -> str:
    """Return the sentence that says what a fill is."""
    return (module(name).__doc__ or "").strip().partition("\n\n")[0].replace("\n", " ")


def make(name: str, given: Given) -> Holdings:
    """Return the holdings of a fill; raise ArtifactError if what it is made from is missing or does not match."""
    made: Holdings = module(name).make(given)
    return made


def open_sources(holdings: Holdings, given: Given) -> dict[str, Stored]:
    """Return the array of each source, from the cache or decoded again.

    Raises ArtifactError if one is not the array that the holdings were made for.
    """
    shared = dict.fromkeys((REAL, UNUSED), lambda: given.decoded.train) | {SYNTHETIC: lambda: given.synthetic_images}
    opened: dict[str, Stored] = {}
    for name, source in holdings.sources.items():
        stored = opened[name] = shared[name]() if name in shared else module(name).images(given)
        if (stored.path.stem, len(stored)) != (source.array, source.images):
            place = given.workspace.fill(holdings.fill)
            raise ArtifactError(f"source {name!r} has other images now", place, "run: dvc repro fill")
    return opened


def module(name: str) -> ModuleType:
    """Return the file of a fill; raise ParameterError if there is none."""
    check([name], "--fill")
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
