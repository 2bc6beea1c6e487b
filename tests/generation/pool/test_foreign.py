"""Pools that somebody else made: other tables, other types, other images, and pages that lead in circles."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import PoolError
from pipeline.generation import recipe as recipes
from pipeline.generation.pool import Imported, Pool, import_pool, list_recipes, schema
from pipeline.generation.recipe import Recipe
from pipeline.workspace import Workspace
from tests.generation.conftest import small_recipe
from tests.generation.pool.contents import everything, picture, put
from tests.synthetic import declared, png


@pytest.fixture
def theirs(recipe: Recipe, tmp_path: Path) -> Path:
    """Five images in one file, which no process has open."""
    path = tmp_path / "theirs.sqlite"
    with Pool(path) as pool:
        put(pool, recipe, "0", "bag", range(5))
        pool.db.execute("pragma journal_mode = delete")
    return path


def edit(path: Path, script: str, *values: object) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("pragma writable_schema = on")
        if values:
            db.execute(script, values)
        else:
            db.executescript(script)


def refused(path: Path, reason: str) -> None:
    with Pool(Workspace().pool) as pool:
        before = everything(pool.path)
        with pytest.raises(PoolError, match=rf"{reason}.*: {path}: ") as raised:
            import_pool(pool, path)
        assert "\n" not in str(raised.value)
        assert len(str(raised.value)) < 600
        assert everything(pool.path) == before
    assert not list(Workspace().pool.parent.glob(".import*"))


def as_view(columns: str) -> str:
    """Turn the images into a view of another table, with these columns."""
    return f"alter table images rename to stored; drop index image; create view images as select {columns} from stored"


ALL = 'recipe, lane, class_name, "index", retry, seed, guidance, prompt, negative_prompt, flags, added, image'
ENDLESS = "with recursive count(i) as (select 0 union all select i + 1 from count) select"
SCHEMAS = {
    "a view that lies at the second reading": as_view(ALL.replace("seed", "seed + (random() % 2) as seed")),
    "a view that never ends": as_view(
        ALL.replace("recipe", f"(select count(*) from ({ENDLESS} i from count)) as recipe", 1)
    ),
    "a view of large zeros": as_view(ALL.replace("image", "zeroblob(900000000) as image")),
    "a view of the recipes": "alter table recipes rename to r; create view recipes as select * from r",
    "a trigger": "create trigger t after insert on images begin delete from recipes; end",
    "a table more": "create table more (x)",
    "an index more": "create index more on images (seed)",
    "no index": "drop index image",
    "no table of recipes": "drop table recipes",
    "a virtual table": "create virtual table more using fts5(x)",
    "columns without types": (
        f"alter table images rename to stored; drop index image; create table images ({ALL}); "
        'create unique index image on images (recipe, lane, class_name, "index"); '
        f"insert into images select {ALL} from stored; drop table stored"
    ),
    "a computed column": "alter table images add column more integer as (1) virtual",
    "a column with a default": "alter table images add column more text default ''",
    "statistics": "analyze",
    "no table at all": "drop table recipes; drop table images",
    "a schema that is not SQL": "update sqlite_master set sql = 'create tabel images' where name = 'images'",
    "a schema of another table": "update sqlite_master set sql = replace(sql, 'integer', '') where name = 'images'",
    "two tables in one place": (
        "update sqlite_master set rootpage = (select rootpage from sqlite_master where name = 'recipes') "
        "where name = 'images'"
    ),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_only_ordinary_tables_of_the_exact_schema_are_read(theirs: Path, name: str) -> None:
    edit(theirs, SCHEMAS[name])
    refused(theirs, "this file is not a pool|cannot use the pool|this pool is damaged")


def test_a_pool_of_an_earlier_version_has_a_table_of_rates(theirs: Path) -> None:
    edit(theirs, "create table if not exists rates (recipe text primary key, images_per_second real not null)")
    with Pool(Workspace().pool) as pool:
        assert import_pool(pool, theirs) == Imported(5, 0)


@pytest.mark.parametrize("name", ["a trigger", "a view of large zeros", "columns without types", "a table more"])
def test_the_own_pool_is_of_the_exact_schema_too(theirs: Path, name: str) -> None:
    """Somebody's file may lie where the pool is expected."""
    edit(theirs, SCHEMAS[name])
    with pytest.raises(PoolError, match=f"this file is not a pool: {theirs}: move the file away"):
        Pool(theirs)


VALUES = {
    "a real index": '"index" = cast("index" as real) + 0.5',
    "a text for an index": "\"index\" = 'one'",
    "a blob for a lane": "lane = x'30'",
    "a text for an image": "image = 'text'",
    "a number for an image": "image = 5",
    "a blob of a prompt": "prompt = cast(prompt as blob)",
    "a text for a time": "added = 'now'",
    "a time before all": "added = -1",
    "a time after all": "added = 9223372036854775807",
    "an infinite scale": "guidance = 9e999",
    "another flag": "flags = 'good'",
    "a flag that is none": "flags = x''",
    "a text that is not UTF-8": "prompt = cast(x'ff' as text)",
    "a lane with a zero byte": "lane = lane || char(0) || 'x'",
    "a huge index": '"index" = 2147483648',
    "many retries": "retry = 1001",
    "no recipe": "recipe = ''",
}


