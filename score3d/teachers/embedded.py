"""The teacher that ships with the package: a closed vocabulary, a CPU, and no downloads."""

import difflib
import json
import re
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from score3d.articles import with_article
from score3d.resources import resource
from score3d.teachers.base import PromptError, TeacherError
from score3d.teachers.checkpoint import Checkpoint
from score3d.teachers.instruct_pix2pix import InstructPix2PixTeacher
from score3d.teachers.onnx_checkpoint import OnnxCheckpoint
from score3d.teachers.onnx_network import OnnxNetwork
from score3d.teachers.stable_diffusion import StableDiffusionTeacher

__all__ = ["INSTRUCT", "EmbeddedInstructTeacher", "EmbeddedTeacher", "Thing", "World", "load_world"]

INSTRUCT = "embedded-instruct"  # the name of the twin that edits
ARTICLES = ("a", "an", "the")
MEDIA = re.compile(r"^\W*(?:an?\s+)?(?:photo|picture|3d render|rendering|model) of\s+")


@dataclass(frozen=True)
class Thing:
    """What a prompt asks for, in the world's names; None for what it leaves open.

    part: the noun's second part, in second_colour. relation: of the object to a second one,
    other, in second_colour.
    """

    noun: str
    colour: str | None = None
    material: str | None = None
    part: str | None = None
    second_colour: str | None = None
    relation: str | None = None
    other: str | None = None

    def phrase(self) -> str:
        """The words the teacher was trained on: "a shiny red car", "a red cube on top of a blue
        cylinder"."""
        words = with_article(_join(self.material, self.colour, self.noun))
        if self.relation:
            other = with_article(_join(self.second_colour, str(self.other)))
            return f"{words} {self.relation} {other}"
        return f"{words} with {self.second_colour} {self.part}" if self.part else words


