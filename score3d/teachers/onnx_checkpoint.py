"""A shipped checkpoint without diffusers and transformers, whose import takes longer than a quick
run's share of everything else: its parts run by ONNX Runtime, with the interfaces of the classes
they stand for."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from score3d.schedule import NoiseSchedule
from score3d.teachers.checkpoint import Checkpoint, read_json
from score3d.teachers.errors import TeacherError
from score3d.teachers.onnx_network import OnnxNetwork

__all__ = ["OnnxCheckpoint"]

GRAPHS = {
    "text_encoder": ("text_encoder/model.onnx",),
    "vae": ("vae/encoder.onnx", "vae/decoder.onnx"),
}


class OnnxCheckpoint(Checkpoint):
    """Graphs of `scripts/export_onnx.py` in the place of those parts that have them; others are
    loaded as of any checkpoint."""

    def load(self, part: str, dtype: torch.dtype | None = None) -> Any:
        """As the base class. Raises TeacherError."""
        graphs = [OnnxNetwork(self.folder / name) for name in GRAPHS.get(part, ())]
        if part == "tokenizer":
            return Tokenizer(self.folder / part)
        if part == "scheduler":
            return self._scheduler()
        if not graphs or not all(g.graph.is_file() for g in graphs):
            return super().load(part, dtype)
        self.files(part)  # a file that was cut short is named
        config = Config(self.config(part))
        return Autoencoder(config, *graphs) if part == "vae" else TextEncoder(config, *graphs)

    def _scheduler(self) -> Any:
        config = Config(self.config("scheduler"))
        if config.get("beta_schedule") != "scaled_linear" or config.get("trained_betas"):
            return super().load("scheduler")
        schedule = NoiseSchedule.scaled_linear(
            config["beta_start"], config["beta_end"], config["num_train_timesteps"]
        )
        return SimpleNamespace(config=config, alphas_cumprod=schedule.alphas_cumprod)


class Config(dict[str, Any]):
    """A part's config.json, read like an object."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(name) from error


class Autoencoder:
    """AutoencoderTiny."""

    dtype = torch.float32

    def __init__(self, config: Config, encoder: OnnxNetwork, decoder: OnnxNetwork) -> None:
        self.config, self._encoder, self._decoder = config, encoder, decoder

    def to(self, device: Any) -> "Autoencoder":
        return self

    def encode(self, pictures: Tensor) -> Any:
        """[B,3,H,W] in [-1,1] -> what has `latents` [B,C,h,w]."""
        return SimpleNamespace(latents=self._encoder.run(sample=pictures))

    def decode(self, latents: Tensor) -> Any:
        """[B,C,h,w] -> what has a `sample` [B,3,H,W], about in [-1,1]."""
        return SimpleNamespace(sample=self._decoder.run(latent_sample=latents))


class TextEncoder:
    """CLIPTextModel."""

    def __init__(self, config: Config, graph: OnnxNetwork) -> None:
        self.config, self._graph = config, graph

    def to(self, device: Any) -> "TextEncoder":
        return self

    def __call__(self, ids: Tensor, attention_mask: Tensor | None = None) -> tuple[Tensor]:
        """ids [P,L] -> (last hidden states [P,L,D],)."""
        return (self._graph.run(input_ids=ids),)


class Tokenizer:
    """A tokenizer.json as transformers uses it: bos and eos around, padded to its full length."""

    def __init__(self, folder: Path) -> None:
        import tokenizers

        config = read_json(folder / "tokenizer_config.json")
        self.model_max_length: int = config["model_max_length"]
        try:
            self._reader: Any = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # of no kind of its own
            raise TeacherError(f"{folder / 'tokenizer.json'}: cannot be read ({error})") from error
        pad = config["pad_token"]
        self._reader.enable_truncation(self.model_max_length)
        self._reader.enable_padding(
            length=self.model_max_length, pad_token=pad, pad_id=self._reader.token_to_id(pad)
        )

    def get_vocab(self) -> dict[str, int]:
        return self._reader.get_vocab()

    def __call__(self, prompts: list[str], **how: Any) -> Any:
        """What has `input_ids` and an `attention_mask` [P,L]. how: always as the embedded teacher
        asks for it."""
        rows = self._reader.encode_batch(prompts)
        return SimpleNamespace(
            input_ids=torch.tensor([r.ids for r in rows]),
            attention_mask=torch.tensor([r.attention_mask for r in rows]),
        )
