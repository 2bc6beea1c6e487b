"""What was run, in words: the page's table of settings, and the phrases that its text is made of."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.artifacts import parquet
from pipeline.artifacts.deficits import Deficits
from pipeline.artifacts.inventory import Inventory
from pipeline.artifacts.manifest import Manifest
from pipeline.artifacts.partition import Partition
from pipeline.errors import ArtifactError
from pipeline.params import Params, PartitionParams, TrainParams
from pipeline.reporting import inventory
from pipeline.reporting.deficits import rule, unheld

_SHARING = {"own": "each client has its own (sharing: own)", "common": "clients share them (sharing: common)"}


class _Recipe(BaseModel):
    """What the page says of the recipe that a manifest describes."""

    model_config = ConfigDict(strict=True)

    model: str
    steps: int
    guidance: Annotated[list[float], Field(min_length=1)]
    dtype: str
    prompts: dict[str, Annotated[list[str], Field(min_length=1)]]


def table(params: Params, split: Partition, shards: Manifest, data: Inventory, lacking: Deficits) -> dict[str, str]:
    """Return the settings that decide the results, by name."""
    recipe, seed = _recipe(shards), params.partition.seed_under(params.seed)
    nobody = unheld(lacking.have, split.class_names)
    return {
        "real images": f"{_held(split, data)} of {_called(params.data.path)}, fingerprint {split.fingerprint}",
        **inventory.settings(data),
        "partition": f"{scheme(params.partition)}, {split.client_count} clients, seed {seed}",
        **({"classes that no client has": f"{nobody}, lacked by nobody"} if nobody else {}),
        "deficits": rule(lacking.lacking, params.deficits),
        "synthetic images": f"{shards.rows:,}, {_SHARING[shards.sharing]}",
        "model": f"{_called(params.generate.model)} ({recipe.model[:24]}...)",
        "sampling": f"{recipe.steps} steps, guidance {_scales(recipe.guidance)}, {recipe.dtype}",
        "prompts": _prompts(recipe.prompts),
        "recipe": shards.recipe,
        **_training(params.train),
    }


def _training(train: TrainParams) -> dict[str, str]:
    """Return the settings of the training, by name."""
    chosen = "all" if train.clients_per_round is None else str(train.clients_per_round)
    length = f"{train.local_epochs} epochs" if train.local_steps is None else f"{train.local_steps} steps"
    falls = f"exponential, factor {train.decay:g}" if train.schedule == "exponential" else train.schedule
    clip = "" if train.clip_norm is None else f", gradients clipped at {train.clip_norm:g}"
    ends = "" if train.stop_at is None else f", ends at {100 * train.stop_at:g} % in two tests in a row"
    often = "after every round" if train.eval_every == 1 else f"every {train.eval_every} rounds"
    given = ((name, train.options.get(name, {})) for name in train.algorithms)
    return {
        "training": f"{train.model}, {train.rounds} rounds, clients a round: {chosen}{ends}",
        "algorithms": "; ".join(f"{name} {_options(values)}".strip() for name, values in given),
        "local training": f"{length}, batch {train.batch_size}, SGD {train.learning_rate:g}, schedule {falls}, "
        f"momentum {train.momentum:g}, weight decay {train.weight_decay:g}{clip}, augment {train.augment}",
        "order of images": f"{train.sampling}, real images {train.real_weight:g} times as often as others",
        "weights of clients": f"by {'all images' if train.weights == 'images' else 'real images'}",
        "tests": f"{often}, and after each of the last {train.last_rounds}",
        "seeds": ", ".join(str(seed) for seed in train.seeds),
    }


def _options(values: Mapping[str, float]) -> str:
    return f"({', '.join(f'{name} {value:g}' for name, value in values.items())})" if values else ""


def _recipe(shards: Manifest) -> _Recipe:
    try:
        found = _Recipe.model_validate(shards.recipe_text)
        found.prompts["templates"]
    except (KeyError, ValidationError) as error:
        fix = "run: dvc repro -f generate"
        raise ArtifactError(f"damaged (recipe_text: {parquet.short(error)})", shards.place, fix) from None
    return found


def _called(text: str) -> str:
    """Return a Hub id or a relative path as it is, and the last part of an absolute path: the rest is the machine's."""
    return Path(text).name if Path(text).is_absolute() else text


def _held(split: Partition, data: Inventory) -> str:
    """Return how many images clients hold, and of how many, if some are nobody's."""
    held, usable = len(split.rows), sum(data.train_counts)
    return f"{held:,}" if held == usable else f"{held:,} of the {usable:,} training images"


def scheme(params: PartitionParams) -> str:
    """Return how the real images are partitioned."""
    return {
        "dirichlet": f"Dirichlet({params.alpha:g}) label shares",
        "labels": f"{params.labels_per_client} classes a client",
        "quantity": f"Dirichlet({params.alpha:g}) sizes",
        "iid": "IID",
        "column": f"a client for each {params.column}",
        "assignment": f"clients as {params.assignment} lists them",
    }[params.scheme]


def local_work(params: TrainParams) -> str:
    """Return what a client does in a round under the budget of equal epochs."""
    if params.local_steps is not None:
        return f"takes {params.local_steps} SGD steps a round"
    times = "once" if params.local_epochs == 1 else f"{params.local_epochs} times"
    return f"passes {times} over what it has in a round"


def _scales(values: Sequence[float]) -> str:
    return f"{values[0]:g}" if len(values) == 1 else f"one of {len(values)} scales from {values[0]:g} to {values[-1]:g}"


def _prompts(described: Mapping[str, Sequence[str]]) -> str:
    """Return the one sentence, or the first template and how many sentences there are."""
    first, count = described["templates"][0], math.prod(len(values) for values in described.values())
    return first if count == 1 else f"one of {count} sentences, such as: {first}"
