"""Hub ids, aliases and what the hub may answer, with huggingface_hub's real client on a made-up
hub: only the transport is replaced, so its own exception classes are raised."""

import fnmatch
import hashlib
import json
import os
import re
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import score3d.teachers.source as source
from score3d.teachers.aliases import ALIASES
from score3d.teachers.errors import TeacherError
from score3d.teachers.source import answering, locate

hub = pytest.importorskip("huggingface_hub", minversion="1.0")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Serves folders as repositories; `refuse` maps an id to (status, X-Error-Code)."""

    def __init__(self, http):
        self.http, self.repos, self.refuse = http, {}, {}
        self.asked, self.tokens, self.down = [], set(), None

    def __call__(self, request):
        if self.down is not None:
            raise self.down
        path = request.url.path
        self.asked.append((request.method, path))
        self.tokens.add(request.headers.get("authorization"))
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)/?(.*)", path)
        repo = api[1] if api else "/".join(path.split("/")[1:3])
        if repo in self.refuse:
            status, code = self.refuse[repo]
            return self.http.Response(status, headers={"X-Error-Code": code} if code else {})
        if repo not in self.repos:
            return self.http.Response(404, headers={"X-Error-Code": "RepoNotFound"})
        files = self.repos[repo]
        if api:
            if api[2].startswith("tree"):
                rows = [
                    {"type": "file", "path": n, "size": len(b), "oid": hashlib.sha1(b).hexdigest()}
                    for n, b in files.items()
                ]
                return self.http.Response(200, json=rows)
            siblings = [{"rfilename": n} for n in files]
            return self.http.Response(200, json={"id": repo, "sha": COMMIT, "siblings": siblings})
        _, _, _, _, revision, name = path.split("/", 5)
        if revision not in ("main", COMMIT):
            return self.http.Response(404, headers={"X-Error-Code": "RevisionNotFound"})
        if name not in files:
            return self.http.Response(404, headers={"X-Error-Code": "EntryNotFound"})
        body = files[name]
        headers = {
            "ETag": f'"{hashlib.sha1(body).hexdigest()}"',
            "X-Repo-Commit": COMMIT,
            "Content-Length": str(len(body)),
        }
        return self.http.Response(
            200, headers=headers, content=b"" if request.method == "HEAD" else body
        )

    def serve(self, repo, folder, rename=lambda name: name):
        self.repos[repo] = {
            rename(str(p.relative_to(folder))): p.read_bytes()
            for p in folder.rglob("*")
            if p.is_file()
        }

    def downloaded(self):
        return [
            p.split("/", 5)[5] for method, p in self.asked if method == "GET" and "/resolve/" in p
        ]


@pytest.fixture
def made_up_hub(monkeypatch, tmp_path):
    from huggingface_hub import constants, set_client_factory
    from huggingface_hub.utils import _http

    http = _http.httpx2 if hasattr(_http, "httpx2") else _http.httpx
    made = Hub(http)
    monkeypatch.setattr(source, "_unreachable", lambda: "")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    before = _http._GLOBAL_CLIENT_FACTORY
    hooks = {"request": [_http.hf_request_event_hook]}  # which is where offline mode refuses
    set_client_factory(lambda: http.Client(transport=http.MockTransport(made), event_hooks=hooks))
    answering.cache_clear()
    locate.cache_clear()
    yield made
    set_client_factory(before)
    answering.cache_clear()
    locate.cache_clear()


def one_line(call, *args, **kwargs):
    with pytest.raises(TeacherError) as caught:
        call(*args, **kwargs)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 400
    return text


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (401, "GatedRepo", "accept the licence at https://huggingface.co/some/model"),
        (403, "GatedRepo", "accept the licence at https://huggingface.co/some/model"),
        (403, "", "accept the licence"),
        (401, "RepoNotFound", "no such model on the hub, nor a folder.*private.*hf auth login"),
        (401, "", "hf auth login"),
        (404, "RepoNotFound", "no such model on the hub, nor a folder"),
        (404, "EntryNotFound", "no model_index.json, so no diffusers checkpoint"),
        (404, "RevisionNotFound", "no revision 'v9'"),
        (500, "", "the hub answers 500"),
        (418, "", "the hub answers 418"),
    ],
)
def test_each_refusal_is_one_line_with_the_fix(made_up_hub, monkeypatch, status, code, says):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between the client's retries
    made_up_hub.refuse["some/model"] = (status, code)
    assert re.search(says, one_line(answering, "some/model", "v9"))


def test_no_connection_is_one_line(made_up_hub, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    made_up_hub.down = made_up_hub.http.ConnectError("no route to host")
    assert "cannot be reached" in one_line(answering, "some/model")


def test_offline_is_one_line_without_a_connection(made_up_hub, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "not in the local cache and offline" in one_line(answering, "some/model")
    assert made_up_hub.asked == []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert "not in the local cache and offline" in one_line(
        answering, "some/model", local_files_only=True
    )
    assert made_up_hub.asked == []


def test_what_is_no_id_and_no_folder(made_up_hub):
    for name in ("/no/such/folder", "./sd15", "a/b/c"):
        assert "no such folder" in one_line(locate, name)
    assert made_up_hub.asked == []


def test_only_what_a_teacher_needs_is_downloaded(made_up_hub, checkpoints):
    """No safety checker, no pickles, no second copy in another precision."""
    folder = checkpoints("sd-eps").folder
    made_up_hub.serve("some/model", folder)
    files = made_up_hub.repos["some/model"]
    index = json.loads(files["model_index.json"])
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    files["model_index.json"] = json.dumps(index).encode()
    files["safety_checker/model.safetensors"] = b"x"
    files["unet/diffusion_pytorch_model.bin"] = b"x"
    files["unet/diffusion_pytorch_model.fp16.safetensors"] = b"x"
    files["unet/diffusion_pytorch_model.non_ema.safetensors"] = b"x"
    files["v1-5-pruned.ckpt"] = b"x"
    found = locate("some/model")
    got = set(made_up_hub.downloaded())
    weights = {n for n in got if not n.endswith((".json", ".txt"))}
    assert weights == {
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
    }
    from score3d.teachers.kinds import CheckpointTeacher

    teacher = CheckpointTeacher("some/model", torch.device("cpu"), cache_prompts=False)
    assert teacher.source.folder == found
    teacher.check()
    assert teacher.load().latent_shape == (4, 8, 8)


def test_the_variant_is_preferred_and_the_plain_file_still_found(made_up_hub, checkpoints):
    folder = checkpoints("sd-eps").folder

    def rename(name):
        return (
            name.replace(".safetensors", ".fp16.safetensors") if name.startswith("unet") else name
        )

    made_up_hub.serve("some/model", folder, rename)
    locate("some/model", variant="fp16")
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in made_up_hub.downloaded()
    assert "vae/diffusion_pytorch_model.safetensors" in made_up_hub.downloaded()
    made_up_hub.asked.clear()
    locate("some/model", variant="")  # there is no plain one of the unet
    from score3d.teachers.checkpoint import Checkpoint

    assert Checkpoint(locate("some/model")).variant_of("unet") == "fp16"


def test_pickles_are_downloaded_on_demand_only(made_up_hub, checkpoints):
    folder = checkpoints("sd-eps").folder

    def rename(name):
        return name.replace(".safetensors", ".bin") if name.startswith("unet") else name

    made_up_hub.serve("some/model", folder, rename)
    locate("some/model")
    assert not [n for n in made_up_hub.downloaded() if n.endswith(".bin")]
    locate("some/model", allow_pickle=True)
    assert "unet/diffusion_pytorch_model.bin" in made_up_hub.downloaded()


def test_an_alias_goes_on_to_its_mirror(made_up_hub, checkpoints):
    _, second = ALIASES["sd15"].ids
    made_up_hub.serve(second, checkpoints("sd-eps").folder)
    assert answering("sd15") == second
    assert locate("sd15").is_dir()


def test_an_alias_without_a_living_id_names_them_all(made_up_hub):
    text = one_line(locate, "sd15")
    assert all(repo in text for repo in ALIASES["sd15"].ids)


def test_a_second_run_needs_no_hub(made_up_hub, checkpoints, monkeypatch):
    from huggingface_hub import constants

    made_up_hub.serve("some/model", checkpoints("sd-eps").folder)
    found = locate("some/model")
    answering.cache_clear()
    locate.cache_clear()
    made_up_hub.asked.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert locate("some/model") == found
    assert made_up_hub.asked == []


def test_the_token_is_sent_and_kept_to_itself(made_up_hub, checkpoints):
    made_up_hub.serve("some/model", checkpoints("sd-eps").folder)
    locate("some/model", token="hf_secret")
    assert "Bearer hf_secret" in made_up_hub.tokens


def test_patterns_name_single_files_and_shards():
    names = source._weight_names("fp16")
    for file in (
        "diffusion_pytorch_model.fp16.safetensors",
        "model.fp16-00001-of-00002.safetensors",
        "model.fp16.safetensors",
    ):
        assert any(fnmatch.fnmatch(file, n) for n in names), file
    for file in (
        "model.safetensors",
        "diffusion_pytorch_model.non_ema.safetensors",
        "model.fp16.bin",
    ):
        assert not any(fnmatch.fnmatch(file, n) for n in names), file


BLOCKED = """
import socket, sys
attempts = []
def refuse(*args, **kwargs):
    attempts.append(args)
    raise OSError("blocked")
