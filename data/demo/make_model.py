"""Train the demo's text-to-image model from scratch: a tiny latent diffusion model in Stable Diffusion's own format.

The result is an ordinary ``StableDiffusionPipeline`` folder (CLIP tokenizer and text encoder, autoencoder, UNet,
scheduler; safetensors in fp16) that plain ``from_pretrained`` loads. It sees only the public half of Fashion-MNIST
(see ``make_data.py``). Fixed seeds, step counts and number of threads: on one kind of processor, training again gives
the same weights. Run ``python data/demo/make_model.py``; about half an hour on two cores.
"""

import argparse
import copy
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from make_data import CLASS_NAMES, IDX_FOLDER, PUBLIC, read_split
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

# The model learns that these words say nothing about the picture, so that prompt sets that vary them still work.
DOMAINS = (
    "photo",
    "picture",
    "image",
    "drawing",
    "painting",
    "sketch",
    "collage",
    "poster",
    "digital art",
    "rock drawing",
    "stick figure",
    "3d rendering",
)
TEMPLATES = ("{}", "a {}", *(f"a {domain} of a {{}}" for domain in DOMAINS))
PROMPT_TOKENS = 32
BATCH = 64
THREADS = 2


def make_tokenizer(folder: Path) -> CLIPTokenizer:
    """Write a CLIP byte-pair vocabulary in which each caption word is one token, and load it.

    CLIP's vocabulary is: the 256 byte symbols, the same with an end-of-word mark, one entry per merge, two marks.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    symbols = [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(others))]
    text = " ".join(template.format(name) for template in TEMPLATES for name in CLASS_NAMES)
    words = sorted({word for chunk in text.split() for word in chunk.replace("3d", "3 d").replace("-", " ").split()})
    merges: list[tuple[str, str]] = []
    for word in words:
        pieces = [*word[:-1], word[-1] + "</w>"]
        while len(pieces) > 1:
            if (pieces[0], pieces[1]) not in merges:
                merges.append((pieces[0], pieces[1]))
            pieces[:2] = [pieces[0] + pieces[1]]
    entries = [*symbols, *(symbol + "</w>" for symbol in symbols), *(a + b for a, b in merges)]
    vocabulary = dict.fromkeys([*entries, "<|startoftext|>", "<|endoftext|>"])
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({entry: i for i, entry in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    return CLIPTokenizer.from_pretrained(str(folder), model_max_length=PROMPT_TOKENS)


def make_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=256,
            projection_dim=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=PROMPT_TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def make_autoencoder() -> AutoencoderKL:
    """32x32 pictures to 8x8x4 latents. Two groups per norm: bf16 group norm on a CPU is slow with thin groups."""
    autoencoder = AutoencoderKL(
        block_out_channels=(32, 32, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        norm_num_groups=2,
        latent_channels=4,
        sample_size=32,
    )
    autoencoder.set_attn_processor(AttnProcessor())  # the fused kernel's backward is slow on sequences this short
    return autoencoder


def make_unet() -> UNet2DConditionModel:
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        attention_head_dim=2,
        cross_attention_dim=64,
        norm_num_groups=2,
    )
    unet.set_attn_processor(AttnProcessor())
    return unet


class Trainer:
    """AdamW with clipped gradients, and an exponential average of the weights, which is what ships."""

    def __init__(self, modules: list[nn.Module], rate: Callable[[int], float], decay: float, averaging: float) -> None:
        for module in modules:
            module.to(memory_format=torch.channels_last)
        self.averages = [copy.deepcopy(module) for module in modules]
        self.weights: list[Tensor] = [p for module in modules for p in module.parameters()]
        self.averaged: list[Tensor] = [p for module in self.averages for p in module.parameters()]
        self.optimizer = torch.optim.AdamW(self.weights, lr=rate(0), betas=(0.9, 0.99), weight_decay=decay)
        self.rate, self.averaging, self.steps = rate, averaging, 0

    def step(self, loss: Tensor) -> None:
        loss.backward()
        nn.utils.clip_grad_norm_(self.weights, 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(self.steps)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.steps += 1
        averaging = min(self.averaging, self.steps / (self.steps + 10))
        with torch.no_grad():
            torch._foreach_lerp_(self.averaged, self.weights, 1 - averaging)


def schedule(peak: float, steps: int, warmup: int, hold: float) -> Callable[[int], float]:
    """Linear warm-up, constant until ``hold`` (a share of the steps), then linear to 2 % of the peak."""

    def rate(step: int) -> float:
        after = max(0.0, (step / steps - hold) / (1 - hold))
        return peak * min((step + 1) / warmup, 1 - 0.98 * after)

    return rate


def shuffled_batches(count: int, generator: torch.Generator) -> Iterator[Tensor]:
    while True:
        yield from torch.randperm(count, generator=generator).split(BATCH)[: count // BATCH]


def report(name: str, step: int, steps: int, loss: float, start: float) -> None:
    print(f"{name} {step}/{steps}: loss {loss:.4f}, {time.monotonic() - start:.0f} s", flush=True)


def train_autoencoder(pixels: Tensor, steps: int) -> AutoencoderKL:
    """Fit the autoencoder to ``pixels`` (N, 3, 32, 32) in [-1, 1]: L1, squared and edge error, a light KL."""
    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(1)
    autoencoder = make_autoencoder()
    trainer = Trainer([autoencoder], schedule(2e-3, steps, 50, 0.0), decay=0.0, averaging=0.99)
    start = time.monotonic()
    for step, batch in zip(range(1, steps + 1), shuffled_batches(len(pixels), generator), strict=False):
        real = pixels[batch].contiguous(memory_format=torch.channels_last)
        posterior = autoencoder.encode(real).latent_dist
        made = autoencoder.decode(posterior.sample(generator)).sample
        edges = sum(F.l1_loss(made.diff(dim=dim), real.diff(dim=dim)) for dim in (2, 3))
        mean, logvar = posterior.mean, posterior.logvar
        divergence = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum((1, 2, 3)).mean()
        loss = F.l1_loss(made, real) + 0.5 * F.mse_loss(made, real) + 0.25 * edges + 5e-6 * divergence
        trainer.step(loss)
        if step % 100 == 0:
            report("autoencoder", step, steps, loss.item(), start)
    best = trainer.averages[0]
    assert isinstance(best, AutoencoderKL)
    return best.eval()


@torch.inference_mode()
def encode(autoencoder: AutoencoderKL, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every picture's latent, each (N, 4, 8, 8)."""
    parts = [autoencoder.encode(batch).latent_dist for batch in pixels.split(500)]
    return torch.cat([part.mean for part in parts]), torch.cat([part.std for part in parts])