@pytest.mark.parametrize("name", VALUES)
def test_values_of_other_types_or_ranges_are_refused(theirs: Path, name: str) -> None:
    edit(theirs, f'update images set {VALUES[name]} where "index" = 4')
    refused(theirs, ".")


def test_an_index_that_is_stored_as_a_real_number_is_refused(theirs: Path) -> None:
    """0.0 equals 0, and would be another key: it is stored while the column has no type."""
    sql = "update sqlite_master set sql = replace(sql, '\"index\" integer', '\"index\"        ') where name = 'images'"
    edit(theirs, sql)
    edit(theirs, 'update images set "index" = 4.0 where "index" = 4')
    edit(theirs, sql.replace("'\"index\" integer', '\"index\"        '", "'\"index\"        ', '\"index\" integer'"))
    with closing(sqlite3.connect(theirs)) as db:
        assert db.execute('select typeof("index") from images order by rowid').fetchall()[-1] == ("real",)
    refused(theirs, "the values of an image are not of the types of a pool|this pool is damaged")


IMAGES: dict[str, Callable[[], bytes]] = {
    "text": lambda: b"no picture",
    "empty": lambda: b"",
    "zeros": lambda: bytes(5_000),
    "13,000 pixels": lambda: declared(13_000),
    "another size": lambda: png(0, 17),
    "another format": lambda: png(0, 16, "jpeg"),
    "half": lambda: png(4)[:-200],
    "large": lambda: picture(4) + bytes(100_000),
}


@pytest.mark.parametrize("name", IMAGES)
def test_only_images_of_the_recipes_format_and_size_are_taken(theirs: Path, name: str) -> None:
    """The fifth of five: none of the others is imported."""
    edit(theirs, 'update images set image = ? where "index" = 4', IMAGES[name]())
    refused(theirs, r"image 4 of 'bag' in lane 0 ")


def test_a_value_beyond_all_images_is_not_read(theirs: Path) -> None:
    edit(theirs, 'update images set image = zeroblob(110000000) where "index" = 4')
    refused(theirs, "cannot use the pool .*too big")


