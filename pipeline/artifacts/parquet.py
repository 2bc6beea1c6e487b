"""What every Parquet artifact shares: a JSON header in the schema's metadata, and errors that name the file."""

import json
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.errors import ArtifactError

_KEY = b"gen-fedsd"


def with_header(schema: pa.Schema, header: dict[str, Any]) -> pa.Schema:
    """Return ``schema`` with ``header`` added to its metadata."""
    return schema.with_metadata({**(schema.metadata or {}), _KEY: json.dumps(header, sort_keys=True).encode()})


class Header(BaseModel):
    """What a file says beside its columns: values of exactly these types, and no others."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


T = TypeVar("T", bound=Header)


def read_header(path: Path, stage: str, kind: type[T]) -> T:
    """Return a file's header without reading its rows; ``stage`` made it and is named in errors.

    Raises ArtifactError if there is no such file, or no such header in it. A header that has a field ``version`` says
    by its type which one the code reads; files of other versions are refused as such.
    """
    try:
        return kind.model_validate_json(header_of(pq.read_schema(path)))
    except FileNotFoundError:
        raise ArtifactError("no such file", path, f"run: dvc repro {stage}") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, ValidationError) and any(one["loc"] == ("version",) for one in error.errors()):
            raise ArtifactError("written by another version of gen-fedsd", path, f"run: dvc repro {stage}") from None
        raise ArtifactError(f"damaged or not ours ({short(error)})", path, f"run: dvc repro -f {stage}") from None


def header_of(schema: pa.Schema) -> bytes:
    """Return the header in a schema as JSON; raise ValueError if there is none."""
    text: bytes | None = (schema.metadata or {}).get(_KEY)
    if text is None:
        raise ValueError("it has no header")
    return text


def short(error: Exception) -> str:
    """Return what is wrong without the values that are: messages of pydantic and Arrow may repeat them."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
    return str(error).partition("\n")[0][:200]
