"""Make the safetensors file of Inception's weights from the pickle that torch-fidelity offers.

    pip install 'gen-fedsd[inception]'
    python data/extractors/make_inception.py                # downloads 91 MB
    python data/extractors/make_inception.py FILE.pth       # a file that is here

The pickle is read once, with ``weights_only=True``. The weights are TensorFlow's of 2015-12-05 (Apache-2.0).
"""

import argparse
import importlib
from pathlib import Path

import torch
from safetensors.torch import save_file

from pipeline import atomic
from pipeline.evaluation.extractors.inception import default_file


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the safetensors file of Inception's weights.")
    parser.add_argument("pickle", type=Path, nargs="?", help="the .pth file; without it, it is downloaded")
    source: Path | None = parser.parse_args().pickle
    if source is None:
        url: str = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3").URL_INCEPTION_V3
        source = default_file().with_name(Path(url).name)
        source.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(source), hash_prefix=source.stem.rpartition("-")[2])
    weights = torch.load(source, map_location="cpu", weights_only=True)
    with atomic.replacing(default_file()) as temporary:
        save_file({name: values.contiguous() for name, values in weights.items()}, temporary)
    print(f"{default_file()}: sha256 {atomic.sha256(default_file())}")


if __name__ == "__main__":
    main()
