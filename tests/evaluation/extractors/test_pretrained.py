"""DINOv2 and CLIP from folders of transformers, with random weights; Inception through torch-fidelity where it is."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file

from pipeline.errors import ParameterError
from pipeline.evaluation import extractors
from pipeline.evaluation.extractors import inception

SIDE = 16
SIZES = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def draw(count: int, side: int = SIDE) -> NDArray[np.uint8]:
    return np.random.default_rng(7).integers(0, 256, (count, side, side, 3), np.uint8)


def saved(model: Any, folder: Path) -> Path:
    """Save a model with random weights, and a preprocessing of our size with strange colours."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        for values in model.parameters():
            values.normal_(0, 0.5)
    model.save_pretrained(folder)
    transformers.CLIPImageProcessor(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        image_mean=[0.1, 0.2, 0.3],
        image_std=[0.4, 0.5, 0.6],
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sizes = {**SIZES, "mlp_ratio": 2, "image_size": 8, "patch_size": 4}
    return saved(transformers.Dinov2Model(transformers.Dinov2Config(**sizes)), tmp_path_factory.mktemp("dinov2"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole CLIP model, with its text encoder, as the Hub has them."""
    vision = {**SIZES, "image_size": SIDE, "patch_size": 4, "projection_dim": 6}
    config = transformers.CLIPConfig(
        text_config={**SIZES, "vocab_size": 9, "projection_dim": 6}, vision_config=vision, projection_dim=6
    )
    return saved(transformers.CLIPModel(config), tmp_path_factory.mktemp("clip"))


def inputs(folder: Path, images: NDArray[np.uint8]) -> torch.Tensor:
    """What transformers itself makes of images that have the size already."""
    processor = transformers.CLIPImageProcessor.from_pretrained(folder)
    pixels: torch.Tensor = processor([Image.fromarray(one) for one in images], return_tensors="pt")["pixel_values"]
    return pixels


def test_dinov2_is_the_class_token_of_transformers(dinov2: Path) -> None:
    extractor = extractors.load(f"dinov2:{dinov2}")
    model = transformers.Dinov2Model.from_pretrained(dinov2).eval()
    with torch.inference_mode():
        expected = model(pixel_values=inputs(dinov2, draw(3))).pooler_output
    assert extractor.dimension == 8
    assert extractor.features(draw(3)) == pytest.approx(expected.numpy(), abs=1e-5)


def test_clip_is_the_image_embedding_of_transformers_with_length_1(clip: Path) -> None:
    extractor = extractors.load(f"clip:{clip}")
    model = transformers.CLIPModel.from_pretrained(clip).eval()
    with torch.inference_mode():
        expected = model.get_image_features(pixel_values=inputs(clip, draw(3))).pooler_output.numpy()
    assert extractor.dimension == 6
    found = extractor.features(draw(3))
    assert np.linalg.norm(found, axis=1) == pytest.approx(1)
    assert found == pytest.approx(expected / np.linalg.norm(expected, axis=1, keepdims=True), abs=1e-5)


def test_larger_images_are_seen_whole(dinov2: Path) -> None:
    """Each pixel four times: half the size is the image again, up to the filter; no border is cropped."""
    extractor = extractors.load(f"dinov2:{dinov2.name}", root=dinov2.parent)
    flat = np.broadcast_to(draw(2)[:, :1, :1], (2, 40, 60, 3))
    assert extractor.features(flat) == pytest.approx(extractor.features(flat[:, :SIDE, :SIDE]), abs=1e-4)
    framed = flat.copy()
    framed[:, 0] = framed[:, -1] = 255 - framed[:, 0]
    assert np.abs(extractor.features(framed) - extractor.features(flat)).max() > 0.01


def test_the_digest_is_that_of_the_files_wherever_they_are(dinov2: Path, tmp_path: Path) -> None:
    digest = extractors.load(f"dinov2:{dinov2}").digest
    copy = Path(shutil.copytree(dinov2, tmp_path / "copy"))
    assert extractors.load("dinov2:copy", root=tmp_path).digest == digest
    said = json.loads((copy / "preprocessor_config.json").read_text())
    (copy / "preprocessor_config.json").write_text(json.dumps({**said, "image_mean": [0.5, 0.5, 0.5]}))
    changed = extractors.load(f"dinov2:{copy}")
    assert changed.digest != digest
    weights = {name: values + 1 for name, values in load_file(copy / "model.safetensors").items()}
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    assert extractors.load(f"dinov2:{copy}").digest not in (digest, changed.digest)


@pytest.mark.parametrize("name", ["dinov2", "clip", "dinov2:nobody/nothing"])
def test_a_model_that_is_not_here_is_refused(name: str) -> None:
    with pytest.raises(ParameterError, match="not found on the Hub"):
        extractors.load(name)


def test_a_folder_that_does_not_fit_is_refused(dinov2: Path, clip: Path, tmp_path: Path) -> None:
    pickled = Path(shutil.copytree(dinov2, tmp_path / "pickled"))
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(ParameterError, match="no weights in safetensors"):
        extractors.load(f"dinov2:{pickled}")
    with pytest.raises(ParameterError, match=r"weights of CLIPVisionModelWithProjection are not|cannot be loaded as"):
        extractors.load(f"clip:{dinov2}")
    broken = Path(shutil.copytree(clip, tmp_path / "broken"))
    (broken / "preprocessor_config.json").write_text('{"image_mean": 1}')
    with pytest.raises(ParameterError, match=r"cannot be read .TypeError.*restore it"):
        extractors.load(f"clip:{broken}")
    (broken / "preprocessor_config.json").write_text('{"crop_size": 20}')
    with pytest.raises(ParameterError, match="does not take the images that its preprocessing makes"):
        extractors.load(f"clip:{broken}")


def test_inception_without_torch_fidelity_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(ParameterError, match=r"torch-fidelity: .*: install it: pip install 'gen-fedsd\[inception\]'"):
        extractors.load("inception")


@pytest.fixture(scope="module")
def theirs() -> Any:
    return pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3", reason="the extra inception")


def test_inception_without_its_weights_says_how_to_get_them(theirs: Any, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"no weights of Inception here: .*: run: python data/extractors/make_inc"):
        extractors.load("inception:none.safetensors", root=tmp_path)
    save_file({"fc.bias": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ParameterError, match="these are not Inception's weights"):
        extractors.load("inception:other.safetensors", root=tmp_path)


def test_inception_is_torch_fidelitys(theirs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own class, with random weights that are its own parameters, on images of 32 pixels."""
    with monkeypatch.context() as patched:
        patched.setattr(theirs, "load_state_dict_from_url", lambda *_, **__: None)
        patched.setattr(theirs.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        model = theirs.FeatureExtractorInceptionV3("random", ["2048"])
    save_file({name: values.contiguous() for name, values in model.state_dict().items()}, tmp_path / "i.safetensors")
    monkeypatch.setattr("pipeline.evaluation.extractors.network.BATCH", 2)
    extractor = inception.load("i.safetensors", tmp_path, "cpu")
    images = draw(2, 32)
    with torch.inference_mode():
        expected = model(torch.from_numpy(images).permute(0, 3, 1, 2))[0].numpy()
    assert extractor.features(images) == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert extractor.features(draw(1, 400)).shape == (1, extractor.dimension) == (1, 2048)
