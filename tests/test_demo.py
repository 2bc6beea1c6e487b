"""What ships in data/demo is what its README says."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

DEMO = Path(__file__).parent.parent / "data/demo"
README = (DEMO / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["train.parquet", "test.parquet"])
def test_checksums(name: str) -> None:
    digest = hashlib.sha256((DEMO / "images" / name).read_bytes()).hexdigest()
    assert re.search(rf"{digest}\s+{re.escape(name)}", README)


@pytest.mark.parametrize("name", ["train", "test"])
def test_images_are_ten_balanced_classes_in_the_hugging_face_convention(name: str) -> None:
    from datasets import ClassLabel, Image, load_dataset

    table = load_dataset("parquet", data_files={name: str(DEMO / f"images/{name}.parquet")}, split=name)
    assert isinstance(table.features["image"], Image)
    assert isinstance(table.features["label"], ClassLabel)
    assert table.features["label"].names[5] == "sandal"
    assert np.bincount(table.with_format("numpy")["label"][:]).tolist() == [1_000] * 10
    assert table[0]["image"].size == (32, 32)


def test_the_model_loads_and_draws_with_plain_from_pretrained() -> None:
    import torch
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(DEMO / "model")
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    image = pipeline("a photo of a bag", num_inference_steps=4, generator=generator).images[0]
    assert image.size == (32, 32)
    assert np.asarray(image).std() > 20


def test_the_model_is_small_and_safe() -> None:
    files = [path for path in (DEMO / "model").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 8e6
    assert {path.suffix for path in files} == {".json", ".txt", ".safetensors"}
