"""VSD's student: closed forms with an analytic student, and LoRA on diffusers networks."""

import json
import shutil
import sys
from dataclasses import replace

import pytest
import torch
from diffusers import UNet2DConditionModel

from score3d import build
from score3d.config import ConfigError, load_config
from score3d.distill.baseline.lora import LoraNetwork, missing_library
from score3d.distill.baseline.own_noise import own_noise
from score3d.distill.baseline.student import Student
from score3d.distill.consistency.nothing import nothing
from score3d.distill.couple.independent import independent
from score3d.distill.equation import Rule, ask, distill
from score3d.distill.guide.classifier_free import ClassifierFree
from score3d.distill.noise.iid import iid
from score3d.distill.time_weight import TIME_WEIGHTS
from score3d.distill.weight.mean import mean
from score3d.draw import DrawSpec, draw_at
from score3d.loop import optimise
from score3d.prompts import Conditioning, PromptBook
from score3d.resources import resource
from score3d.teachers.base import TeacherError
from score3d.teachers.embedded import EmbeddedTeacher
from score3d.teachers.stable_diffusion import StableDiffusionTeacher


def rule(baseline, guidance=7.5):
    return Rule(
        iid, ClassifierFree(guidance), baseline, mean, independent, nothing, TIME_WEIGHTS["sds"]
    )  # fmt: skip


def question(teacher, noises=1, step=0):
    z = torch.rand(4, *teacher.latent_shape, generator=torch.Generator().manual_seed(4))
    draw = draw_at(DrawSpec(1, 1000, 4, noises, teacher.latent_shape, 8), step)
    one = torch.ones(4, 1, 1)
    return z, Conditioning(one, 0 * one, plain=one), draw, None


class Analytic:
    """Noise prediction of N(m, s^2 I), m and log s learnt: the closed form of a student."""

    def __init__(self, teacher, std):
        self.schedule = teacher.schedule
        self.mean = torch.nn.Parameter(torch.zeros(teacher.latent_shape))
        self.log_std = torch.nn.Parameter(torch.tensor(std).log())

    def eps(self, z_t, t, emb, camera, samples=1, teacher=None):
        alpha, sigma = self.schedule.alpha_sigma(t, z_t)
        variance = alpha**2 * (2 * self.log_std).exp() + sigma**2
        return sigma * (z_t - alpha * self.mean) / variance

    def parameters(self):
        return {"mean": self.mean, "log_std": self.log_std}


class Says:
    """A student that says what it is told to."""

    def __init__(self, says):
        self.says, self.dummy = says, torch.nn.Parameter(torch.zeros(1))

    def eps(self, z_t, t, emb, camera, samples=1, teacher=None):
        return self.says(z_t, t, emb)

    def parameters(self):
        return {"dummy": self.dummy}


def test_a_student_that_says_the_noise_is_sds(gaussian_teacher):
    args = question(gaussian_teacher, noises=2)
    noise = args[2].noise.flatten(0, 1)
    vsd = distill(gaussian_teacher, *args, rule(Student(Says(lambda *a: noise))))
    assert torch.equal(vsd, distill(gaussian_teacher, *args, rule(own_noise)))


def test_a_student_that_is_the_teacher_leaves_the_guidance(gaussian_teacher):
    """w (s - 1) (e_c - e_u); float32 at guidance 7.5, hence 1e-4."""
    teacher, args = gaussian_teacher, question(gaussian_teacher)
    vsd = distill(teacher, *args, rule(Student(Says(teacher.eps))))
    z, cond, draw, _ = args
    alpha, sigma = teacher.schedule.alpha_sigma(draw.t, z)
    z_t = alpha * z + sigma * draw.noise[:, 0]
    gap = teacher.eps(z_t, draw.t, cond.positive) - teacher.eps(z_t, draw.t, cond.negative)
    assert torch.allclose(vsd, sigma**2 * 6.5 * gap, atol=1e-4)
    assert vsd.abs().max() > 1


def test_a_fitted_student_knows_the_distribution_of_the_renders(gaussian_teacher):
    """Renders z ~ N(0.7, 0.4^2): the optimum of the student's loss is exactly that."""
    network = Analytic(gaussian_teacher, 0.1)
    student = Student(network, lr=0.02, fits=2)
    g = torch.Generator().manual_seed(0)
    for step in range(400):
        z, cond, draw, view = question(gaussian_teacher, step=step)
        z = 0.7 + 0.4 * torch.randn(z.shape, generator=g)
        student.learn(gaussian_teacher, ask(gaussian_teacher, z, cond, draw, view, rule(student)))
    assert network.mean.mean().item() == pytest.approx(0.7, abs=0.03)
    assert network.log_std.exp().item() == pytest.approx(0.4, abs=0.03)


