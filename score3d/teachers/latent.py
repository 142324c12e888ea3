"""What latent diffusion teachers share: text, encoder, network in passes, and memory.

A subclass says how prompts are embedded and what its network answers; the arithmetic around the
network is in float32 whatever the network's dtype.
"""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recomputed

from score3d.cameras import Cameras
from score3d.schedule import NoiseSchedule
from score3d.teachers.checkpoint import Checkpoint
from score3d.teachers.embedding_cache import EmbeddingCache, fingerprint
from score3d.teachers.errors import TeacherError
from score3d.teachers.step_view import StepView

__all__ = ["DEFAULTS", "LatentTeacher", "LoadOptions", "diffusers_class"]

SHORTCUT_PICTURES = 8  # enough for 4 numbers per latent channel


@dataclass(frozen=True)
class LoadOptions:
    """How a teacher is loaded and how much memory it may use.

    prediction: what the network must predict ("epsilon", "v_prediction", ...), "" for whatever
    the scheduler says. resolution: side in pixels, 0 for the checkpoint's own. rows: most rows
    per pass of a network, 0 for all. recompute: run the encoder again in the backward pass
    instead of keeping its activations. offload: networks stay in main memory and are on the
    device only while they work. slicing: attention and autoencoder in slices. latent_until:
    share of the run that skips the encoder (`encode_shortcut`). cache: folder of prompt
    embeddings; None for none.
    """

    prediction: str = ""
    resolution: int = 0
    rows: int = 0
    recompute: bool = False
    offload: bool = False
    slicing: bool = False
    latent_until: float = 0.0
    cache: Path | None = None


DEFAULTS = LoadOptions()


def diffusers_class(name: str) -> Any:
    """A class of diffusers, whose lazy exports and own annotations type checkers cannot follow."""
    return getattr(importlib.import_module("diffusers"), name)


Affine = tuple[Tensor, Tensor]  # a matrix and an offset


