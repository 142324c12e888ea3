"""Many prompts at once, on the machines of a Ray cluster (Moritz et al. 2018, arXiv 1712.05889).

Ray places the runs, as many at once as its resources allow, and starts those of a lost machine
again elsewhere; `run_one` goes on from a run's last checkpoint. All machines must see the batch's
folder under the same path, and have score3d installed.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

from score3d.batch.one import Outcome, run_one
from score3d.runs.folder import slug

__all__ = ["connected", "missing_library", "run_fleet"]

RETRIES = 3  # of a run whose machine or worker was lost
TELL_EVERY = 15.0  # seconds
PATIENCE = 120.0  # seconds that stopped runs get to write their checkpoint and files
STOP = ".stop"  # in the batch's folder: whoever works for it ends in good order
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def missing_library() -> str:
    """What to install, in one line, or ""."""
    from importlib.util import find_spec

    return "" if find_spec("ray") else "--ray needs the ray library: pip install 'score3d[ray]'"


class connected:
    """A context: this process is a driver of the cluster at `address` ("local" starts one here,
    "auto" finds the one that runs here). Raises ValueError if there is none.

    The cluster is left as it was; one that was started here ends."""

    def __init__(self, address: str) -> None:
        self.address = address

    def __enter__(self) -> None:
        import ray

        where: dict[str, Any] = {"address": self.address}
        if self.address == "local":
            where = {"include_dashboard": False}
        try:
            _reach(self.address)
            ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:
            first = str(error).splitlines()[0][:200]
            raise ValueError(
                f"no Ray cluster at {self.address!r} ({first}); `ray start --head` begins one, "
                "--ray local needs none"
            ) from error

    def __exit__(self, *_: object) -> None:
        import ray

        ray.shutdown()


def _reach(address: str) -> None:
    """Ray itself tries for minutes. Raises OSError, ValueError."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:
        socket.create_connection((host, int(port)), timeout=5).close()


def run_fleet(
    jobs: Sequence[tuple[int, str]],
    out: Path,
    options: Sequence[str],
    cpus: float = 2,
    gpus: float = 0,
    stopped: Callable[[], bool] = lambda: False,
    tell: Callable[[str], object] = lambda line: None,
) -> Iterator[Outcome]:
    """The outcomes of (line, prompt) in the order they come in; within `connected`.

    cpus, gpus: what one run claims. stopped: asked now and then; once true, running runs are told
    to end in good order and come back as "interrupted", waiting ones are dropped. tell: is given a
    line about all of them now and then.
    """
    import ray
    from ray.exceptions import RayError

    remote: Any = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)(_run_there)
    pending: dict[Any, tuple[int, str]] = {
        remote.remote(line, prompt, str(out.resolve()), list(options), os.getcwd()): (line, prompt)
        for line, prompt in jobs
    }
    told, deadline = time.monotonic(), float("inf")
    stop = out / STOP
    stop.unlink(missing_ok=True)
    try:
        while pending and time.monotonic() < deadline:
            ready, _ = ray.wait(list(pending), num_returns=1, timeout=1.0)
            for task in ready:
                line, prompt = pending.pop(task)
                try:
                    outcome = ray.get(task)
                except RayError as error:
                    reason = " ".join(str(error).split())[:200]
                    said = f"its worker was lost {RETRIES + 1} times: {reason}"
                    outcome = Outcome(line, prompt, slug(prompt), "failed", said, 0.0, {})
                if outcome is not None:
                    yield outcome
            if stopped() and not stop.exists():
                stop.touch()
                deadline = time.monotonic() + PATIENCE
            if pending and time.monotonic() - told > TELL_EVERY:
                told = time.monotonic()
                tell(_progress([prompt for _, prompt in pending.values()], out))
    finally:
        stop.unlink(missing_ok=True)


def _progress(prompts: list[str], out: Path) -> str:
    """A line about the runs that are not finished, from the files they write."""
    steps = {}
    for prompt in prompts:
        try:
            with open(out / slug(prompt) / "metrics.jsonl", "rb") as file:
                steps[prompt] = sum(1 for _ in file)
        except OSError:
            continue
    going = ", ".join(f"{prompt}: step {n}" for prompt, n in steps.items())
    return f"{len(steps)} begun ({going}), {len(prompts) - len(steps)} waiting"


def _run_there(line: int, prompt: str, out: str, options: list[str], folder: str) -> Outcome | None:
    """`run_one` on a worker, in the driver's folder; None if the batch was stopped before.

    Being told to stop comes by a file: Ray's own cancelling does not reach a worker that waits
    for a process."""
    stop = Path(out) / STOP
    if stop.exists():
        return None
    told = []

    def watch(process: subprocess.Popen[str]) -> None:
        while process.poll() is None:
            if stop.exists() and not told:
                told.append(True)
                process.send_signal(signal.SIGTERM)
            time.sleep(0.5)

    def started(process: subprocess.Popen[str]) -> None:
        Thread(target=watch, args=[process], daemon=True).start()

    os.chdir(folder)
    outcome = run_one(line, prompt, Path(out), options, started, _end_with_parent)
    if told and outcome.status != "complete":
        outcome = replace(outcome, status="interrupted", error="")
    return outcome


def _end_with_parent() -> None:
    """In a new process: be killed when its parent is. A run that outlived its worker would hold
    the folder's lock against the one that goes on with it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
