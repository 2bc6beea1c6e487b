"""What ``status --estimate`` prints: the model, the devices, and what each deficit rule asks of them."""

from typing import TYPE_CHECKING

from pipeline.cli import text
from pipeline.reporting.units import duration, quantity

if TYPE_CHECKING:
    from pipeline.commands.estimate import Choice, DeviceCost, Estimate

_ROW = tuple[str, ...]


def shown(found: "Estimate") -> str:
    """Return the model, a table of devices, two of the choices, and what was assumed."""
    head = f"{found.clients:,} clients hold {found.images:,} real images of {found.classes:,} classes"
    parts = [f"{head}; times are for one device of each kind", "", *_model(found), "", _images(found)]
    if found.devices:
        parts += ["", _devices(found), "", _times(found)]
    parts += ["", "*  as params.yaml has it", *(f"{_mark(n)}  {what}" for n, what in _remarks(found))]
    return "\n".join(parts)


def _mark(number: int) -> str:
    return "-" if number < 0 else str(number)


def _model(found: "Estimate") -> list[str]:
    if found.model is None:
        return [f"model: {found.unknown}", "so nothing is known of time and memory"]
    cost, image = found.model, f"{quantity(found.image_flops or 0, 'FLOP')} an image"
    passes = f"{found.passes:g} pass{'es' * (found.passes != 1)} of {quantity(found.model.denoiser_flops, 'FLOP')}"
    return [
        f"{cost.model}: {cost.kind}",
        f"{cost.size} pixels a side, {cost.parameters / 1e6:,.1f} million parameters, {cost.source}",
        f"{image}: {found.calls} calls of the denoiser for {passes} each,",
        f"and {quantity(cost.decoder_flops, 'FLOP')} in the decoder (2 FLOP for each multiply-add)",
    ]


def _images(found: "Estimate") -> str:
    rows: list[_ROW] = [("", "rule", "sharing", "images", "x real", "to render", "in the pool", "in shards")]
    for one in found.choices:
        images = f"{one.planned:,}", f"{one.planned / max(found.images, 1):.2f}", f"{one.distinct:,}"
        sizes = quantity(found.pool_bytes(one), "B"), quantity(found.shard_bytes(one), "B")
        rows += [(*_choice(one), *images, *sizes)]
    return text.table(rows, right=range(3, len(rows[0])))


def _devices(found: "Estimate") -> str:
    rows: list[_ROW] = [("", "device", "s/image", "J/image", "memory", "of", "FLOP/s", "used", "dtype")]
    for number, one in enumerate(found.devices, 1):
        tight = one.memory is not None and one.capacity is not None and one.memory > one.capacity
        rows.append(
            (
                str(number),
                one.name,
                f"{one.seconds:.3g}",
                f"{one.joules:.3g}",
                "" if one.memory is None else f"{quantity(one.memory, 'B')}{'!' * tight}",
                "" if one.capacity is None else f"{quantity(one.capacity, 'B')}",
                "" if one.peak is None else quantity(one.peak, "FLOP/s"),
                "" if one.used is None else f"{100 * one.used:.0f} %",
                one.dtype,
            )
        )
    return text.table(rows, right=range(2, 8))


def _times(found: "Estimate") -> str:
    numbers = [f"[{number}]" for number in range(1, len(found.devices) + 1)]
    rows: list[_ROW] = [("", "rule", "sharing", *numbers)]
    rows += [(*_choice(one), *(_cell(one, device) for device in found.devices)) for one in found.choices]
    rows.append(("*", "in kWh", "", *(f"{found.current.distinct * one.joules / 3.6e6:,.3g}" for one in found.devices)))
    return text.table(rows, right=range(3, len(rows[0])))


def _cell(choice: "Choice", device: "DeviceCost") -> str:
    return duration(choice.distinct * device.seconds)


def _choice(one: "Choice") -> _ROW:
    rule = one.rule if one.images_per_class is None else f"{one.rule} {one.images_per_class}"
    return ("*" if one.current else "", rule, one.sharing)


def _remarks(found: "Estimate") -> list[tuple[int, str]]:
    remarks = [(number, one.source) for number, one in enumerate(found.devices, 1)]
    tight = [one.name for one in found.devices if one.memory and one.capacity and one.memory > one.capacity]
    more = [f"!: a batch of {found.batch_size} does not fit; lower generate.batch_size"] if tight else []
    disk = f"an image is taken to have {found.bytes_per_image:,.0f} bytes: {found.bytes_source}"
    return [*remarks, *((-1, what) for what in (*more, disk, *found.notes))]