RECIPES: dict[str, Callable[[Recipe], str]] = {
    "a number for a model": lambda recipe: json.dumps({**recipe.as_dict(), "model": 5}),
    "a list": lambda recipe: json.dumps([recipe.as_dict()]),
    "deep": lambda recipe: "[" * 50_000 + "]" * 50_000,
    "a list for prompts": lambda recipe: json.dumps({**recipe.as_dict(), "prompts": ["a {class}"]}),
    "true for a seed": lambda recipe: json.dumps({**recipe.as_dict(), "seed": True}),
    "no number": lambda recipe: json.dumps({**recipe.as_dict(), "guidance": [float("nan")]}),
    "endless": lambda recipe: json.dumps(recipe.as_dict()).replace('"seed": 7', '"seed": 1e999'),
    "many digits": lambda recipe: json.dumps({**recipe.as_dict(), "seed": 0}).replace(
        '"seed": 0', '"seed": ' + "9" * 5_000
    ),
    "an image of gigabytes": lambda recipe: json.dumps({**recipe.as_dict(), "image_size": 100_000}),
    "a prompt of gigabytes": lambda recipe: json.dumps(
        {**recipe.as_dict(), "prompts": {"templates": ["{a}" * 10_000 + "{class}"], "a": ["x" * 100_000]}}
    ),
    "attributes in attributes": lambda recipe: json.dumps(
        {
            **recipe.as_dict(),
            "prompts": {"templates": ["{a} {class}"], "a": ["{b}" * 1_000], "b": ["{c}" * 1_000], "c": ["x"]},
        }
    ),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_of_another_kind_is_refused_and_listed_as_unknown(recipe: Recipe, theirs: Path, name: str) -> None:
    text = RECIPES[name](recipe)
    try:
        digest = recipes.digest(json.loads(text))
    except (ValueError, RecursionError):
        digest = "0123456789abcdef"
    edit(theirs, "update recipes set recipe = ?, digest = ?", text, digest)
    edit(theirs, "update images set recipe = ?", digest)
    refused(theirs, f"recipe {digest} ")
    with Pool(theirs) as pool:
        assert [(entry.digest, entry.recipe, entry.images) for entry in list_recipes(pool)] == [(digest, None, 5)]


def test_one_image_under_two_keys_of_a_damaged_index_is_refused(theirs: Path) -> None:
    """The index is for other rows, so that a row is there twice."""
    edit(theirs, "update sqlite_master set sql = replace(sql, 'CREATE UNIQUE', 'CREATE') where name = 'image'")
    edit(theirs, f"insert into images ({ALL}) select {ALL} from images")
    edit(
        theirs,
        "update sqlite_master set sql = replace(sql, 'CREATE INDEX', 'CREATE UNIQUE INDEX') where name = 'image'",
    )
    refused(theirs, "this pool is damaged|this file is not a pool")


def test_pages_that_lead_in_a_circle_are_refused(recipe: Recipe, tmp_path: Path) -> None:
    """Every child of the table's top page becomes the same page: each of its rows is there many times."""
    path = tmp_path / "theirs.sqlite"
    with Pool(path) as pool:
        put(pool, recipe, "0", "bag", range(300))
        pool.db.execute("pragma journal_mode = delete")
        root, size = (
            pool.db.execute(query).fetchone()[0]
            for query in ("select rootpage from sqlite_master where name = 'images'", "pragma page_size")
        )
    content = bytearray(path.read_bytes())
    top = memoryview(content)[(root - 1) * size : root * size]
    assert top[0] == 5, "a page of children"
    cells = int.from_bytes(top[3:5], "big")
    assert cells > 2
    for i in range(cells):
        at = int.from_bytes(top[12 + 2 * i : 14 + 2 * i], "big")
        top[at : at + 4] = top[8:12]
    top.release()
    path.write_bytes(content)
    refused(path, "this pool is damaged")


def test_the_file_that_was_checked_is_the_one_that_is_read(
    recipe: Recipe, theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process changes the file after it was opened: the private copy does not change."""
    from pipeline.generation.pool import exchange

    before = exchange._recipes

    def late(copy: sqlite3.Connection) -> dict[str, Recipe]:
        edit(theirs, "update images set seed = 0, image = 'text'")
        return before(copy)

    monkeypatch.setattr(exchange, "_recipes", late)
    with Pool(Workspace().pool) as pool:
        assert import_pool(pool, theirs) == Imported(5, 0)
        assert pool.db.execute("select distinct typeof(image) from images").fetchall() == [("blob",)]


def test_a_pool_that_others_write_all_the_time_is_given_up(theirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page is copied at a time, and before each further one another process changes the file."""
    impatient = schema._impatient

    def disturbed() -> Callable[[int, int, int], None]:
        look = impatient()

        def before(state: int, left: int, pages: int) -> None:
            edit(theirs, "update images set added = added + 1")
            look(state, left, pages)

        return before

    monkeypatch.setattr(schema, "_impatient", disturbed)
    monkeypatch.setattr(schema, "_PAGES", 1)
    refused(theirs, "others write it all the time")


def test_others_may_write_the_pool_that_is_imported(recipe: Recipe, tmp_path: Path) -> None:
    """It is another user's pool in use, with changes that are not yet in its file."""
    path = tmp_path / "theirs.sqlite"
    with Pool(path) as pool:
        put(pool, recipe, "0", "bag", range(5))
        with Pool(Workspace().pool) as mine:
            assert import_pool(mine, path) == Imported(5, 0)
        put(pool, recipe, "0", "bag", range(7))


@settings(max_examples=settings().max_examples // 4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_pool_with_other_bytes_is_imported_or_refused_in_one_line(theirs: Path, data: st.DataObject) -> None:
    content, other = theirs.read_bytes(), theirs.with_name("other.sqlite")
    at = data.draw(st.integers(0, len(content)))
    other.write_bytes(content[:at] + data.draw(st.binary(max_size=40)) + content[at + data.draw(st.integers(0, 40)) :])
    with Pool(theirs.with_name("mine.sqlite")) as pool:
        try:
            import_pool(pool, other)
        except PoolError:
            assert pool.db.execute("select count(*) from images").fetchone() is not None
        else:
            kinds = pool.db.execute('select distinct typeof("index"), typeof(image) from images').fetchall()
            assert kinds in ([], [("integer", "blob")])


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
FIELDS = sorted(small_recipe().as_dict())


@given(
    st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), json_values, max_size=3),
    st.sets(st.sampled_from(FIELDS), max_size=1),
)
def test_a_recipe_is_read_as_it_describes_itself_or_refused(changes: dict[str, object], left_out: set[str]) -> None:
    described = {name: value for name, value in {**small_recipe().as_dict(), **changes}.items() if name not in left_out}
    try:
        read = recipes.read(json.dumps(described))
    except ValueError:
        return
    assert read.as_dict() == described
    assert read.digest == recipes.digest(described)
    assert read.spec("0", "bag", 0).seed >= 0


def test_a_recipe_of_many_numbers_stays(recipe: Recipe) -> None:
    varied = replace(recipe, seed=2**128, guidance=(0.0, 1.5), scheduler_options={"a": [1, 2.5, None, {"b": "c"}]})
    assert recipes.read(json.dumps(varied.as_dict())) == varied
