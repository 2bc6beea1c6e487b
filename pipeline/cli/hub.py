"""Publications on the Hugging Face Hub."""

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline import printable
from pipeline.cli import options, text

if TYPE_CHECKING:
    from pipeline.commands.published_params import Fetched
    from pipeline.commands.pull import Pulled, Use
    from pipeline.hub.publication import Changes
    from pipeline.hub.push import Pushed

commands = typer.Typer()


@commands.command()
def push(
    repo_id: options.Repository,
    client: Annotated[list[int] | None, typer.Option(help="Only this client's shard; repeatable.")] = None,
    public: Annotated[
        bool, typer.Option("--public/--private", help="Who may see a new repository; an existing one stays as it is.")
    ] = False,
    with_labels: Annotated[
        bool,
        typer.Option(
            "--with-client-labels/--anonymous",
            help="Publish by client, which reveals what each one lacked, or merge all images by class.",
        ),
    ] = True,
    with_refused: Annotated[
        bool, typer.Option("--with-refused", help="Also publish the images that the gate refused, apart.")
    ] = False,
    tag: Annotated[str | None, typer.Option(help="A name for the commit, e.g. v1.")] = None,
    licence: Annotated[
        str | None,
        typer.Option("--license", help="The data set's licence, by the Hub's short name; default: as published."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be sent.")] = False,
) -> None:
    """Publish the shards, their manifest and a card on the Hugging Face Hub, in one commit."""
    workspace, params = options.parameters()
    from pipeline.commands import push
    from pipeline.hub.options import PushOptions

    chosen = PushOptions(
        repo_id=repo_id,
        clients=tuple(sorted(set(client or []))),
        public=public,
        anonymous=not with_labels,
        tag=tag,
        licence=licence,
        dry_run=dry_run,
        refused=with_refused,
    )
    text.echo(pushed_text(push.push(workspace, params, chosen)))


@commands.command()
def pull(
    repo_id: options.Repository,
    revision: Annotated[str | None, typer.Option(help="A tag, branch or commit; default: the latest.")] = None,
) -> None:
    """Fetch a publication from the Hugging Face Hub, check it, and put its images into the pool.

    Its params.yaml is written where there is none yet.
    """
    from pipeline.workspace import Workspace

    workspace = Workspace()
    params = options.parameters()[1] if workspace.params.exists() else None
    from pipeline.commands import pull

    text.echo(pulled_text(pull.pull(workspace, params, repo_id, revision)))


def pushed_text(done: "Pushed") -> str:
    """Return what a push did, or what it would do."""
    visibility = "private" if done.private else "public"
    if done.dry_run:
        where = done.repo_id if done.exists else f"{done.repo_id} (a new {visibility} repository)"
        lines = [f"{where}: {_changes_text(done.changes)}"]
        lines += [f"  upload {path} ({item.bytes:,} bytes)" for path, item in sorted(done.changes.upload.items())]
        lines += [f"  delete {path}" for path in done.changes.delete]
        return "\n".join(lines)
    if done.commit is None:
        what = f"nothing to do, all {done.changes.unchanged} files are there"
    else:
        what = f"{_changes_text(done.changes)}; commit {done.commit[:12]}"
    return f"{done.repo_id} ({visibility}): {what}" + (f", tagged {done.tag}" if done.tag else "")


def _changes_text(changes: "Changes") -> str:
    return (
        f"{len(changes.upload)} files to upload ({text.megabytes(changes.bytes)}), {len(changes.delete)} to delete, "
        f"{changes.unchanged} there already"
    )


def pulled_text(done: "Pulled") -> str:
    """Return what a pull put into the pool, and whether the parameters ask for it."""
    gate = ""
    if done.gate is not None:
        gate = f"\nthey went through the gate {printable.line(done.gate)}: its scores are in the pool, too"
    return (
        f"{done.repo_id} at {done.commit[:12]}: {done.images} images of {done.clients} clients, "
        f"recipe {done.recipe}, all as its manifest says; {done.new} are new in {done.pool}{gate}\n"
        f"{_params_text(done.params)}\n{_use_text(done.use)}"
    )


def _params_text(fetched: "Fetched") -> str:
    return {
        "written": f"{fetched.place} is that of the publication; next: gen-fedsd init, then dvc repro",
        "same": "params.yaml is that of the publication",
        "beside": f"{fetched.place} is that of the publication; to use it, rename it to params.yaml",
        "absent": "the publication has no params.yaml",
        "invalid": f"the params.yaml of the publication cannot be used ({fetched.why}), and is not written",
    }[fetched.state]


def _use_text(use: "Use") -> str:
    if use.unresolved is not None:
        return f"the recipe that params.yaml asks for is not known here ({printable.line(use.unresolved)})"
    if use.differences:
        what = "asks for another recipe, so these images will not be used: it differs in " + ", ".join(use.differences)
    else:
        what = "asks for this recipe: what the plan wants of these images will not be rendered again"
    assumed = f"\ngenerate.dtype auto: {use.assumed.dtype}, {use.assumed.why}" if use.assumed else ""
    return f"params.yaml {what}{assumed}"
