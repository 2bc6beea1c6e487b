import re
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.errors import ParameterError
from pipeline.generation import prompts
from pipeline.generation.prompts import PromptSet
from pipeline.generation.recipe import Recipe

SHIPPED = sorted((Path(__file__).parents[2] / "data/prompts").glob("*.yaml"))
TEN_DOMAINS = (
    "photo",
    "drawing",
    "painting",
    "sketch",
    "collage",
    "poster",
    "digital art",
    "rock drawing",
    "stick figure",
    "3D rendering",
)


def sentences(chosen: PromptSet, class_name: str, count: int, lane: str = "0") -> list[str]:
    """Return the sentences of one client's first ``count`` images."""
    recipe = Recipe(7, "m", None, None, {}, 2, (2.0,), chosen, "", None, 16, "png", None, "float32", 4, False)
    return [recipe.spec(lane, class_name, index).prompt for index in range(count)]


def shipped(name: str) -> PromptSet:
    return prompts.load(next(path for path in SHIPPED if path.stem == name))


@pytest.fixture
def write(tmp_path: Path) -> Path:
    return tmp_path / "own.yaml"


def test_the_shipped_sets_are_these() -> None:
    assert [path.stem for path in SHIPPED] == [
        "class-name",
        "diverse-short",
        "diverse",
        "domains",
        "own-domain",
        "plain",
    ]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_set_gives_sentences_with_the_class(path: Path) -> None:
    for sentence in sentences(prompts.load(path, domains=True), "crane bird", 200, "0/sketch"):
        assert "crane bird" in sentence
        assert sentence == sentence.strip()
        assert not set("{}") & set(sentence)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_template_and_every_value_is_used(path: Path) -> None:
    chosen = prompts.load(path, domains=True)
    made = sentences(chosen, "crane", 600, "0/sketch")
    for template in chosen.templates:
        pattern = re.sub(r"\\{\w+\\}", "(.+)", re.escape(template))
        assert any(re.fullmatch(pattern, sentence) for sentence in made), template
    for name, values in chosen.attributes:
        for value in values:
            assert any(value in sentence for sentence in made), (name, value)


def test_the_plain_sets_have_one_sentence_each() -> None:
    assert set(sentences(shipped("plain"), "crane", 20)) == {"a photo of a crane"}
    assert set(sentences(shipped("class-name"), "crane", 20)) == {"crane"}


def test_the_domains_are_the_ten_of_shipard() -> None:
    assert set(sentences(shipped("domains"), "crane", 400)) == {f"a {domain} of a crane" for domain in TEN_DOMAINS}


def test_the_diverse_set_seldom_says_the_same_twice() -> None:
    """3 x 12 x 8 x 8 are 2304 sentences; of 48 drawn at random one pair in two draws is equal."""
    assert len(set(sentences(shipped("diverse"), "crane", 48))) >= 44


def test_all_sentences_are_those_that_images_get() -> None:
    chosen = PromptSet(
        ("one {class} {place}", "{time} two {class}, {time}"), (("place", ("here", "there")), ("time", ("now", "then")))
    )
    every = list(chosen.sentences("crane"))
    assert {text for _, text in every} == set(sentences(chosen, "crane", 100))
    assert len(every) == len(set(every)) == 4
    for template, text in every:
        assert chosen.template_of(text, "crane") == template


def test_templates_and_attributes_are_picked_independently_and_a_word_has_one_value_in_a_sentence() -> None:
    chosen = PromptSet(
        ("one {class} {place}", "two {class} {place}, {time}, {place}"),
        (("place", ("here", "there", "nowhere")), ("time", ("now", "then"))),
    )
    places = ("here", "there", "nowhere")
    expected = {f"one crane {place}" for place in places}
    expected |= {f"two crane {place}, {time}, {place}" for place in places for time in ("now", "then")}
    assert set(sentences(chosen, "crane", 200)) == expected


def test_class_names_with_braces_are_not_expanded_again() -> None:
    chosen = PromptSet(("a {domain} of a {class}, {class}",), (("domain", ("sketch",)),))
    for name in ("{domain}", "{class}", "{unknown}", "{", "}{", r"\g<1>", "100%"):
        assert sentences(chosen, name, 1) == [f"a sketch of a {name}, {name}"]


def test_a_set_is_read_as_it_is_written_whatever_the_order_of_attributes(write: Path) -> None:
    write.write_text("# one\nview: [side, front]\ntemplates: ['{class} {light} {view}']\nlight: [day]\n")
    expected = PromptSet(("{class} {light} {view}",), (("light", ("day",)), ("view", ("side", "front"))))
    assert prompts.load(write) == expected
    write.write_text("light: [day]\ntemplates: ['{class} {light} {view}']\nview: [side, front]\n")
    assert prompts.load(write) == expected


