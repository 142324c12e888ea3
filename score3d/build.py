"""From names to objects: the only file that knows the concrete classes.

One dict per kind; outsiders add to them with entry points in the group `score3d.<kind>`.
"""

from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from score3d.build_prior import imagined, prior_pull
from score3d.build_rewards import geometry_phi, judged
from score3d.config import Config, ConfigError, suggestion
from score3d.distill.baseline import lora
from score3d.distill.baseline.dds import Dds
from score3d.distill.baseline.lora import LoraNetwork
from score3d.distill.baseline.own_noise import own_noise
from score3d.distill.baseline.pds import Pds, pds_time_weight
from score3d.distill.baseline.stein import Stein, silhouette
from score3d.distill.baseline.student import Student
from score3d.distill.consistency.gradient import GradientConsistency
from score3d.distill.consistency.nothing import nothing
from score3d.distill.couple import upgrad as upgrad_module
from score3d.distill.couple.independent import independent
from score3d.distill.couple.svgd import svgd
from score3d.distill.couple.upgrad import upgrad
from score3d.distill.equation import Rule
from score3d.distill.guide.classifier_free import ClassifierFree
from score3d.distill.guide.instruct_pix2pix import InstructPix2Pix
from score3d.distill.guide.perp_neg import PerpNeg
from score3d.distill.guide.source_negative import SourceNegative
from score3d.distill.noise.consistent import Consistent
from score3d.distill.noise.iid import iid
from score3d.distill.time_weight import TIME_WEIGHTS
from score3d.distill.weight.judge_reward import MakeJudge
from score3d.distill.weight.mean import mean
from score3d.distill.weight.reward import STRATEGIES, RewardWeighted
from score3d.draw import DrawSpec
from score3d.files.splats import Splats
from score3d.scenes.adaptation import Adaptation, Gradient, Mcmc
from score3d.scenes.base import Scene
from score3d.scenes.compactness import Compactness
from score3d.scenes.gaussians import GaussianOptions, GaussianScene
from score3d.scenes.image import ImageOptions, ImageScene
from score3d.scenes.mesh import MeshOptions, MeshScene
from score3d.scenes.nerf import NerfOptions, NerfScene
from score3d.scenes.particles import ParticleScene
from score3d.scenes.start import starting_field, starting_splats, starting_tetrahedra
from score3d.teachers.aliases import ALIASES
from score3d.teachers.base import Teacher
from score3d.teachers.checkpoint import Checkpoint
from score3d.teachers.embedded import INSTRUCT, EmbeddedInstructTeacher, EmbeddedTeacher
from score3d.teachers.grid import GRID_VIEWS, GridTeacher
from score3d.teachers.latent import LoadOptions
from score3d.teachers.source import is_checkpoint_name

if TYPE_CHECKING:
    from score3d.teachers.kinds import CheckpointTeacher

__all__ = [
    "asks_grids",
    "build_device",
    "build_edited_scene",
    "build_rule",
    "build_scene",
    "build_spec",
    "build_teacher",
    "find_checkpoint",
    "known",
    "validate",
]

# Slot fillers are made from the distill section: most ignore it.
NOISES: dict[str, Callable[..., Any]] = {
    "iid": lambda d: iid,
    "consistent": lambda d: Consistent(d.noise_slack),
}
GUIDES: dict[str, Callable[..., Any]] = {
    "classifier-free": lambda d: ClassifierFree(d.guidance, d.rescale),
    "perp-neg": lambda d: PerpNeg(d.guidance, d.rescale),
    "source-negative": lambda d: SourceNegative(d.guidance, d.rescale),
    "instruct-pix2pix": lambda d: InstructPix2Pix(d.guidance, d.image_guidance, d.rescale),
}
BASELINES: dict[str, Callable[..., Any]] = {
    "noise": lambda d: own_noise,
    "stein": lambda d: Stein(silhouette, d.stein_decay),
    "dds": lambda d: Dds(_filler("guide", d.guide)(d)),
    "pds": lambda d: Pds(Dds(_filler("guide", d.guide)(d)), d.pds_stride),
    "student": lambda d: _needs_teacher("student"),
}
WEIGHTS: dict[str, Callable[..., Any]] = {"mean": lambda d: mean}
COUPLES: dict[str, Callable[..., Any]] = {
    "none": lambda d: independent,
    "svgd": lambda d: svgd,
    "upgrad": lambda d: upgrad,
}
CONSISTENCIES: dict[str, Callable[..., Any]] = {
    "none": lambda d: nothing,
    "gradient": lambda d: GradientConsistency(d.consistency_weight, d.consistency_tau),
}
# weights that need a reward
REWARDED = {f"reward-{name}": strategy for name, strategy in STRATEGIES.items()}
SLOTS = {
    "noise": NOISES,
    "guide": GUIDES,
    "baseline": BASELINES,
    "weight": {**WEIGHTS, **REWARDED},
    "couple": COUPLES,
    "consistency": CONSISTENCIES,
}