def test_no_fits_learn_nothing(gaussian_teacher):
    network = Analytic(gaussian_teacher, 0.1)
    student = Student(network, fits=0)
    student.learn(
        gaussian_teacher, ask(gaussian_teacher, *question(gaussian_teacher), rule(student))
    )
    assert not network.mean.any()


# ---- LoRA ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def embedded():
    """In torch from the start, as after a student: the first one is then the teacher to the bit."""
    teacher = EmbeddedTeacher()
    teacher.graph = None
    return teacher


def asked_of(teacher, prompt="a red mushroom"):
    book = PromptBook(teacher, prompt)
    draw = draw_at(DrawSpec(3, 1000, 2, 1, teacher.latent_shape, teacher.resolution), 0)
    z = torch.randn(2, *teacher.latent_shape, generator=torch.Generator().manual_seed(1))
    return z, book.at(draw.views), draw, None


def test_the_teacher_stays_what_it_is_while_the_student_learns(embedded):
    z, cond, draw, view = asked_of(embedded)
    weights = {n: p.clone() for n, p in embedded.unet.named_parameters() if ".student." not in n}
    said = embedded.eps(z, draw.t, cond.positive)
    network = LoraNetwork(embedded, rank=4, seed=0)
    camera = torch.randn(2, 16, generator=torch.Generator().manual_seed(2))
    start = network.eps(z, draw.t, cond.positive, camera).detach()
    assert torch.equal(start, said)  # the first student is the teacher
    student = Student(network, lr=1e-2, fits=3)
    student.learn(embedded, ask(embedded, z, cond, draw, view, rule(student)))
    moved = network.eps(z, draw.t, cond.positive, camera).detach()
    assert (moved - said).abs().max() > 1e-2
    other = network.eps(z, draw.t, cond.positive, 0 * camera).detach()
    assert (moved - other).abs().max() > 1e-4  # it knows the camera
    assert torch.equal(embedded.eps(z, draw.t, cond.positive), said)
    after = dict(embedded.unet.named_parameters())
    for name, p in weights.items():
        name = name if name in after else name.replace(".weight", ".base_layer.weight")
        name = name if name in after else name.replace(".bias", ".base_layer.bias")
        assert torch.equal(after[name], p)
        assert after[name].grad is None
        assert not after[name].requires_grad
    trained = {n for n, p in after.items() if p.requires_grad}
    assert trained == {n for n in network.parameters() if not n.startswith("camera.")}


def test_at_first_it_is_the_pure_guidance_direction(embedded):
    """w (s - 1) (e_c - e_u) with the plain prompt's e_c for both: equal to 1e-3 of the largest
    (float32, guidance 7.5)."""
    z, cond, draw, view = asked_of(embedded)
    cond = replace(cond, plain=cond.positive)
    student = Student(LoraNetwork(embedded), fits=1)
    vsd = distill(embedded, z, cond, draw, view, rule(student))
    alpha, sigma = embedded.schedule.alpha_sigma(draw.t, z)
    z_t = alpha * z + sigma * draw.noise[:, 0]
    gap = embedded.eps(z_t, draw.t, cond.positive) - embedded.eps(z_t, draw.t, cond.negative)
    expected = sigma**2 * 6.5 * gap
    assert (vsd - expected).abs().max() < 1e-3 * expected.abs().max()


def test_the_student_learns_the_renders(embedded):
    """On two latents no render looks like, its error falls below the teacher's, measured on
    noises it was not fitted to."""
    z, cond, draw, view = asked_of(embedded)
    student = Student(LoraNetwork(embedded), lr=1e-2, fits=1)

    def error():
        total = 0.0
        for step in range(900, 908):
            args = (z, cond, draw_at(DrawSpec(3, 1000, 2, 1, z.shape[1:], 64), step), view)
            asked = ask(embedded, *args, rule(student))
            total += float((student(embedded, asked.noisy) - asked.noisy.eps).square().mean())
        return total / 8

    before = error()
    for step in range(30):
        draw = draw_at(DrawSpec(3, 1000, 2, 1, z.shape[1:], 64), step)
        student.learn(embedded, ask(embedded, z, cond, draw, view, rule(student)))
    assert error() < 0.7 * before


