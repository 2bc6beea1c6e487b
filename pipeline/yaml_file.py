"""Read YAML that a stranger may have written: bounded in size, depth and aliases, with each key once."""

from pathlib import Path
from typing import Any

import yaml

from pipeline.errors import ParameterError

_MOST_BYTES = 2**20
_MOST_DEPTH = 50
_MOST_WEIGHT = 2_000_000  # characters of all values, each alias counted as what it stands for
_NODE_WEIGHT = 10  # what a value weighs beside its characters
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same values, ten times as fast


def load(path: Path, missing: str = "check the path and the rights") -> Any:
    """Return what a YAML file holds: dicts, lists, texts, numbers, dates and None.

    Raises ParameterError if it cannot be read, where ``missing`` says what to do, or for what :func:`parse` refuses.
    """
    try:
        if path.exists() and not path.is_file():
            raise ParameterError("not a file", path, missing)
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        why = getattr(error, "strerror", None) or error
        raise ParameterError(f"cannot read the file ({why})", path, missing) from None
    if len(content) > _MOST_BYTES:
        raise ParameterError("too large for a YAML file", path, f"write at most {_MOST_BYTES // 2**20} MiB")
    try:
        return parse(content.decode("utf-8-sig"), path)
    except UnicodeDecodeError:
        raise ParameterError("not readable as YAML", path, "save it as UTF-8") from None


def parse(text: str, where: object) -> Any:
    """Return what a YAML text holds; raise ParameterError naming ``where``, line and column, but no whole value.

    A few hundred bytes of aliases of aliases stand for gigabytes, a long row of brackets exhausts the stack, and YAML
    keeps the last of two equal keys without a word. All of these are refused.
    """
    loader = _LOADER(text)
    try:
        _check_events(text, where)
        node = loader.get_single_node()
        if node is None:
            return None
        _check_nodes(node, where)
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        fix = f"{error.problem or error.context}{_place(error.problem_mark or error.context_mark)}"
        raise ParameterError("not readable as YAML", where, fix) from None
    except yaml.YAMLError as error:
        raise ParameterError("not readable as YAML", where, str(error)) from None
    except (ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
        # PyYAML lets these through for a value that does not fit its type, as the date 2001-99-99.
        raise ParameterError("not readable as YAML", where, f"a value does not fit its type ({error})") from None
    finally:
        loader.dispose()


def _check_events(text: str, where: object) -> None:
    """Raise ParameterError for brackets in brackets and for many values, before recursive code, which crashes on them.

    What an alias stands for is not known here.
    """
    depth = weight = 0
    for event in yaml.parse(text, _LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        weight += _NODE_WEIGHT if isinstance(event, yaml.NodeEvent) else 0
        _refuse(depth, weight, where, event.start_mark)


def _check_nodes(root: yaml.Node, where: object) -> None:
    """Raise ParameterError for what is too deep or too large with every alias replaced, and for equal keys."""
    weight = 0
    rest = [(root, 1)]
    while rest:
        node, depth = rest.pop()
        weight += _NODE_WEIGHT + (len(node.value) if isinstance(node, yaml.ScalarNode) else 0)
        _refuse(depth, weight, where, node.start_mark)
        if isinstance(node, yaml.SequenceNode):
            rest += [(value, depth + 1) for value in node.value]
        elif isinstance(node, yaml.MappingNode):
            rest += [(part, depth + 1) for pair in node.value for part in pair]
            _check_keys([key for key, _ in node.value if isinstance(key, yaml.ScalarNode)], where)


def _check_keys(keys: list[yaml.ScalarNode], where: object) -> None:
    seen = set[tuple[str, str]]()
    for key in keys:
        if (key.tag, key.value) in seen:
            raise ParameterError(f"two keys {key.value!r}", f"{where}{_place(key.start_mark)}", "keep one of them")
        seen.add((key.tag, key.value))


def _refuse(depth: int, weight: int, where: object, mark: Any) -> None:
    if depth > _MOST_DEPTH:
        raise ParameterError(
            f"values nested more than {_MOST_DEPTH} deep", f"{where}{_place(mark)}", "write it flatter"
        )
    if weight > _MOST_WEIGHT:
        what = "too many or too long values, aliases counted"
        raise ParameterError(what, f"{where}{_place(mark)}", "write fewer")


def _place(mark: Any) -> str:
    return f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
