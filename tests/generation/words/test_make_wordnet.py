from pathlib import Path

from pipeline.generation.words import make_wordnet

DATA = """\
  1 This is the licence.
00000001 03 n 01 entity 0 001 ~ 00000002 n 0000 | that which is
00000002 05 n 02 bird 0 feathered_friend 1 001 @ 00000001 n 0000 | it flies; "a bird"
00000003 06 n 01 device 0 001 @ 00000001 n 0000 | it works
00000004 05 n 01 crane 0 002 @ 00000002 n 0000 ~ 00000001 n 0000 | it wades
00000005 06 n 01 crane 0 001 @ 00000003 n 0000 | it lifts
00000006 05 n 01 Crane 0 001 @ 00000002 n 0000 | it dances; "by night"
00000007 05 n 02 wild_bird 0 feral_fowl 0 001 @ 00000002 n 0000 | it is not tame
00000008 18 n 01 Stephen_Crane 0 001 @i 00000001 n 0000 | he wrote
"""
INDEX = """\
  1 This is the licence.
bird n 1 1 @ 1 1 00000002
crane n 3 2 @ ~ 3 1 00000005 00000004 00000006
device n 1 1 @ 1 1 00000003
entity n 1 1 ~ 1 1 00000001
stephen_crane n 1 1 @ 1 0 00000008
wild_bird n 2 1 @ 2 0 00000009 00000007
"""


def test_a_noun_that_is_not_the_usual_one_of_its_name_says_what_it_is(tmp_path: Path) -> None:
    """Of three cranes the device is the usual one; two are birds, so the second needs another way to differ."""
    (tmp_path / "data.noun").write_text(DATA)
    (tmp_path / "index.noun").write_text(INDEX)
    nouns = make_wordnet.read(tmp_path / "data.noun")
    assert nouns[4] == make_wordnet.Noun(("crane",), (2,), "it wades")
    assert make_wordnet.distinct(nouns, make_wordnet.first_meanings(tmp_path / "index.noun")) == {
        1: "entity",
        2: "bird",
        3: "device",
        4: "crane (bird)",
        5: "crane",
        6: "Crane (bird, entity)",
        7: "wild bird (feral fowl)",
        8: "Stephen Crane",
    }
