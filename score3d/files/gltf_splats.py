"""Splats in binary glTF 2.0 with the extension KHR_gaussian_splatting.

One mesh of one POINTS primitive whose attributes are, all float32 but COLOR_0:

    POSITION                                   VEC3
    KHR_gaussian_splatting:ROTATION            VEC4  unit quaternion x, y, z, w
    KHR_gaussian_splatting:SCALE               VEC3  standard deviations (linear)
    KHR_gaussian_splatting:OPACITY             SCALAR  0..1
    KHR_gaussian_splatting:SH_DEGREE_l_COEF_n  VEC3  coefficients, signs as in splat PLY
    COLOR_0                                    what viewers without the extension show

glTF is +y up and faces +z, as our world does, so nothing is turned. (Tools that turn a splat PLY
by half a turn about z instead of about x show the object from behind: same file, other custom.)

Source: https://github.com/KhronosGroup/glTF, extension KHR_gaussian_splatting. An early draft had
logarithmic scales; the ratified text and the files other tools write have linear ones.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from score3d.files.atomic import atomic_write
from score3d.files.packing import decode_json, logit, require_finite
from score3d.files.splats import FileFormatError, FloatArray, Splats

__all__ = ["decode_gltf_splats", "write_gltf_splats"]

EXTENSION = "KHR_gaussian_splatting"
MAGIC, JSON_CHUNK, BINARY_CHUNK = 0x46546C67, 0x4E4F534A, 0x004E4942
FLOAT, ARRAY_BUFFER, POINTS = 5126, 34962, 0
# component type: numpy type, and what a normalised whole number is divided by
COMPONENTS = {5120: ("i1", 127), 5121: ("u1", 255), 5122: ("<i2", 32767), 5123: ("<u2", 65535),
              FLOAT: ("<f4", 1)}  # fmt: skip
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}


def write_gltf_splats(path: str | Path, splats: Splats) -> None:
    """Write splats as .glb, atomically.

    Raises:
        ValueError: no splats, or values that are not finite.
        OSError: the file cannot be written.
    """
    require_finite(splats, str(path))
    if len(splats) == 0:
        raise ValueError(f"{path}: glTF has no way to hold zero splats")
    quats = splats.quats.astype(np.float64)
    quats[:, 0] += ~quats.any(axis=1)
    quats /= np.linalg.norm(quats, axis=1, keepdims=True)
    rgba = np.concatenate([splats.rgb, splats.opacities[:, None]], axis=1)
    arrays: dict[str, NDArray] = {
        "POSITION": splats.means,
        "COLOR_0": np.round(255 * rgba).astype(np.uint8),
        f"{EXTENSION}:ROTATION": quats[:, [1, 2, 3, 0]].astype("<f4"),
        f"{EXTENSION}:SCALE": np.exp(np.clip(splats.log_scales, -80, 80)),
        f"{EXTENSION}:OPACITY": splats.opacities,
    }
    for k, name in enumerate(_harmonic_names(splats.sh_degree)):
        arrays[name] = splats.sh[:, k]
    views, accessors, offset = [], [], 0
    for name, array in arrays.items():
        kind = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}[array.size // len(array)]
        views.append({"buffer": 0, "byteOffset": offset, "byteLength": array.nbytes,
                      "target": ARRAY_BUFFER})  # fmt: skip
        accessor: dict[str, Any] = {"bufferView": len(accessors), "componentType": FLOAT,
                                    "count": len(array), "type": kind}  # fmt: skip
        if name == "COLOR_0":
            accessor |= {"componentType": 5121, "normalized": True}
        if name == "POSITION":
            accessor |= {"min": array.min(axis=0).tolist(), "max": array.max(axis=0).tolist()}
        accessors.append(accessor)
        offset += array.nbytes
    gltf = {
        "asset": {"version": "2.0", "generator": "score3d"},
        "extensionsUsed": [EXTENSION],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "splats"}],
        "meshes": [
            {
                "primitives": [
                    {
                        "mode": POINTS,
                        "attributes": {name: i for i, name in enumerate(arrays)},
                        "extensions": {
                            EXTENSION: {
                                "kernel": "ellipse",
                                "colorSpace": "srgb_rec709_display",
                                "projection": "perspective",
                                "sortingMethod": "cameraDistance",
                            }
                        },
                    }
                ]
            }
        ],
        "buffers": [{"byteLength": offset}],
        "bufferViews": views,
        "accessors": accessors,
    }
    text = json.dumps(gltf, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    body = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays.values())
    total = 12 + 8 + len(text) + 8 + len(body)
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        file.write(struct.pack("<III", MAGIC, 2, total))
        file.write(struct.pack("<II", len(text), JSON_CHUNK) + text)
        file.write(struct.pack("<II", len(body), BINARY_CHUNK) + body)


def decode_gltf_splats(data: bytes, name: str) -> Splats:
    """Splats from the bytes of a .glb: the first primitive with the extension.

    Node transforms are not applied; they must be the identity. Raises FileFormatError.
    """
    gltf, body = _chunks(data, name)
    primitives = [
        primitive
        for mesh in _objects(gltf.get("meshes"))
        for primitive in _objects(mesh.get("primitives"))
        if EXTENSION in (_object(primitive.get("extensions")) or {})
    ]
    if not primitives:
        raise FileFormatError(
            f"{name}: no primitive with {EXTENSION}; this glTF holds a mesh, not splats"
        )
    if any(
        key in node
        for node in _objects(gltf.get("nodes"))
        for key in ("matrix", "translation", "rotation", "scale")
    ):
        raise FileFormatError(f"{name}: nodes with a transform; only splats in place are read")
    extension = _object(primitives[0]["extensions"].get(EXTENSION)) or {}
    if extension.get("extensions"):
        raise FileFormatError(f"{name}: splats compressed inside glTF are not read")
    attributes = _object(primitives[0].get("attributes")) or {}
    arrays = _Accessors(name, gltf, body, attributes)
    degree = 0
    while degree < 3 and _harmonic_names(degree + 1)[-1] in attributes:
        degree += 1
    means = arrays("POSITION", 3)
    quats = arrays(f"{EXTENSION}:ROTATION", 4)[:, [3, 0, 1, 2]]
    opacities = arrays(f"{EXTENSION}:OPACITY", 1)[:, 0]
    scales = arrays(f"{EXTENSION}:SCALE", 3)
    sh = np.stack([arrays(key, 3) for key in _harmonic_names(degree)], axis=1)
    if len({len(array) for array in (means, quats, opacities, scales, sh)}) > 1:
        raise FileFormatError(f"{name}: attributes of different lengths")
    with np.errstate(divide="ignore", invalid="ignore"):  # bad rows stay bad, see Splats.finite
        # a float32 opacity knows how close to 1 it is, unlike a byte; logit stops at 1e-6
        logits = np.where(np.isfinite(opacities), logit(opacities), np.nan)
        return Splats(means, quats, np.log(scales), logits, sh)


def _harmonic_names(degree: int) -> list[str]:
    return [
        f"{EXTENSION}:SH_DEGREE_{d}_COEF_{n}" for d in range(degree + 1) for n in range(2 * d + 1)
    ]


def _chunks(data: bytes, name: str) -> tuple[dict[str, Any], bytes]:
    if len(data) < 20 or struct.unpack_from("<I", data)[0] != MAGIC:
        raise FileFormatError(f"{name}: not a binary glTF file (it does not begin with glTF)")
    _, version, _, size, kind = struct.unpack_from("<IIIII", data)
    if version != 2 or kind != JSON_CHUNK or 20 + size > len(data):
        raise FileFormatError(f"{name}: not glTF 2.0, or cut short")
    gltf = decode_json(name, data[20 : 20 + size], "the glTF header")
    start = 20 + size
    if len(data) < start + 8:
        raise FileFormatError(f"{name}: no binary chunk; the file is cut short")
    length, kind = struct.unpack_from("<II", data, start)
    if kind != BINARY_CHUNK or start + 8 + length > len(data):
        raise FileFormatError(f"{name}: the binary chunk is cut short")
    return gltf, data[start + 8 : start + 8 + length]


class _Accessors:
    """Attributes by name as float32 [N, width]; whatever is wrong is a FileFormatError."""

    def __init__(
        self, name: str, gltf: dict[str, Any], body: bytes, attributes: dict[str, Any]
    ) -> None:
        self.name, self.body, self.attributes = name, body, attributes
        self.accessors = _objects(gltf.get("accessors"))
        self.views = _objects(gltf.get("bufferViews"))

    def __call__(self, key: str, width: int) -> FloatArray:
        if key not in self.attributes:
            raise FileFormatError(f"{self.name}: the attribute {key} is missing")
        accessor = self._entry(self.accessors, self.attributes[key], key)
        if "sparse" in accessor or "bufferView" not in accessor:
            raise FileFormatError(f"{self.name}: {key} is sparse, which is not read")
        view = self._entry(self.views, accessor["bufferView"], key)
        component = accessor.get("componentType")
        if component not in COMPONENTS or WIDTHS.get(str(accessor.get("type"))) != width:
            raise FileFormatError(f"{self.name}: {key} has an unexpected type")
        kind, top = COMPONENTS[component]
        if (top != 1) != (accessor.get("normalized") is True):
            raise FileFormatError(f"{self.name}: {key} is neither float nor normalised")
        dtype = np.dtype(kind)
        count, own, base, length, stride = (
            self._whole(where, field, default, key)
            for where, field, default in (
                (accessor, "count", None),
                (accessor, "byteOffset", 0),
                (view, "byteOffset", 0),
                (view, "byteLength", None),
                (view, "byteStride", width * dtype.itemsize),
            )
        )
        needed = own + stride * (count - 1) + width * dtype.itemsize if count else 0
        if (
            needed > length
            or base + length > len(self.body)
            or (not width * dtype.itemsize <= stride <= 252)
        ):
            raise FileFormatError(
                f"{self.name}: {key} needs {needed} bytes, but the buffer holds"
                f" {max(0, min(length, len(self.body) - base))}; damaged or cut short"
            )
        if count == 0:
            return np.empty((0, width), np.float32)
        rows = np.ndarray(
            (count, width), dtype, self.body, base + own, (stride, dtype.itemsize)
        ).astype(np.float32)
        return np.maximum(rows / top, -1) if top != 1 else rows

    def _entry(self, entries: list[dict[str, Any]], index: object, key: str) -> dict[str, Any]:
        if type(index) is not int or not 0 <= index < len(entries):
            raise FileFormatError(f"{self.name}: {key} refers to nothing")
        return entries[index]

    def _whole(self, where: dict[str, Any], field: str, default: int | None, key: str) -> int:
        value = where.get(field, default)
        if type(value) is not int or not 0 <= value < 1 << 48:
            raise FileFormatError(f"{self.name}: {field} of {key} is not a whole number >= 0")
        return value


def _object(value: object) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None


def _objects(value: object) -> list[dict[str, Any]]:
    """The list, if it is a list of objects; an index into it must not shift, so all or none."""
    good = isinstance(value, list) and all(isinstance(entry, dict) for entry in value)
    return value if good else []  # type: ignore[return-value]
