"""The first part of a generator: an autoencoder of pictures, and the latents that it makes of them."""

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from latent import networks
from latent.pictures import Pictures
from latent.recipe import Recipe
from latent.training import Checkpoints, Settings, Training, schedule

_WARMUP = 50
_ENCODE_AT_ONCE = 500


def train(recipe: Recipe, pictures: Pictures, checkpoints: Checkpoints) -> tuple[AutoencoderKL, Training]:
    """Fit the autoencoder: absolute, squared and edge error, and a light Kullback-Leibler term.

    Return it with averaged weights and the scale of its latents, and how it was trained.
    """
    given, device = recipe.autoencoder, pictures.pixels.device
    torch.manual_seed(given.seed)
    generator = torch.Generator(device).manual_seed(given.seed)
    made = networks.autoencoder(recipe, pictures.pixels.shape[-1])
    rate = schedule(given.rate, given.steps, _WARMUP, 0.0)
    training = Training(
        Settings("autoencoder", given.steps, given.batch, rate, 0.0, given.averaging), [made], generator
    )

    def loss_of(batch: Tensor) -> Tensor:
        real = pictures.batch(batch)
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            posterior = made.encode(real).latent_dist
            drawn = made.decode(posterior.sample(generator)).sample.float()
        edges = sum(F.l1_loss(drawn.diff(dim=dim), real.diff(dim=dim)) for dim in (2, 3))
        mean, logvar = posterior.mean.float(), posterior.logvar.float()
        divergence = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum((1, 2, 3)).mean()
        loss: Tensor = F.l1_loss(drawn, real) + 0.5 * F.mse_loss(drawn, real) + 0.25 * edges + 5e-6 * divergence
        return loss

    training.run(len(pictures), loss_of, checkpoints)
    best = training.averages[0]
    assert isinstance(best, AutoencoderKL)
    best.eval()
    best.register_to_config(scaling_factor=1 / encode(best, pictures)[0].std().item())
    return best, training


@torch.inference_mode()
def encode(autoencoder: AutoencoderKL, pictures: Pictures) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of every picture's latent, each (N, channels, side, side), unscaled."""
    numbers = torch.arange(len(pictures), device=pictures.pixels.device)
    parts = [autoencoder.encode(pictures.batch(rows)).latent_dist for rows in numbers.split(_ENCODE_AT_ONCE)]
    return torch.cat([part.mean for part in parts]), torch.cat([part.std for part in parts])
