"""Where a teacher's weights come from: a local folder, a hub id or an alias, always ending in a
local folder in diffusers layout.

Names and meanings are those of diffusers' `from_pretrained`. Nothing heavy is imported, so that
the command line can refuse a name within a second. `HF_HUB_OFFLINE=1` (`--offline`) must be in
the environment before huggingface_hub is first imported; then no connection is attempted.
"""

import functools
import json
import os
import re
from pathlib import Path
from typing import Any

from score3d.teachers.aliases import ALIASES
from score3d.teachers.errors import TeacherError

__all__ = ["HUB_ID", "NotFound", "answering", "is_checkpoint_name", "locate"]

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
# Parts of a pipeline that a teacher has no use for: they are never downloaded.
UNUSED = ("safety_checker", "feature_extractor", "image_encoder", "image_noising_scheduler")


class NotFound(TeacherError):
    """This id does not answer, but a mirror may."""


def is_checkpoint_name(name: str) -> bool:
    """Whether `name` means weights to be found: an alias, a path, or a hub id."""
    return name in ALIASES or Path(name).is_dir() or "/" in name or os.sep in name


@functools.cache
def answering(
    name: str, revision: str = "", local_files_only: bool = False, token: str | None = None
) -> str:
    """The folder or hub id that `name` stands for, after asking for its model_index.json alone.

    An alias stands for the first of its ids that answers. Raises TeacherError.
    """
    if Path(name).is_dir():
        return name
    if name not in ALIASES and not HUB_ID.fullmatch(name):
        raise TeacherError(
            f"{name}: no such folder; --teacher takes a diffusers folder, a hub id like "
            f"owner/name, or one of: embedded, {', '.join(ALIASES)}"
        )
    ids = ALIASES[name].ids if name in ALIASES else (name,)
    failures: list[TeacherError] = []
    for repo in ids:
        try:
            _fetch(repo, "model_index.json", revision, local_files_only, token)
            return repo
        except NotFound as error:
            failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    raise TeacherError(f"{name}: none of {', '.join(ids)} can be had; first: {failures[0]}")


