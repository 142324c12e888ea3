"""The embedded teacher's twin that follows instructions: how it starts, loads and is asked."""

import argparse
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "scripts"))

import train_instruct
from render_pairs import load_pairs
from teacher_networks import CHANNELS, Denoiser, build_tokenizer, start_from, token_ids

from score3d import build
from score3d.checkpoints import check_checkpoint, instructs
from score3d.config import ConfigError, edit_preset, load_config
from score3d.edit.session import planned
from score3d.resources import resource
from score3d.teachers.base import PromptError
from score3d.teachers.embedded import EmbeddedInstructTeacher
from score3d.teachers.grid import GridTeacher
from score3d.world.edits import instruction_words

CPU = torch.device("cpu")
TEACHER = resource("assets", "teacher")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a twin after two steps on eight pairs."""
    root = tmp_path_factory.mktemp("twin")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_instruct, "load_pairs", lambda data, seed: load_pairs(data, seed, 8))
        patch.setattr(train_instruct, "save_sheet", lambda *a: None)
        args = argparse.Namespace(
            out=root / "out", data=root / "pairs", init=TEACHER, export=root / "twin", shards=1,
            steps=2, batch=8, lr=1e-4, decay=0.5, seed=0, bfloat16=False, save_every=2,
            probe_every=50, first_shard=0,
        )  # fmt: skip
        train_instruct.train(args)
        train_instruct.export(args)
    return root / "twin"


def test_before_training_it_is_the_teacher_and_blind():
    """Channels of the picture start at zero, words keep their embeddings."""
    torch.manual_seed(0)
    tokenizer, wide = build_tokenizer(), build_tokenizer(instruction_words())
    teacher, twin = Denoiser(tokenizer).eval(), Denoiser(wide, 2 * CHANNELS).eval()
    start_from(teacher, tokenizer, TEACHER)
    start_from(twin, wide, TEACHER)
    z, picture = torch.randn(2, 2, CHANNELS, 16, 16)
    t, texts = torch.tensor([300, 800]), ["a red car, front view", "a wooden chair"]
    with torch.no_grad():
        a = teacher(z, t, token_ids(tokenizer, texts))
        b = twin(torch.cat([z, picture], 1), t, token_ids(wide, texts))
    assert torch.allclose(a, b, atol=1e-5)


def test_a_twentieth_each_loses_text_picture_and_both():
    image, texts = torch.ones(20000, 1, 1, 1), ["make it blue"] * 20000
    seen, said = train_instruct.dropped(image, texts, np.random.default_rng(0))
    blind, silent = (seen == 0).flatten().numpy(), np.array([t == "" for t in said])
    # 5 % of 20000: 1000, six standard deviations are 185
    for both in (blind & silent, blind & ~silent, silent & ~blind):
        assert abs(both.sum() - 1000) < 185


def test_it_loads_and_answers(trained):
    teacher = EmbeddedInstructTeacher(trained)
    assert teacher.capabilities == {"instruct", "grid"}
    z, t = torch.randn(4, *teacher.latent_shape), torch.full((4,), 0.5)
    emb = teacher.embed(["make it blue"]).expand(4, -1, -1)
    picture = teacher.condition(torch.rand(4, 3, 64, 64))
    assert teacher.eps(z, t, emb, image=picture).shape == z.shape
    assert GridTeacher(teacher).eps(z, t, emb, image=picture).shape == z.shape
    with pytest.raises(ValueError, match="was given none"):
        teacher.eps(z, t, emb)


def test_words_are_checked(trained):
    teacher = EmbeddedInstructTeacher(trained)
    known = ["", "make it blue", "Turn it into a palm tree!", "make it wooden", "remove the handle",
             "give it a hat", "at night", "make it bigger, four views, azimuth 45"]  # fmt: skip
    assert len(teacher.embed(known)) == len(known)
    with pytest.raises(PromptError, match=r"'handel' .did you mean 'handle'"):
        teacher.embed(["remove the handel"])


def test_names_and_folders_are_told_apart(trained):
    settings = [f"teacher.name={trained}"]
    config = load_config("draft", "sds", settings)
    assert instructs(config, CPU)
    assert build.is_our_twin("embedded-instruct")
    assert not build.is_our_twin(str(TEACHER))
    assert not build.is_our_twin("embedded")
    assert isinstance(build.build_teacher(config, CPU), GridTeacher)
    with pytest.raises(ConfigError, match="edits pictures"):
        check_checkpoint(config)


def test_edits_are_planned_as_instructions(trained):
    """The words go to the teacher as they are, without a description of what is there."""
    settings = [f"teacher.name={trained}", "edit.instruction=make it blue"]
    config = planned(load_config(edit_preset("scene"), "csd-edit", settings))
    assert config.run.prompt == "make it blue"
    assert config.distill.guide == "instruct-pix2pix"
