"""The errors a user can cause; each says what is wrong, where, and what to do.

::

    PipelineError
    |-- ParameterError    params.yaml or a command-line option
    |-- DataError         the real images
    |-- ArtifactError     a file that one stage wrote and another reads
    |-- PoolError         the store of finished synthetic images
    |-- GenerationError   the diffusion model, or what it drew
    `-- HubError          the Hugging Face Hub

``__main__`` prints them as one line and exits with code 2. Anything else is a bug and keeps its traceback.
"""

from pipeline import printable

_MOST = 500  # characters of each part that are printed


class PipelineError(Exception):
    """What is wrong, where (file, key, value), and what to do about it; as text, one line that is safe to print."""

    def __init__(self, what: str, where: object, fix: str) -> None:
        self.what, self.where, self.fix = what, str(where), fix
        super().__init__(what, self.where, fix)

    def __str__(self) -> str:
        return ": ".join(printable.line(part, _MOST) for part in (self.what, self.where, self.fix))


class ParameterError(PipelineError):
    """A parameter or option has a value that cannot be used."""


class DataError(PipelineError):
    """The real images cannot be read, or are not what a stage read earlier."""


class ArtifactError(PipelineError):
    """A stage's output is missing, damaged, or made from other inputs."""


class PoolError(PipelineError):
    """The pool cannot be opened, or another run is writing it."""


class GenerationError(PipelineError):
    """The diffusion model cannot be loaded, or cannot draw what the plan asks for."""


class HubError(PipelineError):
    """The Hub refuses something, cannot be reached, or holds what it should not."""
