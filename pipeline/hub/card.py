"""The data set's card: what a stranger needs to load, judge, cite and render the images again."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import yaml

from pipeline import yaml_file
from pipeline.artifacts import marks
from pipeline.artifacts.manifest import Manifest
from pipeline.errors import ArtifactError, ParameterError
from pipeline.hub import escapes, publication
from pipeline.hub.options import ResultTables

MOST_CONFIGS = 100
"""Up to so many clients each have a configuration; more would make loading and the Hub's checks of the card slow."""

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LARGEST = "n>1M"
_NAMED = ("variant", "scheduler_options", "steps", "render_size")
_MODEL = re.compile(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)?")
_FRONT_MATTER = re.compile(r"\A\s*---\r?\n(.*?)^---\s*$", re.DOTALL | re.MULTILINE)


def by_client(repo_id: str, known: Manifest, licence: str, results: ResultTables | None, params: bool = False) -> str:
    """Return the card of shards by client; ``params`` says whether params.yaml is published, too."""
    filled = [shard.client for shard in known.shards if shard.rows]
    values = {
        "clients": len(known.shards),
        "example": filled[0],
        "per_client": len(known.shards) <= MOST_CONFIGS,
        "empty": [shard.client for shard in known.shards if not shard.rows],
        "counts": _counts(known),
        "sharing": known.sharing,
        "params": params,
        "results": results,
        "rows": f"{known.rows:,}",
        "gate": None if known.gate is None else asdict(known.gate),
        "refusals": [["class", "refused"], *map(list, zip(known.class_names, known.refusals(), strict=True))],
        "refused": any(shard.refused_files for shard in known.shards),
        "mark": marks.SOURCE_TYPE if known.marked else None,
        "domains": known.domains,
    }
    configs = publication.configs(known, MOST_CONFIGS)
    recipe = {"digest": known.recipe, **known.recipe_text}
    return _render(repo_id, configs, licence, known.rows, known.class_names, recipe, values)


def anonymous(repo_id: str, described: Mapping[str, Any], licence: str, results: ResultTables | None) -> str:
    """Return the card of merged files; ``described`` is their manifest."""
    names = described["class_names"]
    counts = [0] * len(names)
    for file in described["files"]:
        counts[file["label"]] += file["rows"]
    values = {
        "clients": 0,
        "sharing": described["sharing"],
        "params": False,
        "counts": [["class", "images"], *([name, count] for name, count in zip(names, counts, strict=True))],
        "results": results,
        "rows": f"{sum(counts):,}",
        "gate": described.get("gate"),
        "refusals": [["class", "refused"], *map(list, zip(names, described.get("refused", ()), strict=False))],
        "refused": False,
        "mark": described.get(marks.COLUMN),
        "domains": described.get("domains", ()),
    }
    configs = [{"config_name": "default", "data_files": [{"split": "train", "path": "data/class-*.parquet"}]}]
    return _render(repo_id, configs, licence, sum(counts), names, described["recipe_text"], values)


def licence(path: Path) -> str | None:
    """Return the licence that a card names, if any."""
    try:
        matter = _FRONT_MATTER.match(path.read_text(encoding="utf-8"))
        head = yaml_file.parse(matter[1], path) if matter else None
    except (ValueError, ParameterError):
        return None
    found = head.get("license") if isinstance(head, dict) else None
    return found if isinstance(found, str) and is_licence(found) else None


def is_licence(name: str) -> bool:
    """Return whether the Hub may know a licence of this short name."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+_-]*", name) is not None


def _render(
    repo_id: str,
    configs: Sequence[Mapping[str, object]],
    licence: str,
    rows: int,
    class_names: Sequence[str],
    recipe: Mapping[str, Any],
    values: Mapping[str, Any],
) -> str:
    head = {
        "pretty_name": f"{repo_id.rsplit('/', 1)[-1]}: synthetic images for federated learning",
        "license": licence,
        "task_categories": ["image-classification"],
        "tags": ["synthetic", "federated-learning", "image-classification"],
        "size_categories": [next((name for most, name in _SIZES if rows < most), _LARGEST)],
        "configs": list(configs),
    }
    model, _, revision = recipe["model"].partition("@")
    text = _template().render(
        **values,
        repo_id=repo_id,
        class_names=class_names,
        sheet=publication.SHEET,
        recipe={name.replace("_", " "): value for name, value in recipe.items()},
        hub_model=bool(revision),
        model_page=f"https://huggingface.co/{model}" if revision and _MODEL.fullmatch(model) else "",
        lora=recipe.get("lora", ()),
        model=model,
        revision=revision,
        **{name: recipe[name] for name in _NAMED},
        **{name: _attribute(recipe[name], name) for name in ("scheduler", "dtype")},
    )
    body = re.sub("\n{3,}", "\n\n", text).strip()
    front = yaml.safe_dump(head, sort_keys=False, width=1_000)
    return f"---\n{front}---\n\n{body}\n"


def _attribute(name: str | None, key: str) -> str | None:
    """Return the name of something in a Python package; raise ArtifactError for what would be other code."""
    if name is None or (name.isidentifier() and name.isascii()):
        return name
    fix = "the manifest was edited; make the shards again, or ask for them again"
    raise ArtifactError(f"no name of Python: {name!r}", f"the manifest, recipe, {key}", fix)


def _counts(known: Manifest) -> list[list[object]]:
    """Return images by client and class; for many clients the total and the extremes of each class instead."""
    names = list(known.pair_names)
    counts = [shard.counts for shard in known.shards]
    totals = [sum(column) for column in zip(*counts, strict=True)]
    if len(known.shards) <= MOST_CONFIGS:
        rows: list[list[object]] = [[s.client, *s.counts, s.rows] for s in known.shards]
        return [["client", *names, "all"], *rows, ["all", *totals, known.rows]]
    extremes = [(min(column), max(column)) for column in zip(*counts, strict=True)]
    by_class = [[name, total, *ends] for name, total, ends in zip(names, totals, extremes, strict=True)]
    return [["class", "images", "fewest of a client", "most of a client"], *by_class]


@cache
def _template() -> jinja2.Template:
    source = files("pipeline.hub").joinpath("card.md.j2").read_text(encoding="utf-8")
    made = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True)
    made.filters |= {"inline": escapes.inline, "paragraph": escapes.paragraph, "python": escapes.python}
    return made.from_string(source)
