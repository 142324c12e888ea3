"""Prompt embeddings on disk, so that a second run needs no text encoder.

A file per prompt, named by a SHA-256 over everything the numbers depend on: the text encoders'
and tokenizers' files, the network's dtype, and the prompt. In `$SCORE3D_CACHE`, else
`$XDG_CACHE_HOME/score3d`, else `~/.cache/score3d`; deleting it costs time, never correctness.
"""

import contextlib
import hashlib
import os
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file, save
from torch import Tensor

__all__ = ["EmbeddingCache", "cache_folder"]

FORMAT = "1"
SAMPLE = 1 << 20  # bytes read at each of the sampled places of a big file


def cache_folder() -> Path:
    """Where embeddings are kept; it need not exist."""
    own = os.environ.get("SCORE3D_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "score3d"
    return (Path(own) if own else base) / "embeddings"


def fingerprint(files: list[Path], *words: str) -> str:
    """SHA-256 over the files and words. Files over 8 MiB by their size and five samples of 1 MiB
    (the header among them): reading 10 GB of weights to save one pass of them would be absurd."""
    digest = hashlib.sha256()
    for word in (FORMAT, *words):
        digest.update(word.encode() + b"\0")
    for path in sorted(files):
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with open(path, "rb") as file:
            if size <= 8 * SAMPLE:
                digest.update(file.read())
                continue
            for k in range(5):
                file.seek(k * (size - SAMPLE) // 4)
                digest.update(file.read(SAMPLE))
    return digest.hexdigest()


class EmbeddingCache:
    """folder: of the files. identity: `fingerprint` of what makes the embeddings."""

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder, self.identity = folder, identity
        self.hits = self.misses = 0

    def path(self, prompt: str) -> Path:
        """The prompt's file."""
        digest = hashlib.sha256(f"{self.identity}\0{prompt}".encode("utf-8", "surrogatepass"))
        return self.folder / f"{digest.hexdigest()}.safetensors"

    def get(self, prompt: str) -> Tensor | None:
        """The embedding [L,D] on the CPU, or None. An unreadable file counts as absent."""
        try:
            found = load_file(self.path(prompt))["embedding"]
        except (OSError, KeyError, safetensors.SafetensorError):
            self.misses += 1
            return None
        self.hits += 1
        return found

    def put(self, prompt: str, embedding: Tensor) -> None:
        """Keep an embedding [L,D]. A folder that cannot be written is no reason to fail."""
        path = self.path(prompt)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            part.write_bytes(save({"embedding": embedding.detach().to("cpu", torch.float32)}))
            os.replace(part, path)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