def test_any_diffusers_unet(gaussian_teacher):
    """A random network of another shape, in half precision, v-prediction: zero at first, learns,
    factors in float32."""

    class Teacher(StableDiffusionTeacher):
        schedule, capabilities = gaussian_teacher.schedule, frozenset()
        view_style = "none"
        latent_shape, prediction_type, dtype = (4, 8, 8), "v_prediction", torch.bfloat16
        rows, offload, recompute, _most_rows, device = 0, False, False, 1, torch.device("cpu")
        network = UNet2DConditionModel(
            sample_size=8, block_out_channels=(32, 32), layers_per_block=1, cross_attention_dim=16,
            attention_head_dim=4, norm_num_groups=8,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        ).to(torch.bfloat16).requires_grad_(False)  # fmt: skip

        def __init__(self):
            pass  # loads nothing

        def embed(self, prompts):
            return torch.zeros(len(prompts), 3, 16)

    teacher = Teacher()
    network = LoraNetwork(teacher, rank=2)
    z, t, emb = torch.randn(2, 4, 8, 8), torch.tensor([0.2, 0.6]), torch.randn(2, 3, 16)
    said = teacher.eps(z, t, emb)
    assert torch.equal(network.eps(z, t, emb, torch.ones(2, 16)).detach(), said)
    cond = Conditioning(emb, 0 * emb, plain=emb)
    student = Student(network, lr=1e-2)
    draw = draw_at(DrawSpec(3, 1000, 2, 1, (4, 8, 8), 8), 0)
    student.learn(teacher, ask(teacher, z, cond, draw, None, rule(student)))
    assert all(p.dtype == torch.float32 for p in network.parameters().values())
    assert not torch.equal(network.eps(z, t, emb, torch.ones(2, 16)).detach(), said)


def test_a_network_that_is_not_what_its_scheduler_says(tmp_path):
    folder = tmp_path / "teacher"
    shutil.copytree(resource("assets", "teacher"), folder)
    file = folder / "scheduler" / "scheduler_config.json"
    scheduler = json.loads(file.read_text())
    scheduler["prediction_type"] = "epsilon"  # the shipped network predicts v
    file.write_text(json.dumps(scheduler))
    with pytest.raises(TeacherError, match="does not predict epsilon as its scheduler says"):
        LoraNetwork(EmbeddedTeacher(folder))


def test_a_teacher_without_a_network(gaussian_teacher):
    with pytest.raises(TeacherError, match="GaussianTeacher has none"):
        LoraNetwork(gaussian_teacher)


def test_without_peft_one_line_says_what_to_install(embedded, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    assert "pip install 'score3d[vsd]'" in missing_library()
    with pytest.raises(TeacherError, match="needs the peft library"):
        LoraNetwork(embedded)
    with pytest.raises(ConfigError, match="needs the peft library"):
        build.validate(load_config(None, "vsd", None, {"run": {"prompt": "a red mushroom"}}))


def test_vsd_resumes_bit_for_bit(embedded):
    """Scene, adapters, camera network and both optimisers."""
    config = load_config(
        None, "vsd", ["run.steps=6", "views.count=2", "scene.count=40", "scene.adapt=none"],
        {"run": {"prompt": "a red mushroom"}},
    )  # fmt: skip

    def parts():
        scene = build.build_scene(config, torch.device("cpu"))
        rule = build.build_rule(config, embedded)
        return scene, embedded, PromptBook(embedded, "a red mushroom"), rule, build.build_spec(
            config, embedded
        )  # fmt: skip

    whole = parts()
    expected = [i.grad_norm for i in optimise(*whole)]
    final = whole[0].state_dict() | whole[3].state_dict()
    final = {k: v.clone() for k, v in final.items()}
    first, seen = parts(), []
    for info in optimise(*first):
        seen.append(info.grad_norm)
        if info.step == 2:
            break
    saved = {k: v.clone() for k, v in (first[0].state_dict() | first[3].state_dict()).items()}
    second = parts()
    second[0].load_state_dict(saved)
    second[3].load_state_dict(saved)
    seen += [i.grad_norm for i in optimise(*second, start=3)]
    assert seen == expected
    again = second[0].state_dict() | second[3].state_dict()
    assert final.keys() == again.keys()
    assert all(torch.equal(final[k], again[k]) for k in final)
    with pytest.raises(ValueError, match="no state of the student's"):
        parts()[3].load_state_dict({})
