"""Every kind of teacher against diffusers' own pipeline of the same checkpoint.

The pipeline is run whole, for one step; what it hands to its scheduler is its own answer: its
tokenisation, text encoders, guidance and network. Tolerance 1e-5: float32 sums of some thousand
terms of order 1, in another batch order.
"""

import pytest
import torch

from score3d.build import build_teacher
from score3d.cameras import orbit
from score3d.config import load_config
from score3d.distill.guide.classifier_free import ClassifierFree
from score3d.distill.guide.instruct_pix2pix import InstructPix2Pix
from score3d.prompts import Conditioning
from score3d.teachers.base import at_step
from score3d.teachers.multi_view import camera_numbers

CLOSE = 1e-5
KINDS = ["sd-eps", "sd-v", "sd-x0", "sdxl", "ip2p", "multi-view", "flow"]
PLAIN = ["sd-eps", "sd-v", "sd-x0", "sdxl", "flow"]


@pytest.fixture
def teacher_of(checkpoints, tmp_path, monkeypatch):
    """The way of the command line: a config, then `build_teacher`."""
    monkeypatch.setenv("SCORE3D_CACHE", str(tmp_path / "cache"))

    def make(kind, *settings):
        made = checkpoints(kind)
        options = {"teacher": {"name": str(made.folder)}}
        config = load_config("draft", "sds", list(settings), options)
        return build_teacher(config, torch.device("cpu")), made.pipeline

    return make


def answers(pipeline, z_t, prompt, guidance, **inputs):
    """What the pipeline gives its scheduler in two steps, at high noise and at low: a list of
    (prediction, timestep, noisy latents)."""
    flow = "FlowMatch" in type(pipeline.scheduler).__name__
    steps = {"sigmas": [0.8, 0.2]} if flow else {"num_inference_steps": 2}
    seen = []
    scheduler = pipeline.scheduler
    step = scheduler.step

    def record(out, timestep, sample, *args, **kwargs):
        seen.append((out.clone(), timestep, sample.clone()))
        return step(out, timestep, sample, *args, **kwargs)

    scheduler.step = record
    try:
        pipeline(
            prompt=prompt,
            **steps,
            guidance_scale=guidance,
            latents=z_t.clone(),
            output_type="latent",
            **inputs,
        )
    finally:
        del scheduler.step
    assert torch.equal(seen[0][2], z_t)
    assert len(seen) == 2
    return seen


def as_noise(pipeline, out, timestep, z_t):
    """The pipeline's prediction as noise, by its scheduler's own rule for the clean latents."""
    scheduler = pipeline.scheduler
    if "FlowMatch" in type(scheduler).__name__:
        sigma = float(timestep) / scheduler.config.num_train_timesteps
        clean = z_t - sigma * out  # as FlowMatchEulerDiscreteScheduler.step with sigma_next = 0
        return (z_t - (1 - sigma) * clean) / sigma
    clean = scheduler.step(out.double(), int(timestep), z_t.double()).pred_original_sample
    bar = scheduler.alphas_cumprod[int(timestep)].double()
    return ((z_t - bar.sqrt() * clean) / (1 - bar).sqrt()).float()


def time_of(pipeline, timestep):
    count = pipeline.scheduler.config.num_train_timesteps
    if "FlowMatch" in type(pipeline.scheduler).__name__:
        return torch.tensor([float(timestep) / count])
    return torch.tensor([(int(timestep) + 0.5) / count])


@pytest.mark.parametrize("guidance", [0.0, 1.0, 7.5])
@pytest.mark.parametrize("kind", PLAIN)
def test_noise_and_guidance_equal_the_pipelines(teacher_of, kind, guidance):
    teacher, pipeline = teacher_of(kind)
    z_t = torch.randn(1, *teacher.latent_shape, generator=torch.Generator().manual_seed(1))
    size = {"height": teacher.resolution, "width": teacher.resolution}
    negative = teacher.embed([""])
    # diffusers guides above 1 only; 0 is the unconditional model, which it calls by its prompt
    prompt = "" if guidance == 0 else "a red cube"
    if kind == "sdxl" and guidance == 0:  # ... and which SDXL replaces by zeros
        width = negative.shape[-1]
        size["prompt_embeds"] = torch.zeros(1, 8, width)
        size["pooled_prompt_embeds"] = torch.zeros(1, 12)
        prompt = None
    cond = Conditioning(teacher.embed(["a red cube"]), negative)
    for out, timestep, z in answers(pipeline, z_t, prompt, max(guidance, 1.0), **size):
        expected = as_noise(pipeline, out, timestep, z)
        t = time_of(pipeline, timestep)
        ours = ClassifierFree(guidance)(teacher, z, t, cond)
        assert ours.dtype == torch.float32
        assert (ours - expected).abs().max() <= CLOSE * max(1.0, float(expected.abs().max()))
        if guidance != 1:  # or the comparison would say nothing about the text
            plain = ClassifierFree(1.0)(teacher, z, t, cond)
            assert (ours - plain).abs().max() > 100 * CLOSE