TEACHERS: dict[str, Callable[..., Teacher]] = {
    "embedded": EmbeddedTeacher,
    INSTRUCT: EmbeddedInstructTeacher,
}
ADAPTATIONS: dict[str, type[Adaptation]] = {
    "none": Adaptation,
    "mcmc": Mcmc,
    "gradient": Gradient,
    "compactness": Compactness,
}


def _gaussians(config: Config, device: torch.device, seed: int, teacher: Any) -> Scene:
    options = _gaussian_options(config)
    begin = imagined(config, seed)
    splats, sure = begin or (starting_splats(config.scene.start, config.scene.count), True)
    options = options if sure else options.moving(config.prior.unsure)
    if splats is not None:
        options = replace(options, sh_degree=splats.sh_degree)
    pull = prior_pull(config, seed)
    return _gaussians_with(config, options, device, seed, splats=splats, pull=pull)


def _gaussian_options(config: Config) -> GaussianOptions:
    names = GaussianOptions.__dataclass_fields__
    return GaussianOptions(**{k: v for k, v in config.scene.model_dump().items() if k in names})


def _gaussians_with(
    config: Config, options: GaussianOptions, device: torch.device, seed: int, **what: Any
) -> GaussianScene:
    s = config.scene
    adaptation = _pick(ADAPTATIONS, "adaptation", s.adapt, "score3d.adaptations")(
        every=s.adapt_every,
        start=s.adapt_start,
        stop=round(s.adapt_stop * config.run.steps),
        cap=s.cap,
        min_opacity=s.min_opacity,
    )
    steps, geometry = config.run.steps, config.distill.wants_geometry
    return GaussianScene(options, adaptation, steps, seed, device, geometry=geometry, **what)


def _nerf(config: Config, device: torch.device, seed: int, teacher: Any) -> Scene:
    options = NerfOptions(**config.nerf.model_dump(), bound=config.scene.bound)
    field = starting_field(config.scene.start)
    return NerfScene(options, seed, device, config.distill.wants_geometry, field=field)


def _mesh(config: Config, device: torch.device, seed: int, teacher: Any) -> Scene:
    o = MeshOptions(**config.mesh.model_dump(), bound=config.scene.bound)
    field = starting_tetrahedra(config.scene.start, o.cells, o.bound, o.texture)
    return MeshScene(o, seed, device, config.distill.wants_geometry, field=field)


def _image(config: Config, device: torch.device, seed: int, teacher: Any) -> Scene:
    s = config.scene
    options = ImageOptions(config.views.resolution, s.image_lr, s.image_latents)
    if s.image_latents and teacher is None:
        raise ConfigError("scene.image_latents needs the teacher that the latents are of")
    return ImageScene(
        options,
        seed,
        device,
        teacher.latent_shape if teacher else None,
        teacher.decode if teacher else None,
    )


SCENES: dict[str, Callable[..., Scene]] = {
    "gaussians": _gaussians,
    "nerf": _nerf,
    "mesh": _mesh,
    "image": _image,
}


def known(table: dict[str, Any], group: str) -> list[str]:
    """Names of a kind: ours and those of installed plug-ins."""
    return sorted({*table, *(e.name for e in entry_points(group=group))})


def _pick(table: dict[str, Any], kind: str, name: str, group: str) -> Any:
    if name in table:
        return table[name]
    for entry in entry_points(group=group):
        if entry.name == name:
            return entry.load()  # a plug-in that was named and fails to load must be seen
    raise ConfigError(f"unknown {kind} {name!r}; {suggestion(name, known(table, group))}")


