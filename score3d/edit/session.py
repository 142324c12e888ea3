"""What every kind of edit needs before its loop starts: words, teacher, rule."""

from dataclasses import dataclass
from typing import Any

import torch

from score3d import build
from score3d.checkpoints import check_checkpoint, instructs
from score3d.config import Config, ConfigError, edit_preset, load_config
from score3d.distill.equation import Rule
from score3d.edit.dataset_update import DatasetUpdate
from score3d.edit.words import changes, described
from score3d.evaluate.edits import fulfilment
from score3d.evaluate.judge import Judge, measuring_judge
from score3d.follow import Loop
from score3d.loop import optimise_in_memory
from score3d.prior.known import prior_knows
from score3d.prompts import PromptBook
from score3d.teachers.base import PromptError, Teacher
from score3d.teachers.embedded import INSTRUCT, World, load_world

__all__ = ["Session", "Suited", "judged", "looping", "open_session", "planned", "suited"]


@dataclass(frozen=True)
class Suited:
    """What an edit has when nothing is given: the file of settings, the method, the teacher."""

    file: str
    method: str
    teacher: str


def suited(task: str, instruction: str, source: str, teacher: str | None, device: str) -> Suited:
    """What suits a task and its words. Another thing ("turn it into a cat") begins with its shape,
    a new look of the same leaves every shape as it is. Teachers that take instructions
    are not told what is there. teacher: None if none was chosen: then materials are left to the
    embedded teacher's twin, which paints them better. Raises ConfigError, PromptError,
    TeacherError."""
    name = teacher or "embedded"
    options = {"teacher": {"name": name}, "run": {"device": device}}
    told = instructs(load_config(None, None, None, options), build.build_device(device))
    if told:
        ours = task == "scene" and build.is_our_twin(name)
        return Suited(edit_preset(task), "instruct" if ours else "csd-edit", name)
    if task != "scene":
        return Suited(edit_preset(task), "csd-contrast", name)
    if name == "embedded" and instruction.strip() and source.strip():
        world = load_world()
        there = world.parse(source)
        goal = described(instruction, source, world)
        asked = changes(there, world.parse(goal))
        if "noun" in asked:
            return Suited(edit_preset("scene-swap" if prior_knows(goal) else task), "sds", name)
        if "material" in asked and teacher is None:
            return Suited(edit_preset("scene-look"), "instruct", INSTRUCT)
        return Suited(edit_preset("scene-look"), "contrast", name)
    return Suited(edit_preset(task), "contrast", name)


def planned(config: Config) -> Config:
    """The settings with what follows from the teacher and the words filled in: the guide, and the
    goal's description as `run.prompt`. Raises ConfigError, PromptError, TeacherError."""
    device = build.build_device(config.run.device)
    told = instructs(config, device)
    edit, guide = config.edit, config.distill.guide
    if told != (guide == "instruct-pix2pix"):
        guide = "instruct-pix2pix" if told else "classifier-free"
    prompt = edit.instruction.strip()
    if not prompt:
        raise ConfigError('the prompt is empty; say what is to be changed, like "make it blue"')
    if config.run.particles != 1:
        raise ConfigError("an edit changes one thing: run.particles must be 1")
    if not told:
        needs = config.distill.baseline in ("dds", "pds") or guide == "source-negative"
        if needs and not edit.source.strip():
            raise ConfigError(
                f"teacher {config.teacher.name} does not follow instructions, so method "
                f'{config.distill.loss} needs what is there now in words: --source "a red car"'
            )
        world = load_world() if config.teacher.name == "embedded" else None
        prompt = described(prompt, edit.source, world)
        if world:
            same = edit.source and world.parse(prompt) == world.parse(edit.source)
        else:
            same = prompt.lower() == edit.source.strip().lower()
        if same and needs:
            raise ConfigError(
                f"the prompt and --source both mean {prompt!r}: there is nothing to change"
            )
    config = config.model_copy(
        update={
            "run": config.run.model_copy(update={"prompt": prompt}),
            "distill": config.distill.model_copy(update={"guide": guide}),
        }
    )
    check_checkpoint(config, source=True)
    build.validate(config, source=True)
    return config


@dataclass(frozen=True)
class Session:
    """The parts that do not depend on what is edited. source: the words of what is there, for
    `Original`; instruct teachers are told nothing there."""

    device: torch.device
    teacher: Teacher
    prompts: PromptBook
    source: PromptBook
    rule: Rule


def open_session(config: Config, angles: bool) -> Session:
    """Load what `planned` settings name. angles: whether what is edited is seen from angles that
    the words should tell."""
    device = build.build_device(config.run.device)
    teacher = build.build_teacher(config, device)
    told = "instruct" in teacher.capabilities
    angles = angles and not told
    return Session(
        device,
        teacher,
        PromptBook(teacher, config.run.prompt, config.run.negative, angles),
        PromptBook(teacher, "" if told else config.edit.source, angles=angles),
        build.build_rule(config, teacher, Judge),
    )


def looping(config: Config) -> Loop:
    """What takes the steps: the loop of score distillation, or a fresh dataset update."""
    d = config.distill
    if d.targets:
        return DatasetUpdate(d.targets, d.target_every, d.target_steps)
    return optimise_in_memory


def judged(config: Config, teacher: Teacher, before: Any, after: Any) -> dict[str, Any] | None:
    """What the judge says of pictures [B,H,W,3] before and after; None for what it does not
    know."""
    world: World | None = getattr(teacher, "world", None)
    if world is None or not config.edit.source:
        return None
    try:  # an instruct teacher was told what to do, not what it should become
        goal = described(config.run.prompt, config.edit.source, world)
        source, target = world.parse(config.edit.source), world.parse(goal)
    except PromptError:
        return None
    asked = changes(source, target)
    judge, name = measuring_judge()
    if target.relation or not asked or target.noun not in judge.nouns:
        return None
    background = config.output.background
    found = fulfilment(before, after, target.noun, asked, judge, source.colour, background)
    return found | {"judged_by": name}
