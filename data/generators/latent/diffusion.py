"""The second part of a generator: UNet and text encoder, trained together on latents that were computed before."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel

from latent import networks
from latent.captions import Captions
from latent.recipe import Recipe
from latent.training import Checkpoints, Settings, Training, schedule

_WARMUP = 100
_TEMPLATES = 2
"""Templates of a step: the text encoder runs on all words in them, not on a caption for each picture."""


@dataclass(frozen=True)
class Examples:
    """What is learnt: latents, classes and captions, on one device."""

    mean: Tensor
    """(N, channels, side, side) of each picture's latent, scaled."""
    deviation: Tensor
    """The same shape: the latent's standard deviation."""
    labels: Tensor
    """(N,)"""
    captions: Captions
    tokens: Tensor
    """(captions + 1, most): see :func:`latent.captions.tokens`."""


class Conditions:
    """Draws templates, words and captions for batches."""

    def __init__(self, examples: Examples, no_caption: float, generator: torch.Generator) -> None:
        device = examples.labels.device
        self._tokens, self._no_caption, self._generator = examples.tokens.to(device), no_caption, generator
        self._words, self._templates = len(examples.captions.words), len(examples.captions.templates)
        choices = examples.captions.of_class
        most = max(map(len, choices))
        self._counts = torch.tensor([len(own) for own in choices], device=device)
        self._choices = torch.tensor([[*own, *own[:1] * (most - len(own))] for own in choices], device=device)
        self._numbers = torch.arange(self._words, device=device)

    def draw(self, labels: Tensor, encoder: CLIPTextModel) -> Tensor:
        """Return the embedded captions of a batch, (batch, most, width)."""
        made, device = self._generator, labels.device
        chosen = torch.randint(self._templates, (_TEMPLATES,), generator=made, device=device)
        rows = torch.cat([*(one * self._words + self._numbers for one in chosen), self._last(device)])
        template = self._words * torch.randint(_TEMPLATES, labels.shape, generator=made, device=device)
        index = template + self._word(labels)
        empty = torch.rand(labels.shape, generator=made, device=device) < self._no_caption
        embedded: Tensor = encoder(self._tokens[rows])[0]
        return embedded[index.masked_fill(empty, _TEMPLATES * self._words)]

    def _last(self, device: torch.device) -> Tensor:
        return torch.full((1,), len(self._tokens) - 1, device=device)

    def _word(self, labels: Tensor) -> Tensor:
        """Return a word for each label: one of those that name its pictures, each equally often."""
        if self._choices.shape[1] == 1:
            return self._choices[labels, 0]
        share = torch.rand(labels.shape, generator=self._generator, device=labels.device)
        return self._choices[labels, (share * self._counts[labels]).long()]


Save = Callable[[float, UNet2DConditionModel, CLIPTextModel], None]
"""Called with a snapshot's share of the steps, and the averaged weights."""


def train(
    recipe: Recipe, examples: Examples, encoder_of: Callable[[], CLIPTextModel], checkpoints: Checkpoints, save: Save
) -> Training:
    """Fit UNet and text encoder to predict the velocity, and save a generator at each snapshot; return how it went."""
    given, device, mean = recipe.diffusion, examples.mean.device, examples.mean
    torch.manual_seed(given.seed)
    generator = torch.Generator(device).manual_seed(given.seed)
    unet, encoder = networks.unet(recipe, mean.shape[-1]), encoder_of()
    rate = schedule(given.rate, given.steps, _WARMUP, 0.6)
    settings = Settings("diffusion", given.steps, given.batch, rate, 0.01, given.averaging)
    training = Training(settings, [unet, encoder], generator)
    conditions = Conditions(examples, given.no_caption, generator)
    signal = networks.scheduler().alphas_cumprod.to(device)
    places = torch.arange(given.batch, device=device)

    def loss_of(batch: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            embedded = conditions.draw(examples.labels[batch], encoder)
        shape = mean[batch].shape
        clean = mean[batch] + examples.deviation[batch] * torch.randn(shape, generator=generator, device=device)
        noise = torch.randn(shape, generator=generator, device=device)
        strata = (places + torch.rand(given.batch, generator=generator, device=device)) / given.batch
        times = (strata * len(signal)).long()
        a = signal[times].sqrt().view(-1, 1, 1, 1)
        s = (1 - signal[times]).sqrt().view(-1, 1, 1, 1)
        noisy = (a * clean + s * noise).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            velocity = unet(noisy, times, embedded).sample
        return F.mse_loss(velocity.float(), a * noise - s * clean)

    shares = {given.after(share): share for share in given.snapshots}

    def after(step: int) -> None:
        if step in shares:
            best_unet, best_encoder = training.averages
            assert isinstance(best_unet, UNet2DConditionModel)
            assert isinstance(best_encoder, CLIPTextModel)
            save(shares[step], best_unet, best_encoder)

    training.run(len(mean), loss_of, checkpoints, after)
    return training
