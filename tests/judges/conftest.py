"""Pre-trained judges of transformers' own kinds, with random weights, a few kilobytes each."""

from pathlib import Path

import pytest
import torch
import transformers

from tests import tiny

LABELS = ("Ankle_Boot", "purse, bag, pocketbook", "coat", "sandal")


@pytest.fixture(scope="session")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image classifier with four labels, that reads 16x16 pixels."""
    folder = tmp_path_factory.mktemp("vit")
    sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.ViTConfig(
        **sizes, image_size=16, patch_size=4, id2label=dict(enumerate(LABELS)), initializer_range=1.0
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def clip_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP model whose sentences and images have 8 numbers."""
    folder, words = tmp_path_factory.mktemp("clip"), tmp_path_factory.mktemp("words")
    tokenizer = tiny.tokenizer(words)
    sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = tiny.clip(tokenizer).config.to_dict()
    config = transformers.CLIPConfig(
        text_config={**text, "max_position_embeddings": 40},
        vision_config={**sizes, "image_size": 16, "patch_size": 4, "projection_dim": 8},
        projection_dim=8,
        initializer_factor=20.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        transformers.CLIPModel(config).save_pretrained(folder)
    tokenizer.model_max_length = 40
    tokenizer.save_pretrained(folder)
    size = {"shortest_edge": 16}
    transformers.CLIPImageProcessor(size=size, crop_size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder
