"""The live viewer: a page on this machine that shows scenes as they are and as they become.

Needs viser (`pip install 'score3d[viewer]'`). It serves 127.0.0.1 unless told otherwise, and its
page asks nothing of the network. Colours are those that do not depend on the direction.
"""

from __future__ import annotations

import contextlib
import io
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from score3d.files.splats import Splats

__all__ = ["LiveView", "checkpoint_stages", "covariances"]

PRESETS = {"front": (0, 15), "left": (90, 15), "back": (180, 15), "right": (270, 15),
           "top": (0, 89)}  # fmt: skip
DISTANCE, FOV = 2.0, 40.0
PAUSE = 0.5  # seconds between updates of a scene that is being made

Stage = tuple[str, Callable[[], Splats]]  # what the slider says, and how to get the scene


def covariances(splats: Splats) -> NDArray[np.float32]:
    """R S^2 R^T of each splat, shape [N, 3, 3], float32."""
    q = splats.quats.astype(np.float64)
    q[:, 0] += ~q.any(axis=1)
    w, x, y, z = (q / np.linalg.norm(q, axis=1, keepdims=True)).T
    rotation = np.stack(
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
         2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
         2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        axis=1,
    ).reshape(-1, 3, 3)  # fmt: skip
    half = rotation * np.exp(np.clip(splats.log_scales.astype(np.float64), -20, 20))[:, None, :]
    return (half @ half.transpose(0, 2, 1)).astype(np.float32)


def checkpoint_stages(folder: Path) -> list[Stage]:
    """The states of a run that its checkpoints keep, earliest first; those that are damaged or
    hold no Gaussians fail when they are asked for, with a ValueError."""

    def load(path: Path) -> Splats:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            state = load_file(path / "tensors.safetensors")
            sh = [state[f"param.{key}"] for key in ("sh0", "shN") if f"param.{key}" in state]
            return Splats(
                state["param.means"],
                state["param.quats"],
                state["param.scales"],
                state["param.opacities"],
                np.concatenate(sh, axis=1),
            ).finite()[0]
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise ValueError(f"{path}: no Gaussians to show ({error})") from None

    found = sorted(folder.glob("step-*"), key=lambda p: p.name)
    names = [p.name.removeprefix("step-") for p in found]
    return [
        (f"step {int(name)}", lambda path=path: load(path))
        for name, path in zip(names, found, strict=True)
        if name.isdigit()
    ]


class LiveView:
    """A viser server with one scene, camera presets, and a slider over stages.

    Args:
        title: shown on the panel.
        host, port: where to listen; the next free port is taken if this one is in use.

    Raises:
        RuntimeError: viser is missing; says how to install it.
    """

    def __init__(self, title: str, host: str = "127.0.0.1", port: int = 8080) -> None:
        try:
            import viser
        except ImportError:
            raise RuntimeError(
                "the live viewer needs viser: pip install 'score3d[viewer]'"
            ) from None
        self._lock, self._last = threading.Lock(), 0.0
        self._stages: list[Stage] = []
        with contextlib.redirect_stdout(io.StringIO()):  # which is for results
            self.server: Any = viser.ViserServer(host=host, port=port, label=title, verbose=False)
        self.server.scene.set_up_direction("+y")
        self.server.gui.configure_theme(show_share_button=False)
        self.server.gui.add_markdown(f"**{title}**")
        self._status = self.server.gui.add_markdown("")
        views = self.server.gui.add_button_group("view", tuple(PRESETS))
        views.on_click(lambda event: self._look(event.client.camera, *PRESETS[views.value]))
        first = self.server.initial_camera
        first.up, first.fov = (0.0, 1.0, 0.0), float(np.radians(FOV))
        self._look(first, *PRESETS["front"])
        self._handles: dict[str, Any] = {}

    @property
    def url(self) -> str:
        """The page."""
        return f"http://{self.server.get_host()}:{self.server.get_port()}"

    def show(self, splats: Splats, status: str = "", name: str = "scene") -> None:
        """Replace the scene called `name` by finite splats; `status` is a line for people."""
        with self._lock:
            if len(splats):
                handle = self.server.scene.add_gaussian_splats(
                    f"/{name}",
                    centers=splats.means,
                    covariances=covariances(splats),
                    rgbs=splats.rgb,
                    opacities=splats.opacities[:, None],
                )
                self._handles[name] = handle
            self._status.content = f"{status}, {len(splats)} Gaussians" if status else ""

    def watch(self, step: int, splats: Callable[[], Splats]) -> None:
        """Show a scene that is being made, unless the last time is too short ago. Never raises:
        a page that is not there must not stop the run it would show."""
        now = time.monotonic()
        if now - self._last < PAUSE:
            return
        self._last = now
        try:
            self.show(splats().finite()[0], f"step {step}")
        except Exception as error:
            self._status.content = f"step {step} cannot be shown: {error}"

    def add_stages(self, stages: Sequence[Stage]) -> None:
        """Show the last stage, and a slider over all of them if there are several."""
        self._stages = list(stages)
        self._pick(len(stages) - 1)
        if len(stages) > 1:
            slider = self.server.gui.add_slider(
                "stage", 0, len(stages) - 1, 1, len(stages) - 1,
                hint=", ".join(label for label, _ in stages),
            )  # fmt: skip
            slider.on_update(lambda _: self._pick(int(slider.value)))

    def add_before(self, splats: Splats) -> None:
        """A second scene and a box to switch between it and the first."""
        self.show(splats, name="before")
        self._handles["before"].visible = False
        box = self.server.gui.add_checkbox("before", False)

        def switch(_: Any) -> None:
            for name, handle in self._handles.items():
                handle.visible = (name == "before") == box.value

        box.on_update(switch)

    def close(self) -> None:
        """Stop serving."""
        self.server.stop()

    def _pick(self, index: int) -> None:
        label, load = self._stages[index]
        try:
            self.show(load(), label)
        except ValueError as error:
            self._status.content = str(error)

    def _look(self, camera: Any, azimuth: float, elevation: float) -> None:
        a, e = np.radians([azimuth, elevation])
        towards = np.array([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)])
        camera.position = tuple(DISTANCE * towards)
        camera.look_at = (0.0, 0.0, 0.0)  # after the position, which takes this point along
