"""Count what a model costs from its configuration alone, on torch's ``meta`` device: no weights, no memory, seconds.

Loads torch and diffusers.
"""

import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import diffusers
import torch
import transformers
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from pipeline.errors import GenerationError
from pipeline.generation.costs.model_cost import ModelCost

KINDS = ("StableDiffusionPipeline", "StableDiffusionXLPipeline", "LatentConsistencyModelPipeline")
"""The pipelines whose call is known here: a denoiser UNet2DConditionModel, text encoders, a decoder AutoencoderKL."""
_META = torch.device("meta")

Config = Mapping[str, Any]


def count(model: str, source: str, index: Config, configs: Mapping[str, Config], size: int | None) -> ModelCost:
    """Return what images of ``size`` pixels a side cost, or of the model's own size.

    ``index`` is the content of model_index.json, ``configs`` that of each part's config.json by the part's name.
    Raises GenerationError for a kind of model that is not known here, and for a configuration that cannot be built.
    """
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
    kind = str(index.get("_class_name"))
    if kind not in KINDS:
        raise GenerationError(f"models of this kind ({kind}) are not counted", model, f"counted are {', '.join(KINDS)}")
    try:
        return _count(model, source, kind, index, configs, size)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, NotImplementedError) as error:
        what = f"its configuration cannot be counted ({str(error).partition(chr(10))[0]})"
        raise GenerationError(what, model, "check generate.model and generate.render_size") from error


def _count(
    model: str, source: str, kind: str, index: Config, configs: Mapping[str, Config], size: int | None
) -> ModelCost:
    with _META:
        unet = UNet2DConditionModel.from_config(configs["unet"]).eval()
        vae = AutoencoderKL.from_config(configs["vae"]).eval()
        encoders = [
            _encoder(index[name][1], configs[name]) for name in sorted(index) if name.startswith("text_encoder")
        ]
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    own = unet.config.sample_size * factor
    side = (size or own) // factor
    length = int(configs["text_encoder"].get("max_position_embeddings", 77))
    denoiser = _Run(unet, lambda: _denoise(unet, side, length))
    decoder = _Run(vae, lambda: vae.decode(_blank(1, vae.config.latent_channels, side, side)).sample)
    texts = [_Run(one, partial(_read, one, length)) for one in encoders]
    return ModelCost(
        model=model,
        source=source,
        kind=kind,
        size=size or own,
        denoiser_flops=denoiser.flops,
        decoder_flops=decoder.flops,
        text_flops=sum(one.flops for one in texts),
        parameters=sum(_parameters(one) for one in (unet, vae, *encoders)),
        denoiser_values=denoiser.values,
        decoder_values=decoder.values,
        denoiser_operators=denoiser.operators,
        decoder_operators=decoder.operators,
        guided=unet.config.time_cond_proj_dim is None,
        upcast=kind.startswith("StableDiffusionXL") and bool(vae.config.force_upcast),
    )


def calls(index: Config, config: Config, name: str | None, options: Config, steps: int) -> int:
    """Return how often ``steps`` steps of a scheduler run the denoiser: some take two runs a step, or one more in all.

    ``config`` is the content of scheduler_config.json; ``name`` and ``options`` replace the model's own.
    """
    scheduler = getattr(diffusers, name or index["scheduler"][1]).from_config({**config, **options})
    scheduler.set_timesteps(steps)
    return len(scheduler.timesteps)


def _encoder(name: str, config: Config) -> nn.Module:
    kind = getattr(transformers, name)
    made: nn.Module = kind(kind.config_class.from_dict(dict(config))).eval()
    return made


def _read(encoder: nn.Module, length: int) -> object:
    return encoder(torch.zeros(1, length, dtype=torch.long, device=_META))


def _denoise(unet: Any, side: int, length: int) -> Any:
    config, added = unet.config, {}
    if config.addition_embed_type == "text_time":
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        added = {"text_embeds": _blank(1, pooled), "time_ids": _blank(1, 6)}
    condition = None if config.time_cond_proj_dim is None else _blank(1, config.time_cond_proj_dim)
    return unet(
        _blank(1, config.in_channels, side, side),
        torch.zeros((), dtype=torch.long, device=_META),
        _blank(1, length, config.cross_attention_dim),
        timestep_cond=condition,
        added_cond_kwargs=added or None,
    )


def _blank(*shape: int) -> Tensor:
    return torch.empty(shape, device=_META)


def _parameters(module: nn.Module) -> int:
    return sum(one.numel() for one in module.parameters())


class _Run:
    """One pass through a module: its operations, its operators, and the most values that were alive at once."""

    def __init__(self, module: nn.Module, call: Callable[[], object]) -> None:
        counter, attention, alive = FlopCounterMode(display=False), _Attention(), _Alive(module)
        with torch.inference_mode(), counter, alive, attention:
            call()
        self.flops = float(counter.get_total_flops() + attention.flops)
        self.values, self.operators = alive.most, alive.operators


class _Attention(TorchFunctionMode):
    """Counts attention as GPUs carry it out: all operations, but never the matrix of weights as a whole.

    On ``meta`` torch would take it apart, and the matrix, which flash attention (arXiv 2205.14135) never stores, would
    be most of the memory.
    """

    flops = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        given = dict(zip(("query", "key", "value"), args, strict=False)) | (kwargs or {})
        query, key, value = given["query"], given["key"], given["value"]
        self.flops += sdpa_flop_count(query.shape, key.shape, value.shape)
        return query.new_empty((*query.shape[:-1], value.shape[-1]))


class _Alive(TorchDispatchMode):
    """Follows the storages of all tensors from their making to their end; those of the parameters do not count."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known = {_storage(one)._cdata for one in (*module.parameters(), *module.buffers())}
        self._now, self.most, self.operators = 0.0, 0.0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.operators += 1
        for one in tree_leaves(made):
            if isinstance(one, Tensor):
                self._see(_storage(one), one.element_size())
        return made

    def _see(self, storage: Any, width: int) -> None:
        key, values = storage._cdata, storage.nbytes() / width
        if key in self._known:
            return
        self._known.add(key)
        self._now += values
        self.most = max(self.most, self._now)
        weakref.finalize(storage, self._end, key, values)

    def _end(self, key: int, values: float) -> None:
        self._known.discard(key)
        self._now -= values


def _storage(tensor: Tensor) -> Any:
    return tensor.untyped_storage()
