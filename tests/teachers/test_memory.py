"""Memory: what is promised before loading, what is dropped, and what happens when it runs out."""

import weakref

import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from score3d.loop import optimise_in_memory
from score3d.teachers.kinds import CheckpointTeacher
from score3d.teachers.latent import LatentTeacher, LoadOptions
from score3d.teachers.memory import ENCODER_WORK, NETWORK_WORK, Estimate

CPU = torch.device("cpu")


@pytest.fixture
def found(checkpoints, tmp_path, monkeypatch):
    monkeypatch.setenv("SCORE3D_CACHE", str(tmp_path / "cache"))

    def make(kind="sd-eps", **settings):
        return CheckpointTeacher(str(checkpoints(kind).folder), CPU, **settings)

    return make


def test_the_second_teacher_needs_no_text_encoder(found, monkeypatch):
    first = found().load()
    prompts = ["a red cube", "", "a red cube, side view"]
    expected = first.embed(prompts)
    assert (first.cache.hits, first.cache.misses) == (0, 3)
    second = found().load()
    monkeypatch.setattr(LatentTeacher, "text", lambda self, part: pytest.fail("loaded"))
    assert torch.equal(second.embed(prompts), expected)
    assert (second.cache.hits, second.cache.misses) == (3, 0)


def test_other_weights_precision_or_prompt_are_other_entries(found, checkpoints):
    teacher = found().load()
    same = found().load()
    half = found(dtype="bfloat16").load()
    xl = found("sdxl").load()
    paths = {t.cache.path("a") for t in (teacher, half, xl)} | {teacher.cache.path("b")}
    assert len(paths) == 4
    assert same.cache.path("a") == teacher.cache.path("a")


def test_changed_weights_change_the_key(found, checkpoints, tmp_path):
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(checkpoints("sd-eps").folder, folder)
    before = CheckpointTeacher(str(folder), CPU).load().cache.path("a")
    file = folder / "text_encoder" / "model.safetensors"
    body = bytearray(file.read_bytes())
    body[-1] ^= 1
    file.write_bytes(bytes(body))
    assert CheckpointTeacher(str(folder), CPU).load().cache.path("a") != before


def test_a_damaged_or_unwritable_cache_is_no_failure(found, tmp_path, monkeypatch):
    teacher = found().load()
    expected = teacher.embed(["a"])
    teacher.cache.path("a").write_bytes(b"rubbish")
    assert torch.equal(teacher.embed(["a"]), expected)
    monkeypatch.setenv("SCORE3D_CACHE", "/proc/nowhere")
    assert torch.equal(found().load().embed(["a"]), expected)


def test_text_encoders_are_dropped_and_come_back(found):
    teacher = found("sdxl", cache_prompts=False).load()
    expected = teacher.embed(["a red cube"])
    encoder = weakref.ref(teacher.text("text_encoder_2"))
    teacher.release_text()
    assert encoder() is None
    assert torch.equal(teacher.embed(["a red cube"]), expected)


def test_generate_drops_them_and_reports_the_cache(checkpoints, tmp_path, monkeypatch):
    import json

    from score3d.config import load_config
    from score3d.generate import Phase, generate
    from score3d.runs.folder import RunFolder

    monkeypatch.setenv("SCORE3D_CACHE", str(tmp_path / "cache"))
    teachers = []
    release = LatentTeacher.release_text
    monkeypatch.setattr(
        LatentTeacher, "release_text", lambda self: (teachers.append(self), release(self))
    )
    small = ["run.steps=2", "scene.count=30", "views.resolution=16", "output.turntable_views=2",
             "output.picture_size=32", "output.mesh_resolution=16"]  # fmt: skip
    options = {"run": {"prompt": "a cube"}, "teacher": {"name": str(checkpoints("sd-v").folder)}}
    config = load_config("draft", "sds", small, options)
    for name, expected in (("a", {"hits": 0, "misses": 6}), ("b", {"hits": 6, "misses": 0})):
        with RunFolder.create(tmp_path / name) as folder:
            events = list(generate(config, folder))
        notes = [e.note for e in events if isinstance(e, Phase) and e.name == "load"]
        assert any("memory: about" in n for n in notes)
        assert teachers[-1]._text == {}
        summary = json.loads((tmp_path / name / "summary.json").read_text())
        assert summary["prompt_cache"] == expected  # "", the prompt, and four sides of it


