"""What every command on synthetic images starts from: the plan of the current parameters, and the model."""

from dataclasses import dataclass, replace

import numpy as np

from pipeline.artifacts import deficits, partition
from pipeline.artifacts.gate import Gate
from pipeline.artifacts.manifest import Manifest
from pipeline.errors import ArtifactError
from pipeline.generation import gate, model
from pipeline.generation.gate import OpenGate
from pipeline.generation.model import ResolvedModel
from pipeline.generation.plan import Plan
from pipeline.generation.recipe import differences
from pipeline.params import Params
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Request:
    """Which images are asked for, and the model that draws them."""

    plan: Plan
    model: ResolvedModel
    gate: OpenGate | None = None
    """That of the plan, with its judge."""

    @property
    def furthest(self) -> Plan:
        """The plan with all images that may have to be drawn until the gate has passed enough of them, or gives up."""
        if self.gate is None:
            return self.plan
        most = np.tile(self.gate.bounds(self.plan), max(len(self.plan.domains), 1))
        return replace(self.plan, missing=np.where(self.plan.missing > 0, self.plan.missing + most, 0))

    def check_recipe(self, known: Manifest) -> None:
        """Raise ArtifactError unless the shards of a manifest were made by this recipe."""
        recipe = self.plan.recipe
        if known.recipe != recipe.digest:
            changed = ", ".join(differences(recipe.as_dict(), known.recipe_text))
            what = f"the shards were made by another recipe (differs in {changed})"
            where = f"{known.place}, recipe {known.recipe}, now {recipe.digest}"
            raise ArtifactError(what, where, "run: dvc repro generate")

    def check_gate(self, known: Manifest) -> None:
        """Raise ArtifactError unless the shards of a manifest went through this gate, or through none if it is None."""
        mine, theirs = (None if one is None else one.digest for one in (self.plan.gate, known.gate))
        if mine != theirs:
            what = (
                f"the shards were made with {_called(known.gate)}, and params.yaml asks for {_called(self.plan.gate)}"
            )
            raise ArtifactError(what, known.place, "run: dvc repro generate")


def _called(rule: Gate | None) -> str:
    if rule is None:
        return "no gate"
    return f"the gate {rule.name} ({rule.judge[:12]}, least_probability {rule.least_probability:g})"


def current(workspace: Workspace, params: Params, dtype: str, device: str = "cpu") -> Request:
    """Return what the parameters and the deficits on disk ask for; ``dtype`` is what ``auto`` stands for.

    ``device`` is where the gate's judge works, if there is a gate.
    """
    lacking, chosen = deficits.load(workspace.deficits), params.generate
    size = partition.load(workspace.partition).image_size
    resolved = model.resolve(workspace, chosen, params.seed, size, dtype, domains=bool(lacking.domains))
    judged = gate.opened(workspace, params, lacking, device)
    rule = None if judged is None else judged.gate
    plan = Plan(
        resolved.recipe,
        lacking.missing,
        lacking.class_names,
        lacking.words,
        chosen.sharing,
        rule,
        domains=lacking.domains,
        domain_words=lacking.domain_words,
    )
    return Request(plan, resolved, judged)
