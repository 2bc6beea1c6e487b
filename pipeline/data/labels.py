"""Labels: numbers from 0 for what a label column holds, and the name of each; one order for every reader.

Texts are ordered as people count: "class 2" before "class 10". Numbers are in numeric order, and a data set that names
its own numbers keeps them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.data.columns import Column, is_list, is_text
from pipeline.errors import DataError

_SHOWN = 20
_KEY = "params.yaml, data.class_names"


@dataclass(frozen=True)
class Labels:
    """A label column: a code for each row, and the text of each code."""

    codes: NDArray[np.int64]
    """(N,); -1 for a row without a label."""
    texts: tuple[str, ...]
    named: bool = False
    """Whether the data set itself has a name for each number."""


@dataclass(frozen=True)
class Numbering:
    """The classes of a data set: the text and the name of each label, by its number."""

    texts: tuple[str, ...]
    names: tuple[str, ...]
    remarks: tuple[str, ...] = ()

    def apply(self, found: Labels, where: str) -> NDArray[np.int64]:
        """Return the label of each row, -1 without one; raise DataError for one that the training split lacks."""
        number = {text: i for i, text in enumerate(self.texts)}
        codes = np.array([*(number.get(text, -1) for text in found.texts), -1], np.int64)  # the last one for code -1
        labels: NDArray[np.int64] = codes[found.codes]
        strange = (labels < 0) & (found.codes >= 0)
        if strange.any():
            stranger = found.texts[int(found.codes[strange.argmax()])]
            raise DataError(f"label {stranger!r} is not in the training split", where, "remove those images")
        return labels


def natural(text: str) -> tuple[object, ...]:
    """Return a sort key under which digits count as numbers."""
    parts: list[object] = list(re.split(r"([0-9]+)", text))
    for i in range(1, len(parts), 2):
        digits = str(parts[i]).lstrip("0")
        parts[i] = (len(digits), digits)
    return (tuple(parts), text)


def read(values: pa.ChunkedArray, column: Column, where: str) -> Labels:
    """Return the labels of a column, with code -1 for rows that have none.

    Null, not a number, an empty text and, as on the Hub, a negative number are no label. Raises DataError if no row has
    a label, and for values that are no class.
    """
    if is_list(values.type):
        fix = "name a column with one label a row in data.label_column, or make one row for each label"
        raise DataError("a row has several labels (multi-label), and one is needed", where, fix)
    known = _labelled(values)
    if not known.any():
        raise DataError("rows without a label", where, "label every row, or choose another split")
    if known.all():
        return _read(values, column, where)
    found = _read(values.filter(pa.array(known)), column, where)
    codes = np.full(len(values), -1, np.int64)
    codes[known] = found.codes
    return replace(found, codes=codes)


def _labelled(values: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Return which rows have a label, (N,)."""
    if pa.types.is_dictionary(values.type):
        # Texts stay in the dictionary: a small file can hold a long one that very many rows share.
        chunks = values.unify_dictionaries().chunks
        words = chunks[0].dictionary if chunks else pa.array([], values.type.value_type)
        known = np.append(_labelled(pa.chunked_array([words])), False)
        codes = [chunk.indices.cast(pa.int64()).fill_null(len(words)).to_numpy() for chunk in chunks]
        return known[np.concatenate(codes)] if codes else known[:0]
    lacking = pc.is_null(values, nan_is_null=True)
    if is_text(values.type):
        lacking = pc.or_kleene(lacking, pc.equal(pc.utf8_trim_whitespace(values.cast(pa.large_string())), ""))
    elif pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        lacking = pc.or_kleene(lacking, pc.less(values, 0))
    without: NDArray[np.bool_] = lacking.to_numpy()
    return ~without.astype(np.bool_)


def _read(values: pa.ChunkedArray, column: Column, where: str) -> Labels:
    """Return the labels of a column in which every row has one."""
    coded = pa.types.is_dictionary(values.type)
    if coded and not is_text(values.type):
        values, coded = values.cast(values.type.value_type), False
    arrow = values.type
    if pa.types.is_boolean(arrow):
        values, arrow = values.cast(pa.string()), pa.string()
    if is_text(arrow):
        return _texts(values if coded else values.dictionary_encode())
    if pa.types.is_floating(arrow):
        return _numbers(_whole(values.to_numpy(), where), column, where)
    if pa.types.is_integer(arrow):
        return _numbers(values.to_numpy(), column, where)
    raise DataError(f"labels of type {arrow}", where, "write texts or whole numbers, or name another data.label_column")


