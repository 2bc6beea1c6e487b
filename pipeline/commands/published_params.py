"""The params.yaml of a publication: what goes with the images, and what becomes of it where they are fetched."""

from dataclasses import dataclass
from pathlib import Path

from pipeline import atomic, printable, progress, shipped, yaml_file
from pipeline import params as parameters
from pipeline.artifacts.manifest import Manifest
from pipeline.errors import ParameterError, PipelineError
from pipeline.generation import model
from pipeline.generation import recipe as recipes
from pipeline.generation.checks import recipe_of
from pipeline.hub import publication
from pipeline.hub import pull as hub_pull
from pipeline.hub.pull import Publication
from pipeline.params import Params
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Fetched:
    """What became of the params.yaml of a publication."""

    place: Path | None
    """Where it is now; None if there is none, or none that can be used."""
    state: str
    """``written``, ``same``, ``beside`` (another params.yaml is here), ``absent`` or ``invalid``."""
    why: str = ""
    """Why it cannot be used."""


def of(workspace: Workspace, params: Params, known: Manifest) -> str | None:
    """Return the content of params.yaml for a publication; None, which is reported, if it is not that of the images."""
    theirs = recipe_of(known)
    try:
        mine = model.resolve(workspace, params.generate, params.seed, theirs.image_size, theirs.dtype).recipe
        changed = recipes.differences(mine.as_dict(), theirs.as_dict())
    except PipelineError as error:
        progress.say(f"whether params.yaml is that of the images is not known ({error.what}); it is published as it is")
        changed = []
    if changed:
        what = "params.yaml is not published: it has changed since the images were made"
        progress.say(f"{what} ({', '.join(changed)})")
        return None
    for text in _places(workspace, params):
        progress.say(f"params.yaml is published, and names {text}, which is not: others need it from you")
    return workspace.params.read_text(encoding="utf-8-sig")


def _places(workspace: Workspace, params: Params) -> list[str]:
    """Return files that the parameters name and a colleague lacks: neither shipped nor on the Hub."""
    overrides = params.generate.class_overrides
    texts = [params.generate.prompts, *([overrides] if isinstance(overrides, str) else [])]
    texts += [
        params.partition.assignment or "",
        *(one.path for one in params.generate.lora if workspace.at(one.path).exists()),
    ]
    local = [text for text in (params.data.path, params.generate.model) if workspace.at(text).exists()]
    return [text for text in (*texts, *local) if text and not _ships(text)]


def _ships(text: str) -> bool:
    return not Path(text).is_absolute() and (shipped.root() / text).exists()


def fetch(workspace: Workspace, found: Publication) -> Fetched:
    """Write the params.yaml of a publication into a workspace that has none, else beside the results.

    One that is not valid is not written. Raises HubError if it cannot be fetched.
    """
    text = hub_pull.params(found)
    if text is None:
        return Fetched(None, "absent")
    try:
        parameters.check(yaml_file.parse(text, publication.PARAMS), Path(publication.PARAMS))
    except ParameterError as error:
        return Fetched(None, "invalid", printable.line(f"{error.what}: {error.where}"))
    if not workspace.params.exists():
        atomic.write_text(workspace.params, text)
        return Fetched(workspace.params, "written")
    if workspace.params.read_text(encoding="utf-8-sig") == text:
        return Fetched(workspace.params, "same")
    atomic.write_text(workspace.published_params, text)
    return Fetched(workspace.published_params, "beside")