@pytest.mark.parametrize("content", ["a photo of a {class}\n", "- 1\n", "", "photo: ['a {class}']\n"])
def test_a_file_without_templates(write: Path, content: str) -> None:
    write.write_text(content)
    with pytest.raises(ParameterError) as caught:
        prompts.load(write)
    assert str(caught.value) == (
        f"a prompt set has no templates: {write}: write: templates: ['a photo of a {{class}}']"
    )


@pytest.mark.parametrize(
    ("content", "what", "at", "fix"),
    [
        ("templates: []", "not a list of texts", "templates = []", "write a YAML list of texts"),
        ("templates: '{class}'", "not a list of texts", "templates = '{class}'", "write a YAML list of texts"),
        ("templates: ['{class}', ' ']", "not a list of texts", "templates = ['{class}', ' ']", "write a YAML list"),
        ("templates: ['{class}', 3]", "not a list of texts", "templates = ['{class}', 3]", "write a YAML list"),
        ("templates: ['{class} {a}']\na: day", "not a list of texts", "a = 'day'", "write a YAML list of texts"),
        ("templates: ['{class} {a}']\na: [day, null]", "not a list of texts", "a = ['day', None]", "write a YAML"),
        (
            "templates: ['{class}', 'a photo']",
            "a template names no class",
            "templates, 'a photo'",
            "put {class} where the class name belongs",
        ),
        ("templates: ['{Class}']", "a template names no class", "templates, '{Class}'", "put {class} where"),
        (
            "templates: ['{class} {a} {b}']\nb: [x]",
            "no values for {a}",
            "templates, '{class} {a} {b}'",
            "add a list: a: [...]",
        ),
        ("templates: ['{class}']\na: [x]", "no template uses this attribute", "a", "write {a} in a template"),
        (
            "templates: ['{class}']\nclass: [cat]",
            "the class is not an attribute",
            "class",
            "give the attribute another name",
        ),
        ("templates: ['{class} {a}']\na: ['{b}']", "braces in a value", "a, '{b}'", "use them in templates only"),
    ],
)
def test_a_bad_set_names_the_file_and_the_entry(write: Path, content: str, what: str, at: str, fix: str) -> None:
    write.write_text(content)
    with pytest.raises(ParameterError) as caught:
        prompts.load(write)
    assert (caught.value.what, caught.value.where) == (what, f"{write}, {at}")
    assert caught.value.fix.startswith(fix)


def test_more_sentences_than_one_number_can_choose_among(write: Path) -> None:
    """Six attributes of 101 values each make a little more than 10^12 sentences; at 100 values it is just that many."""
    names = "abcdef"
    template = "templates: ['{class} " + " ".join(f"{{{name}}}" for name in names) + "']\n"
    values = [", ".join(f"v{i}" for i in range(count)) for count in (100, 101)]
    write.write_text(template + "".join(f"{name}: [{values[0]}]\n" for name in names))
    assert prompts.load(write).choices == 10**12
    write.write_text(template + "".join(f"{name}: [{values[1]}]\n" for name in names))
    with pytest.raises(ParameterError, match="more than 1e\\+12 sentences"):
        prompts.load(write)


@pytest.mark.parametrize("content", [b"templates: [1\nb: 2", b"\xff\xfe\x00", b"templates: !!python/name:os.system ''"])
def test_a_file_that_is_no_plain_yaml_is_one_line(write: Path, content: bytes) -> None:
    write.write_bytes(content)
    with pytest.raises(ParameterError, match=f"not readable as YAML: {write}: ") as caught:
        prompts.load(write)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_names_the_shipped_ones(project: Path) -> None:
    folder = project / "data/prompts"
    folder.mkdir(parents=True)
    for name in ("b.yaml", "a.yaml", "notes.txt"):
        (folder / name).write_text("")
    for path in (Path("nowhere.yaml"), folder):
        with pytest.raises(ParameterError) as caught:
            prompts.load(path, Path("data/prompts"))
        assert str(caught.value) == (
            f"no such prompt set: {path}: set generate.prompts to a file: data/prompts/a.yaml, data/prompts/b.yaml"
        )


TEXTS = st.text(max_size=30) | st.sampled_from(
    ["a {class}", "{a} {class}", "{class} {{a}", "{}", "{class}{class}", " "]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | TEXTS
VALUES = st.recursive(SCALARS, lambda some: st.lists(some, max_size=3) | st.dictionaries(TEXTS, some, max_size=3))
LISTS = st.lists(TEXTS, max_size=3)
SETS = st.fixed_dictionaries({"templates": LISTS | VALUES}, optional={"a": LISTS | VALUES, "class": LISTS}) | VALUES


@given(SETS)
@example({"templates": ["{a} {class}"], "a": ["red"]})
@example({"templates": ["a {class}"], "a": ["x"]})
def test_any_prompt_set_gives_sentences_or_is_refused_in_one_line(document: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "own.yaml")
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        try:
            made = sentences(prompts.load(path), "crane", 5)
        except ParameterError as error:
            made, refusal = [], str(error)
        else:
            refusal = "none"
    assert all("crane" in sentence for sentence in made)
    assert len(refusal.splitlines()) == 1
    assert len(refusal) < 2_000
