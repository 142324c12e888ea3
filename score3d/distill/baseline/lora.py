"""VSD's student on the teacher's own network: low-rank adapters (Hu et al. 2021, 2106.09685).

One network for both, as in ProlificDreamer: with the adapters off it is the teacher, bit for bit,
with them on the student. They sit on every attention projection (self and cross). The camera goes
through a small network whose output is added to the time embedding, by a hook, so that it works
for any diffusers UNet. Both start as zero: the first student is the teacher. (threestudio's
camera network starts random, and its student therefore a little off.)
"""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from score3d.teachers.base import Teacher, TeacherError
from score3d.teachers.differentiable import differentiable_eps
from score3d.teachers.grid import GRID_VIEWS

__all__ = ["LoraNetwork", "missing_library"]

ADAPTER = "student"
TARGETS = r".*\.(to_q|to_k|to_v|to_out\.0)"


def missing_library() -> str:
    """What to install, in one line, or ""."""
    if importlib.util.find_spec("peft"):
        return ""
    return "baseline 'student' (VSD) needs the peft library: pip install 'score3d[vsd]'"


class LoraNetwork:
    """Adapters of `rank` on `teacher.unet`, a diffusers UNet, initialised from `seed`.

    Raises TeacherError: no such network, no peft, or a network that is not what it claims to be.
    """

    def __init__(self, teacher: Teacher, rank: int = 4, seed: int = 0) -> None:
        if missing_library():
            raise TeacherError(missing_library())
        unet: Any = getattr(teacher, "unet", None)
        if unet is None or not hasattr(unet, "time_embedding"):
            raise TeacherError(
                "baseline 'student' (VSD) needs a teacher with a diffusers UNet; "
                f"{type(teacher).__name__} has none"
            )
        self.teacher, self.unet = teacher, unet
        self._camera: Tensor | None = None
        self._layers = _inject(unet, rank, seed)
        width = unet.time_embedding.linear_2.out_features
        device = next(unet.parameters()).device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            first, last = nn.Linear(16, width), nn.Linear(width, width)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.camera = nn.Sequential(first, nn.SiLU(), last)
        self.camera.to(device)
        unet.time_embedding.register_forward_hook(self._add_camera)
        self._check_prediction_type()

    def _add_camera(self, module: nn.Module, args: Any, out: Tensor) -> Tensor | None:
        return None if self._camera is None else out + self.camera(self._camera).to(out)

    def eps(
        self,
        z_t: Tensor,
        t: Tensor,
        emb: Tensor,
        camera: Tensor,
        samples: int = 1,
        teacher: Teacher | None = None,
    ) -> Tensor:
        """The student's noise [M,C,h,w]. Of a grid of views the first one's camera is told; a
        multi-view network is told all of them by its own input and needs no second one.

        teacher: this one as the step sees it (`at_step`)."""
        teacher = teacher or self.teacher
        if teacher.view_style == "grid":
            camera = camera.view(-1, GRID_VIEWS, samples, 16)[:, 0].flatten(0, 1)
        with self._awake():
            self._camera = None if "multiview" in teacher.capabilities else camera.to(z_t)
            try:
                return differentiable_eps(teacher, z_t, t, emb, samples)
            finally:
                self._camera = None

    def parameters(self) -> dict[str, nn.Parameter]:
        """The adapters' factors and the camera network's weights; none of the teacher's."""
        factors = {n: p for n, p in self.unet.named_parameters() if f".{ADAPTER}." in n}
        return factors | {f"camera.{n}": p for n, p in self.camera.named_parameters()}

    @contextmanager
    def _awake(self) -> Iterator[None]:
        for layer in self._layers:
            layer.enable_adapters(True)
        try:
            yield
        finally:
            _sleep(self._layers)

    @torch.no_grad()
    def _check_prediction_type(self) -> None:
        """A network trained to predict v but declared to predict the noise (or the reverse) is
        the commonest silent failure of VSD. Nearly pure noise tells: its noise is nearly itself,
        whatever the network learnt, while a v or x0 is nearly unrelated to it."""
        teacher: Any = getattr(self.teacher, "teacher", self.teacher)  # single views will do
        if "multiview" in teacher.capabilities:
            return  # it cannot be asked without cameras
        channels, h, w = teacher.latent_shape
        z = torch.randn(4, channels, h, w, generator=torch.Generator().manual_seed(0))
        device = next(self.unet.parameters()).device
        z, t = z.to(device), torch.full((4,), 0.98, device=device)
        emb = teacher.embed([""]).expand(4, -1, -1)
        said = teacher.eps(z, t, emb)
        a, b = said.flatten().double(), z.flatten().double()
        agreement = float(a @ b / (a.norm() * b.norm()))
        kind = getattr(teacher, "prediction_type", "epsilon")
        if agreement < 0.5:
            raise TeacherError(
                f"the teacher's network does not predict {kind} as its scheduler says: of pure "
                f"noise it finds {agreement:.0%}; correct prediction_type in scheduler/"
            )


def _inject(unet: Any, rank: int, seed: int) -> list[Any]:
    """Fresh adapters, asleep; those of an earlier student of this network are replaced."""
    from peft import LoraConfig, inject_adapter_in_model
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in unet.modules():
        if isinstance(module, BaseTunerLayer):
            module.delete_adapter(ADAPTER)
    if hasattr(unet, "peft_config"):
        del unet.peft_config  # which warns of several adapters; there is one
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=TARGETS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # peft draws from the global generator
        inject_adapter_in_model(config, unet, adapter_name=ADAPTER)
    layers = [m for m in unet.modules() if isinstance(m, BaseTunerLayer)]
    for name, p in unet.named_parameters():
        if f".{ADAPTER}." in name:
            p.data = p.data.float()  # Adam in half precision would not move
    _sleep(layers)
    if not layers:
        raise TeacherError("the teacher's network has no attention layers for a student's adapters")
    return layers


def _sleep(layers: list[Any]) -> None:
    """Adapters off but trainable: peft freezes what it switches off, also for a backward pass
    through what was computed before."""
    for layer in layers:
        layer.enable_adapters(False)
        for name in layer.adapter_layer_names:
            getattr(layer, name).requires_grad_(True)
