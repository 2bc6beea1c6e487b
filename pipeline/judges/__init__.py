"""Judges: classifiers that say which class an image shows, for the evaluation of images and for the gate."""

from collections.abc import Callable, Sequence

from pipeline.judges import classifier, clip, files, trained
from pipeline.judges.judge import Judge, Training
from pipeline.params import JudgeParams
from pipeline.workspace import Workspace

__all__ = ["Judge", "Training", "identity", "load"]


def load(
    workspace: Workspace,
    params: JudgeParams,
    class_names: Sequence[str],
    words: Sequence[str],
    training: Callable[[], Training],
    device: str = "cpu",
    where: str = "evaluate.judge",
) -> Judge:
    """Return the judge that parameters name; it loads, or is trained, when it is first asked.

    ``words`` are what prompts call the classes; ``training`` returns the real images that the judge ``trained`` learns
    from; ``device`` is used by pre-trained ones; ``where`` is the section of params.yaml, for errors. Raises
    ParameterError if there is no such model, or if it lacks a class.
    """
    if params.model == trained.NAME:
        return trained.Trained(class_names, training, workspace.judges)
    pretrained = clip.load if params.model.startswith(clip.PREFIX) else classifier.load
    return pretrained(params, class_names, words, workspace.at(""), device, where)


def identity(workspace: Workspace, params: JudgeParams, where: str = "evaluate.judge") -> dict[str, object]:
    """Return what a judge is, as JSON-ready values, without a data set: content or commit in place of its place."""
    if params.model == trained.NAME:
        return {"model": f"{trained.NAME} {trained.VERSION}"}
    kind = clip.PREFIX if params.model.startswith(clip.PREFIX) else ""
    found = files.find(params.model.removeprefix(clip.PREFIX), params.revision, workspace.at(""), f"{where}.model")
    return {"model": f"{kind}{found.identity}", "labels": params.labels}