@functools.cache
def locate(
    name: str,
    revision: str = "",
    variant: str = "",
    local_files_only: bool = False,
    allow_pickle: bool = False,
    token: str | None = None,
) -> Path:
    """The local folder of the checkpoint `name`, downloaded if need be.

    name: an existing folder, an alias or a hub id. variant: "fp16" prefers files of that name;
    "" the plain ones. token: None takes the one of `hf auth login` or HF_TOKEN. Raises
    TeacherError: one line that says what is missing and what would work.
    """
    repo = answering(name, revision, local_files_only, token)
    if Path(repo).is_dir():
        return Path(repo)
    index_file = _fetch(repo, "model_index.json", revision, local_files_only, token)
    try:
        index = json.loads(index_file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TeacherError(f"{index_file}: not valid JSON; delete it to load it again") from error
    parts = [
        k
        for k, v in index.items()
        if isinstance(v, list) and v and v[0] is not None and k not in UNUSED
    ]
    patterns = ["model_index.json"]
    patterns += [f"{part}/*.{kind}" for part in parts for kind in ("json", "txt", "model")]
    patterns += [f"{part}/{file}" for part in parts for file in _weight_names(variant)]
    folder = _fetch(repo, patterns, revision, local_files_only, token)
    # a part without that variant: the plain files, or the only ones
    others = [_weight_names(v) for v in ("", "fp16") if v != variant]
    for names in [*others, ["*.bin"]] if allow_pickle else others:
        missing = [p for p in parts if _lacks_weights(folder / p)]
        if missing:
            patterns = [f"{part}/{file}" for part in missing for file in names]
            _fetch(repo, patterns, revision, local_files_only, token)
    return folder


def _fetch(
    repo: str, what: str | list[str], revision: str, local_files_only: bool, token: str | None
) -> Path:
    """A file of the repository, or the folder with what matches a list of patterns."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import huggingface_hub

    huggingface_hub.logging.set_verbosity_error()  # what fails is said below, once
    unreachable = "" if local_files_only or _offline() else _unreachable()
    options: dict[str, Any] = {"revision": revision or None, "token": token}
    options["local_files_only"] = local_files_only or bool(unreachable)
    try:
        if isinstance(what, str):
            return Path(huggingface_hub.hf_hub_download(repo, what, **options))
        return Path(huggingface_hub.snapshot_download(repo, allow_patterns=what, **options))
    except Exception as error:  # dozens of kinds: each becomes one line with the fix
        if unreachable:
            raise NotFound(_no_connection(repo, unreachable)) from error
        kind, line = _explain(error, repo, revision, local_files_only)
        raise kind(line) from error


@functools.cache
def _unreachable() -> str:
    """Why the hub cannot be reached, or "". Asked once before huggingface_hub is, which would try
    for half a minute before it says so. Behind a proxy only the proxy knows."""
    import socket
    from urllib.parse import urlsplit
    from urllib.request import getproxies

    from huggingface_hub import constants

    if getproxies():
        return ""
    url = urlsplit(constants.ENDPOINT)
    try:
        port = url.port or (80 if url.scheme == "http" else 443)
        socket.create_connection((url.hostname or "", port), timeout=5).close()
    except OSError as error:
        return f"{url.hostname}: {error.strerror or error}"
    return ""


def _weight_names(variant: str) -> list[str]:
    """File name patterns of safetensors weights, single or in shards, of one variant."""
    dot = f".{variant}" if variant else ""
    return [
        f"{stem}{dot}{shard}.safetensors"
        for stem in ("diffusion_pytorch_model", "model")
        for shard in ("", "-0*-of-0*")
    ]


def _lacks_weights(folder: Path) -> bool:
    found = any(folder.glob("*.safetensors")) or any(folder.glob("*.bin"))
    return (folder / "config.json").is_file() and not found


def _explain(
    error: Exception, repo: str, revision: str, local_only: bool
) -> tuple[type[TeacherError], str]:
    """The error class and the one line for what huggingface_hub raised."""
    from huggingface_hub import errors

    page = f"https://huggingface.co/{repo}"
    cause: BaseException | None = error
    while cause is not None:  # the reason is often wrapped in "cannot be found in the cache"
        if isinstance(cause, errors.HfHubHTTPError | errors.OfflineModeIsEnabled):
            break
        cause = cause.__cause__ or cause.__context__
    status = getattr(getattr(cause, "response", None), "status_code", None)
    if isinstance(cause, errors.GatedRepoError) or (
        status == 403 and not isinstance(cause, errors.RepositoryNotFoundError)
    ):
        return NotFound, (
            f"{repo}: access is gated; accept the licence at {page}, then run `hf auth login` or "
            "pass --token"
        )
    if isinstance(cause, errors.RepositoryNotFoundError):
        login = " or it is private: run `hf auth login` or pass --token" if status == 401 else ""
        return NotFound, (
            f"{repo}: no such model on the hub, nor a folder of that name here{login}; "
            "`score3d teachers` lists ids that work"
        )
    if isinstance(cause, errors.RevisionNotFoundError):
        return TeacherError, f"{repo}: no revision {revision!r}; {page}/refs lists them"
    if isinstance(cause, errors.RemoteEntryNotFoundError):
        return NotFound, (
            f"{repo}: no model_index.json, so no diffusers checkpoint; {page}/tree/main shows what "
            "it holds"
        )
    if status == 401:
        return NotFound, f"{repo}: the hub refuses the token; run `hf auth login` or pass --token"
    if status is not None:
        return NotFound, f"{repo}: the hub answers {status}; try again later, or a local folder"
    offline = local_only or isinstance(cause, errors.OfflineModeIsEnabled) or _offline()
    if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled) and offline:
        return NotFound, (
            f"{repo}: not in the local cache and offline; run once without --offline (or "
            f"HF_HUB_OFFLINE), or `hf download {repo}` elsewhere and pass its folder"
        )
    if isinstance(error, OSError) and error.errno == 28:
        return TeacherError, f"{repo}: the disk of {_cache()} is full; set HF_HOME to another"
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return NotFound, _no_connection(repo, reason)


def _no_connection(repo: str, reason: str) -> str:
    return (
        f"{repo}: not in the local cache, and the hub cannot be reached ({reason}); check the "
        "connection, or pass a local folder"
    )


def _offline() -> bool:
    from huggingface_hub import constants

    return constants.HF_HUB_OFFLINE


def _cache() -> str:
    from huggingface_hub import constants

    return str(constants.HF_HUB_CACHE)
