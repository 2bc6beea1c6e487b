"""Write the images that a generator has not seen as a data set for federated clients, beside the test split.

    python data/generators/clients.py data/generators/cifar10.yaml --out data/cifar10-clients

The recipe says which share of each class the generator sees; this program writes the rest, as the same picture files,
as ``train.parquet``, with the row that each image has in the original split, and the test split as ``test.parquet``. It
compares the pixels: an image of the rest that equals one that the generator sees is left out, and said. Then it reads
what it wrote, and compares again.
"""

import argparse
import hashlib
import io
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, Features, Image, Value
from datasets.utils import disable_progress_bars
from latent import command, pictures
from latent import recipe as recipes
from numpy.typing import NDArray

from pipeline import atomic, progress
from pipeline.data import images
from pipeline.data.images import Images
from pipeline.errors import DataError, ParameterError
from pipeline.params import DataParams


def digests(found: Images) -> list[bytes]:
    """Return what identifies the pixels of each image."""
    out = []
    with progress.bar("compare pictures", len(found), "pictures") as advance:
        for row in range(len(found)):
            out.append(hashlib.sha256(found.pixels([row]).tobytes()).digest())
            advance()
    return out


def write(found: Images, rows: NDArray[np.int64], path: Path) -> None:
    """Write images in the Hugging Face convention, each as the file that it was."""
    features = Features({"image": Image(), "label": ClassLabel(names=list(found.class_names)), "row": Value("int64")})
    table = {
        "image": [{"bytes": _file(found, int(row)), "path": None} for row in rows],
        "label": found.labels[rows].tolist(),
        "row": found.split_rows[rows].tolist(),
    }
    with atomic.replacing(path) as temporary:
        Dataset.from_dict(table, features=features).to_parquet(temporary)
    progress.say(f"{path}: {len(rows)} images, sha256 {atomic.sha256(path)}")


def _file(found: Images, row: int) -> bytes:
    content = found.source.content(found.image_column, int(found.split_rows[row]))
    if isinstance(content, bytes):
        return content
    buffer = io.BytesIO()
    found.read(row).image.save(buffer, "PNG")
    return buffer.getvalue()


def halve(recipe: recipes.Recipe, test: str, out: Path) -> None:
    """Write both splits; raise DataError if what was written has an image that the generator sees."""
    seen, rest = pictures.chosen(recipe.data)
    if rest is None:
        raise ParameterError("the generator sees all images", "recipe, data.share", "say which share it sees, e.g. 0.5")
    known = set(digests(seen))
    fresh = np.array([digest not in known for digest in digests(rest)], bool)
    if not fresh.all():
        progress.say(f"{(~fresh).sum()} images are left out: the generator sees images of equal pixels")
    write(rest, np.flatnonzero(fresh), out / "train.parquet")
    tested = images.load(
        DataParams(path=recipe.data.path, train=recipe.data.split, test=test, image_size=recipe.data.size), test
    )
    write(tested, np.arange(len(tested)), out / "test.parquet")
    written = images.load(DataParams(path=str(out), image_size=recipe.data.size), "train")
    if both := known.intersection(digests(written)):
        raise DataError(f"{len(both)} images are in both parts", out, "report this as a bug")
    progress.say(f"the generator sees {len(seen)} images, clients can hold {len(written)}, no image is in both")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recipe", type=Path, help="the generator's recipe, such as data/generators/cifar10.yaml")
    parser.add_argument("--out", type=Path, required=True, help="folder of the clients' data set")
    parser.add_argument("--test", default="test", help="split that models are tested on")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="replace a value of the recipe")
    args = parser.parse_args()
    disable_progress_bars()
    command.run(lambda: halve(recipes.load(args.recipe, args.set), args.test, args.out))


if __name__ == "__main__":
    main()
