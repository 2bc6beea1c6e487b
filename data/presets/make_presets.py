"""Write the presets: params.yaml with other values, and a head that says what they are and what they cost.

    make presets                     # write all of them, after params.yaml or a difference changed

A preset is params.yaml, comments and all, with the values in ``differences.py``. The numbers of its head are counted by
the pipeline's own code from the numbers of images of each class of the data set, so no data set is needed.
"""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from differences import COUNTS, PRESETS, Preset
from numpy.typing import NDArray

from pipeline import params, params_text, yaml_file
from pipeline.clients.partition import partition
from pipeline.commands import estimate
from pipeline.commands.estimate import Choice, Estimate
from pipeline.data import holdout
from pipeline.data.domains import Domains
from pipeline.params import Params
from pipeline.workspace import Workspace

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
_GPUS = ("A100 SXM 80 GB", "RTX 4090")
_RULES = ("global-mean", "own-max", "same-total")
_WIDTH = 118


def content(name: str) -> str:
    """Return the text of a preset; raise ParameterError if a difference names no parameter of params.yaml."""
    preset = PRESETS[name]
    shipped = (ROOT / "params.yaml").read_text(encoding="utf-8")
    body = params_text.changed(shipped[shipped.index("\nseed:") + 1 :], _flat(preset.values))
    given = params.check(yaml_file.parse(body, name), Path(f"{name}.yaml"))
    parts = [f"{name}: {preset.what}", f"Needs: {preset.needs}", *_cost(preset, given), preset.remark]
    head = [
        line
        for part in parts
        if part
        for line in textwrap.wrap(part, _WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    ]
    return "".join(f"# {line}\n" for line in head) + "\n" + body


def _flat(values: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return values by dotted name; the section of the root seed has no name."""
    return {f"{section}.{key}".lstrip("."): value for section, keys in values.items() for key, value in keys.items()}


def _cost(preset: Preset, given: Params) -> list[str]:
    if preset.counts is None:
        return [preset.images]
    found, clients = _estimate(preset, given)
    return [_images(found, given, clients, preset.images), *([_time(found)] if preset.gpu else [])]


def _estimate(preset: Preset, given: Params) -> tuple[Estimate, NDArray[np.int64]]:
    """Return the estimate for the clients' images, which the partition draws from the numbers of each class."""
    counts = COUNTS[preset.counts or ""]
    classes = len(next(iter(counts.values())))
    labels = np.concatenate([np.repeat(np.arange(classes), each) for each in counts.values()])
    numbers = np.repeat(np.arange(len(counts)), [sum(each) for each in counts.values()])
    if given.data.holdout is not None:
        texts = tuple(map(str, range(classes)))
        kept = ~holdout.draw(labels, texts, given.data.holdout, given.data.holdout_seed)
        labels, numbers = labels[kept], numbers[kept]
    names = tuple(sorted(counts)) if len(counts) > 1 else ()
    domains = Domains(names, numbers) if names else None
    rows, owners = partition(labels, classes, given.partition, given.seed, domains=domains)
    columns = labels if domains is None else numbers * classes + labels
    held = np.zeros((given.partition.clients or 0, classes * len(counts)), np.int64)
    np.add.at(held, (owners, columns[rows]), 1)
    size = given.data.image_size or preset.size
    return estimate.estimate(Workspace(ROOT), given, held, size, names), held


def _images(found: Estimate, given: Params, held: NDArray[np.int64], remark: str) -> str:
    """Return how many images are drawn with these values, and with other rules and sharing."""
    by_key = {(one.rule, one.sharing): one for one in found.choices}
    rule, sharing = given.deficits.rule, given.generate.sharing
    now = by_key[rule, sharing]
    others = [f"{_count(by_key[rule, 'common'])} if clients share them"] if sharing == "own" else []
    others += [f"{_count(by_key[other, sharing])} with {other}" for other in _RULES if other != rule]
    text = f"Images: {_count(now)} synthetic beside {_round(held.sum())} real of {len(held)} clients, with {rule}"
    return f"{text} ({', '.join(others)}). {remark}".strip()


def _count(choice: Choice) -> str:
    return _round(choice.distinct)


def _round(number: float) -> str:
    """Return a number to three digits, since the order of the real images decides the others."""
    digits = max(0, len(str(int(number))) - 3)
    return f"{round(int(number), -digits):,}"


def _time(found: Estimate) -> str:
    seconds = {one.name: one.seconds * found.current.distinct for one in found.devices}
    times = ", ".join(f"{_hours(seconds[name])} on one {name}" for name in _GPUS if name in seconds)
    return f"GPU time: {times} to render them (gen-fedsd status --estimate has others); training comes on top."


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"


def main() -> None:
    """Write every preset."""
    for name in PRESETS:
        (HERE / f"{name}.yaml").write_text(content(name), encoding="utf-8")
        print(f"data/presets/{name}.yaml")


if __name__ == "__main__":
    main()
