"""Which splat formats there are: by the ending of a name, read and written.

Readers go by what a file contains where endings are shared (.ply), writers by the ending.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from score3d.files.splats import FileFormatError, Splats

__all__ = ["READABLE", "WRITABLE", "decode_splats", "read_splats", "splat_ending", "write_splats"]

USD_ENDINGS = (".usd", ".usda", ".usdc", ".usdz")
WRITABLE = (".ply", ".compressed.ply", ".splat", ".spz", ".sog", ".s3z", ".glb", *USD_ENDINGS)
READABLE = (*WRITABLE, ".ksplat")
LARGEST = 1 << 34  # bytes; beyond this a file is not a scene, and reading it would not end well


def splat_ending(path: str | Path) -> str:
    """The ending that names the format: ".compressed.ply" is one, and so is "meta.json"."""
    name = Path(path).name.lower()
    if name == "meta.json":
        return name
    return ".compressed.ply" if name.endswith(".compressed.ply") else Path(name).suffix


def read_splats(path: str | Path, spz_axes: str = "ply") -> Splats:
    """Splats of a file in any format that is read, in our y-up world.

    A SOG may also be named by its unbundled meta.json. Values may be non-finite where the format
    can hold them. spz_axes: see `score3d.files.spz`.

    Raises:
        FileFormatError: unknown or damaged; one line naming the file, the fault and the remedy.
        RuntimeError: USD without usd-core.
        OSError: the file cannot be opened.
    """
    path = Path(path)
    ending = splat_ending(path)
    if ending == "meta.json":
        from score3d.files.sog import read_sog_folder

        return read_sog_folder(path)
    if ending in USD_ENDINGS:
        from score3d.files.usd import read_usd

        path.open("rb").close()  # so that a missing file is an OSError
        return read_usd(path)
    if ending not in READABLE:
        raise FileFormatError(f"{path}: not a splat file score3d knows; it reads {_list(READABLE)}")
    if path.stat().st_size > LARGEST:
        raise FileFormatError(f"{path}: larger than 16 GB, which is not read")
    if ending == ".ply":
        from score3d.files.compressed_ply import is_compressed_ply
        from score3d.files.ply import read_ply

        with open(path, "rb") as file:
            packed = is_compressed_ply(file.read(1 << 14))
        if not packed:
            return read_ply(path)  # which may be too large to hold twice
    return decode_splats(path.read_bytes(), str(path), spz_axes)


def decode_splats(data: bytes, name: str, spz_axes: str = "ply") -> Splats:
    """Splats from a file's bytes; `name` gives the format by its ending, and is for messages.

    USD is not among them. Raises FileFormatError.
    """
    match splat_ending(name):
        case ".ply" | ".compressed.ply":
            from score3d.files.compressed_ply import decode_compressed_ply, is_compressed_ply
            from score3d.files.ply import decode_ply

            decode = decode_compressed_ply if is_compressed_ply(data) else decode_ply
        case ".splat":
            from score3d.files.dot_splat import decode_dot_splat as decode
        case ".spz":
            from score3d.files.spz import decode_spz

            return decode_spz(data, name, spz_axes)
        case ".sog":
            from score3d.files.sog import decode_sog as decode
        case ".s3z":
            from score3d.files.compact import decode_compact as decode
        case ".glb":
            from score3d.files.gltf_splats import decode_gltf_splats as decode
        case ".ksplat":
            from score3d.files.ksplat import decode_ksplat as decode
        case _:
            raise FileFormatError(f"{name}: not a splat file score3d knows")
    return decode(data, name)


def write_splats(
    path: str | Path, splats: Splats, spz_version: int = 4, spz_axes: str = "ply"
) -> None:
    """Write splats in the format of the ending, atomically.

    Only .ply keeps every bit; .glb and USD keep float32 but not scales beyond e^+-80 or opacities
    within 1e-6 of 0 and 1; the others quantise, and .splat drops view-dependent colour.

    Raises:
        ValueError: an unknown ending, or values that the format cannot hold.
        RuntimeError: USD without usd-core.
        OSError: the file cannot be written.
    """
    write: Callable[[str | Path, Splats], None]
    match splat_ending(path):
        case ".ply":
            from score3d.files.ply import write_ply as write
        case ".compressed.ply":
            from score3d.files.compressed_ply import write_compressed_ply as write
        case ".splat":
            from score3d.files.dot_splat import write_dot_splat as write
        case ".spz":
            from score3d.files.spz import write_spz

            write_spz(path, splats, spz_version, spz_axes)
            return
        case ".sog":
            from score3d.files.sog import write_sog as write
        case ".s3z":
            from score3d.files.compact import write_compact as write
        case ".glb":
            from score3d.files.gltf_splats import write_gltf_splats as write
        case ".usd" | ".usda" | ".usdc" | ".usdz":
            from score3d.files.usd import write_usd as write
        case _:
            raise ValueError(f"{path}: splats can be written as {_list(WRITABLE)}")
    write(path, splats)


def _list(endings: tuple[str, ...]) -> str:
    return ", ".join(endings)
