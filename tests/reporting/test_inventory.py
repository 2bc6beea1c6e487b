from dataclasses import replace

from pipeline.artifacts.inventory import Bad, Duplicates, Inventory, SplitInventory
from pipeline.reporting import inventory

NONE = Duplicates(0, 0, 0, 0, ())


def split(name: str = "train", **values: object) -> SplitInventory:
    whole = SplitInventory(name, "array", 1_234, (), (), {"RGB": 1_234}, {"640x480": 1_234}, 0, ())
    return replace(whole, **values)  # type: ignore[arg-type]


DATA = Inventory(
    class_names=("cat", "hot dog"),
    label_texts=("n1", "n2"),
    train_counts=(1_000, 234),
    test_counts=(7, 0),
    holdout=None,
    image_size=32,
    background="white",
    on_bad="refuse",
    splits=(split(),),
    duplicates=NONE,
)


def lines(found: Inventory) -> list[str]:
    return list(inventory.lines(found, "data/inventory.json"))


def test_each_label_has_its_texts_and_counts() -> None:
    assert lines(DATA) == [
        "label  in the data  class name  train  test",
        "0      n1           cat          1000     7",
        "1      n2           hot dog       234     0",
        "train: 1,234 pictures, RGB (1,234), sizes 640x480 (1,234)",
    ]


def test_of_many_classes_the_first_are_shown() -> None:
    names = tuple(f"class {i}" for i in range(100))
    many = replace(DATA, class_names=names, label_texts=names, train_counts=(1,) * 100, test_counts=(1,) * 100)
    said = lines(many)
    assert said[30].split() == ["29", "class", "29", "class", "29", "1", "1"]
    assert said[31] == "70 more classes are in data/inventory.json"


def test_everything_that_is_not_used_as_it_is_is_said() -> None:
    found = split(
        rows=1_256,
        bad=tuple(Bad(i, f"cat/{i}.png", "damaged") for i in range(22)),
        skipped=tuple((f"{i}.txt", "no picture") for i in range(21)),
        modes={"RGB": 1_000, "RGBA": 200, "L": 30, "P": 3, "1": 1},
        sizes={"1x1": 1_234},
        animated=2,
        remarks=("names are paired in order",),
    )
    twins = Duplicates(5, 0, 1, 2, (("a.png", "b.png"),))
    said = lines(replace(DATA, holdout=0.25, on_bad="skip", splits=(found,), duplicates=twins))[3:]
    assert said[0] == (
        "train: 1,234 pictures, RGB (1,000), RGBA (200), L (30), P (3) and 1 more, sizes 1x1 (1,234), 2 with several "
        "frames, of which the first is used"
    )
    assert said[1:4] == ["train: names are paired in order", "train: 21 files are not read", "- 0.txt: no picture"]
    assert said[23:27] == [
        "- 1 more are in data/inventory.json",
        "train: 22 pictures are left out (data.on_bad: skip)",
        "- row 0, cat/0.png: damaged",
        "- row 1, cat/1.png: damaged",
    ]
    assert said[45:] == [
        "- 2 more are in data/inventory.json",
        "held out of train for testing: 7 pictures, 25 % of each class",
        "equal pictures: 5 repeat a training picture, 1 have a twin with another label, 2 of the test are training "
        "pictures too",
        "- a.png = b.png",
    ]


def test_the_report_says_what_was_left_out() -> None:
    assert inventory.settings(DATA) == {
        "pictures": "32 pixels a side, white behind transparent ones",
        "left out": "0 bad pictures (on_bad: refuse), 0 files that are not read",
    }
    other = replace(DATA, holdout=0.1, background="#102030", on_bad="skip", duplicates=replace(NONE, between=3))
    other = replace(other, splits=(split(bad=(Bad(0, "a", "b"),), skipped=(("c", "d"), ("e", "f"))), split("test")))
    assert inventory.settings(other) == {
        "pictures": "32 pixels a side, #102030 behind transparent ones, 10 % of train held out for testing",
        "left out": "1 bad pictures (on_bad: skip), 2 files that are not read",
        "equal pictures": "3 of the test are training pictures too",
    }
