"""What every command on synthetic images starts from: the plan of the current parameters, deficits and model."""

from pipeline.artifacts import deficits, partition
from pipeline.generation import prompts, source
from pipeline.generation.plan import Plan
from pipeline.generation.source import Source
from pipeline.params import Params


def current(params: Params, devices: list[str]) -> tuple[Plan, Source]:
    """Return the plan that the parameters and the deficits on disk ask for, and where its model is."""
    lacking, chosen = deficits.load(), params.generate
    names = prompts.rename(lacking.class_names, chosen.class_overrides)
    resolved = source.resolve(chosen, params.seed, partition.load().image_size, devices)
    return Plan(resolved.recipe, lacking.missing, lacking.class_names, names, chosen.sharing), resolved
