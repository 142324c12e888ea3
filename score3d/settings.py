"""The settings of a run: what there is to set, typed and frozen. `score3d.config` reads them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, model_validator

__all__ = ["Config"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Run(_Section):
    prompt: str = ""
    negative: str = ""
    seed: int = Field(default=0, ge=0)
    steps: int = Field(default=300, ge=1)
    particles: int = Field(default=1, ge=1, le=64)
    device: str = "auto"
    preview_every: int = Field(default=50, ge=1)
    checkpoint_every: int = Field(default=100, ge=1)


class TeacherSection(_Section):
    """All but `name` is for checkpoints in diffusers layout, and named as diffusers names it."""

    name: str = "embedded"
    revision: str = ""
    variant: str = "auto"
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    local_files_only: bool = False
    allow_pickle: bool = False
    cache_prompts: bool = True
    prediction: str = ""
    resolution: int = Field(default=0, ge=0, le=4096)
    low_vram: bool = False
    rows: int = Field(default=0, ge=0)
    recompute: bool = False
    offload: bool = False
    slicing: bool = False
    latent_until: float = Field(default=0.0, ge=0, le=1)


class RewardSection(_Section):
    """What the reward-* weights ask: "judge", or "<kind>:<folder>" of evaluate/reward_models."""

    model: str = "judge"


class Distill(_Section):
    loss: str = "sds"
    noise: str = "iid"
    guide: str = "classifier-free"
    baseline: str = "noise"
    weight: str = "mean"
    couple: str = "none"
    consistency: str = "none"
    guidance: float = 7.5
    image_guidance: float = 1.5
    rescale: float = Field(default=0.0, ge=0, le=1)
    time_weight: str = "sds"
    pds_stride: int = Field(default=2, ge=1)
    stein_phi: str = "silhouette"
    """What the Stein variate correlates: "silhouette"; "depth" or "normal" as the network that
    ships sees them; or "depth:<folder>" of a transformers depth model."""
    stein_decay: float = Field(default=0.99, ge=0, lt=1)
    student_rank: int = Field(default=4, ge=1)
    student_lr: float = Field(default=1e-4, gt=0)
    student_fits: int = Field(default=1, ge=0)
    reward_steps: int = Field(default=15, ge=0, le=1000)
    noise_slack: float = Field(default=0.05, gt=0)
    pair_angle: float = Field(default=0.0, ge=0, lt=180)
    consistency_weight: float = Field(default=0.1, ge=0)
    consistency_tau: float = Field(default=0.05, gt=0)
    targets: int = Field(default=0, ge=0)
    """Of an iterative dataset update (`edit/dataset_update.py`); 0: score distillation."""
    target_every: int = Field(default=10, ge=1)
    target_steps: int = Field(default=20, ge=1, le=1000)
    shared_t: bool = False
    noises_per_view: int = Field(default=1, ge=1)
    t_min: float = Field(default=0.02, gt=0, lt=1)
    t_max: float = Field(default=0.98, gt=0, lt=1)
    t_max_end: float = Field(default=0.45, gt=0, lt=1)
    anneal: float = Field(default=0.8, gt=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> "Distill":
        if not self.t_min < min(self.t_max, self.t_max_end):
            raise ValueError("t_min must be below t_max and t_max_end")
        return self

    @property
    def wants_geometry(self) -> bool:
        """Whether a slot looks at the depth of the renders."""
        by_depth = self.baseline == "stein" and self.stein_phi != "silhouette"
        return self.noise == "consistent" or self.consistency != "none" or by_depth


class Views(_Section):
    count: int = Field(default=4, ge=1)
    resolution: int = Field(default=64, ge=8, le=2048)
    growth: tuple[tuple[float, int], ...] = ()
    ring: int = Field(default=1, ge=1)
    elevation: tuple[float, float] = (-10.0, 50.0)
    distance: tuple[float, float] = (1.9, 2.1)
    fov: float = Field(default=40.0, gt=1, lt=170)
    background: Literal["random"] | float = "random"
    layout: Literal["auto", "single", "grid"] = "auto"

    @model_validator(mode="after")
    def _rings(self) -> "Views":
        if self.count % self.ring:
            raise ValueError(f"count must be a multiple of ring ({self.ring})")
        if any(not (0 <= share <= 1 and 8 <= side <= 2048) for share, side in self.growth):
            raise ValueError("growth is pairs of a share of the run in [0,1] and a size in 8..2048")
        return self


class SceneSection(_Section):
    kind: str = "gaussians"
    # a run folder or file to begin with, "prior", "shap-e:FOLDER", "none", or what suits: ""
    start: str = ""
    count: int = Field(default=2500, ge=1)
    cap: int = Field(default=4000, ge=1)
    adapt: str = "mcmc"
    adapt_every: int = Field(default=10, ge=1)
    adapt_start: int = Field(default=20, ge=0)
    adapt_stop: float = Field(default=0.9, ge=0, le=1)
    min_opacity: float = Field(default=0.01, gt=0, lt=1)
    final_prune: float = Field(default=0.05, ge=0, lt=1)
    floaters: float = Field(default=0.001, ge=0, le=1)  # smaller groups are left out of files
    radius: float = Field(default=0.4, gt=0)
    init_scale: float = Field(default=0.025, gt=0)
    init_opacity: float = Field(default=0.1, gt=0, lt=1)
    sh_degree: int = Field(default=0, ge=0, le=3)
    lr_means: float = Field(default=0.006, ge=0)
    lr_means_end: float = Field(default=0.001, gt=0)
    lr_scales: float = Field(default=0.02, ge=0)
    lr_quats: float = Field(default=0.02, ge=0)
    lr_opacities: float = Field(default=0.05, ge=0)
    lr_sh: float = Field(default=0.03, gt=0)
    min_scale: float = Field(default=0.006, gt=0)
    max_scale: float = Field(default=0.06, gt=0)
    bound: float = Field(default=0.62, gt=0)
    opacity_weight: float = Field(default=0.0, ge=0)
    scale_weight: float = Field(default=0.0, ge=0)
    lift_black: bool = False
    image_lr: float = Field(default=0.05, gt=0)
    image_latents: bool = False


class PriorSection(_Section):
    """The 3D prior (`score3d.prior`), for scene.start "prior" and for a pull. weight: of what draws
    the Gaussians' centres back to the surface that it imagined, next to the loss's gradient; 0 for
    none. until: the share of the run for which it does. guidance: of the sample. tries: samples, of
    which judge and two-tower model choose one. tries_unsure: up to how many of them while the judge
    gives the noun of the best less than four fifths of its probability. unsure: what the learning
    rates of shapes (scene.lr_means to scene.lr_opacities) are multiplied by where it gives less
    than half. folder: of a prior in place of the shipped one."""

    weight: float = Field(default=0.0, ge=0)
    until: float = Field(default=0.5, ge=0, le=1)
    guidance: float = 3.0
    tries: int = Field(default=1, ge=1, le=64)
    tries_unsure: int = Field(default=1, ge=1, le=64)
    unsure: float = Field(default=1.0, ge=0)
    folder: str = ""


class NerfSection(_Section):
    """For scene.kind "nerf"; see `score3d.scenes.nerf.NerfOptions`."""

    resolution: int = Field(default=64, ge=8, le=512, multiple_of=4)
    blob_density: float = -1.0
    blob_radius: float = Field(default=0.35, gt=0)
    lr_density: float = Field(default=0.1, gt=0)
    lr_color: float = Field(default=0.03, gt=0)
    empty: float = Field(default=1e-3, ge=0, lt=1)
    faint: float = Field(default=1e-3, ge=0, lt=1)
    orientation: float = Field(default=0.0, ge=0)
    sparsity: float = Field(default=0.0, ge=0)
    opaque: float = Field(default=0.0, ge=0)
    smooth: float = Field(default=0.0, ge=0)
    background: Literal["given", "learned"] = "given"


class MeshSection(_Section):
    """For scene.kind "mesh"; see `score3d.scenes.mesh.MeshOptions`."""

    cells: int = Field(default=32, ge=8, le=256, multiple_of=4)
    radii: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (0.35, 0.35, 0.35)
    texture: int = Field(default=64, ge=8, le=512, multiple_of=4)
    reach: float = Field(default=0.3, gt=0, le=0.5)
    lr_sdf: float = Field(default=0.002, gt=0)
    lr_offset: float = Field(default=0.01, gt=0)
    lr_color: float = Field(default=0.03, gt=0)
    samples: int = Field(default=2, ge=1, le=8)
    train: Literal["all", "geometry", "colour"] = "all"
    shading: Literal["colour", "normals"] = "colour"
    light: float = Field(default=1.0, ge=0, le=1)
    smooth: float = Field(default=0.0, ge=0)
    laplacian: float = Field(default=0.0, ge=0)


class EditSection(_Section):
    """What is edited, for runs of `score3d edit`. input: a file or run folder. source: what it
    shows, in words. instruction: the prompt as it was given. region: "" or box:..., sphere:...,
    mask:FOLDER or words. bias: of label lifting. ring: a panorama closes to 360 degrees. window,
    overlap: frames of a film. check_after: steps after which the edit must show. where: of
    pictures, panoramas and films, what may change: all of it, or only what the teacher sees the
    words are about ("auto": all for teachers that take instructions, which are shown the picture).
    cameras: of a capture (`files/capture.py`) to edit a scene with, "" for an orbit around it."""

    task: Literal["", "scene", "image", "panorama", "video"] = ""
    input: str = ""
    source: str = ""
    instruction: str = ""
    region: str = ""
    cameras: str = ""
    bias: float = Field(default=0.0, ge=-1, le=1)
    ring: bool = True
    window: int = Field(default=16, ge=2, le=256)
    overlap: int = Field(default=4, ge=0)
    check_after: int = Field(default=5, ge=1)
    where: Literal["auto", "words", "all"] = "auto"


class Output(_Section):
    turntable_views: int = Field(default=48, ge=1)
    picture_size: int = Field(default=256, ge=16, le=4096)
    background: float = Field(default=0.8, ge=0, le=1)
    mesh_resolution: int = Field(default=96, ge=16, le=512)


class Config(_Section):
    """All settings of a run; `to_toml` writes what `load_config` reads."""

    run: Run = Run()
    teacher: TeacherSection = TeacherSection()
    distill: Distill = Distill()
    reward: RewardSection = RewardSection()
    views: Views = Views()
    scene: SceneSection = SceneSection()
    nerf: NerfSection = NerfSection()
    mesh: MeshSection = MeshSection()
    prior: PriorSection = PriorSection()
    edit: EditSection = EditSection()
    output: Output = Output()

    @model_validator(mode="after")
    def _paired(self) -> "Config":
        if self.distill.pair_angle and self.views.count % 2:
            raise ValueError(
                f"distill.pair_angle pairs the views, so views.count must be even, "
                f"not {self.views.count}"
            )
        return self
