"""The command line: one command for each stage, then those that look after the images. Unpacks options and calls.

Stages and rooms are imported inside the commands, since torch takes seconds to load and ``--help`` must not.
"""

from pathlib import Path
from typing import Annotated

import typer

from pipeline import paths, progress

app = typer.Typer(
    help="Fill federated clients' missing classes with Stable Diffusion images, and measure whether it helped.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Devices = Annotated[
    str,
    typer.Option(envvar="GEN_FEDSD_DEVICES", help="auto, cpu, cpu*2, cuda, cuda:0,cuda:1: one worker for each."),
]
Workers = Annotated[
    int,
    typer.Option(
        envvar="GEN_FEDSD_WORKERS",
        min=0,
        help="Processes that train clients; 0: one for each GPU, or for each CPU core where there is none.",
    ),
]
Checkpoint = Annotated[
    int, typer.Option("--checkpoint-every", min=1, help="Rounds after which an interrupted run can go on.")
]
Client = Annotated[int, typer.Option(help="The client's number.")]
Recipes = Annotated[list[str] | None, typer.Option("--recipe", help="A recipe's digest or its beginning; repeatable.")]
Repository = Annotated[str, typer.Option("--repo-id", help="OWNER/NAME of a data set on the Hub.")]

pool = typer.Typer(help="Look after the pool of finished images.")
app.add_typer(pool, name="pool")


@app.command()
def partition() -> None:
    """Stage: give every real training image to a client."""
    from pipeline import params
    from pipeline.stages import partition

    with progress.timed(paths.timing("partition")):
        partition.run(params.load())


@app.command()
def deficits() -> None:
    """Stage: count what each client lacks."""
    from pipeline import params
    from pipeline.stages import deficits

    with progress.timed(paths.timing("deficits")):
        deficits.run(params.load())


@app.command()
def generate(
    devices: Devices = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the plan's size and cost.")] = False,
) -> None:
    """Stage: render what the pool lacks, write the shards and the manifest."""
    from pipeline import params
    from pipeline.generation import inspect
    from pipeline.generation.devices import parse
    from pipeline.stages import generate

    if dry_run:
        typer.echo(inspect.cost(params.load(), parse(devices)))
        return
    with progress.timed(paths.timing("generate")):
        generate.run(params.load(), parse(devices))


@app.command()
def train(
    fill: Annotated[str, typer.Option(help="none, transforms or synthetic.")],
    algorithm: Annotated[str, typer.Option(help="fedavg, fedprox, scaffold, fednova, ...")] = "fedavg",
    workers: Workers = 0,
    checkpoint_every: Checkpoint = 10,
) -> None:
    """Stage: federated training with one fill, under both budgets, for every seed."""
    from pipeline import params
    from pipeline.federated.experiment import Crew
    from pipeline.stages import train

    with progress.timed(paths.timing(f"train {fill} {algorithm}")):
        crew = Crew(workers or _devices(), checkpoint_every)
        train.run(params.load(), params.fill(fill), params.algorithm(algorithm), crew)


@app.command()
def central(workers: Workers = 0) -> None:
    """Stage: the same model trained centrally, on all real images and on the synthetic ones alone."""
    from pipeline import params
    from pipeline.federated.experiment import Crew
    from pipeline.stages import central

    with progress.timed(paths.timing("central")):
        central.run(params.load(), Crew(workers or _devices()))


def _devices() -> int:
    """Return how many GPUs there are, else CPU cores: a second worker on a GPU would hold all images once more."""
    from pipeline.generation.devices import parse

    return len(parse("auto"))


@app.command()
def report() -> None:
    """Stage: the page, and the same numbers as DVC metrics and plots."""
    from pipeline import params
    from pipeline.stages import report

    report.run(params.load())


@app.command()
def results() -> None:
    """Print the result table of the last report, and where its page is."""
    from pipeline.reporting import summary

    typer.echo(summary.as_text(summary.load()))
    typer.echo(f"\nThe whole report: {paths.REPORT_PAGE}")


@app.command()
def status(devices: Devices = "auto") -> None:
    """Tell what is planned, in the pool and missing for each client, and how long rendering would take."""
    from pipeline import params
    from pipeline.generation import inspect
    from pipeline.generation.devices import parse

    typer.echo(inspect.status(params.load(), parse(devices)))


@app.command()
def regenerate(
    client: Client,
    fresh: Annotated[bool, typer.Option("--fresh", help="Render again what the pool already holds.")] = False,
    devices: Devices = "auto",
) -> None:
    """Write one client's shard again, rendering what the pool lacks."""
    from pipeline import params
    from pipeline.generation import inspect
    from pipeline.generation.devices import parse

    typer.echo(inspect.regenerate(params.load(), parse(devices), client, fresh))