def build_device(name: str) -> torch.device:
    """ "auto" is CUDA if there is one, else the CPU. Raises ConfigError if it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"unknown device {name!r}; known: auto, cpu, cuda, cuda:0") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: no CUDA device is available; use --device cpu")
    return device


def build_teacher(config: Config, device: torch.device) -> Teacher:
    """A named teacher, or the checkpoint that `teacher.name` is an alias, folder or hub id of (a
    folder with a world.json is one trained by `scripts/train_teacher.py` or `train_instruct.py`);
    asked about grids of views if the settings say so. Raises ConfigError, TeacherError."""
    teacher = _build_single(config, device)
    if asks_grids(config, teacher):
        return GridTeacher(teacher)
    return teacher


def _build_single(config: Config, device: torch.device) -> Teacher:
    name = config.teacher.name
    if _is_ours(name):
        kind = EmbeddedInstructTeacher if is_our_twin(name) else EmbeddedTeacher
        return kind(Path(name), device)
    found = find_checkpoint(config, device)
    if found is not None:
        return found.load()
    return _pick({**ALIASES, **TEACHERS}, "teacher", name, "score3d.teachers")(device=device)


def _is_ours(name: str) -> bool:
    return (Path(name) / "world.json").is_file()


def is_our_twin(name: str) -> bool:
    """Whether `teacher.name` is the embedded twin that follows instructions, by name or folder."""
    if not _is_ours(name):
        return name == INSTRUCT
    return "InstructPix2Pix" in str(Checkpoint(Path(name)).index.get("_class_name"))


def asks_grids(config: Config, teacher: Teacher) -> bool:
    """Whether four views are asked about at once. Raises ConfigError if they must and cannot."""
    layout, count, guide = config.views.layout, config.views.count, config.distill.guide
    if layout == "single":
        return False
    obstacle = ""
    if "grid" not in teacher.capabilities:
        obstacle = f"teacher {config.teacher.name!r} was not trained on grids"
    elif count % GRID_VIEWS:
        obstacle = f"views.count={count} is not a multiple of {GRID_VIEWS}"
    elif guide == "perp-neg":
        obstacle = "guide=perp-neg steers single views"
    elif config.distill.pair_angle:
        obstacle = "distill.pair_angle pairs single views"
    elif config.scene.kind == "image":
        obstacle = "scene.kind=image is a single view"
    if obstacle and layout == "grid":
        raise ConfigError(f"views.layout=grid: {obstacle}; use --set views.layout=single")
    return not obstacle


def find_checkpoint(config: Config, device: torch.device) -> "CheckpointTeacher | None":
    """The checkpoint `teacher.name` stands for, found but not loaded; None for a named or
    embedded teacher.
    Raises TeacherError."""
    t = config.teacher
    if _is_ours(t.name):
        return None
    if t.name in known(TEACHERS, "score3d.teachers") or not is_checkpoint_name(t.name):
        return None
    from score3d.teachers.kinds import CheckpointTeacher

    section = t.model_dump()
    options = LoadOptions(**{k: v for k, v in section.items() if k in LoadOptions.__match_args__})
    rest = {k: v for k, v in section.items() if k not in LoadOptions.__match_args__}
    return CheckpointTeacher(device=device, options=options, **rest)


def build_rule(
    config: Config, teacher: Teacher | None = None, judge: MakeJudge | None = None
) -> Rule:
    """The row of the table of methods that the distill section spells out.

    teacher, judge: for the weights that reward what the judge recognises; `judge` makes one (the
    class `Judge`) and is called for no other. Raises ConfigError.
    """
    d = config.distill
    fillers = {slot: _filler(slot, getattr(d, slot)) for slot in SLOTS}
    if d.weight in REWARDED:
        reward, guide = (
            judged(config, teacher, judge, build_device(config.run.device)),
            fillers["guide"](d),
        )
        strategy = REWARDED[d.weight]
        joint = getattr(teacher, "group", 1)
        fillers["weight"] = lambda d: RewardWeighted(strategy, reward, guide, d.reward_steps, joint)
    if d.baseline == "student" and teacher is not None:
        network = LoraNetwork(teacher, d.student_rank, config.run.seed)
        fillers["baseline"] = lambda d: Student(network, d.student_lr, d.student_fits)
    if d.baseline == "stein" and d.stein_phi != "silhouette" and teacher is not None:
        phi = geometry_phi(config, teacher, build_device(config.run.device))
        fillers["baseline"] = lambda d: Stein(phi, d.stein_decay)
    fillers = {slot: make(d) for slot, make in fillers.items()}
    return Rule(**fillers, time_weight=_time_weight(config))


def _needs_teacher(name: str) -> Any:
    raise ConfigError(f"baseline {name!r} is part of the teacher's network and needs a teacher")


def _filler(slot: str, name: str) -> Any:
    return _pick(SLOTS[slot], slot, name, f"score3d.{slot}")


def _time_weight(config: Config) -> Any:
    name = config.distill.time_weight
    table = {**TIME_WEIGHTS, "pds": pds_time_weight(config.distill.pds_stride)}
    return _pick(table, "time weight", name, "score3d.time_weight")


def build_scene(config: Config, device: torch.device, teacher: Teacher | None = None) -> Scene:
    """A fresh scene of `scene.kind`, or as many as there are particles, each from a seed of its
    own. teacher: for scenes that hold its latents. Raises ConfigError."""
    make = _pick(SCENES, "scene", config.scene.kind, "score3d.scenes")
    n, seed = config.run.particles, config.run.seed
    scenes = [make(config, device, seed + 1000003 * i, teacher) for i in range(n)]
    return scenes[0] if n == 1 else ParticleScene(scenes)


def build_edited_scene(
    config: Config, splats: Splats, device: torch.device, frozen: torch.Tensor | None = None
) -> GaussianScene:
    """The scene that `splats` are, to be changed where `frozen` [N] is not set. It keeps its SH
    degree, and no bound of the settings touches what is there already."""
    options = _gaussian_options(config).around(splats)
    return _gaussians_with(config, options, device, config.run.seed, splats=splats, frozen=frozen)


def _requirements(config: Config, source: bool) -> None:
    """What the chosen fillers need and this run has not."""
    d = config.distill
    edits = [
        f"{slot} {name!r}"
        for slot, name in (("baseline", d.baseline), ("guide", d.guide))
        if name in ("dds", "pds", "instruct-pix2pix", "source-negative")
    ]
    if d.targets:
        edits.append("a dataset update (distill.targets)")
    if edits and not source:
        raise ConfigError(
            f"{edits[0]} edits something that exists, and this run starts from nothing; choose "
            "another --loss (see `score3d losses`)"
        )
    if config.prior.weight and (config.scene.kind != "gaussians" or source):
        raise ConfigError("prior.weight pulls the Gaussians of `score3d generate` alone")
    missing = lora.missing_library() if d.baseline == "student" else ""
    missing = missing or (upgrad_module.missing_library() if d.couple == "upgrad" else "")
    if missing:
        raise ConfigError(missing)
    if d.weight in REWARDED and config.teacher.name != "embedded":
        judged(config, None, None, build_device(config.run.device))
    if d.consistency != "none" and not d.pair_angle:
        raise ConfigError(
            f"consistency {d.consistency!r} compares pairs of views: set distill.pair_angle, "
            "like --set distill.pair_angle=10"
        )


def validate(config: Config, source: bool = False) -> None:
    """Raise ConfigError for a name nobody knows, and for what the named things need and lack,
    before anything is loaded or written. source: whether the run has something to edit."""
    build_device(config.run.device)
    for slot in SLOTS:
        _filler(slot, getattr(config.distill, slot))
    _time_weight(config)
    if not is_checkpoint_name(config.teacher.name):
        _pick({**ALIASES, **TEACHERS}, "teacher", config.teacher.name, "score3d.teachers")
    _pick(SCENES, "scene", config.scene.kind, "score3d.scenes")
    _pick(ADAPTATIONS, "adaptation", config.scene.adapt, "score3d.adaptations")
    _requirements(config, source)


def build_spec(config: Config, teacher: Teacher) -> DrawSpec:
    """What the loop's draws need to know."""
    d, v = config.distill, config.views
    group = getattr(teacher, "group", 1)  # a multi-view teacher's views belong together
    return DrawSpec(
        seed=config.run.seed,
        steps=config.run.steps,
        views=v.count,
        noises=d.noises_per_view,
        latent_shape=teacher.latent_shape,
        resolution=v.resolution,
        elevation=v.elevation,
        distance=v.distance,
        fov=v.fov,
        t_min=d.t_min,
        t_max=d.t_max,
        t_max_end=d.t_max_end,
        anneal=d.anneal,
        background=v.background,
        shared_t=d.shared_t,
        growth=v.growth,
        ring=max(v.ring, group),
        particles=config.run.particles,
        pair_angle=d.pair_angle,
        from_front=config.scene.kind == "image",
    )
