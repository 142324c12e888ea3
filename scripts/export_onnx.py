"""Write the graphs of an embedded teacher's networks for ONNX Runtime, next to their weights.

    python scripts/export_onnx.py assets/teacher assets/teacher-instruct

`unet/model.onnx`, `text_encoder/model.onnx`, `vae/encoder.onnx` and `vae/decoder.onnx` hold no
weights: they read those of the safetensors files beside them, so that there is one copy. Needs
`pip install 'score3d[training]'`.
"""

import argparse
import json
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel

AUTO = torch.export.Dim.AUTO
UNET_WEIGHTS = "diffusion_pytorch_model.safetensors"


class _Network(nn.Module):
    """The UNet with positional arguments, which the exporter traces."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor) -> Tensor:
        return self.network(sample, timestep, encoder_hidden_states, return_dict=False)[0]


class _Text(_Network):
    def forward(self, input_ids: Tensor) -> Tensor:
        return self.network(input_ids, return_dict=False)[0]


class _Encoder(_Network):
    def forward(self, sample: Tensor) -> Tensor:
        return self.network.encode(sample, return_dict=False)[0]


class _Decoder(_Network):
    def forward(self, latent_sample: Tensor) -> Tensor:
        return self.network.decode(latent_sample, return_dict=False)[0]


def export_graphs(teacher: Path) -> list[Path]:
    """Write all of a folder in diffusers' layout. Raises RuntimeError if a weight is not in the
    safetensors file that it should be read from."""
    unet = UNet2DConditionModel.from_pretrained(teacher / "unet", torch_dtype=torch.float32).eval()
    config: dict[str, Any] = dict(unet.config)
    noisy = (
        torch.randn(4, config["in_channels"], 32, 32),
        torch.full((4,), 500),
        torch.randn(4, 24, config["cross_attention_dim"]),
    )
    sizes = ({0: AUTO, 2: AUTO, 3: AUTO}, {0: AUTO}, {0: AUTO, 1: AUTO})
    paths = [_write(_Network(unet), noisy, sizes, teacher / "unet" / "model.onnx", UNET_WEIGHTS)]
    text = CLIPTextModel.from_pretrained(teacher / "text_encoder", dtype=torch.float32).eval()
    ids = torch.ones(4, text.config.max_position_embeddings, dtype=torch.int64)
    path = teacher / "text_encoder" / "model.onnx"
    paths.append(_write(_Text(text), (ids,), ({0: AUTO},), path, "model.safetensors"))
    vae = AutoencoderTiny.from_pretrained(teacher / "vae", torch_dtype=torch.float32).eval()
    z = torch.randn(4, dict(vae.config)["latent_channels"], 16, 16)
    picture = vae.decode(z).sample.detach()
    for name, part, given in (("encoder", _Encoder, picture), ("decoder", _Decoder, z)):
        path, sizes = teacher / "vae" / f"{name}.onnx", ({0: AUTO, 2: AUTO, 3: AUTO},)
        paths.append(_write(part(vae), (given,), sizes, path, UNET_WEIGHTS))
    return paths


def _write(
    network: nn.Module, given: tuple[Tensor, ...], sizes: tuple, path: Path, weights: str
) -> Path:
    """Trace `network` into `path`, with its parameters in the file `weights` of the same folder."""
    import onnx
    from onnx import TensorProto, helper

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        model = torch.onnx.export(
            network, given, None, dynamo=True, verbose=False, dynamic_shapes=sizes,
            optimize=False, output_names=["out_sample"],
        ).model_proto  # fmt: skip
    raw = (path.parent / weights).read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    entries = json.loads(raw[8:start])
    casts = []
    for weight in [w for w in model.graph.initializer if w.data_type == TensorProto.FLOAT]:
        name = weight.name.removeprefix("network.")
        name = name if name in entries else name.removeprefix("text_model.")
        if name not in entries:
            if np.prod(weight.dims) > 64:
                raise RuntimeError(f"{weights} has no {name}")
            continue
        first, end = entries[name]["data_offsets"]
        half = entries[name]["dtype"] == "F16"
        stored = TensorProto(
            name=f"{weight.name}.half" if half else weight.name,
            data_type=TensorProto.FLOAT16 if half else TensorProto.FLOAT,
            dims=weight.dims,
            data_location=TensorProto.EXTERNAL,
        )
        for key, value in (
            ("location", weights),
            ("offset", start + first),
            ("length", end - first),
        ):
            stored.external_data.add(key=key, value=str(value))
        if half:
            cast = helper.make_node("Cast", [stored.name], [weight.name], to=TensorProto.FLOAT)
            casts.append(cast)
        model.graph.initializer.remove(weight)
        model.graph.initializer.append(stored)
    for node in reversed(casts):
        model.graph.node.insert(0, node)
    for node in model.graph.node:  # where the exporter ran is nobody's business
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    del model.graph.value_info[:]
    onnx.save(model, path)
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("teachers", type=Path, nargs="+", help="folders in diffusers' layout")
    for folder in parser.parse_args().teachers:
        for graph in export_graphs(folder):
            print(f"{graph}: {graph.stat().st_size / 1e3:.0f} kB")
