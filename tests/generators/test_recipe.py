"""Recipes and captions: mistakes are one line, and the shipped recipes can be compared."""

from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from pipeline.errors import ParameterError


def test_the_shipped_recipes_are_valid_and_the_two_for_cifar10_are_equally_large_and_long(programs: Path) -> None:
    from latent import recipe

    read = {path.stem: recipe.load(path) for path in programs.glob("*.yaml")}
    assert set(read) == {"cifar10", "demo", "tiny-imagenet"}
    first, second = read["cifar10"], read["tiny-imagenet"]
    assert (first.autoencoder, first.diffusion, first.precision) == (
        second.autoencoder,
        second.diffusion,
        second.precision,
    )
    assert [first.diffusion.after(share) for share in first.diffusion.snapshots] == [1_100, 3_300, 11_000]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("diffusion.widhts=[32]", "did you mean 'widths'"),
        ("diffusion.widths=[32, 41]", "width 41 is no multiple of the 2 groups"),
        ("diffusion.snapshots=[0.1, 0.3]", "the last of them 1.0"),
        ("diffusion.snapshots=[0.1, 0.11, 1]", "distinct shares"),
        ("captions.templates=[a photo]", "write {} once for the class name"),
        ("diffusion.steps", "not a change: --set diffusion.steps"),
        ("seed.x=[", "not readable as YAML"),
    ],
)
def test_a_mistake_is_one_line(
    programs: Path, document: dict[str, Any], tmp_path: Path, change: str, said: str
) -> None:
    from latent import recipe

    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(ParameterError) as raised:
        recipe.load(path, [change])
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_words_of_captions_are_one_token_each_and_groups_name_their_classes(programs: Path, tmp_path: Path) -> None:
    """ "a photo of a sports car" is a, photo, of, a, sports, car: 6 tokens between 2 marks, then padding."""
    from latent import captions
    from latent.recipe import CaptionsRecipe

    given = CaptionsRecipe(templates=("{}", "a photo of a {}"), groups={"vehicle": ("sports car", "truck")}, tokens=8)
    made = captions.make(given, ("sports car", "Persian cat", "truck"))
    assert made.words == ("sports car", "Persian cat", "truck", "vehicle")
    assert made.of_class == ((0, 3), (1,), (2, 3))
    tokenizer = captions.tokenizer(made, tmp_path / "words", given.tokens)
    found = captions.tokens(made, tokenizer)
    assert found.shape == (2 * 4 + 1, 8)
    assert len(set(found[4].tolist())) == 7  # "a" is there twice
    assert tokenizer.decode(found[5], skip_special_tokens=True).strip() == "a photo of a persian cat"


def test_a_caption_that_is_too_long_is_refused(programs: Path, tmp_path: Path) -> None:
    from latent import captions
    from latent.recipe import CaptionsRecipe

    made = captions.make(CaptionsRecipe(templates=("a photo of a {}",)), ("sports car",))
    with pytest.raises(ParameterError, match="a caption of 8 tokens, at most 7: 'a photo of a sports car'"):
        captions.tokens(made, captions.tokenizer(made, tmp_path / "words", 7))


@pytest.mark.parametrize("groups", [{"vehicle": ["lorry"]}, {"truck": ["truck"]}])
def test_a_group_has_a_word_of_its_own_and_known_classes(programs: Path, groups: dict[str, Any]) -> None:
    from latent import captions
    from latent.recipe import CaptionsRecipe

    with pytest.raises(ParameterError, match=r"captions\.groups"):
        captions.make(CaptionsRecipe.model_validate({"groups": groups}), ("truck", "cat"))


def test_words_are_drawn_equally_often_and_captions_are_left_out_as_often_as_asked(programs: Path) -> None:
    """Class 0 has two words, class 1 one. With an encoder that returns the caption's number, the draws can be counted.

    Of 20,000 draws a share of 0.5 has a standard deviation of 0.0035; 0.02 is more than five of them.
    """
    import torch
    from latent.captions import Captions
    from latent.diffusion import Conditions, Examples

    named = Captions(("{}", "a {}"), ("cat", "dog", "pet"), ((0, 2), (1,)))
    numbers = torch.arange(7).view(7, 1)
    labels = torch.tensor([0, 1]).repeat(10_000)
    nothing = torch.empty(0)
    conditions = Conditions(Examples(nothing, nothing, labels, named, numbers), 0.1, torch.Generator().manual_seed(1))

    def encoder(rows: torch.Tensor) -> tuple[torch.Tensor]:
        return (rows.float(),)

    drawn = conditions.draw(labels, cast(Any, encoder)).squeeze(1).long()
    assert abs((drawn == 6).float().mean().item() - 0.1) < 0.02
    words = drawn[(labels == 0) & (drawn != 6)] % 3
    assert set(words.tolist()) == {0, 2}
    assert abs((words == 2).float().mean().item() - 0.5) < 0.02
    assert set((drawn[(labels == 1) & (drawn != 6)] % 3).tolist()) == {1}
