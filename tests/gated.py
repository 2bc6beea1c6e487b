"""A project whose images went through a gate: drawn by the tiny model, judged by a tiny classifier of transformers."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
import yaml

from pipeline import params
from pipeline.generation.diffusion import Model
from pipeline.generation.model import ResolvedModel
from pipeline.params import Params
from pipeline.stages import deficits, generate, partition
from pipeline.workspace import Workspace
from tests.conftest import CLASS_NAMES, small_document
from tests.generation.conftest import small_recipe

EACH = 4
"""Images that every client has of each class in the end."""


def judge(folder: Path, model: Path) -> Path:
    """Save a classifier whose answers to what ``model`` draws are spread over the classes, and return its folder.

    Its weights are random; the biases of its last layer are moved so that the mean logit of each class is 0.
    """
    config = transformers.ViTConfig(
        hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=16, patch_size=4,
        id2label=dict(enumerate(CLASS_NAMES)), initializer_range=1.0,
    )  # fmt: skip
    processor = transformers.ViTImageProcessor(size={"height": 16, "width": 16})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        made = transformers.ViTForImageClassification(config).eval()
    recipe = small_recipe()
    drawn = Model(ResolvedModel(recipe, str(model), None), "cpu")
    images = np.concatenate([drawn.draw([recipe.spec("0", "bag", i + k) for k in range(4)]) for i in range(0, 40, 4)])
    with torch.inference_mode():
        logits = made(**processor(images=list(images), return_tensors="pt")).logits
        made.classifier.bias -= logits.mean(0)
    made.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def document(data: Path, model: Path, judged_by: Path | None, **gate: Any) -> dict[str, Any]:
    """Return the small params.yaml with few images for each client, and with a gate if there is a judge."""
    made = small_document(data, model)
    made["deficits"] |= {"rule": "fixed", "images_per_class": EACH}
    made["partition"] |= {"max_images": 24}
    if judged_by is not None:
        bounds = {"least_probability": 0.4, "most_refusals": 400, **gate}
        made["generate"]["gate"] = {"judge": {"model": str(judged_by)}, **bounds}
    return made


def project(place: Path, made: dict[str, Any]) -> Workspace:
    """Write the shards of a project in ``place``, beside its cache."""
    workspace = Workspace(place / "project", place / "cache")
    workspace.root.mkdir(parents=True)
    run(workspace, write(workspace, made))
    return workspace


def write(workspace: Workspace, made: dict[str, Any]) -> Params:
    workspace.params.write_text(yaml.safe_dump(made))
    return params.load(workspace.params)


def run(workspace: Workspace, loaded: Params) -> None:
    for stage in (partition.run, deficits.run):
        stage(workspace, loaded)
    generate.run(workspace, loaded, ["cpu"])


def copied(original: Workspace, place: Path) -> Workspace:
    """Return a copy of a project and its cache."""
    shutil.copytree(original.root, place / "project", dirs_exist_ok=True)
    shutil.copytree(original.cache, place / "cache", dirs_exist_ok=True)
    return Workspace(place / "project", place / "cache")


def contents(workspace: Workspace) -> dict[str, bytes]:
    """Return the shards and the manifest by name."""
    files = [path for path in workspace.shards.rglob("*") if path.is_file()]
    return {os.path.relpath(path, workspace.root): path.read_bytes() for path in (*files, workspace.manifest)}


Copy = Callable[[], Workspace]
