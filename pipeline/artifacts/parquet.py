"""What every Parquet artifact shares: a JSON header in the schema's metadata, and errors that name the file."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ArtifactError

_KEY = b"gen-fedsd"


def with_header(schema: pa.Schema, header: dict[str, Any]) -> pa.Schema:
    """Return ``schema`` with ``header`` added to its metadata."""
    return schema.with_metadata({**(schema.metadata or {}), _KEY: json.dumps(header, sort_keys=True).encode()})


def read_header(path: Path, stage: str) -> dict[str, Any]:
    """Return a file's header without reading its rows; ``stage`` made it and is named in errors."""
    try:
        metadata = pq.read_schema(path).metadata or {}
        header: dict[str, Any] = json.loads(metadata[_KEY])
    except FileNotFoundError:
        raise ArtifactError("no such file", path, f"run: dvc repro {stage}") from None
    except (pa.ArrowInvalid, OSError, KeyError, ValueError) as error:
        raise ArtifactError(f"damaged or not ours ({error})", path, f"run: dvc repro -f {stage}") from None
    return header
