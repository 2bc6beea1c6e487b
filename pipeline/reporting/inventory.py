"""What a data set holds, in words: lines for a terminal, and the report's phrases."""

from collections.abc import Iterator, Mapping, Sequence

from pipeline.artifacts.inventory import Duplicates, Inventory, SplitInventory

MOST_CLASSES = 30
MOST_FILES = 20
MOST_KINDS = 4


def lines(found: Inventory, place: object) -> Iterator[str]:
    """Yield what was found, a line each; ``place`` has all that is cut here."""
    yield from _classes(found, place)
    for split in found.splits:
        yield from _split(split, found, place)
    if found.holdout is not None:
        count = f"{sum(found.test_counts):,} pictures"
        yield f"held out of {found.splits[0].name} for testing: {count}, {100 * found.holdout:g} % of each class"
    if text := duplicates(found.duplicates):
        yield f"equal pictures: {text}"
        yield from (f"- {first} = {second}" for first, second in found.duplicates.examples[:MOST_KINDS])


def settings(found: Inventory) -> dict[str, str]:
    """Return what was done to pictures and what of the data set is not used, for the report's table."""
    held = (
        "" if found.holdout is None else f", {100 * found.holdout:g} % of {found.splits[0].name} held out for testing"
    )
    rows = {
        "pictures": f"{found.image_size} pixels a side, {found.background} behind transparent ones{held}",
        "left out": f"{found.bad:,} bad pictures (on_bad: {found.on_bad}), {found.skipped:,} files that are not read",
    }
    if text := duplicates(found.duplicates):
        rows["equal pictures"] = text
    return rows


def duplicates(found: Duplicates) -> str:
    """Return how many pictures are the same as others; empty if none is."""
    counts = {
        "repeat a training picture": found.train,
        "repeat a test picture": found.test,
        "have a twin with another label": found.labels,
        "of the test are training pictures too": found.between,
    }
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)


def _classes(found: Inventory, place: object) -> Iterator[str]:
    columns = found.label_texts, found.class_names, found.train_counts, found.test_counts
    rows = [["label", "in the data", "class name", "train", "test"]]
    rows += [[str(i), *map(str, row)] for i, row in enumerate(zip(*columns, strict=True))]
    shown = rows[: MOST_CLASSES + 1]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        texts = (cell.ljust(width) for cell, width in zip(row[:3], widths[:3], strict=True))
        yield "  ".join([*texts, *(cell.rjust(width) for cell, width in zip(row[3:], widths[3:], strict=True))])
    if len(shown) < len(rows):
        yield f"{len(rows) - len(shown)} more classes are in {place}"


def _split(split: SplitInventory, found: Inventory, place: object) -> Iterator[str]:
    good = f"{split.rows - len(split.bad):,} pictures, {_kinds(split.modes)}, sizes {_kinds(split.sizes)}"
    animated = f", {split.animated:,} with several frames, of which the first is used" if split.animated else ""
    yield f"{split.name}: {good}{animated}"
    yield from (f"{split.name}: {remark}" for remark in split.remarks)
    if split.skipped:
        yield f"{split.name}: {len(split.skipped):,} files are not read"
        yield from _cut([f"- {path}: {why}" for path, why in split.skipped], place)
    if split.bad:
        done = "are left out (data.on_bad: skip)" if found.on_bad == "skip" else "cannot be used"
        yield f"{split.name}: {len(split.bad):,} pictures {done}"
        yield from _cut([f"- row {one.row}, {one.name}: {one.why}" for one in split.bad], place)


def _kinds(counts: Mapping[str, int]) -> str:
    """Return the most frequent kinds with their counts."""
    parts = [f"{kind} ({count:,})" for kind, count in list(counts.items())[:MOST_KINDS]]
    more = len(counts) - len(parts)
    return ", ".join(parts) + (f" and {more} more" if more else "")


def _cut(listed: Sequence[str], place: object) -> Iterator[str]:
    yield from listed[:MOST_FILES]
    if len(listed) > MOST_FILES:
        yield f"- {len(listed) - MOST_FILES:,} more are in {place}"
