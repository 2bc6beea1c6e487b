"""Are the images good? The stage, and two settings side by side before anything is paid for."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import options, text

if TYPE_CHECKING:
    from pipeline.artifacts.quality import Quality, Report, Spread

commands = typer.Typer()

_HEAD = (
    *("class", "verdict", "failure", "synthetic", "real", "both", "agreement", "judge", "density", "coverage"),
    *("repeats", "copies", "looked at"),
)


@commands.command()
def evaluate(
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(help="Two settings, such as generate.guidance=1 generate.guidance=3, or two folders."),
    ] = None,
    images: Annotated[int, typer.Option(min=2, help="With --compare: images of each class and side.")] = 30,
    devices: options.Devices = "auto",
) -> None:
    """Stage: measure the synthetic images, class by class; with --compare: two settings, before rendering for all."""
    workspace, params = options.parameters()
    from pipeline.generation.devices import parse

    chosen = parse(devices)
    if compare:
        from pipeline.commands import compare as command

        found = command.compare(workspace, params, chosen, compare, images)
        text.echo(compared_text(found.sides, str(found.sheet), str(found.numbers)))
        return
    from pipeline.stages import evaluate as stage

    report = stage.run(workspace, params, chosen[0])
    text.echo(report_text(report))


def report_text(report: "Report") -> str:
    """Return a table with a line for each class, what its columns mean, and the verdict."""
    rows = [_HEAD, *map(_row, (*report.classes, report.whole))]
    return "\n".join([text.table(rows), "", *_legend(report), "", report.sentence])


def compared_text(sides: Sequence[tuple[str, "Report"]], sheet: str, numbers: str) -> str:
    """Return both sides' numbers, class by class, their verdicts, and where picture and numbers are."""
    from pipeline.evaluation import verdict

    rows: list[tuple[str, ...]] = [("side", *_HEAD)]
    for name, (*of_sides,) in zip(
        (*(one.class_name for one in sides[0][1].classes), "all"),
        zip(*((*report.classes, report.whole) for _, report in sides), strict=True),
        strict=True,
    ):
        assert all(one.class_name == name for one in of_sides)
        rows += [(letter, *_row(one)) for letter, one in zip("AB", of_sides, strict=True)]
    verdicts = [f"{letter} ({title}): {report.sentence}" for letter, (title, report) in zip("AB", sides, strict=True)]
    verdicts.append(verdict.between(sides[0][1], sides[1][1]))
    verdicts += _measured_by([report for _, report in sides])
    where = [f"The images side by side: {sheet}", f"The numbers: {numbers}"]
    return "\n".join([text.table(rows), "", *_legend(sides[0][1]), "", *verdicts, *where])


def _measured_by(reports: "Sequence[Report]") -> list[str]:
    """Return judge and extractor of both sides with their digests, and a warning where the sides differ in one."""
    said = []
    for what, models in {
        "judge": [report.judge for report in reports],
        "extractor": [report.extractor for report in reports],
    }.items():
        said += [f"{letter}: {what} {one.name}, digest {one.digest}" for letter, one in zip("AB", models, strict=True)]
        if models[0] != models[1]:
            said.append(f"warning: the sides have different {what}s, so the numbers that depend on it do not compare")
    return said


def _row(one: "Quality") -> tuple[str, ...]:
    found = {distance.name: distance for distance in one.distances}
    shown = [found.get(name) for name in ("Clipped Density", "Clipped Coverage")]
    copies, useful = one.copies, one.usefulness
    return (
        one.class_name,
        one.verdict,
        ", ".join(one.failures),
        *map(_spread, (useful.synthetic, useful.real, useful.both)),
        *map(_percent, (one.agreement, one.judge_accuracy)),
        *("" if d is None else f"{d.value:.2f} ({'?' if d.floor is None else f'{d.floor:.2f}'})" for d in shown),
        f"{_percent(copies.near_synthetic)} ({_percent(copies.near_real)}) of {copies.compared}",
        _percent(copies.close),
        f"{one.used} of {one.images}",
    )


def _legend(report: "Report") -> list[str]:
    return [
        f"synthetic, real, both: accuracy in percent on real validation images of {report.classifier}, trained on "
        f"synthetic images, on as many real ones, on both; mean and deviation of {report.seeds} trainings of "
        f"{report.steps} steps",
        f"agreement: percent of synthetic images that the judge ({report.judge.name}) gives their class; judge: its "
        "own accuracy on real images",
        f"density, coverage: Clipped Density and Coverage (real against real in parentheses), features of "
        f"{report.extractor.name}; they diagnose and decide nothing",
        "repeats: percent of near duplicates among synthetic images (among as many real ones), of N each; copies: "
        "percent nearer to a training image than all but 1 % of other real images are (1 is expected)",
        f"real images: {report.real}",
    ]


def _spread(value: "Spread | None") -> str:
    if value is None:
        return "-"
    return f"{100 * value.mean:.1f}" + ("" if value.std is None else f" \u00b1 {100 * value.std:.1f}")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