@app.command()
def verify(
    rerender: Annotated[int, typer.Option(min=0, help="Render this many random images again and compare.")] = 0,
    seed: Annotated[int, typer.Option(help="Decides which images are rendered again.")] = 0,
    devices: Devices = "auto",
) -> None:
    """Check every shard against the manifest."""
    from pipeline.generation import verify

    typer.echo(verify.shards())
    if rerender:
        from pipeline import params
        from pipeline.generation.devices import parse

        typer.echo(verify.rerender(params.load(), parse(devices), rerender, seed))


@app.command()
def preview(
    client: Client,
    out: Annotated[Path | None, typer.Option(help="Where the PNG goes.")] = None,
    per_class: Annotated[int, typer.Option(min=1, help="Images of each class.")] = 16,
) -> None:
    """Draw one client's synthetic images as a contact sheet."""
    from pipeline.reporting import contact_sheet

    typer.echo(contact_sheet.of_client(client, per_class, out or paths.preview(client)))


@app.command()
def push(
    repo_id: Repository,
    client: Annotated[list[int] | None, typer.Option(help="Only this client's shard; repeatable.")] = None,
    public: Annotated[
        bool, typer.Option("--public/--private", help="Who may see a new repository; an existing one stays as it is.")
    ] = False,
    with_labels: Annotated[
        bool,
        typer.Option(
            "--with-client-labels/--anonymous",
            help="Tell what each client lacked, or merge the clients' images by class.",
        ),
    ] = True,
    tag: Annotated[str | None, typer.Option(help="A name for the commit, e.g. v1.")] = None,
    licence: Annotated[
        str | None,
        typer.Option("--license", help="The data set's licence, by the Hub's short name; default: as published."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be sent.")] = False,
) -> None:
    """Publish the shards, their manifest and a card on the Hugging Face Hub, in one commit."""
    from pipeline import params
    from pipeline.hub import push

    options = push.Options(
        repo_id=repo_id,
        clients=tuple(sorted(set(client or []))),
        public=public,
        anonymous=not with_labels,
        tag=tag,
        licence=licence,
        dry_run=dry_run,
        megabytes=params.load().generate.shard_megabytes,
    )
    typer.echo(push.push(options))


@app.command()
def pull(
    repo_id: Repository,
    revision: Annotated[str | None, typer.Option(help="A tag, branch or commit; default: the latest.")] = None,
    devices: Devices = "auto",
) -> None:
    """Fetch a publication from the Hugging Face Hub, check it, and put its images into the pool."""
    from pipeline import params
    from pipeline.generation.devices import parse
    from pipeline.hub import pull

    typer.echo(pull.pull(repo_id, revision, params.load(), parse(devices)))


@pool.command()
def stats() -> None:
    """Tell how much the pool holds."""
    from pipeline.generation import care
    from pipeline.generation.pool import Pool

    with Pool(paths.pool()) as opened:
        typer.echo(care.stats(opened))


@pool.command("list")
def listing() -> None:
    """List the pool's recipes, the latest rendered last."""
    from pipeline.generation import care
    from pipeline.generation.pool import Pool

    with Pool(paths.pool()) as opened:
        typer.echo(care.listing(opened))


@pool.command("gc")
def collect(
    recipe: Recipes = None,
    older_than: Annotated[float | None, typer.Option(min=0, help="Days since an image was rendered.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be deleted.")] = False,
) -> None:
    """Delete images of some recipes, of some age, or both."""
    from pipeline.generation import care
    from pipeline.generation.pool import Pool

    with Pool(paths.pool()) as opened:
        typer.echo(care.collect(opened, recipe or [], older_than, dry_run))


@pool.command()
def export(
    out: Annotated[Path, typer.Argument(help="The file to write.")],
    recipe: Recipes = None,
) -> None:
    """Write images (default: all) to a file that another pool can import."""
    from pipeline.generation import care
    from pipeline.generation.pool import Pool

    with Pool(paths.pool()) as opened:
        typer.echo(care.export(opened, out, recipe or []))


@pool.command("import")
def merge(file: Annotated[Path, typer.Argument(help="What gen-fedsd pool export wrote, or another pool.")]) -> None:
    """Take over the images of another pool that this one lacks."""
    from pipeline.generation import care
    from pipeline.generation.pool import Pool

    with Pool(paths.pool()) as opened:
        typer.echo(care.merge(opened, file))