@pytest.mark.parametrize(("text", "picture"), [(7.5, 1.5), (1.01, 1.0), (7.5, 5.0)])
def test_instruct_pix2pix_equals_the_pipeline(teacher_of, text, picture):
    teacher, pipeline = teacher_of("ip2p")
    generator = torch.Generator().manual_seed(2)
    rgb = torch.rand(1, 3, 16, 16, generator=generator)
    z_t = torch.randn(1, 4, 8, 8, generator=generator)
    cond = Conditioning(
        teacher.embed(["a red cube"]), teacher.embed([""]), image=teacher.condition(rgb)
    )
    inputs = {"image": rgb, "image_guidance_scale": picture}
    for out, timestep, z in answers(pipeline, z_t, "a red cube", text, **inputs):
        t = time_of(pipeline, timestep)
        ours = InstructPix2Pix(text, picture)(teacher, z, t, cond)
        assert (ours - out).abs().max() <= CLOSE * max(1.0, float(out.abs().max()))
        without = InstructPix2Pix(text, 0.0)(teacher, z, t, cond)
        assert (out - without).abs().max() > 100 * CLOSE


def test_instruct_pix2pix_needs_its_picture(teacher_of):
    teacher, _ = teacher_of("ip2p")
    with pytest.raises(ValueError, match="was given none"):
        teacher.eps(torch.randn(1, 4, 8, 8), torch.tensor([0.5]), teacher.embed(["a"]))


def four_views(elevation=(10.0,)):
    e = torch.tensor(elevation).repeat_interleave(4)
    azimuth = torch.tensor([20.0, 110.0, 200.0, 290.0]).repeat(len(elevation))
    return orbit(azimuth, e, 2.0, 40.0, 8, 8)