def _texts(values: pa.ChunkedArray) -> Labels:
    """Return the labels of dictionary-coded texts."""
    chunks = values.unify_dictionaries().chunks
    codes = np.concatenate([chunk.indices.to_numpy(zero_copy_only=False) for chunk in chunks])
    used, codes = np.unique(codes, return_inverse=True)
    found = [chunks[0].dictionary[code].as_py() for code in used.tolist()]
    ordered = sorted(set(found), key=natural)
    number = {text: i for i, text in enumerate(ordered)}
    return Labels(np.array([number[text] for text in found], np.int64)[codes], tuple(ordered))


def _whole(values: NDArray[np.floating], where: str) -> NDArray[np.int64]:
    if not (np.isfinite(values).all() and (values == np.floor(values)).all() and (np.abs(values) < 2**53).all()):
        stranger = values[~(np.isfinite(values) & (values == np.floor(values)))][:1].tolist()
        raise DataError(f"label {stranger} is no whole number", where, "name a column of classes in data.label_column")
    return values.astype(np.int64)


def _numbers(values: NDArray[np.integer], column: Column, where: str) -> Labels:
    if column.feature != "ClassLabel":
        found, codes = np.unique(values, return_inverse=True)
        return Labels(codes.astype(np.int64), tuple(str(number) for number in found.tolist()))
    if values.max() >= len(column.names):
        what = f"label {values.max()}, and the data set has {len(column.names)} class names"
        raise DataError(what, where, "write the data set again with all its names")
    return Labels(values.astype(np.int64), column.names, named=True)


def numbering(found: Labels, given: Sequence[str] | Mapping[str, str] | None) -> Numbering:
    """Return the classes of the training split, with names ``given`` as a list, by label text, or not at all."""
    made = _by_text(found, given) if given is None or isinstance(given, Mapping) else _in_order(found, list(given))
    if len(set(made.names)) < len(made.names):
        twice = next(name for i, name in enumerate(made.names) if name in made.names[:i])
        raise DataError(f"two classes have the name {twice!r}", _KEY, "give every class a name of its own")
    return made


def _by_text(found: Labels, given: Mapping[str, str] | None) -> Numbering:
    if unknown := sorted(set(given or {}) - set(found.texts), key=natural):
        raise DataError(f"no label {unknown[0]!r}", _KEY, f"the labels are {_listed(found.texts)}")
    return Numbering(found.texts, tuple((given or {}).get(text, text) for text in found.texts))


def _in_order(found: Labels, given: list[str]) -> Numbering:
    count = len(given)
    if not found.named:
        if set(given) == set(found.texts) and len(set(given)) == count:
            return Numbering(tuple(given), tuple(given))
        numbers = {int(text): text for text in found.texts if re.fullmatch("[0-9]{1,9}", text)}
        if len(numbers) == len(found.texts) and max(numbers) < count:
            return Numbering(tuple(numbers.get(i, str(i)) for i in range(count)), tuple(given))
    if len(found.texts) != count:
        what = f"{count} class names for {len(found.texts)} classes"
        fix = f"name every label, {{label: name}}; the labels are {_listed(found.texts)}"
        raise DataError(what, _KEY, fix)
    for name, text in zip(given, found.texts, strict=True):
        if name != text and name in found.texts:
            fix = f"write {{label: name}}; the labels are {_listed(found.texts)}"
            raise DataError(f"the name {name!r} for the label {text!r} is the text of another label", _KEY, fix)
    pairs = _listed([f"{text} = {name}" for text, name in zip(found.texts, given, strict=True)])
    remark = f"data.class_names are paired with the labels in this order: {pairs}"
    return Numbering(found.texts, tuple(given), () if found.named else (remark,))


def _listed(texts: Sequence[str]) -> str:
    more = f", and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more
