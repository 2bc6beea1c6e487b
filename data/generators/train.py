"""Train a text-to-image latent diffusion model from scratch, in Stable Diffusion's format, as a recipe says.

    python data/generators/train.py data/generators/cifar10.yaml --out data/models/cifar10

The result is a ``StableDiffusionPipeline`` folder for each snapshot (``at-10``, ``at-30``, ``at-100``), which
``generate.model`` takes as it is, and ``curve.json``. The same command resumes a training that was stopped, and gives
the weights that it would have had without the stop. docs/generators.md has times and recipes.
"""

import argparse
import tempfile
from pathlib import Path

import diffusers
import torch
import transformers
from diffusers import AutoencoderKL
from latent import autoencoder, captions, command, diffusion, networks, pictures
from latent import recipe as recipes
from latent.output import Output
from latent.pictures import Pictures
from latent.recipe import Recipe
from latent.training import Checkpoints

from pipeline import progress
from pipeline.errors import ParameterError


def train(recipe: Recipe, output: Output, device: torch.device, seconds: float) -> None:
    """Train what the folder does not have yet, with a checkpoint every so many seconds."""
    shown = pictures.read(recipe.data, device)
    named = captions.make(recipe.captions, shown.class_names)
    factor = 2 ** (len(recipe.autoencoder.widths) - 1)
    if (side := shown.pixels.shape[-1]) % factor or len(shown) < max(recipe.autoencoder.batch, recipe.diffusion.batch):
        what = f"{len(shown)} pictures of {side} pixels do not fit the recipe"
        raise ParameterError(what, "recipe", f"sides are multiples of {factor}, and a batch has no more than all")
    output.begin(recipe, shown.fingerprint, device)
    progress.say(f"train on {len(shown)} pictures of {len(shown.class_names)} classes, on {device}")
    vae = _autoencoder(recipe, output, shown, seconds)
    if all(output.snapshot(share).exists() for share in recipe.diffusion.snapshots):
        progress.say(f"all snapshots are there: {output.folder}")
        return
    mean, deviation = autoencoder.encode(vae, shown)
    scale = vae.config.scaling_factor
    with tempfile.TemporaryDirectory() as scratch:
        words = Path(scratch) / "tokenizer"
        tokenizer = captions.tokenizer(named, words, recipe.captions.tokens)
        examples = diffusion.Examples(
            mean * scale, deviation * scale, shown.all_labels, named, captions.tokens(named, tokenizer)
        )
        done = diffusion.train(
            recipe,
            examples,
            lambda: networks.text_encoder(recipe.captions, tokenizer),
            Checkpoints(output.unfinished("diffusion"), seconds),
            output.saver(vae, tokenizer, words),
        )
    output.keep_curve(done)


def _autoencoder(recipe: Recipe, output: Output, shown: Pictures, seconds: float) -> AutoencoderKL:
    """Return the autoencoder, trained if the folder does not have it."""
    device = shown.pixels.device
    if not output.autoencoder.exists():
        made, done = autoencoder.train(recipe, shown, Checkpoints(output.unfinished("autoencoder"), seconds))
        output.keep_autoencoder(made)
        output.keep_curve(done)
    output.unfinished("autoencoder").unlink(missing_ok=True)
    made = output.load_autoencoder(networks.autoencoder(recipe, shown.pixels.shape[-1]))
    return made.to(device, memory_format=torch.channels_last).eval()


def _device(chosen: str, recipe: Recipe) -> torch.device:
    """Return the device, set up so that training on it is fast and, on a CPU, gives the same bytes again."""
    if chosen == "auto":
        chosen = "cuda" if torch.cuda.is_available() else "cpu"
    if chosen.startswith("cuda"):
        if not torch.cuda.is_available():
            raise ParameterError("no CUDA device", f"--device {chosen}", "use --device cpu")
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    else:
        torch.set_num_threads(recipe.threads)
        torch.use_deterministic_algorithms(True)
        # Filling fresh memory costs time and guards against no bug here. (mypy does not see the attribute.)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return torch.device(chosen)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recipe", type=Path, help="a YAML file, such as data/generators/cifar10.yaml")
    parser.add_argument("--out", type=Path, required=True, help="folder of the result; resumes what is in it")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="replace a value of the recipe")
    parser.add_argument("--checkpoint-seconds", type=float, default=120, help="between checkpoints; changes no weight")
    args = parser.parse_args()
    diffusers.logging.set_verbosity_error()  # it says that nothing needs float32
    transformers.logging.disable_progress_bar()

    def work() -> None:
        recipe = recipes.load(args.recipe, args.set)
        train(recipe, Output(args.out), _device(args.device, recipe), args.checkpoint_seconds)

    command.run(work)


if __name__ == "__main__":
    main()