# Out of memory


class Prompts:
    def __init__(self, teacher):
        self.emb, self.empty = teacher.embed(["a red cube"]), teacher.embed([""])

    def at(self, views, opposites=False):
        from score3d.prompts import Conditioning

        n = len(views)
        return Conditioning(self.emb.expand(n, -1, -1), self.empty.expand(n, -1, -1))


def run(teacher, steps=4, told=lambda note: None):
    from score3d import build
    from score3d.config import load_config

    config = load_config(
        "draft", "sds",
        [f"run.steps={steps}", "views.resolution=16", "views.count=4", "scene.count=40"],
    )  # fmt: skip
    scene = build.build_scene(config, CPU)
    rule, spec = build.build_rule(config), build.build_spec(config, teacher)
    infos = list(optimise_in_memory(scene, teacher, Prompts(teacher), rule, spec, told=told))
    return scene, infos


def short_of_memory(teacher, rows):
    """A teacher whose device holds `rows` rows of a pass and no more."""
    predict = teacher._predict

    def limited(z_t, *rest):
        if len(z_t) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return predict(z_t, *rest)

    teacher._predict = limited
    return teacher


def test_out_of_memory_halves_logs_and_continues(found):
    """Eight rows a pass (four views, two branches), a device for two: 8, 4, 2. The step that
    failed is taken again with its own random numbers, so the run equals one with memory."""
    notes = []
    scene, infos = run(short_of_memory(found().load(), 2), told=notes.append)
    plain, plain_infos = run(found().load())
    assert [i.step for i in infos] == [0, 1, 2, 3]
    assert [n.split(";")[0] for n in notes] == ["step 0: out of memory"] * 2
    assert "4 rows per pass" in notes[0]
    assert "2 rows per pass" in notes[1]
    for a, b in zip(infos, plain_infos, strict=True):
        assert abs(a.grad_norm - b.grad_norm) <= 1e-3 * b.grad_norm
    for name, p in plain.parameters().items():
        if name == "quats":  # of round Gaussians: their gradient is nothing but rounding
            continue
        # Adam divides by the gradient's size: float32 rounding of another batch size shows a little
        assert torch.allclose(scene.parameters()[name], p, atol=1e-2), name


def test_out_of_memory_for_a_single_row_is_one_line(found):
    with pytest.raises(RuntimeError, match=r"step 0: out of memory \(CUDA out.*views.count=1") as e:
        run(short_of_memory(found().load(), 0))
    assert "\n" not in str(e.value)


def test_multi_view_is_halved_down_to_its_four_views(found):
    teacher = found("multi-view").load()
    teacher._most_rows = 16
    assert "8 rows" in teacher.use_less_memory()
    assert "4 rows" in teacher.use_less_memory()
    assert teacher.use_less_memory() == ""


# The estimate


def test_weights_are_counted_exactly(found):
    for kind in ("sd-eps", "sdxl", "ip2p", "multi-view", "flow"):
        made = found(kind)
        estimate, teacher = made.estimate(4), made.load()
        numbers = lambda m: sum(v.numel() for v in m.state_dict().values())  # noqa: E731
        assert estimate.network == 4 * numbers(teacher.network), kind
        assert estimate.encoder == 4 * numbers(teacher.vae), kind
        texts = [teacher.text(p) for p in teacher.text_parts if p.startswith("text")]
        # tied weights are stored once
        assert 0 <= 4 * sum(map(numbers, texts)) - estimate.text <= 0.1 * estimate.text, kind


def test_the_line_warns_when_memory_is_short(monkeypatch):
    import score3d.teachers.memory as memory

    estimate = Estimate(2 * 1024**3, 1024**3, 1024**3, 1024**3, offload=False)
    assert estimate.line(CPU).startswith("about 4.0 GiB on cpu (network 2.0, autoencoder 1.0")
    monkeypatch.setattr(memory, "free_memory", lambda device: 3 * 1024**3)
    assert "3.0 are free: expect trouble; --low-vram" in estimate.line(CPU)