socket.socket.connect = socket.socket.connect_ex = refuse
socket.create_connection = socket.getaddrinfo = refuse
import atexit
atexit.register(lambda: sys.stderr.write(f"attempts: {len(attempts)}\\n"))
from score3d.cli.main import app
app(sys.argv[1:], standalone_mode=True)
"""


def processor_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def blocked(*arguments, cwd, environment=None):
    clean = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    clean |= {"HF_HOME": str(cwd / "hf"), "SCORE3D_CACHE": str(cwd / "cache")} | (environment or {})
    clean["PYTHONPATH"] = str(Path(source.__file__).parents[2])
    before = processor_seconds()  # not the clock's: other processes share the machine
    out = subprocess.run(
        [sys.executable, "-c", BLOCKED, *map(str, arguments)],
        capture_output=True, text=True, cwd=cwd, env=clean, timeout=280,
    )  # fmt: skip
    return out, processor_seconds() - before


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_offline_fails_in_one_line_and_connects_to_nothing(tmp_path, how):
    arguments = ["generate", "a corgi", "--teacher", "sd15"]
    environment = {"HF_HUB_OFFLINE": "1"} if how == "variable" else {}
    arguments += ["--offline"] if how == "flag" else []
    out, seconds = blocked(*arguments, cwd=tmp_path, environment=environment)
    assert out.returncode == 1
    lines = [line for line in out.stderr.splitlines() if line.startswith("score3d: ")]
    assert len(lines) == 1, out.stderr
    assert "not in the local cache and offline" in lines[0]
    assert "attempts: 0" in out.stderr
    assert not (tmp_path / "runs").exists()
    assert seconds < 1.0


def test_without_a_network_a_hub_id_fails_in_one_line(tmp_path):
    out, seconds = blocked("generate", "a corgi", "--teacher", "some/model", cwd=tmp_path)
    assert out.returncode == 1
    lines = [line for line in out.stderr.splitlines() if line.startswith("score3d: ")]
    assert len(lines) == 1, out.stderr
    assert "cannot be reached (huggingface.co: blocked)" in lines[0]
    assert "Traceback" not in out.stderr
    assert seconds < 1.0


def test_without_a_network_a_local_folder_works(tmp_path, checkpoints):
    folder = checkpoints("sd-eps").folder
    small = ["scene.count=50", "output.turntable_views=2", "output.picture_size=32",
             "output.mesh_resolution=16", "views.resolution=16", "views.count=2"]  # fmt: skip
    settings = [a for s in small for a in ("--set", s)]
    out, _ = blocked(
        "generate", "a red cube", "--teacher", folder, "--steps", "3", "--out", "run",
        "--offline", *settings, cwd=tmp_path,
    )  # fmt: skip
    assert out.returncode == 0, out.stderr
    assert "attempts: 0" in out.stderr
    assert "memory: about" in out.stderr
    assert (tmp_path / "run" / "scene.ply").exists()
    assert "hf_" not in (tmp_path / "run" / "config.toml").read_text()


def test_sockets_are_really_blocked():
    """The harness itself: a connection attempt is counted."""
    assert socket.socket.connect  # the parent's own is untouched
    code = BLOCKED.split("from score3d")[0] + (
        "\ntry: socket.create_connection(('127.0.0.1', 9))\nexcept OSError: pass"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "attempts: 1" in out.stderr
