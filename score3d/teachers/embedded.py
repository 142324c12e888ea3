"""The teacher that ships with the package: a closed vocabulary, a CPU, and no downloads."""

import difflib
import json
import re
from pathlib import Path

import torch
from torch import Tensor

from score3d.resources import resource
from score3d.teachers.base import PromptError, TeacherError
from score3d.teachers.stable_diffusion import StableDiffusionTeacher

__all__ = ["EmbeddedTeacher", "World", "load_world"]

ARTICLES = ("a", "an", "the")


class World:
    """What the embedded teacher knows, from the `world.json` beside its weights."""

    def __init__(self, folder: Path) -> None:
        try:
            data = json.loads((folder / "world.json").read_text())
        except (OSError, ValueError) as error:
            raise TeacherError(
                f"{folder}: the embedded teacher's world.json is unreadable ({error})"
            ) from error
        self.nouns: list[str] = data["nouns"]
        self.symmetric: list[str] = data["symmetric"]
        self.colours: list[str] = data["colours"]
        self.synonyms: dict[str, str] = data["synonyms"]
        self.views: str = data["views"]
        self.training: dict[str, int] = {k: data[k] for k in ("trained_steps", "trained_images")}

    def parse(self, prompt: str) -> tuple[str, str | None]:
        """(noun, colour or None) of a prompt such as "a red mushroom".

        Raises PromptError, in one line, for any word the teacher does not know, for no noun
        or for more than one: a silent nearest match would draw something else.
        """
        words = [w for w in re.split(r"[\s,.!?;:]+", prompt.lower()) if w and w not in ARTICLES]
        known = [self.synonyms.get(w, w) for w in words]
        nouns = [w for w in known if w in self.nouns]
        colours = [w for w in known if w in self.colours]
        strangers = [w for w in known if w not in self.nouns and w not in self.colours]
        lists = f"nouns: {', '.join(self.nouns)}; colours: {', '.join(self.colours)}"
        if strangers:
            word = strangers[0] if len(strangers[0]) <= 40 else strangers[0][:37] + "..."
            close = difflib.get_close_matches(word, [*self.nouns, *self.colours, *self.synonyms], 1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise PromptError(
                f"the embedded teacher does not know {word!r}{hint}; it knows {lists}. "
                "For anything else name another one with --teacher"
            )
        if len(nouns) != 1 or len(colours) > 1:
            raise PromptError(
                "the embedded teacher draws one object in at most one colour, like "
                f"'a red mushroom'; it knows {lists}"
            )
        return nouns[0], colours[0] if colours else None


def load_world() -> World:
    """The shipped vocabulary, without loading weights."""
    return World(resource("assets", "teacher"))


class EmbeddedTeacher(StableDiffusionTeacher):
    """The shipped checkpoint. Prompts are checked against its vocabulary when embedded."""

    def __init__(self, folder: Path | None = None, device: torch.device | str = "cpu") -> None:
        folder = folder or resource("assets", "teacher")
        self.world = World(folder)
        super().__init__(folder, device, torch.float32, view_style=self.world.views)

    def embed(self, prompts: list[str]) -> Tensor:
        """As the base class; each prompt is "<noun phrase>[, <view phrase>]", or empty."""
        texts = []
        for prompt in prompts:
            phrase, comma, view = prompt.partition(",")
            if phrase.strip():
                noun, colour = self.world.parse(phrase)
                phrase = f"a {colour} {noun}" if colour else f"a {noun}"
            texts.append(phrase + comma + view)
        return super().embed(texts)