def _join(*words: str | None) -> str:
    return " ".join(w for w in words if w)


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
        self.materials: list[str] = data["materials"]
        self.second_parts: dict[str, str] = data["second_parts"]
        self.relations: list[str] = data["relations"]["words"]
        self.related: list[str] = data["relations"]["of"]
        self.stands: list[str] = data["relations"]["on_top_of"]
        self.synonyms: dict[str, str] = data["synonyms"]
        self.phrases: dict[str, str] = data["phrases"]
        self.views: str = data["views"]
        self.grid: bool = data["grid"]
        self.resolution: int = data["resolution"]
        self.training: dict[str, int] = {k: data[k] for k in ("trained_steps", "trained_images")}

    def parse(self, prompt: str) -> Thing:
        """What a prompt such as "a shiny red car" or "a red chair with blue legs" asks for.

        Raises PromptError, in one line, for any word the teacher does not know and for what it
        cannot combine: a silent nearest match would draw something else.
        """
        text = MEDIA.sub("", " ".join(re.split(r"[\s,.!?;:]+", prompt.lower())).strip())
        for words, name in self.phrases.items():
            text = re.sub(rf"\b{words}\b", name, text)
        for relation in self.relations:
            first, found, second = f" {text} ".partition(f" {relation} ")
            if found:
                return self._pair(first, relation, second)
        main, found, second = f" {text} ".partition(" with ")
        thing = self._object(main)
        if not found:
            return thing
        part = self.second_parts.get(thing.noun)
        words = self._words(second, extra=(part,) if part else ())
        colours = [w for w in words if w in self.colours]
        if part is None or len(colours) != 1 or sorted(words) != sorted([part, colours[0]]):
            can = f"'with {self.colours[0]} {part}'" if part else "no 'with'"
            raise PromptError(f"the embedded teacher knows {can} of a {thing.noun}, in one colour")
        if thing.material:
            raise PromptError("the embedded teacher takes a material or a second colour, not both")
        return replace(thing, part=part, second_colour=colours[0])

    def _words(self, text: str, extra: tuple[str, ...] = ()) -> list[str]:
        """The world's names for the words of `text`, without articles."""
        names = (*self.nouns, *self.colours, *self.materials, *extra)
        known = [self.synonyms.get(w, w) for w in text.split() if w not in ARTICLES]
        for word in (w for w in known if w not in names):
            short = word if len(word) <= 40 else word[:37] + "..."
            close = difflib.get_close_matches(short, [*names, *self.synonyms], 1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise PromptError(
                f"the embedded teacher does not know {short!r}{hint}; it knows {self._lists()}. "
                "For anything else name another one with --teacher"
            )
        return known

    def _lists(self) -> str:
        return (
            f"nouns: {', '.join(self.nouns)}; colours: {', '.join(self.colours)}; "
            f"materials: {', '.join(self.materials)}"
        )

    def _object(self, text: str) -> Thing:
        words = self._words(text)
        nouns = [w for w in words if w in self.nouns]
        colours = [w for w in words if w in self.colours]
        materials = [w for w in words if w in self.materials]
        if len(nouns) != 1 or len(colours) > 1 or len(materials) > 1:
            raise PromptError(
                "the embedded teacher draws one object in at most one colour and one material, "
                f"like 'a red mushroom' or 'a shiny blue car'; it knows {self._lists()}"
            )
        material = materials[0] if materials and materials != ["matte"] else None
        return Thing(nouns[0], colours[0] if colours else None, material)

    def _pair(self, first: str, relation: str, second: str) -> Thing:
        thing, other = self._object(first), self._object(second)
        below = self.stands if relation == "on top of" else self.related
        if thing.noun not in self.related or other.noun not in below:
            raise PromptError(
                f"the embedded teacher knows {relation!r} of {', '.join(self.related)} and "
                f"{', '.join(below)}, not of {thing.noun} and {other.noun}"
            )
        if thing.material or other.material:
            raise PromptError("the embedded teacher does not combine a relation and a material")
        return replace(thing, relation=relation, other=other.noun, second_colour=other.colour)


def load_world() -> World:
    """The shipped vocabulary, without loading weights."""
    return World(resource("assets", "teacher"))


def _source(folder: Path, device: torch.device) -> Checkpoint:
    """The checkpoint, for ONNX Runtime where that is installed: on the CPU faster than torch."""
    fast = device.type == "cpu" and find_spec("onnxruntime")
    return OnnxCheckpoint(folder) if fast else Checkpoint(folder)


def _graph(source: Checkpoint) -> OnnxNetwork | None:
    path = source.folder / "unet" / "model.onnx"
    return OnnxNetwork(path) if isinstance(source, OnnxCheckpoint) and path.is_file() else None


class EmbeddedTeacher(StableDiffusionTeacher):
    """The shipped checkpoint. Prompts are checked against its vocabulary when embedded."""

    def __init__(self, folder: Path | None = None, device: torch.device | str = "cpu") -> None:
        folder = folder or resource("assets", "teacher")
        self.world = World(folder)
        source = _source(folder, torch.device(device))
        self.graph = _graph(source)
        super().__init__(source, device, torch.float32, view_style=self.world.views)
        self.capabilities = frozenset({"grid"} if self.world.grid else ())

    def embed(self, prompts: list[str]) -> Tensor:
        """As the base class; each prompt is "<noun phrase>[, <view phrase>]", or empty."""
        texts = []
        for prompt in prompts:
            phrase, comma, view = prompt.partition(",")
            if phrase.strip():
                phrase = self.world.parse(phrase).phrase()
            texts.append(phrase + comma + view)
        return super().embed(texts)


class EmbeddedInstructTeacher(InstructPix2PixTeacher):
    """The shipped twin that follows instructions ("make it blue", "remove the handle") about a
    picture: InstructPix2Pix on the same world. Words are checked when they are embedded."""

    def __init__(self, folder: Path | None = None, device: torch.device | str = "cpu") -> None:
        folder = folder or resource("assets", "teacher-instruct")
        if not folder.is_dir():
            raise TeacherError(f"{folder}: the instruction-following teacher is not installed")
        self.world = World(folder)
        source = _source(folder, torch.device(device))
        self.graph = _graph(source)
        super().__init__(source, device, torch.float32, view_style=self.world.views)
        self.capabilities = frozenset({"instruct", "grid"} if self.world.grid else {"instruct"})

    def embed(self, prompts: list[str]) -> Tensor:
        """As the base class. Raises PromptError for an unknown word."""
        vocabulary, texts = self.tokenizer.get_vocab(), []
        for prompt in prompts:
            text = prompt.lower()
            for words, name in self.world.phrases.items():
                text = re.sub(rf"\b{words}\b", name, text)
            words = re.findall(r"[\w-]+", text)
            for word in words:
                if word not in vocabulary and not word.isdigit():
                    close = difflib.get_close_matches(word, list(vocabulary), 1)
                    hint = f" (did you mean {close[0]!r}?)" if close else ""
                    raise PromptError(
                        f"the embedded teacher does not know {word!r}{hint} in an instruction; it "
                        "takes ones like 'make it blue', 'turn it into a chair', 'make it wooden', "
                        "'give it a hat', 'remove the handle', 'make it bigger', 'at night'"
                    )
            texts.append(" ".join(words))
        return super().embed(texts)
