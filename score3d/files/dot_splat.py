"""The .splat format: 32 bytes a splat, no header, no view-dependent colour.

    3 x float32  centre
    3 x float32  standard deviations (linear)
    4 x uint8    red, green, blue, opacity
    4 x uint8    quaternion w, x, y, z as 128 q + 128

The most visible splats come first, so that a viewer can show a part of the file. Axes are those of
a splat PLY: y down (`half_turn`). Readers differ: some decode a byte u of the quaternion as
2 u / 255 - 1, which is up to 1/128 from what was written.

Source: https://github.com/antimatter15/splat
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from score3d.files.atomic import atomic_write
from score3d.files.packing import colour_to_dc, logit, require_finite
from score3d.files.splats import FileFormatError, Splats, half_turn

__all__ = ["decode_dot_splat", "write_dot_splat"]

ROW = np.dtype([("mean", "<f4", 3), ("scale", "<f4", 3), ("rgba", "u1", 4), ("quat", "u1", 4)])


def write_dot_splat(path: str | Path, splats: Splats) -> None:
    """Write splats as .splat, atomically; harmonics above degree 0 are lost.

    Raises:
        ValueError: values that are not finite.
        OSError: the file cannot be written.
    """
    require_finite(splats, str(path))
    # the product of opacity and volume, in logarithms so that it cannot overflow
    seen = splats.log_scales.sum(axis=1) + np.log(np.maximum(splats.opacities, 1e-30))
    turned = half_turn(splats.select(np.argsort(-seen, kind="stable")))
    rows = np.zeros(len(turned), ROW)
    quats = turned.quats.astype(np.float64)
    quats[:, 0] += ~quats.any(axis=1)
    quats /= np.linalg.norm(quats, axis=1, keepdims=True)
    rows["mean"] = turned.means
    rows["scale"] = np.exp(np.clip(turned.log_scales, -80, 80))
    rows["rgba"][:, :3] = np.round(255 * turned.rgb)
    rows["rgba"][:, 3] = np.round(255 * turned.opacities)
    rows["quat"] = np.clip(np.round(128 * quats + 128), 0, 255)
    with atomic_write(path) as temporary:
        temporary.write_bytes(rows.tobytes())


def decode_dot_splat(data: bytes, name: str) -> Splats:
    """Splats from the bytes of a .splat file.

    Raises FileFormatError if the size is not a multiple of 32, the only check there can be.
    """
    if len(data) % ROW.itemsize:
        raise FileFormatError(
            f"{name}: {len(data)} bytes are not a whole number of 32-byte splats; the file is cut"
            " short or not a .splat file"
        )
    rows = np.frombuffer(data, ROW)
    quats = ((rows["quat"] - 128.0) / 128).astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):  # bad scales become bad rows
        log_scales = np.log(rows["scale"])
    return half_turn(
        Splats(
            means=rows["mean"],
            quats=quats,
            log_scales=log_scales,
            logit_opacities=logit(rows["rgba"][:, 3] / 255),
            sh=colour_to_dc(rows["rgba"][:, :3] / 255)[:, None],
        )
    )
