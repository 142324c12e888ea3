"""A checkpoint folder in diffusers layout: what it holds, whether it is whole, and its parts.

`model_index.json` names the parts and their classes; each part is a folder with a config and
weights. Weights are safetensors; pickles run code when they are read and are refused unless asked
for. Files are checked by their headers before any library touches them, so that what is wrong is
said with the file's name.
"""

import importlib
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from score3d.teachers.errors import TeacherError

__all__ = ["Checkpoint", "read_json"]

STEMS = {"diffusers": "diffusion_pytorch_model", "transformers": "model"}
MAX_HEADER = 100_000_000  # bytes, the limit of the safetensors format
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "U8": 1, "I8": 1, "BOOL": 1}


def read_json(path: Path) -> dict[str, Any]:
    """A file's JSON object. Raises TeacherError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TeacherError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise TeacherError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(content, dict):
        raise TeacherError(f"{path}: expected a JSON object")
    return content


def _quiet() -> None:
    """Errors are raised; the libraries' bars and remarks would only break up our progress."""
    import diffusers.utils.logging
    import transformers.utils.logging

    for library in (diffusers.utils.logging, transformers.utils.logging):
        library.set_verbosity_error()
        library.disable_progress_bar()


def _header(path: Path) -> dict[str, Any]:
    """The tensors of a safetensors file, checked against its length. Raises TeacherError."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= MAX_HEADER:
            raise TeacherError(f"{path}: not a safetensors file; download it again")
        text = file.read(length)
    if len(text) < length:
        raise TeacherError(f"{path}: cut short within its header; download it again")
    try:
        header = json.loads(text)
        header.pop("__metadata__", None)
        end = 8 + length + max((t["data_offsets"][1] for t in header.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TeacherError(f"{path}: its header is damaged; download it again") from error
    if end > size:
        raise TeacherError(f"{path}: cut short, {size} of {end} bytes; download it again")
    return header


@dataclass(frozen=True)
class Checkpoint:
    """folder: of `model_index.json`. variant: weight files of this name ("fp16") are preferred.
    Raises TeacherError where there is no checkpoint."""

    folder: Path
    variant: str = ""
    allow_pickle: bool = False

    def __post_init__(self) -> None:
        if not (self.folder / "model_index.json").is_file():
            files = {p.suffix for p in self.folder.iterdir()} if self.folder.is_dir() else set()
            hint = ""
            if files & {".safetensors", ".ckpt"}:
                hint = (
                    "; a single file is not enough: StableDiffusionPipeline.from_single_file(...)"
                    ".save_pretrained(...) of diffusers makes such a folder"
                )
            raise TeacherError(
                f"{self.folder}: no model_index.json; expected a diffusers checkpoint folder{hint}"
            )

    @property
    def index(self) -> dict[str, Any]:
        """model_index.json."""
        return read_json(self.folder / "model_index.json")

    def has(self, part: str) -> bool:
        """Whether the index names a class for `part`."""
        entry = self.index.get(part)
        return isinstance(entry, list) and len(entry) == 2 and entry[0] is not None

    def part_class(self, part: str) -> tuple[str, str]:
        """(library, class name) of a part. Raises TeacherError without one, or its folder."""
        if not self.has(part) or not (self.folder / part).is_dir():
            raise TeacherError(
                f"{self.folder}: no {part}/ folder; this checkpoint is incomplete, download it "
                "again"
            )
        library, name = self.index[part]
        return str(library), str(name)

    def config(self, part: str) -> dict[str, Any]:
        """The part's config.json (scheduler_config.json for the scheduler)."""
        self.part_class(part)
        name = "scheduler_config.json" if part == "scheduler" else "config.json"
        return read_json(self.folder / part / name)

    def files(self, part: str) -> list[Path]:
        """The weight files `load` reads, whole as far as their headers tell. Raises TeacherError
        if there are none, if they are pickled and not allowed, or cut short."""
        folder = self.folder / part
        stem = STEMS["diffusers" if self.part_class(part)[0] != "transformers" else "transformers"]
        for variant in self._variants():
            dot = f".{variant}" if variant else ""
            single = folder / f"{stem}{dot}.safetensors"
            shards = folder / f"{stem}.safetensors.index{dot}.json"
            if single.is_file():
                _header(single)
                return [single]
            if shards.is_file():
                names = sorted(set(read_json(shards).get("weight_map", {}).values()))
                for name in names:
                    if not (folder / name).is_file():
                        raise TeacherError(f"{folder / name}: missing, but {shards.name} names it")
                    _header(folder / name)
                return [folder / name for name in names]
        pickled = sorted(folder.glob("*.bin"))
        if not pickled:
            raise TeacherError(f"{folder}: no {stem}.safetensors; the checkpoint is incomplete")
        if not self.allow_pickle:
            raise TeacherError(
                f"{pickled[0]}: only pickled weights, which can run code when loaded; prefer a "
                "checkpoint with .safetensors, or trust it with --set teacher.allow_pickle=true"
            )
        return pickled

    def _variants(self) -> list[str]:
        """What is asked for first; the others still beat a refusal."""
        return list(dict.fromkeys((self.variant, "", "fp16", "bf16")))

    def variant_of(self, part: str) -> str | None:
        """The variant of the files that `files` finds, as `from_pretrained` wants it."""
        name = self.files(part)[0].name
        return next((v for v in self._variants() if v and f".{v}" in name), None)

    def numbers(self, part: str) -> int:
        """How many numbers the part's weights hold, from the headers alone."""
        total = 0
        for path in self.files(part):
            if path.suffix != ".safetensors":
                total += path.stat().st_size // 4
                continue
            for tensor in _header(path).values():
                first, last = tensor["data_offsets"]
                total += (last - first) // SIZES.get(tensor["dtype"], 4)
        return total

    def load(self, part: str, dtype: torch.dtype | None = None) -> Any:
        """The part, made by the library the index names; networks frozen and in eval mode.

        Raises TeacherError for a class of another library, weights that do not fit or do not
        cover the network, and whatever the library says, in one line with the file's name.
        """
        library, name = self.part_class(part)
        _quiet()
        cls = getattr(importlib.import_module(library), name, None) if library in STEMS else None
        if cls is None:
            raise TeacherError(
                f"{self.folder}: {part} is a {library}.{name}, not a diffusers or transformers "
                "class that is installed"
            )
        where = self.folder / part
        if dtype is None:
            return self._made(lambda: cls.from_pretrained(where, local_files_only=True), where)
        self.config(part)
        files = self.files(part)
        kwargs: dict[str, Any] = {
            "local_files_only": True,
            "variant": self.variant_of(part),
            "use_safetensors": files[0].suffix == ".safetensors",
            "output_loading_info": True,
            "torch_dtype" if library == "diffusers" else "dtype": dtype,
        }
        network, info = self._made(lambda: cls.from_pretrained(where, **kwargs), files[0])
        missing = sorted(info["missing_keys"])
        if missing:
            raise TeacherError(
                f"{files[0]}: {len(missing)} tensors of the {name} are missing, first {missing[0]}"
            )
        return network.requires_grad_(False).eval()

    @staticmethod
    def _made(make: Any, where: Path) -> Any:
        try:
            return make()
        except Exception as error:  # the libraries raise many kinds; the user needs one line
            reason = " ".join(str(error).split()) or type(error).__name__
            reason = reason if len(reason) <= 200 else reason[:197] + "..."
            raise TeacherError(f"{where}: cannot be loaded: {reason}") from error
