"""Pre-trained judges: the model's own answers for our classes, whatever the other images are."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file

from pipeline import judges
from pipeline.errors import ParameterError
from pipeline.judges import Judge
from pipeline.params import JudgeParams
from pipeline.workspace import Workspace
from tests.conftest import CLASS_NAMES


def images(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (count, 20, 20, 3)).astype(np.uint8)


def load(workspace: Workspace, model: str, **options: object) -> Judge:
    def never() -> judges.Training:
        raise AssertionError

    params = JudgeParams.model_validate({"model": model, **options})
    return judges.load(workspace, params, CLASS_NAMES, CLASS_NAMES, never)


def test_a_classifier_answers_as_its_model_does_for_the_labels_of_our_classes(workspace: Workspace, vit: Path) -> None:
    """Ankle boot, bag and coat are the labels 0, 1 and 2 of four; the rest of the probability is the sandal's."""
    given = images(3)
    model = transformers.AutoModelForImageClassification.from_pretrained(vit).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(vit)
    with torch.inference_mode():
        pixels = processor(images=[Image.fromarray(one) for one in given], return_tensors="pt")
        expected = model(**pixels).logits.softmax(1)[:, :3].numpy()
    found = load(workspace, str(vit)).probabilities(given)
    assert found.dtype == np.float32
    assert found == pytest.approx(expected, abs=1e-5)
    assert found.std() > 0.05
    assert (found.sum(axis=1) < 1).all()


def test_clip_answers_as_its_model_does_to_one_sentence_for_each_class(workspace: Workspace, clip_model: Path) -> None:
    given, sentences = images(3), [f"a photo of a {name}" for name in ("ankle boot", "handbag", "coat")]
    model = transformers.CLIPModel.from_pretrained(clip_model).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(clip_model)
    processor = transformers.AutoImageProcessor.from_pretrained(clip_model)
    with torch.inference_mode():
        pixels = processor(images=[Image.fromarray(one) for one in given], return_tensors="pt")
        texts = tokenizer(sentences, padding=True, truncation=True, return_tensors="pt")
        expected = model(**texts, **pixels).logits_per_image.softmax(1).numpy()
    found = load(workspace, f"clip:{clip_model}", labels={"bag": "handbag"}).probabilities(given)
    assert found == pytest.approx(expected, abs=1e-4)
    assert found.std() > 0.01


@pytest.mark.parametrize("kind", ["", "clip:"])
def test_an_answer_does_not_depend_on_the_other_images(
    workspace: Workspace, vit: Path, clip_model: Path, kind: str
) -> None:
    judge, given = load(workspace, f"{kind}{clip_model if kind else vit}"), images(70)
    all_rows, order = judge.probabilities(given), np.random.default_rng(0).permutation(70)
    assert np.array_equal(judge.probabilities(given[order]), all_rows[order])
    assert np.array_equal(judge.probabilities(given[66:67]), all_rows[66:67])


def test_the_digest_follows_content_and_labels_and_not_the_place(
    workspace: Workspace, vit: Path, clip_model: Path, tmp_path: Path
) -> None:
    copied = shutil.copytree(vit, tmp_path / "copied")
    first = load(workspace, str(vit))
    assert load(workspace, str(copied)).digest == first.digest
    assert load(workspace, str(vit), labels={"bag": "sandal"}).digest != first.digest
    clip, other = f"clip:{clip_model}", {"labels": {"bag": "handbag"}}
    assert len({first.digest, load(workspace, clip).digest, load(workspace, clip, **other).digest}) == 3
    identities = [judges.identity(workspace, JudgeParams(model=str(place))) for place in (vit, copied)]
    assert identities[0] == identities[1]
    processor = json.loads((copied / "preprocessor_config.json").read_text())
    (copied / "preprocessor_config.json").write_text(json.dumps({**processor, "rescale_factor": 0.5}))
    assert load(workspace, str(copied)).digest != first.digest
    assert judges.identity(workspace, JudgeParams(model=str(copied))) != identities[0]


def test_a_model_that_cannot_judge_is_one_clear_error(workspace: Workspace, vit: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(vit, tmp_path / "broken")
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "theirs.Model"}}))
    with pytest.raises(ParameterError, match="run code of its author"):
        load(workspace, str(broken)).probabilities(images(1))
    (broken / "config.json").write_text(json.dumps(config))
    weights = load_file(broken / "model.safetensors")
    save_file({name: tensor for name, tensor in weights.items() if "classifier" not in name}, broken / "part")
    (broken / "part").rename(broken / "model.safetensors")
    with pytest.raises(ParameterError, match=r"2 weights of AutoModel.* are not in the model's files"):
        load(workspace, str(broken)).probabilities(images(1))
    (broken / "model.safetensors").rename(broken / "pytorch_model.bin")
    with pytest.raises(ParameterError, match="no weights in safetensors"):
        load(workspace, str(broken)).probabilities(images(1))
    (broken / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ParameterError, match="no AutoModelForImageClassification"):
        load(workspace, str(broken)).probabilities(images(1))
    (broken / "config.json").unlink()
    with pytest.raises(ParameterError, match=r"config\.json is missing"):
        load(workspace, str(broken))
    with pytest.raises(ParameterError, match=r"not found on the Hub.*evaluate\.judge\.model"):
        load(workspace, "nobody/no-such-model")
