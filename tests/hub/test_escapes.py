"""Foreign text on a card, read by a Markdown parser, by Python and by YAML."""

import ast
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from pipeline import printable
from pipeline.artifacts.manifest import File, Manifest, Shard
from pipeline.errors import ArtifactError
from pipeline.generation.prompts import PromptSet
from pipeline.generation.recipe import Recipe
from pipeline.hub import card, escapes
from pipeline.hub.options import ResultTables
from tests.hub.cards import FRONT_MATTER
from tests.test_printable import ATTACKS, is_harmless
from tests.test_yaml_file import merge_bomb

MARKUP = (
    "<img src=x onerror=alert(1)>",
    "<!-- gone",
    "[click](http://evil.example)",
    "![picture](http://evil.example/x.png)",
    "<http://evil.example>",
    "&lt;b&gt;&#42;",
    "*bold* _it_ ~~gone~~ `code` $x_$ $$y$$",
    "a | b \\| c \\\\| d",
    "``` \n```python\nimport os",
    "# title",
    "- item",
    "1. item",
    "12) item",
    "---",
    "===",
    ": ---",
    "[a]: http://evil.example",
    "    indented",
    "trailing\\",
    "line  \nbreak\r\n\r\n# title",
    "www.evil.example http://evil.example",
    '"); import os; os.system("true") #',
    "{{ 7 * 7 }} {% raw %}",
)
TEXTS = st.text() | st.sampled_from(MARKUP + ATTACKS) | st.text("`*_[]()<>&|~$\\#-+=!:. \n\t1a\"'", max_size=12)
UTF8 = st.characters(codec="utf-8")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
NAMES = ("bag", "ankle boot")
REVISION = "0123456789abcdef0123456789abcdef01234567"
PLAIN = Recipe(
    7, f"ada/model@{REVISION}", "fp16", "DDIMScheduler", {"eta": 0.5}, 2, (2.0,), PromptSet(("a {class}",)), "", 16, 8,
    "png", None, "float32", 4, False,
)  # fmt: skip


def parse(text: str) -> list[Token]:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)


def shown_words(text: str) -> str:
    return printable.line(text, 4_000).strip() or "(none)"


def words(tokens: list[Token], kind: str) -> list[str]:
    """The texts of all elements of a kind; nothing in them is anything but words."""
    found = []
    for start, inside in pairwise(tokens):
        if start.type == f"{kind}_open":
            children = inside.children or []
            assert {child.type for child in children} <= {"text"}, children
            found.append("".join(child.content for child in children))
    return found


@given(TEXTS)
@example("a" * 10_000)
def test_a_cell_shows_the_text_and_nothing_else(text: str) -> None:
    shown = escapes.inline(text)
    assert is_harmless(shown)
    tokens = parse(f"| {shown} | 1 |\n| --- | --- |\n| 2 | {shown} |\n")
    meant = shown_words(text)
    assert words(tokens, "th") == [meant, "1"]
    assert words(tokens, "td") == ["2", meant]
    assert not re.search(r"(?i)https?:|www\.", shown)


@given(TEXTS)
def test_a_paragraph_and_an_item_of_a_list_show_the_text_and_nothing_else(text: str) -> None:
    shown, meant = escapes.paragraph(text), shown_words(text)
    assert words(parse(shown), "paragraph") == [meant]
    assert words(parse(f"* {shown}\n* end\n"), "paragraph") == [meant, "end"]


@given(JSON)
def test_a_literal_means_the_value(value: Any) -> None:
    literal = escapes.python(value)
    assert is_harmless(literal)
    assert ast.literal_eval(literal) == value


def test_literals_look_as_people_write_them() -> None:
    assert escapes.python({"a": [1, 0.5, None, True, 'say "x"\\']}) == r'{"a": [1, 0.5, None, True, "say \"x\"\\"]}'
    assert escapes.python(float("inf")) == 'float("inf")'
    with pytest.raises(TypeError):
        escapes.python(Path())


def manifest(names: tuple[str, ...] = NAMES, **recipe: object) -> Manifest:
    shard = Shard(0, "plan", (1,) * len(names), (File("client-00000.parquet", len(names), 1, "0"),))
    return Manifest("digest", {**PLAIN.as_dict(), **recipe}, "own", names, (shard,))


def code_blocks(text: str) -> list[ast.Module]:
    return [ast.parse(token.content) for token in parse(body(text)) if token.type == "fence" and token.info == "python"]


def body(text: str) -> str:
    match = FRONT_MATTER.match(text)
    assert match is not None
    return text[match.end() :]


