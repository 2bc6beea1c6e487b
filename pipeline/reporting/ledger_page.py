"""The ledger's page: what was spent in a workspace, beside the report, which holds nothing that differs by machine."""

from pipeline.reporting import page, spending_tables
from pipeline.reporting.page import Page, Section, Settings, Shown, Text, Verdict
from pipeline.reporting.spending import Spending

POINTS = (
    "A gain is that of the report: the compared fill against no fill, same algorithm and budget, with its interval. "
    "Images are paid for once, and serve every algorithm and seed. Training is in the table "
    "below; with equal epochs the clients of a fill also train longer."
)
WORKED = (
    "worked: seconds for which devices drew or trained, all workers together (one core or GPU each); in other stages "
    "the seconds that passed. What was found in the pool or in the store of runs was paid for elsewhere or before."
)


def render(found: Spending) -> str:
    """Return the page as one HTML file."""
    points, cost = spending_tables.points(found), spending_tables.price(found.price)
    damaged = [f"{found.damaged} lines of the ledger are damaged, and do not count"] if found.damaged else []
    energy = {name.partition(":")[0]: name.partition(": ")[2] for name in spending_tables.methods(found)}
    return page.render(
        Page(
            title="gen-fedsd ledger",
            heading="What was spent here",
            verdict=Verdict(cost),
            remarks=damaged,
            sections=[
                Section(points.title, [Shown(points, 2), Text(POINTS)] if points.rows else [Text("No gain is known.")]),
                Section(
                    "Time and energy",
                    [
                        Shown(spending_tables.stages(found), 2),
                        Text(f"I{spending_tables.whole(found)[1:]}. {WORKED}"),
                        Settings(energy),
                    ],
                ),
                Section("On disk now", [Shown(spending_tables.stored(found), 1)]),
            ],
        )
    )
