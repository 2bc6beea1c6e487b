"""What a training leaves: its recipe, the autoencoder, snapshots in Stable Diffusion's format, and the loss curve."""

import copy
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file
from transformers import CLIPTextModel, CLIPTokenizer

from latent import networks
from latent.recipe import Recipe
from latent.training import Training
from pipeline import atomic, progress
from pipeline.errors import ParameterError


@dataclass(frozen=True)
class Output:
    """The folder of one training."""

    folder: Path

    def begin(self, recipe: Recipe, fingerprint: str, device: torch.device) -> None:
        """Record what is trained; raise ParameterError if the folder has the training of something else."""
        told = {"recipe": recipe.model_dump(mode="json"), "images": fingerprint, "device": device.type}
        path = self.folder / "recipe.json"
        if not path.exists():
            atomic.write_text(path, json.dumps(told, indent=2) + "\n")
            return
        before = json.loads(path.read_text(encoding="utf-8"))
        if other := [key for key in told if before.get(key) != json.loads(json.dumps(told[key]))]:
            what = f"the folder has the training of another {' and '.join(other)}"
            raise ParameterError(what, self.folder, "name another folder in --out, or remove this one")

    def unfinished(self, part: str) -> Path:
        """Return the checkpoint of a part."""
        return self.folder / f"{part}.unfinished.safetensors"

    @property
    def autoencoder(self) -> Path:
        """The trained autoencoder; it is there if and only if it is finished."""
        return self.folder / "autoencoder"

    def snapshot(self, share: float) -> Path:
        """Return the folder of the generator after a share of the steps; it is there if and only if it is whole."""
        return self.folder / f"at-{share:.0%}".removesuffix("%")

    def keep_autoencoder(self, made: AutoencoderKL) -> None:
        with _whole(self.autoencoder) as place:
            made.save_pretrained(place)

    def load_autoencoder(self, made: AutoencoderKL) -> AutoencoderKL:
        """Return this network with the trained weights and scale, and no trace of the folder in its configuration."""
        config = json.loads((self.autoencoder / "config.json").read_text(encoding="utf-8"))
        made.load_state_dict(load_file(self.autoencoder / "diffusion_pytorch_model.safetensors"))
        made.register_to_config(scaling_factor=config["scaling_factor"])
        return made

    def keep_curve(self, training: Training) -> None:
        """Write how a finished part was trained beside what is known of the others, and remove its checkpoint."""
        path, part = self.folder / "curve.json", training.settings.name
        known: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        settings = training.settings
        told = {
            "steps": training.steps,
            "batch": settings.batch,
            "seconds": round(training.seconds, 1),
            "loss": training.curve,
        }
        atomic.write_text(path, json.dumps({**known, part: told}) + "\n")
        self.unfinished(part).unlink(missing_ok=True)

    def saver(
        self, autoencoder: AutoencoderKL, tokenizer: CLIPTokenizer, words: Path
    ) -> Callable[[float, UNet2DConditionModel, CLIPTextModel], None]:
        """Return the function that saves a snapshot; ``words`` is the folder of the tokenizer's plain files."""

        def save(share: float, unet: UNet2DConditionModel, encoder: CLIPTextModel) -> None:
            place = self.snapshot(share)
            if not place.exists():
                with _whole(place) as temporary:
                    _save(temporary, (autoencoder, unet, encoder), tokenizer, words)
            progress.say(f"generator after {share:.0%} of the steps: {place}")

        return save


def _save(
    place: Path,
    networks_: tuple[AutoencoderKL, UNet2DConditionModel, CLIPTextModel],
    tokenizer: CLIPTokenizer,
    words: Path,
) -> None:
    """Save a StableDiffusionPipeline in float16; the networks in training stay as they are."""
    vae, unet, encoder = (copy.deepcopy(one).to("cpu", torch.float16).eval() for one in networks_)
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=networks.scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(place)
    # transformers would load in the dtype it finds in the configuration, diffusers in float32: make them agree.
    config = place / "text_encoder" / "config.json"
    told = {**json.loads(config.read_text()), "dtype": "float32"}
    config.write_text(json.dumps(told, indent=2, sort_keys=True) + "\n")
    for name in ("vocab.json", "merges.txt"):  # the plain files, for tools that read no tokenizer.json
        shutil.copy(words / name, place / "tokenizer" / name)


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``folder``, and rename it to ``folder`` if the block succeeds."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
        place = Path(scratch) / folder.name
        place.mkdir()
        yield place
        place.rename(folder)