class LatentTeacher(ABC):
    """A frozen latent diffusion model from a `Checkpoint`. Raises TeacherError, naming the file.

    group: rows that belong together in a pass (the views of a multi-view network).
    """

    capabilities: frozenset[str] = frozenset()
    network_part = "unet"
    text_parts: tuple[str, ...] = ("tokenizer", "text_encoder")
    group = 1
    schedule: NoiseSchedule

    def __init__(
        self,
        source: Checkpoint,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        view_style: str = "dreamfusion",
        options: LoadOptions = DEFAULTS,
    ) -> None:
        self.source, self.options = source, options
        self.device, self.dtype, self.view_style = torch.device(device), dtype, view_style
        self.check(source)
        self.scheduler = source.load("scheduler")
        self.prediction_type = self._prediction()
        vae_dtype = self._encoder_dtype(source.config("vae"), dtype)
        self.vae = source.load("vae", vae_dtype)
        self.network: Any = self._load_network()
        self.rows, self.recompute, self.offload = options.rows, options.recompute, False
        self._text: dict[str, Any] = {}
        self._most_rows = 1
        self._shortcut: tuple[Affine, Affine] | None = None
        if options.slicing:
            self._slice()
        self._place(options.offload)
        factor = self._scale_factor()
        side = options.resolution or self._native_resolution(factor)
        multiple = factor * self._network_stride()
        if side % multiple:
            raise TeacherError(
                f"{source.folder}: resolution {side} is no multiple of {multiple}, as its networks "
                "need"
            )
        self.resolution = side
        self.latent_shape = (self._latent_channels(source), side // factor, side // factor)
        self.cache = self._open_cache(options.cache)

    # What subclasses provide

    @abstractmethod
    def _texts(self, prompts: list[str]) -> Tensor:
        """Embeddings [P,L,D] by the text encoders, which `self.text(part)` loads."""

    @abstractmethod
    def _predict(
        self, z_t: Tensor, t: Tensor, emb: Tensor, image: Tensor | None, camera: Tensor | None
    ) -> Tensor:
        """The network's own answer [M,C,h,w], float32."""

    @abstractmethod
    def _noise(self, out: Tensor, z_t: Tensor, t: Tensor) -> Tensor:
        """The noise [M,C,h,w] that the answer means."""

    @classmethod
    def check(cls, source: Checkpoint) -> None:
        """Refuse a checkpoint whose parts do not fit each other, before weights are read."""
        given = source.config(cls.network_part).get("in_channels", 4)
        latent = cls._latent_channels(source)
        if given != latent:
            kind = {8: " (InstructPix2Pix has 8)", 9: " (inpainting networks have 9)"}
            raise TeacherError(
                f"{source.folder / cls.network_part / 'config.json'}: the network takes {given} "
                f"channels{kind.get(given, '')}, but the autoencoder's latents have {latent}"
            )

    def _load_network(self) -> Any:
        return self.source.load(self.network_part, self.dtype)

    def _prediction(self) -> str:
        said = str(self.scheduler.config.get("prediction_type", "epsilon"))
        self._agree(said, ("epsilon", "v_prediction", "sample"))
        return said

    def _agree(self, said: str, known: tuple[str, ...]) -> None:
        file = self.source.folder / "scheduler" / "scheduler_config.json"
        if said not in known:
            raise TeacherError(
                f"{file}: unknown prediction type {said!r}; known here: {', '.join(known)}"
            )
        if self.options.prediction and said != self.options.prediction:
            raise TeacherError(
                f"{file}: says that the network predicts {said!r}, but {self.options.prediction!r} "
                "is expected of this teacher; another checkpoint's scheduler?"
            )

    @staticmethod
    def _latent_channels(source: Checkpoint) -> int:
        return source.config("vae").get("latent_channels", 4)

    @staticmethod
    def _encoder_dtype(config: dict[str, Any], dtype: torch.dtype) -> torch.dtype:
        """float16 overflows in autoencoders that do not say otherwise (Stable Diffusion XL's
        always does): they stay in float32. bfloat16 has the range."""
        safe = dtype != torch.float16 or config.get("force_upcast", True) is False
        return dtype if safe else torch.float32

    def _scale_factor(self) -> int:
        blocks = self.vae.config.get("block_out_channels") or self.vae.config.get(
            "encoder_block_out_channels"
        )
        return 2 ** (len(blocks) - 1)

    def _network_stride(self) -> int:
        """Latent pixels that the network shrinks to one."""
        config = self._network_config()
        blocks = config.get("down_block_types")
        return 2 ** (len(blocks) - 1) if blocks else config.get("patch_size", 1)

    def _native_resolution(self, factor: int) -> int:
        return self._network_config()["sample_size"] * factor

    def _network_config(self) -> Any:
        return self.network.config

    # Text

    def text(self, part: str) -> Any:
        """A tokenizer or text encoder, loaded when it is first needed."""
        if part not in self._text:
            dtype = None if part.startswith("tokenizer") else self.dtype
            loaded = self.source.load(part, dtype)
            self._text[part] = loaded if dtype is None else loaded.to(self.device)
        return self._text[part]

    @property
    def text_encoder(self) -> Any:
        """The (first) text encoder."""
        return self.text("text_encoder")

    @property
    def tokenizer(self) -> Any:
        """The (first) tokenizer."""
        return self.text("tokenizer")

    def release_text(self) -> None:
        """Forget the text encoders; they are loaded again if a new prompt comes."""
        self._text.clear()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _open_cache(self, folder: Path | None) -> EmbeddingCache | None:
        if folder is None:
            return None
        files = [
            file
            for part in self.text_parts
            if self.source.has(part)
            for file in (self.source.folder / part).iterdir()
            if file.is_file()
        ]
        return EmbeddingCache(folder, fingerprint(files, type(self).__name__, str(self.dtype)))

    @torch.no_grad()
    def embed(self, prompts: list[str]) -> Tensor:
        """Text embeddings [P,L,D], float32, from the cache where it has them."""
        if self.cache is None:
            return self._texts(prompts).float()
        rows = []
        for prompt in prompts:
            found = self.cache.get(prompt)
            if found is None:
                found = self._texts([prompt])[0].float()
                self.cache.put(prompt, found)
            rows.append(found.to(self.device))
        return torch.stack(rows)

    # Pictures

    def encode(self, rgb: Tensor) -> Tensor:
        """rgb [B,3,H,W] in [0,1], resized to the teacher's resolution -> latents [B,C,h,w].

        The mode of a KL posterior, not a sample: sampling only adds noise to the gradient.
        """
        self._most_rows = max(self._most_rows, len(rgb))
        chunks = rgb.split(self.rows) if self.rows else [rgb]
        keep = torch.is_grad_enabled() and rgb.requires_grad and self.recompute
        run = (lambda c: recomputed(self._encode, c, use_reentrant=False)) if keep else self._encode
        return torch.cat([run(chunk) for chunk in chunks])

    def _encode(self, rgb: Tensor) -> Tensor:
        shift = self.vae.config.get("shift_factor") or 0.0
        return (self._modes(rgb) - shift) * self.vae.config.scaling_factor

    def _modes(self, rgb: Tensor) -> Tensor:
        """The encoder's own latents, unscaled."""
        size = (self.resolution, self.resolution)
        if rgb.shape[-2:] != size:
            rgb = nn.functional.interpolate(rgb, size, mode="bilinear", align_corners=False)
        with self._working(self.vae):
            out = self.vae.encode((2 * rgb - 1).to(self.vae.dtype))
        return (out.latents if hasattr(out, "latents") else out.latent_dist.mode()).float()

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        shift = self.vae.config.get("shift_factor") or 0.0
        z = (z / self.vae.config.scaling_factor + shift).to(self.vae.dtype)
        with self._working(self.vae):
            rows = [self.vae.decode(c).sample.float() for c in z.split(self.rows or len(z))]
        return (torch.cat(rows) / 2 + 0.5).clamp(0, 1)

    def encode_shortcut(self, rgb: Tensor) -> Tensor:
        """rgb [B,3,H,W] -> latents [B,C,h,w] without the encoder: each latent pixel is an affine
        function of the mean colour it covers, fitted to the encoder by least squares. Coarse,
        but a render at the latents' own size is then all a step needs; for the first part of a
        run (latent-space optimisation as in Metzer et al. 2022, arXiv 2211.07600, without giving
        up colours)."""
        if self._shortcut is None:
            self._shortcut = self._fit_shortcut()
        weight, bias = self._shortcut[0]
        size = self.latent_shape[1:]
        if rgb.shape[-2:] != size:
            rgb = nn.functional.interpolate(rgb, size, mode="area")
        return torch.einsum("oc,bchw->bohw", weight, rgb) + bias[:, None, None]

    def colours(self, z: Tensor) -> Tensor:
        """Latents [M,C,h,w] -> rgb [M,3,h,w], about in [0,1], without the decoder: of each latent
        pixel the mean colour it covers, by least squares. Differentiable, for networks that look
        at noisy latents."""
        if self._shortcut is None:
            self._shortcut = self._fit_shortcut()
        weight, bias = self._shortcut[1]
        return torch.einsum("oc,bchw->bohw", weight, z) + bias[:, None, None]

    @torch.no_grad()
    def _fit_shortcut(self) -> tuple[Affine, Affine]:
        """From colours to latents and back, each a matrix and an offset."""
        side, device = self.resolution, self.device
        generator = torch.Generator().manual_seed(0)
        colours = torch.rand(SHORTCUT_PICTURES, 3, 6, 6, generator=generator).to(device)
        pictures = nn.functional.interpolate(colours, (side, side), mode="bicubic").clamp(0, 1)
        z = torch.cat([self._encode(p[None]) for p in pictures])
        small = nn.functional.interpolate(pictures, z.shape[-2:], mode="area")
        x, y = (v.permute(0, 2, 3, 1).flatten(0, 2).cpu() for v in (small, z))

        def fit(a: Tensor, b: Tensor) -> Affine:
            found = torch.linalg.lstsq(torch.cat([a, torch.ones_like(a[:, :1])], 1), b).solution
            return found[:-1].T.contiguous().to(device), found[-1].contiguous().to(device)

        return fit(x, y), fit(y, x)

    # The network

    @torch.no_grad()
    def eps(
        self,
        z_t: Tensor,
        t: Tensor,
        emb: Tensor,
        image: Tensor | None = None,
        camera: Tensor | None = None,
    ) -> Tensor:
        """Predicted noise [M,C,h,w], float32. Raises ValueError for what the network lacks."""
        self._most_rows = max(self._most_rows, len(z_t))
        rows = max(self.group, self.rows // self.group * self.group) if self.rows else len(z_t)
        given = [z_t, t, emb, image, camera]
        chunks = [[None] * -(-len(z_t) // rows) if v is None else v.split(rows) for v in given]
        with self._working(self.network):
            out = torch.cat([self._predict(*chunk) for chunk in zip(*chunks, strict=True)])
        return self._noise(out, z_t, t)

    def at(self, views: Cameras, samples: int, progress: float) -> Any:
        """The teacher as one step sees it, see `at_step`."""
        early = progress < self.options.latent_until
        return StepView(self, early=early) if early else self

    # Memory

    @contextmanager
    def _working(self, network: nn.Module) -> Iterator[None]:
        """The network on the device, and back in main memory afterwards if offloading."""
        if self.offload:
            network.to(self.device)
        try:
            yield
        finally:
            if self.offload:
                network.to("cpu")

    def _place(self, offload: bool) -> None:
        self.offload = offload
        # a graph that is kept would hold on to weights that have moved away
        self.recompute = self.recompute or offload
        for network in (self.vae, self.network):
            if network is not None:
                network.to("cpu" if offload else self.device)

    def _slice(self) -> None:
        if hasattr(self.network, "set_attention_slice"):
            self.network.set_attention_slice("auto")
        if hasattr(self.vae, "enable_slicing"):
            self.vae.enable_slicing()

    def use_less_memory(self) -> str:
        """After the device ran out of memory: halve what is in a pass, or free more. Returns what
        changed, for people, or "" where nothing is left to do."""
        if not self.rows or self.rows > self.group:
            rows = self.rows or max(self._most_rows, self.group)
            self.rows = max(self.group, rows // 2)
            self.recompute = True
            return f"{self.rows} rows per pass, the encoder computed again in backward"
        if not self.offload and self.device.type == "cuda":
            self._place(offload=True)
            self._slice()
            return "networks in main memory when they are idle, attention in slices"
        return ""
