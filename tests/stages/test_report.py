from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import params
from pipeline.artifacts import manifest
from pipeline.artifacts import partition as partition_artifact
from pipeline.generation import source
from pipeline.params import Params
from pipeline.stages import deficits, generate, partition, report


@pytest.mark.parametrize(
    ("guidance", "templates", "said"),
    [
        (2.0, "['one {class}']", ("2", "one {class}")),
        (
            [3.0, 1.0, 2.0],
            "['one {class}', 'two {class}']",
            ("one of 3 scales from 1 to 3", "one of 2 sentences, such as: one {class}"),
        ),
    ],
)
def test_the_settings_name_every_scale_and_template_or_how_many_there_are(
    project: Path, guidance: object, templates: str, said: tuple[str, str]
) -> None:
    (project / "own.yaml").write_text(f"templates: {templates}\n")
    document = params.load().model_dump()
    document["generate"] |= {"prompts": "own.yaml", "guidance": guidance}
    loaded = Params.model_validate(document)
    partition.run(loaded)
    deficits.run(loaded)
    generate.run(loaded, ["cpu"])
    made = manifest.load()
    for sharing, words in (("own", "each client has its own"), ("common", "clients share them")):
        found = report._settings(loaded, partition_artifact.load(), replace(made, sharing=sharing))
        assert (found["sampling"], found["prompts"]) == (f"2 steps, guidance {said[0]}, float32", said[1])
        assert words in found["synthetic images"]
        assert found["partition"].endswith("4 clients, seed 7")
        assert found["recipe"] == source.resolve(loaded.generate, loaded.seed, 16, ["cpu"]).recipe.digest
    document["partition"]["seed"] = 3
    found = report._settings(Params.model_validate(document), partition_artifact.load(), made)
    assert found["partition"].endswith("4 clients, seed 3")