def train_diffusion(
    latents: tuple[Tensor, Tensor], labels: Tensor, tokenizer: CLIPTokenizer, steps: int
) -> tuple[UNet2DConditionModel, CLIPTextModel]:
    """Fit UNet and text encoder together to predict the velocity; one caption in ten is empty (for guidance)."""
    torch.manual_seed(2)
    generator = torch.Generator().manual_seed(2)
    mean, deviation = latents
    unet, text_encoder = make_unet(), make_text_encoder(tokenizer)
    trainer = Trainer([unet, text_encoder], schedule(2e-3, steps, 100, 0.6), decay=0.01, averaging=0.998)
    captions = [template.format(name) for template in TEMPLATES for name in CLASS_NAMES]
    tokens = tokenizer([*captions, ""], padding="max_length", return_tensors="pt").input_ids
    signal = make_scheduler().alphas_cumprod
    start = time.monotonic()
    for step, batch in zip(range(1, steps + 1), shuffled_batches(len(labels), generator), strict=False):
        # Two templates a step: the text encoder runs on 21 captions, not on one for each picture.
        chosen = torch.randint(len(TEMPLATES), (2,), generator=generator)
        rows = torch.cat([chosen[0] * 10 + torch.arange(10), chosen[1] * 10 + torch.arange(10), torch.tensor([-1])])
        embedded = text_encoder(tokens[rows])[0]
        index = labels[batch] + 10 * torch.randint(2, (BATCH,), generator=generator)
        index[torch.rand(BATCH, generator=generator) < 0.1] = 20
        clean = mean[batch] + deviation[batch] * torch.randn(mean[batch].shape, generator=generator)
        noise = torch.randn(clean.shape, generator=generator)
        strata = (torch.arange(BATCH) + torch.rand(BATCH, generator=generator)) / BATCH
        times = (strata * len(signal)).long()
        a = signal[times].sqrt().view(-1, 1, 1, 1)
        s = (1 - signal[times]).sqrt().view(-1, 1, 1, 1)
        noisy = (a * clean + s * noise).contiguous(memory_format=torch.channels_last)
        velocity = unet(noisy, times, embedded[index]).sample
        loss = F.mse_loss(velocity, a * noise - s * clean)
        trainer.step(loss)
        if step % 500 == 0:
            report("diffusion", step, steps, loss.item(), start)
    best_unet, best_text = trainer.averages
    assert isinstance(best_unet, UNet2DConditionModel)
    assert isinstance(best_text, CLIPTextModel)
    return best_unet.eval(), best_text.eval()


def make_scheduler() -> DPMSolverMultistepScheduler:
    return DPMSolverMultistepScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        steps_offset=1,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--idx", type=Path, default=IDX_FOLDER, help="folder of the four idx .gz files")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "model")
    parser.add_argument("--autoencoder-steps", type=int, default=1_400)
    parser.add_argument("--diffusion-steps", type=int, default=10_000)
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    # Filling fresh memory costs time and guards against no bug here. (mypy does not see the attribute.)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]

    images, labels = read_split(args.idx, "train")
    grey = torch.from_numpy(images[:PUBLIC].astype(np.float32) / 127.5 - 1)
    pixels = grey[:, None].expand(-1, 3, -1, -1)
    autoencoder = train_autoencoder(pixels, args.autoencoder_steps)
    mean, deviation = encode(autoencoder, pixels)
    scale = 1 / mean.std().item()
    autoencoder.register_to_config(scaling_factor=scale)
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer = make_tokenizer(Path(scratch) / "tokenizer")
        unet, text_encoder = train_diffusion(
            (mean * scale, deviation * scale), torch.from_numpy(labels[:PUBLIC]), tokenizer, args.diffusion_steps
        )
        pipeline = StableDiffusionPipeline(
            vae=autoencoder,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=make_scheduler(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipeline.to(dtype=torch.float16).save_pretrained(args.out)
        # transformers would load in the dtype it finds in the configuration, diffusers in float32: make them agree.
        config = args.out / "text_encoder" / "config.json"
        config.write_text(
            json.dumps({**json.loads(config.read_text()), "dtype": "float32"}, indent=2, sort_keys=True) + "\n"
        )
        for name in ("vocab.json", "merges.txt"):  # the plain files, for tools that read no tokenizer.json
            shutil.copy(Path(scratch) / "tokenizer" / name, args.out / "tokenizer" / name)


if __name__ == "__main__":
    main()
