"""Build the demo data set from the Fashion-MNIST idx files (Debian package ``dataset-fashion-mnist``).

Fashion-MNIST's 60,000 training images are cut in three, so that nothing that judges or trains a classifier was ever
seen by the generator:

* ``public``: the first 30,000; only the image generator is trained on them (they do not ship);
* ``clients``: 10,000 of the other 30,000, 1,000 a class; the federated clients hold these (``train.parquet``);
* ``validation``: the remaining 20,000; settings such as the guidance scale are chosen on them (they do not ship).

The 10,000 test images ship as ``test.parquet``. Pictures are 28x28 grey, padded to 32x32, the size that CIFAR-style
networks expect, and stored as grey PNG: half the bytes of three equal channels, which the pipeline makes on reading.
Run ``python data/demo/make_data.py``; it prints each file's sha256.
"""

import argparse
import gzip
import hashlib
import io
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
from datasets import ClassLabel, Dataset, Features, Image
from PIL import Image as PILImage

CLASS_NAMES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
IDX_FOLDER = Path("/usr/share/datasets/fashion-mnist")
PUBLIC = 30_000
CLIENTS_PER_CLASS = 1_000

UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]


def read_idx(path: Path) -> UInt8:
    """Read one gzipped idx file: a big-endian header (type, rank, sizes), then bytes."""
    raw = gzip.decompress(path.read_bytes())
    rank = raw[3]
    shape = struct.unpack(f">{rank}I", raw[4 : 4 + 4 * rank])
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


def read_split(folder: Path, split: str) -> tuple[UInt8, Int64]:
    """Return the images (N, 32, 32) padded with black, and the labels (N,); ``split`` is ``train`` or ``t10k``."""
    images = read_idx(folder / f"{split}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{split}-labels-idx1-ubyte.gz").astype(np.int64)
    return np.pad(images, ((0, 0), (2, 2), (2, 2))), labels


def client_rows(labels: Int64) -> Int64:
    """Choose the clients' rows among those after ``PUBLIC``: ``CLIENTS_PER_CLASS`` a class, in row order.

    The choice orders rows by a hash of their number, so that it depends on no random-number library.
    """
    private = np.arange(PUBLIC, len(labels))
    keys = [hashlib.sha256(f"gen-fedsd demo {row}".encode()).hexdigest() for row in private]
    shuffled = private[np.argsort(keys)]
    chosen = [shuffled[labels[shuffled] == label][:CLIENTS_PER_CLASS] for label in range(len(CLASS_NAMES))]
    return np.sort(np.concatenate(chosen))


def to_png(grey: UInt8) -> bytes:
    """Encode one (32, 32) grey picture as PNG."""
    buffer = io.BytesIO()
    PILImage.fromarray(grey).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def write_parquet(path: Path, images: UInt8, labels: Int64) -> None:
    """Write images and labels in the Hugging Face convention: Image and ClassLabel features in the schema."""
    features = Features({"image": Image(), "label": ClassLabel(names=list(CLASS_NAMES))})
    rows = {"image": [{"bytes": to_png(image), "path": None} for image in images], "label": labels.tolist()}
    Dataset.from_dict(rows, features=features).to_parquet(path)
    print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}  {len(labels)} images")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--idx", type=Path, default=IDX_FOLDER, help="folder of the four idx .gz files")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--public", type=Path, help="write the public images here instead, as train.parquet")
    args = parser.parse_args()
    images, labels = read_split(args.idx, "train")
    if args.public:
        args.public.mkdir(parents=True, exist_ok=True)
        write_parquet(args.public / "train.parquet", images[:PUBLIC], labels[:PUBLIC])
        return
    rows = client_rows(labels)
    write_parquet(args.out / "train.parquet", images[rows], labels[rows])
    write_parquet(args.out / "test.parquet", *read_split(args.idx, "t10k"))


if __name__ == "__main__":
    main()
