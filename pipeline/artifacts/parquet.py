"""What every Parquet artifact shares: a JSON header in the schema's metadata, and errors that name the file."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic_core import from_json

from pipeline.errors import ArtifactError

_KEY = b"gen-fedsd"


def with_header(schema: pa.Schema, header: dict[str, Any]) -> pa.Schema:
    """Return ``schema`` with ``header`` added to its metadata."""
    return schema.with_metadata({**(schema.metadata or {}), _KEY: json.dumps(header, sort_keys=True).encode()})


def read_header(path: Path, stage: str) -> dict[str, Any]:
    """Return a file's header without reading its rows; ``stage`` made it and is named in errors."""
    try:
        return header_of(pq.read_schema(path))
    except FileNotFoundError:
        raise ArtifactError("no such file", path, f"run: dvc repro {stage}") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ArtifactError(f"damaged or not ours ({error})", path, f"run: dvc repro -f {stage}") from None


def header_of(schema: pa.Schema) -> dict[str, Any]:
    """Return the header in a schema; raise ValueError if there is none, or it is not a JSON object."""
    text = (schema.metadata or {}).get(_KEY)
    if text is None:
        raise ValueError("it has no header")
    header = from_json(text, allow_inf_nan=False)  # which refuses deep nesting; json would end in a RecursionError
    if not isinstance(header, dict):
        raise ValueError("its header is not an object")
    return header
