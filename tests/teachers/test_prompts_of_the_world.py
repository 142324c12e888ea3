"""What the embedded teacher makes of a prompt."""

import json

import pytest

from score3d.articles import with_article
from score3d.teachers.base import PromptError
from score3d.teachers.embedded import Thing, World
from score3d.world.captions import phrase_of


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher")
    words = {
        "nouns": ["car", "chair", "cube", "cylinder", "icecream", "sphere"],
        "symmetric": ["sphere"],
        "colours": ["blue", "gray", "red"],
        "materials": ["matte", "shiny", "wooden"],
        "second_parts": {"chair": "legs", "car": "wheels"},
        "relations": {
            "words": ["on top of", "next to"],
            "of": ["cube", "cylinder", "sphere"],
            "on_top_of": ["cube", "cylinder"],
        },
        "synonyms": {"ball": "sphere", "grey": "gray", "glossy": "shiny"},
        "phrases": {"ice cream": "icecream"},
        "views": "fine",
        "grid": True,
        "resolution": 64,
        "trained_steps": 1,
        "trained_images": 1,
    }
    (folder / "world.json").write_text(json.dumps(words))
    return World(folder)


@pytest.mark.parametrize(
    ("prompt", "thing", "phrase"),
    [
        ("car", Thing("car"), "a car"),
        ("A Red car.", Thing("car", "red"), "a red car"),
        ("red shiny car", Thing("car", "red", "shiny"), "a shiny red car"),
        ("a glossy grey ball", Thing("sphere", "gray", "shiny"), "a shiny gray sphere"),
        ("a matte red car", Thing("car", "red"), "a red car"),
        ("a blue ice  cream", Thing("icecream", "blue"), "a blue icecream"),
        ("a photo of a red car", Thing("car", "red"), "a red car"),
        ("a 3d render of the red car", Thing("car", "red"), "a red car"),
        (
            "a red chair with blue legs",
            Thing("chair", "red", part="legs", second_colour="blue"),
            "a red chair with blue legs",
        ),
        (
            "a red cube on top of a blue cylinder",
            Thing("cube", "red", None, None, "blue", "on top of", "cylinder"),
            "a red cube on top of a blue cylinder",
        ),
        (
            "a ball next to a cube",
            Thing("sphere", None, None, None, None, "next to", "cube"),
            "a sphere next to a cube",
        ),
    ],
)
def test_prompts_are_understood(world, prompt, thing, phrase):
    assert world.parse(prompt) == thing
    assert thing.phrase() == phrase
    assert world.parse(phrase) == thing


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ("a red carr", r"does not know 'carr' \(did you mean 'car'\?\); it knows nouns: car, "),
        ("a red", "one object in at most one colour"),
        ("a red blue car", "one object in at most one colour"),
        ("a car and a cube", "does not know 'and'"),
        ("a red car with blue legs", "does not know 'legs'"),
        ("a red chair with legs", "'with blue legs' of a chair, in one colour"),
        ("a red cube with blue", "no 'with' of a cube"),
        ("a shiny chair with blue legs", "not both"),
        ("a car next to a cube", "'next to' of cube, cylinder, sphere"),
        ("a cube on top of a sphere", "and cube, cylinder, not of cube and sphere"),
        ("a shiny cube next to a sphere", "does not combine a relation and a material"),
        ("a cube next to", "one object"),
        ("x" * 300, r"'x{37}\.\.\.'"),
        ("🙂", "does not know"),
    ],
)
def test_what_it_cannot_draw_is_one_line(world, prompt, says):
    with pytest.raises(PromptError, match=says) as error:
        world.parse(prompt)
    assert "\n" not in str(error.value)


def test_phrases_are_those_of_training():
    """The words it is asked with are the words of `captions.phrase_of`."""
    for thing in (
        Thing("chair", "red"),
        Thing("car", "red", "shiny"),
        Thing("chair", "red", part="legs", second_colour="blue"),
        Thing("cube", "red", None, None, "blue", "on top of", "cylinder"),
    ):
        words = phrase_of(
            thing.noun,
            thing.colour or "",
            thing.material or "matte",
            thing.second_colour,
            thing.relation,
            thing.other,
        )
        assert thing.phrase() == with_article(words)