def skeleton(code: ast.Module) -> str:
    """What code does, whatever its texts and numbers are."""

    class Blank(ast.NodeTransformer):
        def visit_Constant(self, node: ast.Constant) -> ast.Constant:
            return ast.copy_location(ast.Constant(0), node)

    return ast.dump(Blank().visit(code))


@settings(max_examples=settings().max_examples // 2)
@given(
    TEXTS.filter(lambda text: "@" not in text),
    TEXTS.filter(bool),
    TEXTS.filter(bool),
    TEXTS.filter(bool),
    st.integers(0) | TEXTS,
)
@example('"); import os; os.system("true") #', '"\n)\nimport os\n', "'", '"', "1); import os; f(1")
def test_an_edited_recipe_puts_no_code_into_the_card(
    model: str, revision: str, variant: str, option: str, steps: int | str
) -> None:
    options = {"eta": option}
    edited = manifest(
        model=f"{model}@{revision}", variant=variant, scheduler_options=options, steps=steps, render_size=option
    )
    text = card.by_client("ada/fill", edited, "mit", None)
    plain = card.by_client("ada/fill", manifest(render_size=16), "mit", None)
    assert list(map(skeleton, code_blocks(text))) == list(map(skeleton, code_blocks(plain)))
    constants = [node.value for node in ast.walk(code_blocks(text)[-1]) if isinstance(node, ast.Constant)]
    for value in (model, revision, variant, option, steps):
        assert value in constants or value == ""


@pytest.mark.parametrize("key", ["scheduler", "dtype"])
@pytest.mark.parametrize("name", ["DDIM; import os", "x\ny", "os.system", "1", "Ｄdim"])
def test_a_name_that_would_be_other_code_is_refused(key: str, name: str) -> None:
    with pytest.raises(ArtifactError, match=rf"^no name of Python: .*: the manifest, recipe, {key}: "):
        card.by_client("ada/fill", manifest(NAMES, **{key: name}), "mit", None)


@settings(max_examples=settings().max_examples // 2)
@given(st.lists(TEXTS, min_size=1, max_size=3, unique=True).map(tuple), TEXTS, TEXTS, TEXTS)
def test_a_card_of_any_text_has_the_same_elements(names: tuple[str, ...], title: str, remark: str, model: str) -> None:
    """Only the words differ: elements of Markdown, and no HTML, come from the template alone."""
    plain = tuple(f"name {i}" for i in range(len(names)))
    results = ResultTables("", {"fedavg": [["fill", "steps"], ["none", "-1"]]}, ("one seed",))
    foreign = ResultTables("", {title: [["fill", remark], [title, remark]]}, (remark,))
    edited = replace(manifest(names, model=model.replace("@", ""), prompts={remark: [title]}), sharing="own")
    ours = parse(body(card.by_client("ada/fill", manifest(plain, model="m"), "mit", results)))
    theirs = parse(body(card.by_client("ada/fill", edited, "mit", foreign)))
    assert [token.type for token in theirs] == [token.type for token in ours]
    inside = [[child.type for child in token.children or []] for token in theirs]
    assert inside.count(["html_inline"]) == 0
    assert sum("link_open" in children for children in inside) == 0
    assert words(theirs, "th")[1 : 1 + len(names)] == [shown_words(name) for name in names]


@given(st.text(UTF8) | st.sampled_from([text for text in MARKUP + ATTACKS if "\udce9" not in text]))
@example("a\n---\nb: c")
@example("mit\n---\n# title")
def test_the_front_matter_means_what_was_put_in(licence: str) -> None:
    text = card.by_client("ada/fill", manifest(), licence, None)
    match = FRONT_MATTER.match(text)
    assert match is not None
    assert yaml.safe_load(match[1])["license"] == licence
    assert body(text).lstrip().startswith("# 2 synthetic images")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("---\nlicense: mit\n---\n", "mit"),
        ("---\r\nlicense: mit\r\ntags: [a]\r\n---\r\n# title", "mit"),
        ("# title", None),
        ("---\nlicense: [mit]\n---\n", None),
        ("---\nlicense: |\n  a\n  b\n---\n", None),
        ("---\nlicense: '\x1b[31m'\n---\n", None),
        ("---\n- a\n---\n", None),
        ("---\na: &a [1]\nb: &b [" + "*a," * 9 + "]\nlicense: mit\n---\n", "mit"),
        (f"---\nlicense: mit\n{merge_bomb(9)}\n---\n", None),
        ("---\na: " + "[" * 9_000 + "\n---\n", None),
    ],
)  # fmt: skip
def test_the_licence_of_a_published_card(tmp_path: Path, content: str, found: str | None) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(content.encode())
    assert card.licence(path) == found
