import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.generation.words import nameless, spoken, wordnet

DEMO = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
SAME = (
    *DEMO,
    "T-shirt/top",
    "black-footed ferret",
    "CD",
    "CDs",
    "McDonald",
    "MacBook",
    "iPod",
    "PhD",
    "n't",
    "x-ray",
    "yo-yo",
    "Shih-Tzu",
    "Coca-Cola",
    "EntleBucher",
    "iPhone case",
    "747-400",
    "A320",
    "jack-o'-lantern",
    "猫",
    "Ä",
)
"""Names that people would write in a sentence, in part with WordNet's own dashes and capitals."""


@pytest.mark.parametrize("name", SAME)
def test_a_name_that_is_fine_stays_as_it_is(name: str) -> None:
    assert spoken(name) == name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("apple_pie", "apple pie"),
        ("__apple__pie_", "apple pie"),
        ("GOLDEN_RETRIEVER", "GOLDEN RETRIEVER"),
        ("black-footed_ferret", "black-footed ferret"),
        ("aquariumFish", "aquarium fish"),
        ("AnnualCrop", "annual crop"),
        ("DVDPlayer", "DVD player"),
        ("TVMonitor", "TV monitor"),
        ("golden-retriever", "golden retriever"),
        ("001.Black_footed_Albatross", "Black footed Albatross"),
        ("002.american-flag", "american flag"),
        ("07-cat", "cat"),
        ("101_Dalmatians", "101 Dalmatians"),
        (" bag\n of\trice ", "bag of rice"),
        ("n02690373", "airliner"),
        ("n02119022", "red fox (Vulpes vulpes)"),
        ("n02085620-Chihuahua", "Chihuahua"),
        ("n02098105-soft-coated_wheaten_terrier", "soft-coated wheaten terrier"),
        ("n02690373_12", "airliner"),
        ("airliner.n.01", "airliner"),
    ],
)
def test_what_stands_for_blanks_becomes_blanks_and_ids_become_nouns(name: str, words: str) -> None:
    assert spoken(name) == words


@pytest.mark.parametrize(
    "name",
    ["0", "7", "-1", "1.0", "٣", "747-400", "class 3", "class_3", "Label-7", "c0", "c_0", "___", "n99999999", ""],
)
def test_numbers_and_unknown_ids_say_nothing(name: str) -> None:
    assert nameless(spoken(name))


@pytest.mark.parametrize("name", [*DEMO, "A", "a", "A320", "K2", "3d_printer", "猫", "n02690373", "type", "ak47"])
def test_names_with_a_meaning(name: str) -> None:
    assert not nameless(spoken(name))


NAMES = st.one_of(
    st.text(),
    st.from_regex(r"[A-Za-z0-9_. -]{1,12}", fullmatch=True),
    st.lists(st.sampled_from(["n02690373", "001.", "apple", "Fish", "CD", "_", "-", ".n.01", " ", "7"])).map("".join),
)


@given(NAMES)
@example("001.n02690373.n.01")
@example("n02690373-n02690373")
def test_words_stay_what_they_are_and_are_never_none(name: str) -> None:
    words = spoken(name)
    assert spoken(words) == words
    assert bool(words.strip()) == bool(name.strip())


@given(st.lists(st.from_regex(r"[a-z]{3,8}", fullmatch=True), min_size=1, max_size=4))
def test_all_ways_to_join_words_say_the_same(words: list[str]) -> None:
    """But for dashes and capitals that WordNet has itself."""
    expected = " ".join(words)
    assert spoken("_".join(words)) == expected
    dashed, camel = "-".join(words), words[0] + "".join(word.capitalize() for word in words[1:])
    assert spoken(dashed) == (dashed if wordnet.spells(dashed) else expected)
    assert spoken(camel) == (camel if wordnet.spells(camel) else expected)


@given(st.sampled_from(sorted(wordnet._table().items())))
def test_every_noun_of_wordnet_stays_what_it_is(noun: tuple[int, str]) -> None:
    number, words = noun
    assert spoken(f"n{number:08}") == spoken(words) == words


def test_no_two_nouns_have_equal_words_whatever_the_capitals() -> None:
    table = wordnet._table()
    assert len(table) == len({words.lower() for words in table.values()}) == 82_115
    assert not [words for words in table.values() if re.search(r"\bn\d{8}|_", words)]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1440764, "tench"),
        (2012849, "crane (wading bird)"),
        (3126707, "crane (lifting device)"),
        (1847000, "drake (duck)"),
        (1608432, "kite (hawk)"),
        (2108000, "EntleBucher"),
        (3710637, "maillot (tights)"),
        (3710721, "maillot"),
        (4350905, "suit"),
        (15075141, "toilet tissue"),
    ],
)
def test_ids_of_imagenet(number: int, words: str) -> None:
    """A name that means something else more often is followed by what it is here."""
    assert wordnet.words(number) == words
