"""What is published in a repository, and whether a push may change it."""

from pydantic_core import from_json

from pipeline.artifacts import manifest
from pipeline.artifacts.manifest import Manifest
from pipeline.errors import ArtifactError, HubError
from pipeline.hub import card, publication
from pipeline.hub.api import Hub, Remote
from pipeline.hub.options import PushOptions

_LARGEST_CARD = 10_000_000  # bytes


def read_manifest(hub: Hub, remote: Remote) -> Manifest:
    """Return the manifest of a publication; raise HubError if there is none, or if the publication is anonymous."""
    if publication.MANIFEST not in remote.files:
        fix = "is it a data set that gen-fedsd push made?"
        raise HubError("it has no manifest.json", hub.repo_id, fix)
    found = _manifest_unless_anonymous(hub, remote)
    if found is None:
        fix = "load it with datasets.load_dataset; to update it, push all with --anonymous"
        raise HubError("it was published with --anonymous: its images have no identity", hub.repo_id, fix)
    return found


def _manifest_unless_anonymous(hub: Hub, remote: Remote) -> Manifest | None:
    """Return the published manifest, None if it is anonymous; raise HubError if push did not write it."""
    path = hub.download(publication.MANIFEST, remote.commit, manifest.LARGEST)
    try:
        document = from_json(path.read_bytes())
        if isinstance(document, dict) and document.get("anonymous") is True:
            return None
        return manifest.load(path)
    except (ArtifactError, ValueError) as error:
        reason = error.what if isinstance(error, ArtifactError) else error
        fix = "its owner may delete the file there and publish again"
        what = f"its manifest.json is damaged or not written by gen-fedsd ({reason})"
        raise HubError(what, hub.repo_id, fix) from None


def licence(hub: Hub, remote: Remote | None) -> str | None:
    """Return the licence of what is published, if any."""
    if remote is None or publication.CARD not in remote.files:
        return None
    return card.licence(hub.download(publication.CARD, remote.commit, _LARGEST_CARD))


def check_repository(hub: Hub, remote: Remote | None, options: PushOptions) -> None:
    """Raise HubError if the repository, in its present state, must not take what is to be pushed."""
    if remote is None or publication.MANIFEST not in remote.files:
        if options.clients:
            raise HubError("nothing is published there yet", hub.repo_id, "push all clients first, without --client")
        if remote is None:
            return
    if not remote.private and not options.public:
        raise HubError("this repository is public", hub.repo_id, "give --public if everybody may see the images")
    if options.anonymous and any(map(publication.names_clients, hub.titles())):
        raise HubError("its history keeps files by client", hub.repo_id, "push --anonymous to a new repository")
    if publication.MANIFEST in remote.files:
        if (_manifest_unless_anonymous(hub, remote) is None) != options.anonymous:
            what = "it was published " + ("client by client" if options.anonymous else "with --anonymous")
            fix = "push to a new repository, because the history of this one would keep both"
            raise HubError(what, hub.repo_id, fix)
        return
    theirs = [path for path in remote.files if path in publication.BESIDE or publication.is_image_file(path)]
    if theirs:
        what = f"the push would replace files that gen-fedsd did not publish ({theirs[0]})"
        raise HubError(what, hub.repo_id, "push to a new repository, or delete them there first")


def check_tag(repo_id: str, remote: Remote | None, unchanged: bool, tag: str | None) -> None:
    """Raise HubError, before anything is sent, if the tag names another commit than the one it would name."""
    taken = remote.tags.get(tag) if remote and tag else None
    if remote and taken is not None and not (unchanged and taken == remote.commit):
        raise HubError(f"the tag {tag} is taken by commit {taken[:12]}", repo_id, "choose another --tag")