def alone(pipeline, z_t, step, emb, camera):
    """Four views by diffusers' network, with its plain self-attention replaced by a hand-written
    one over all tokens, in place of the processor under test."""

    def joint(attn, hidden_states, encoder_hidden_states=None, **kwargs):
        if encoder_hidden_states is not None:
            return ours[id(attn)](attn, hidden_states, encoder_hidden_states, **kwargs)
        m, length, channels = hidden_states.shape
        x = hidden_states.double().reshape(m // 4, 4 * length, channels)
        q, k, v = (x @ w.weight.double().T for w in (attn.to_q, attn.to_k, attn.to_v))
        h = attn.heads
        q, k, v = (y.view(*y.shape[:2], h, -1).transpose(1, 2) for y in (q, k, v))
        a = ((q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5).softmax(-1)
        y = (a @ v).transpose(1, 2).reshape(m // 4, 4 * length, -1)
        y = y @ attn.to_out[0].weight.double().T + attn.to_out[0].bias.double()
        return y.reshape(m, length, channels).to(hidden_states)

    network = pipeline.unet
    modules = dict(network.named_modules())
    before = network.attn_processors
    ours = {id(modules[k.removesuffix(".processor")]): p for k, p in before.items()}

    class Joint:
        def __call__(self, *args, **kwargs):
            return joint(*args, **kwargs)

    network.set_attn_processor({k: Joint() for k in before})
    try:
        with torch.no_grad():
            return network(z_t, step, emb, class_labels=camera).sample
    finally:
        network.set_attn_processor(before)


def test_multi_view_is_the_network_with_attention_over_four_views(teacher_of):
    teacher, pipeline = teacher_of("multi-view")
    views = four_views()
    z_t = torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    emb = teacher.embed(["a red cube"]).expand(4, -1, -1)
    camera = camera_numbers(views)
    expected = alone(pipeline, z_t, 500, emb, camera)
    ours = teacher.eps(z_t, torch.full((4,), 0.5005), emb, camera=camera)
    assert (ours - expected).abs().max() <= CLOSE * max(1.0, float(expected.abs().max()))
    # and the views do look at each other
    changed = z_t.clone()
    changed[3] += 1
    moved = teacher.eps(changed, torch.full((4,), 0.5005), emb, camera=camera) - ours
    assert moved[0].abs().max() > 1e-3
    assert (
        ours - teacher.eps(z_t, torch.full((4,), 0.5005), emb, camera=camera.flip(0))
    ).abs().max() > 1e-3


@pytest.mark.parametrize("guidance", [0.0, 1.0, 7.5])
@pytest.mark.parametrize("samples", [1, 3])
def test_multi_view_puts_rows_in_groups_whatever_the_rule(teacher_of, guidance, samples):
    """Two rings of four views, S noises: each (ring, noise) is a set of its own, and guidance on
    each set alone gives the same."""
    teacher, _ = teacher_of("multi-view")
    views = four_views((0.0, 30.0))
    generator = torch.Generator().manual_seed(4)
    z_t = torch.randn(8 * samples, 4, 8, 8, generator=generator)
    emb, empty = teacher.embed(["a red cube"]), teacher.embed([""])
    cond = Conditioning(emb.expand(8, -1, -1), empty.expand(8, -1, -1)).repeat(samples)
    t = torch.full((8 * samples,), 0.4005)
    seen = at_step(teacher, views, samples, 0.5)
    ours = ClassifierFree(guidance)(seen, z_t, t, cond).view(8, samples, 4, 8, 8)
    camera = camera_numbers(views)
    for ring in range(2):
        for s in range(samples):
            rows = slice(4 * ring, 4 * ring + 4)
            z = z_t.view(8, samples, 4, 8, 8)[rows, s]
            e_c = teacher.eps(z, t[:4], emb.expand(4, -1, -1), camera=camera[rows])
            e_u = teacher.eps(z, t[:4], empty.expand(4, -1, -1), camera=camera[rows])
            expected = e_u + guidance * (e_c - e_u)
            scale = max(1.0, float(expected.abs().max()))
            assert (ours[rows, s] - expected).abs().max() <= CLOSE * scale


def test_camera_numbers_against_a_look_at_matrix():
    """Written the long way: where the camera stands, where it looks, in Blender's z-up world."""
    views = orbit(torch.tensor([0.0, 90.0, 37.0]), torch.tensor([0.0, 0.0, 25.0]), 3.0, 40.0, 8, 8)
    numbers = camera_numbers(views).view(3, 4, 4).double()
    for row, a, e in zip(numbers, (0.0, 90.0, 37.0), (0.0, 0.0, 25.0), strict=True):
        a, e = torch.tensor([a, e], dtype=torch.float64).deg2rad()
        # azimuth 0 stands in front, on Blender's -y; 90 degrees on +x
        position = torch.stack([e.cos() * a.sin(), -e.cos() * a.cos(), e.sin()])
        backward = position / position.norm()
        up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
        right = torch.linalg.cross(up, backward)
        right = right / right.norm()
        expected = torch.eye(4, dtype=torch.float64)
        expected[:3, 0], expected[:3, 1] = right, torch.linalg.cross(backward, right)
        expected[:3, 2], expected[:3, 3] = backward, position
        assert torch.allclose(row, expected, atol=1e-6)


def test_multi_view_refuses_what_it_cannot_group(teacher_of):
    teacher, _ = teacher_of("multi-view")
    emb, t = teacher.embed(["a"]), torch.tensor([0.5])
    with pytest.raises(ValueError, match="no cameras"):
        teacher.eps(torch.randn(1, 4, 8, 8), t, emb)
    with pytest.raises(ValueError, match=r"in fours, got 1"):
        teacher.eps(torch.randn(1, 4, 8, 8), t, emb, camera=torch.zeros(1, 16))
    six = orbit(torch.arange(6.0), torch.zeros(6), 2.0, 40.0, 8, 8)
    with pytest.raises(ValueError, match=r"views.count to a multiple of 4"):
        at_step(teacher, six, 1, 0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_equal_the_pipelines(teacher_of, kind):
    teacher, pipeline = teacher_of(kind)
    if kind == "ip2p":
        expected = pipeline._encode_prompt("a red cube", "cpu", 1, False)
        assert torch.allclose(teacher.embed(["a red cube"]), expected, atol=1e-6)
        return
    found = pipeline.encode_prompt(
        *["a red cube"] * (3 if kind == "flow" else 1), device="cpu",
        num_images_per_prompt=1, do_classifier_free_guidance=False,
    )  # fmt: skip
    ours = teacher.embed(["a red cube"])
    rows = found[0].shape[1]
    assert torch.allclose(ours[:, :rows], found[0], atol=CLOSE)
    if kind in ("sdxl", "flow"):
        pooled = found[2]
        assert torch.allclose(ours[:, rows, : pooled.shape[1]], pooled, atol=1e-6)
        assert (ours[:, rows, pooled.shape[1] :] == 0).all()
        assert ours.shape[1] == rows + 1


@pytest.mark.parametrize("kind", KINDS)
def test_encoder_and_decoder_equal_the_pipelines(teacher_of, kind):
    teacher, pipeline = teacher_of(kind)
    vae, config = pipeline.vae, pipeline.vae.config
    shift = config.shift_factor or 0.0
    rgb = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(5), requires_grad=True)
    z = teacher.encode(rgb)
    modes = vae.encode(2 * rgb - 1).latent_dist.mode()
    assert torch.allclose(z, (modes - shift) * config.scaling_factor, atol=1e-6)
    z.square().sum().backward()
    assert rgb.grad.abs().sum() > 0
    assert all(p.grad is None for p in teacher.vae.parameters())
    with torch.no_grad():
        out = vae.decode(z / config.scaling_factor + shift).sample
    expected = pipeline.image_processor.postprocess(out, output_type="pt")
    assert torch.allclose(teacher.decode(z.detach()), expected, atol=1e-6)
    if kind == "ip2p":
        assert torch.allclose(teacher.condition(rgb), modes, atol=1e-6)


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "flow"])
def test_schedule_equals_alphas_cumprod(teacher_of, kind):
    teacher, pipeline = teacher_of(kind)
    bars = pipeline.scheduler.alphas_cumprod.double()
    assert torch.equal(teacher.schedule.alphas_cumprod, bars)
    t = (torch.arange(1000) + 0.5) / 1000
    alpha, sigma = teacher.schedule.alpha_sigma(t, torch.zeros(1000, 1, 1, 1, dtype=torch.float64))
    assert torch.equal(alpha.flatten(), bars.sqrt())
    assert torch.equal(sigma.flatten(), (1 - bars).sqrt())


def test_flow_schedule_equals_the_schedulers(teacher_of):
    """diffusers' forward process at its own sigmas and timesteps."""
    teacher, pipeline = teacher_of("flow")
    scheduler = pipeline.scheduler
    scheduler.set_timesteps(20)
    z, eps = torch.randn(2, 1, 6, 8, 8, generator=torch.Generator().manual_seed(6))
    for timestep in scheduler.timesteps:
        noisy = scheduler.scale_noise(z, timestep[None], eps)
        t = timestep[None] / 1000
        alpha, sigma = teacher.schedule.alpha_sigma(t, z)
        assert torch.allclose(alpha * z + sigma * eps, noisy, atol=1e-6)
        assert torch.allclose(teacher.schedule.timesteps(t), timestep[None])


def test_flow_score_of_gaussian_data_is_exact(teacher_of):
    """With the exact velocity of N(m, s^2) data the recovered noise is the exact one:
    E[eps | z_t] = sigma (z_t - alpha m) / (alpha^2 s^2 + sigma^2)."""
    teacher, _ = teacher_of("flow")
    m, s = 0.7, 0.4
    z_t = torch.randn(3, 6, 8, 8, dtype=torch.float64)
    t = torch.tensor([0.1, 0.5, 0.93], dtype=torch.float64)
    alpha, sigma = teacher.schedule.alpha_sigma(t, z_t)
    variance = alpha**2 * s**2 + sigma**2
    noise = sigma * (z_t - alpha * m) / variance
    clean = m + alpha * s**2 * (z_t - alpha * m) / variance
    assert torch.allclose(teacher._noise(noise - clean, z_t, t), noise, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_low_memory_changes_nothing(teacher_of, kind, monkeypatch):
    """Passes of one row, slices, recomputation: same numbers, same gradient (float32 rounding)."""
    plain, _ = teacher_of(kind)
    spare, _ = teacher_of(kind, "teacher.low_vram=true")
    assert (spare.rows, spare.recompute, spare.offload) == (1, True, True)
    generator = torch.Generator().manual_seed(7)
    z_t = torch.randn(4, *plain.latent_shape, generator=generator)
    t, emb = torch.full((4,), 0.6005), plain.embed(["a red cube"]).expand(4, -1, -1)
    extra = {"image": z_t.flip(0)} if kind == "ip2p" else {}
    if kind == "multi-view":
        extra = {"camera": camera_numbers(four_views())}
    a, b = plain.eps(z_t, t, emb, **extra), spare.eps(z_t, t, emb, **extra)
    assert (a - b).abs().max() <= CLOSE * max(1.0, float(a.abs().max()))
    rgb = torch.rand(3, 3, 24, 24, generator=generator)
    gradients = []
    for teacher in (plain, spare):
        x = rgb.clone().requires_grad_()
        teacher.encode(x).square().sum().backward()
        gradients.append(x.grad)
    scale = float(gradients[0].abs().max())
    assert (gradients[0] - gradients[1]).abs().max() <= CLOSE * scale
    assert torch.allclose(plain.decode(z_t), spare.decode(z_t), atol=1e-5)
