"""A section of params.yaml: frozen values, and no key that it does not know."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, model_validator


class Section(BaseModel):
    """One section of params.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    retired: ClassVar[frozenset[str]] = frozenset()
    """Keys of older files, which are read over."""

    @model_validator(mode="before")
    @classmethod
    def _without_retired(cls, given: object) -> object:
        if cls.retired and isinstance(given, dict):
            return {key: value for key, value in given.items() if key not in cls.retired}
        return given