class Alive(TorchDispatchMode):
    """Counts the numbers of all tensors alive but `weights`, and the most there were at a time."""

    def __init__(self, weights):
        super().__init__()
        self.peak = 0
        self.sizes = {
            w.untyped_storage()._cdata: (StorageWeakRef(w.untyped_storage()), 0) for w in weights
        }

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        self.sizes = {k: v for k, v in self.sizes.items() if not v[0].expired()}
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                size = storage.nbytes() // tensor.element_size()
                self.sizes.setdefault(storage._cdata, (StorageWeakRef(storage), size))
        self.peak = max(self.peak, sum(size for _, size in self.sizes.values()))
        return out


SD = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
XL = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}


def network_work(config, rows=2):
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        network = UNet2DConditionModel(**config)
        side = config["sample_size"]
        z, emb = (
            torch.empty(rows, 4, side, side),
            torch.empty(rows, 77, config["cross_attention_dim"]),
        )
        extra = {}
        if "addition_embed_type" in config:
            extra = {"text_embeds": torch.empty(rows, 1280), "time_ids": torch.empty(rows, 6)}
        with torch.no_grad(), Alive(network.parameters()) as alive:
            network(z, torch.empty(rows), emb, added_cond_kwargs=extra)
    return alive.peak / rows / side**2 / config["block_out_channels"][0]


def encoder_work(side=512):
    from diffusers import AutoencoderKL

    with torch.device("meta"):
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
        ).requires_grad_(False)
        rgb = torch.empty(1, 3, side, side, requires_grad=True)
        with Alive(vae.parameters()) as alive:
            z = vae.encode(rgb).latent_dist.mode()
            z.backward(torch.empty_like(z))
    return alive.peak / side**2 / 128


@pytest.fixture
def fused_attention(monkeypatch):
    """On the meta device attention writes out its whole matrix; fused kernels do not."""

    def attention(q, k, v, *args, **kwargs):
        return q * 1.0

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", attention)


@pytest.mark.usefixtures("fused_attention")
def test_working_memory_of_full_size_networks():
    """The factors of `memory.py`, counted on the meta device. Within a third: the estimate is for
    a decision, and allocators round."""
    measured = {"SD 1.5": network_work(SD), "SDXL": network_work(XL)}
    for name, value in measured.items():
        assert 0.67 <= NETWORK_WORK / value <= 1.5, (name, measured)
    value = encoder_work()
    assert 0.67 <= ENCODER_WORK / value <= 1.5, value


# Latent space first


def test_the_shortcut_is_the_best_affine_map_of_colours(found):
    """For a linear encoder that averages patches the shortcut is the encoder itself."""
    teacher = found("sd-eps", options=LoadOptions(latent_until=0.3)).load()
    weight = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    bias = torch.randn(4, generator=torch.Generator().manual_seed(1))

    def linear(rgb):
        small = torch.nn.functional.interpolate(rgb, (8, 8), mode="area")
        return torch.einsum("oc,bchw->bohw", weight, small) + bias[:, None, None]

    teacher._encode = linear
    rgb = torch.rand(2, 3, 16, 16, requires_grad=True)
    z = teacher.encode_shortcut(rgb)
    assert torch.allclose(z, linear(rgb), atol=1e-4)
    z.sum().backward()
    assert rgb.grad.abs().sum() > 0


def test_the_shortcut_ends_with_its_share_of_the_run(found):
    from score3d.cameras import turntable
    from score3d.teachers.base import at_step

    teacher = found("sd-eps", options=LoadOptions(latent_until=0.3)).load()
    rgb = torch.rand(1, 3, 8, 8)
    early, late = (at_step(teacher, turntable(1, 8), 1, p) for p in (0.29, 0.3))
    assert torch.equal(early.encode(rgb), teacher.encode_shortcut(rgb))
    assert torch.equal(late.encode(rgb), teacher.encode(rgb))
    assert not torch.allclose(early.encode(rgb), late.encode(rgb))
    assert early.resolution == teacher.resolution
    emb, t = teacher.embed(["a"]), torch.tensor([0.5])
    z_t = torch.randn(1, 4, 8, 8)
    assert torch.equal(early.eps(z_t, t, emb), teacher.eps(z_t, t, emb))
