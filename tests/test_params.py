import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from pipeline import params
from pipeline.errors import ParameterError
from pipeline.params import Params

SHIPPED = Path(__file__).parents[1] / "params.yaml"


def load(folder: Path, document: Any) -> Params:
    path = folder / "other.yaml"
    path.write_text(yaml.safe_dump(document))
    return params.load(path)


def changed(document: dict[str, Any], section: str, key: str, value: Any) -> dict[str, Any]:
    result = copy.deepcopy(document)
    result[section][key] = value
    return result


def test_the_shipped_file_is_valid_and_names_every_parameter() -> None:
    """A parameter that is missing from the shipped file would have no explanation anywhere."""
    document = yaml.safe_load(SHIPPED.read_text())
    loaded = params.load(SHIPPED)
    for name, section in loaded:
        if name != "seed":
            assert set(document[name]) == set(type(section).model_fields), name
    assert set(document) == set(Params.model_fields)


@pytest.mark.parametrize("preset", sorted((SHIPPED.parent / "data/presets").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_preset_is_valid_and_names_every_parameter(preset: Path) -> None:
    """DVC watches parameters one by one, and stops at one that is missing."""
    assert params.load(preset).train.algorithms
    shipped, found = (yaml.safe_load(path.read_text()) for path in (SHIPPED, preset))
    assert found.keys() == shipped.keys()
    for section in shipped.keys() - {"seed"}:
        assert found[section].keys() == shipped[section].keys(), section
    assert found["train"]["options"].keys() == shipped["train"]["options"].keys()


def test_the_preset_of_niid_bench_is_its_protocol() -> None:
    """Li et al., 2022, section 5 and the repository's defaults."""
    preset = params.load(SHIPPED.parent / "data/presets/cifar10-niid-bench.yaml")
    split, train = preset.partition, preset.train
    assert (split.clients, split.labels_per_client, split.alpha, split.max_images) == (10, 2, 0.5, None)
    assert (train.model, train.batch_size, train.local_epochs, train.rounds) == ("simple-cnn", 64, 10, 50)
    assert (train.learning_rate, train.momentum, train.weight_decay) == (0.01, 0.9, 1e-5)
    assert (train.clients_per_round, train.local_steps, train.clip_norm, train.schedule) == (
        None,
        None,
        None,
        "constant",
    )


def test_values_and_defaults(project: Path) -> None:
    loaded = params.load(Path("params.yaml"))
    assert (loaded.seed, loaded.partition.clients, loaded.train.fills[-1]) == (7, 4, "synthetic")
    assert (loaded.deficits.ratio, loaded.generate.sharing, loaded.train.clients_per_round) == (1.0, "own", None)


def test_the_partitions_own_seed_wins_over_the_root_seed(tmp_path: Path, document: dict[str, Any]) -> None:
    """The root seed by default, also where the parameter is missing as in older files; zero is a seed, too."""
    assert load(tmp_path, document).partition.seed_under(7) == 7
    assert load(tmp_path, changed(document, "partition", "seed", 0)).partition.seed_under(7) == 0
    del document["partition"]["seed"]
    assert load(tmp_path, document).partition.seed_under(7) == 7


def test_sections_are_frozen(project: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        params.load(Path("params.yaml")).partition.clients = 5  # type: ignore[misc]  # that it is refused is the point


@pytest.mark.parametrize(
    ("section", "key", "nearest"),
    [("partition", "alhpa", "alpha"), ("generate", "guidence", "guidance"), ("train", "learning_rte", "learning_rate")],
)
def test_an_unknown_key_names_file_key_and_nearest(
    tmp_path: Path, document: dict[str, Any], section: str, key: str, nearest: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        load(tmp_path, changed(document, section, key, 1))
    assert str(caught.value) == (
        f"unknown parameter: {tmp_path / 'other.yaml'}, {section}.{key}: did you mean {nearest!r}?"
    )


def test_an_unknown_section_names_the_nearest_section(tmp_path: Path, document: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=r"unknown parameter.*, partitions: did you mean 'partition'"):
        load(tmp_path, {**document, "partitions": {}})


def test_a_key_that_is_near_to_none_lists_those_that_exist(tmp_path: Path, document: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=r"report.zzzz: valid here: fill, target_accuracy, images_per_class"):
        load(tmp_path, changed(document, "report", "zzzz", 1))


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("partition", "scheme", "dirichelt"),
        ("partition", "clients", 0),
        ("partition", "alpha", 0),
        ("partition", "min_size", -1),
        ("partition", "seed", "one"),
        ("deficits", "ratio", 1.5),
        ("deficits", "max_total", -1),
        ("generate", "image_format", "gif"),
        ("generate", "quality", 0),
        ("generate", "quality", 101),
        ("generate", "class_overrides", ["bag"]),
        ("generate", "class_overrides", {"bag": 7}),
        ("generate", "class_overrides", {"bag": " "}),
        ("generate", "class_overrides", {False: "nay"}),
        ("generate", "prompts", ["a photo of a {class}"]),
        ("generate", "compile", "perhaps"),
        ("generate", "shard_megabytes", 0),
        ("generate", "dtype", "float64"),
        ("generate", "sharing", "all"),
        ("train", "last_rounds", 0),
        ("train", "alone", ["none", "none"]),
        ("train", "seeds", []),
        ("train", "seeds", [1, 2, 1]),
        ("train", "momentum", 1.0),
        ("train", "learning_rate", 0),
        ("report", "target_accuracy", 0),
    ],
)
def test_a_bad_value_names_file_key_and_value(
    tmp_path: Path, document: dict[str, Any], section: str, key: str, value: Any
) -> None:
    with pytest.raises(ParameterError) as caught:
        load(tmp_path, changed(document, section, key, value))
    assert caught.value.what == "bad value"
    assert caught.value.where == f"{tmp_path / 'other.yaml'}, {section}.{key} = {value!r}"
    assert caught.value.fix


@pytest.mark.parametrize(
    ("given", "scales"),
    [
        (2, (2.0,)),
        (0.0, (0.0,)),
        ([2.5], (2.5,)),
        ([3, 1, 3.5], (3.0, 1.0, 3.5)),
        ({"low": 1, "high": 5, "step": 2}, (1.0, 3.0, 5.0)),
        ({"low": 1, "high": 2, "step": 0.3}, (1.0, 1.3, 1.6, 1.9)),
        ({"low": 0, "high": 0.3, "step": 0.1}, (0.0, 0.1, 0.2, 0.3)),
        ({"low": 1, "high": 5, "step": 4}, (1.0, 5.0)),
    ],
)
def test_guidance_is_a_number_a_list_or_a_range(
    tmp_path: Path, document: dict[str, Any], given: Any, scales: tuple[float, ...]
) -> None:
    """A range ends at its high end though floats add up to a hair more, and holds the decimals that one would write."""
    found = load(tmp_path, changed(document, "generate", "guidance", given)).generate.guidance
    assert found == scales
    assert [type(scale) for scale in found] == [float] * len(scales)


@pytest.mark.parametrize(
    ("given", "named", "said"),
    [
        (-1, -1, "greater than or equal to 0"),
        (float("nan"), float("nan"), "finite"),
        (float("inf"), float("inf"), "finite"),
        ("strong", "strong", "write a number, a list of numbers, or"),
        (True, True, "write a number"),
        (None, None, "write a number"),
        ([1, True], True, "number"),
        ([1, "2.0"], "2.0", "number"),
        ([10.0] * 101, f"[{'10.0, ' * 12}10.0, \u2026", "at most 100"),
        ([], [], "at least 1"),
        ([1, -2], -2, "greater than or equal to 0"),
        ([1, "x"], "x", "number"),
        ({"low": -1, "high": 1, "step": 1}, -1, "greater than or equal to 0"),
        ({"low": 1, "high": 5}, {"high": 5, "low": 1}, "write a number, a list of numbers, or"),
        ({"low": "a", "high": 5, "step": 1}, {"high": 5, "low": "a", "step": 1}, ""),
        *(
            (given, dict(sorted(given.items())), "the step of a range must give 2 to 100 scales from low to high")
            for given in (
                {"low": 5, "high": 1, "step": 1},
                {"low": 1, "high": 5, "step": 0},
                {"low": 1, "high": 5, "step": -1},
                {"low": 1, "high": 5, "step": 4.5},
                {"low": 1, "high": float("nan"), "step": 1},
                {"low": 1, "high": 5, "step": 1, "steps": 2},
            )
        ),
    ],
)
def test_bad_guidance_is_one_line(
    tmp_path: Path, document: dict[str, Any], given: Any, named: object, said: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        load(tmp_path, changed(document, "generate", "guidance", given))
    assert caught.value.what == "bad value"
    assert caught.value.where.startswith(f"{tmp_path / 'other.yaml'}, generate.guidance")
    assert caught.value.where.endswith(f" = {named}" if str(named).endswith("\u2026") else f" = {named!r}")
    assert said in caught.value.fix
    assert caught.value.fix
    assert "\n" not in str(caught.value)


def test_a_missing_parameter_and_section_are_named(tmp_path: Path, document: dict[str, Any]) -> None:
    del document["train"]["rounds"]
    with pytest.raises(ParameterError, match=r"missing parameter: .*other\.yaml, train\.rounds"):
        load(tmp_path, document)
    del document["train"]
    with pytest.raises(ParameterError, match=r"missing parameter: .*other\.yaml, train: "):
        load(tmp_path, document)


@pytest.mark.parametrize("text", ["", "- 1\n- 2\n", "just words"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParameterError, match="the whole file"):
        params.load(path)


def test_broken_yaml_and_no_file_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    with pytest.raises(ParameterError, match=r"no parameters: .*params.yaml: run in the project's root"):
        params.load(path)
    path.write_text("seed: [1\nb: 2")
    with pytest.raises(ParameterError, match="not readable as YAML") as caught:
        params.load(path)
    assert "\n" not in str(caught.value)


def test_keys_of_older_files_are_read_over_and_named(
    tmp_path: Path, document: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = load(tmp_path, document)
    assert capsys.readouterr().err == ""
    document["data"]["watch"], document["generate"]["watch"] = "data/demo/images", ["anything"]
    assert load(tmp_path, document) == wanted
    assert capsys.readouterr().err.splitlines() == [
        f"{tmp_path / 'other.yaml'}: data.watch is no longer used: delete it",
        f"{tmp_path / 'other.yaml'}: generate.watch is no longer used: delete it",
    ]
    assert params.DataParams(path="here", watch="there") == params.DataParams(path="here")  # type: ignore[call-arg]
    document["partition"]["watch"] = "data"
    with pytest.raises(ParameterError, match=r"unknown parameter: .*partition\.watch"):
        load(tmp_path, document)


@pytest.mark.parametrize(("older", "newer"), [(False, "none"), (True, "shift-mirror")])
def test_augment_of_older_files_is_read_and_its_new_name_said(
    tmp_path: Path, document: dict[str, Any], capsys: pytest.CaptureFixture[str], older: bool, newer: str
) -> None:
    wanted = load(tmp_path, changed(document, "train", "augment", newer))
    assert capsys.readouterr().err == ""
    assert load(tmp_path, changed(document, "train", "augment", older)) == wanted
    said = f"{tmp_path / 'other.yaml'}: train.augment: {str(older).lower()} is now written {newer}\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("augment", 1, "'none', 'shift' or 'shift-mirror'"),
        ("augment", None, "'none', 'shift' or 'shift-mirror'"),
        ("sampling", "balanced", "'shuffled' or 'class-balanced'"),
        ("weights", "all", "'images' or 'real'"),
        ("real_weight", 0, "greater than 0"),
        ("real_weight", -1.0, "greater than 0"),
        ("real_weight", 1e9, "less than or equal to 1000"),
    ],
)
def test_how_images_are_drawn_is_checked(
    tmp_path: Path, document: dict[str, Any], key: str, value: object, what: str
) -> None:
    with pytest.raises(ParameterError, match=rf"bad value: .*train\.{key} = .*{what}"):
        load(tmp_path, changed(document, "train", key, value))


def test_fills_and_pairs_are_each_named_once(document: dict[str, Any]) -> None:
    """Two fills with two algorithms, and two references with fedavg; one of the references is a fill, too."""
    document["train"] |= {"fills": ["none", "central-real"], "references": ["central-real", "central-synthetic"]}
    document["train"] |= {"algorithms": ["fedprox", "fedavg"]}
    train = Params.model_validate(document).train
    assert train.all_fills() == ("none", "central-real", "central-synthetic")
    assert train.pairs() == (
        ("none", "fedprox"),
        ("central-real", "fedprox"),
        ("none", "fedavg"),
        ("central-real", "fedavg"),
        ("central-synthetic", "fedavg"),
    )


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"test": None}, "set one of data.test"),
        ({"holdout": 0.1}, "set one of data.test"),
        ({"test": "train"}, "data.test is the training split"),
        ({"test": None, "holdout": 1.0}, "less than 1"),
        ({"test": None, "holdout": 0}, "greater than 0"),
        ({"background": "no colour"}, "the name of a colour"),
        ({"background": "#12345"}, "the name of a colour"),
        ({"on_bad": "ignore"}, "'refuse' or 'skip'"),
        ({"class_names": {True: "cat"}}, "quote them"),
        ({"class_names": ["cat", ""]}, "a class name is a text"),
        ({"class_names": {"0": False}}, "a class name is a text"),
        ({"class_names": "cat"}, "a list of names in order"),
    ],
)
def test_data_parameters_that_cannot_be_used(
    tmp_path: Path, document: dict[str, Any], values: dict[str, Any], complaint: str
) -> None:
    changes = {**document, "data": document["data"] | values}
    with pytest.raises(ParameterError, match=complaint):
        load(tmp_path, changes)


def test_class_names_by_label_may_have_numbers_as_yaml_reads_them(tmp_path: Path, document: dict[str, Any]) -> None:
    found = load(tmp_path, changed(document, "data", "class_names", {0: "cat", "1": "dog"})).data
    assert found.class_names == {"0": "cat", "1": "dog"}
    held = {**document, "data": document["data"] | {"test": None, "holdout": 0.1, "background": "#a0B1c2"}}
    assert load(tmp_path, held).data.holdout == 0.1


def test_clients_alone_need_the_federated_run_of_their_fill(tmp_path: Path, document: dict[str, Any]) -> None:
    """Older files have neither key: nobody is trained alone, and the last ten rounds are tested."""
    assert load(tmp_path, changed(document, "train", "alone", ["none"])).train.alone == ("none",)
    with pytest.raises(ParameterError, match=r"train.alone names 'iid', which train.fills does not: add it there"):
        load(tmp_path, changed(document, "train", "alone", ["none", "iid"]))
    del document["train"]["alone"], document["train"]["last_rounds"]
    assert (load(tmp_path, document).train.alone, load(tmp_path, document).train.last_rounds) == ((), 10)
