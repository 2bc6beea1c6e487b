"""What the Hub checks in the YAML at the head of README.md."""

import re
from typing import Any

import yaml

FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
TEXTS = ("license", "license_link", "license_name", "pretty_name")
LISTS = (
    "annotations_creators",
    "language",
    "multilinguality",
    "size_categories",
    "tags",
    "task_categories",
    "task_ids",
)


def card(readme: str) -> dict[str, Any]:
    """The metadata of a README; empty where there is none or it is broken."""
    match = FRONT_MATTER.match(readme)
    try:
        metadata = yaml.safe_load(match[1]) if match else None
    except yaml.YAMLError:
        return {}
    return metadata if isinstance(metadata, dict) else {}


def findings(readme: str) -> tuple[list[str], list[str]]:
    """Errors and warnings about the metadata of a README."""
    match = FRONT_MATTER.match(readme)
    if match is None:
        return [], ["empty or missing yaml metadata in repo card"]
    try:
        metadata = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        return [f"bad YAML: {error}"], []
    if metadata is None:
        return [], ["empty or missing yaml metadata in repo card"]
    if not isinstance(metadata, dict):
        return ["metadata must be a mapping"], []
    errors = [f'"{name}" must be a string' for name in TEXTS if not isinstance(metadata.get(name, ""), str)]
    # YAML turns the language code `no` into false and many a tag into a number.
    errors += [f'"{name}" must be a string or strings' for name in LISTS if not _texts(metadata.get(name, []))]
    if not isinstance(metadata.get("dataset_info", {}), dict | list):
        errors.append('"dataset_info" must be a mapping or a list of them')
    return errors + _config_errors(metadata.get("configs", [])), []


def _config_errors(configs: object) -> list[str]:
    if not isinstance(configs, list):
        return ['"configs" must be a list']
    errors = []
    names = set()
    for index, config in enumerate(configs):
        if not isinstance(config, dict):
            errors.append(f'"configs[{index}]" must be a mapping')
            continue
        name = config.get("config_name")
        if not isinstance(name, str):
            errors.append(f'"configs[{index}].config_name" must be a string')
        elif name in names:
            errors.append(f'"configs[{index}].config_name" repeats {name}')
        else:
            names.add(name)
        if not _data_files(config.get("data_files", config.get("data_dir"))):
            errors.append(f'"configs[{index}].data_files" must be a path, paths, or splits with paths')
    return errors


def _texts(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value))


def _data_files(value: object) -> bool:
    if not isinstance(value, list):
        return isinstance(value, str)
    splits = [item for item in value if isinstance(item, dict)]
    if not splits:
        return bool(value) and _texts(value)
    return len(splits) == len(value) and all(
        isinstance(split.get("split"), str) and bool(split.get("path")) and _texts(split["path"]) for split in splits
    )
