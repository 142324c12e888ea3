"""Write the graph of an embedded teacher's network for ONNX Runtime, next to its weights.

    python scripts/export_onnx.py assets/teacher assets/teacher-instruct

`unet/model.onnx` holds no weights: it reads those of `unet/diffusion_pytorch_model.safetensors`, so
there is one copy of them. Needs `pip install 'score3d[training]'`.
"""

import argparse
import json
import logging
import warnings
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

WEIGHTS = "diffusion_pytorch_model.safetensors"


class _Plain(nn.Module):
    """The network with positional arguments, which the exporter traces."""

    def __init__(self, network: UNet2DConditionModel) -> None:
        super().__init__()
        self.network = network

    def forward(self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor) -> Tensor:
        return self.network(sample, timestep, encoder_hidden_states, return_dict=False)[0]


def export_onnx(unet: Path) -> None:
    """Write `unet`/model.onnx. Raises RuntimeError if a weight is not in the safetensors file."""
    import onnx
    from onnx import TensorProto, helper

    network = UNet2DConditionModel.from_pretrained(unet, torch_dtype=torch.float32).eval()
    config: dict = dict(network.config)
    given = (
        torch.randn(4, config["in_channels"], 32, 32),
        torch.full((4,), 500),
        torch.randn(4, 24, config["cross_attention_dim"]),
    )
    auto = torch.export.Dim.AUTO
    sizes = ({0: auto, 2: auto, 3: auto}, {0: auto}, {0: auto, 1: auto})
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        model = torch.onnx.export(
            _Plain(network), given, None, dynamo=True, verbose=False, dynamic_shapes=sizes,
            optimize=False, output_names=["out_sample"],
        ).model_proto  # fmt: skip
    raw = (unet / WEIGHTS).read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    entries = json.loads(raw[8:start])
    casts = []
    for weight in [w for w in model.graph.initializer if w.data_type == TensorProto.FLOAT]:
        name = weight.name.removeprefix("network.")
        if name not in entries:
            if np.prod(weight.dims) > 64:
                raise RuntimeError(f"{WEIGHTS} has no {name}")
            continue
        first, end = entries[name]["data_offsets"]
        stored = TensorProto(
            name=f"{weight.name}.half", data_type=TensorProto.FLOAT16, dims=weight.dims,
            data_location=TensorProto.EXTERNAL,
        )  # fmt: skip
        for key, value in (
            ("location", WEIGHTS),
            ("offset", start + first),
            ("length", end - first),
        ):
            stored.external_data.add(key=key, value=str(value))
        casts.append(helper.make_node("Cast", [stored.name], [weight.name], to=TensorProto.FLOAT))
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
    onnx.save(model, unet / "model.onnx")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("teachers", type=Path, nargs="+", help="folders in diffusers' layout")
    for folder in parser.parse_args().teachers:
        export_onnx(folder / "unet")
        print(
            f"{folder}/unet/model.onnx: {(folder / 'unet/model.onnx').stat().st_size / 1e3:.0f} kB"
        )
