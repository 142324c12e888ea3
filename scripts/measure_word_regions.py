"""How well a region in words finds a noun's part, on held-out instances whose parts are known.

    python scripts/measure_word_regions.py --seeds 3 --pictures word-regions

Scenes are discs on the surfaces of procedural instances (held_out.py); the part is the faces whose
colour follows the second colour. Each instance is seen twice: with the part in the tone that it
has by itself ("a red house"), and in black ("a red house with black roof"). Words are looked for
as `score3d edit scene --region "the roof"` does. IoU, precision and recall are of the selected
Gaussians; ceiling is the IoU of lifting the true masks (over half of a pixel) of the same views.
Prints the table of docs/results/word-regions.md; --pictures is a folder for views with the
selection in blue.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from held_out import instance

from score3d.articles import with_article
from score3d.config import load_config
from score3d.edit.frame import Frame
from score3d.edit.lifting import coverage, lift
from score3d.edit.session import open_session
from score3d.edit.word_region import part_views, select_words
from score3d.files.pictures import write_png
from score3d.files.splats import SH_C0, Splats
from score3d.scenes.photograph import photograph

NOUNS = ("house", "chair", "mushroom", "mug", "car", "duck", "table", "robot", "rocket", "snowman")
FIRST = 100  # seeds below chose the settings
BLUE = (0.1, 0.2, 0.9)
SESSIONS = {}


def opened(teacher, config):
    """The session with a teacher, opened once."""
    if teacher not in SESSIONS:
        SESSIONS[teacher] = open_session(config, angles=True)
    return SESSIONS[teacher]


def scores(found, part):
    """IoU, precision and recall of booleans [N]."""
    both = (found & part).sum()
    return both / max(1, (found | part).sum()), both / max(1, found.sum()), both / part.sum()


def shown(path, splats, selected, views):
    """A few views, above as they are, below with what is selected in blue."""
    sh = splats.sh.copy()
    sh[selected] = 0
    sh[selected, 0] = (np.array(BLUE) - 0.5) / SH_C0
    marked = Splats(splats.means, splats.quats, splats.log_scales, splats.logit_opacities, sh)
    rows = [np.concatenate(list(photograph(s, views, 0.8)), 1) for s in (splats, marked)]
    write_png(path, np.concatenate(rows, 0))


def measured(noun, colour, second, seed, teacher, pictures):
    """IoU, precision, recall, ceiling, shares of the part and of what is selected, seconds."""
    splats = instance(noun, colour, seed, second).splats
    part = instance(noun, colour, seed, "black").part
    options = {"teacher": {"name": teacher}, "run": {"device": "cpu", "prompt": f"a blue {noun}"}}
    config = load_config(None, None, None, options)
    session = opened(teacher, config)
    name = session.teacher.world.second_parts[noun]
    source = with_article(f"{colour} {noun}") + (f" with {second} {name}" if second else "")
    edit = config.edit.model_copy(update={"region": f"the {name}", "source": source})
    frame, start = Frame.of(splats), time.perf_counter()
    try:
        chosen = select_words(config.model_copy(update={"edit": edit}), splats, frame, session)
        found = chosen.selected
    except ValueError as error:
        print(error)
        found = np.zeros(len(splats), bool)
    seconds = time.perf_counter() - start
    framed = frame.into(splats)
    views = part_views(config.views.fov, session.teacher.resolution)
    true = lift(framed, views, (coverage(framed, part, views) > 0.5).astype(np.int64)).labels == 1
    if pictures:
        pictures.mkdir(parents=True, exist_ok=True)
        large = part_views(config.views.fov, 160)
        path = pictures / f"{noun}-{second or 'own'}-{seed}.png"
        shown(path, framed, found, large[5:12:2])
    return [*scores(found, part), scores(true, part)[0], part.mean(), found.mean(), seconds]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nouns", default=",".join(NOUNS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--teacher", default="embedded")
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    head = "| noun, part | IoU | precision | recall | ceiling | part | selected |"
    lines, means = [head, "|---|---|---|---|---|---|---|"], {None: [], "black": []}
    seconds = []
    for k, noun in enumerate(arguments.nouns.split(",")):
        colour = ("red", "yellow")[k % 2]
        for second in (None, "black"):
            rows = [
                measured(noun, colour, second, FIRST + seed, arguments.teacher, arguments.pictures)
                for seed in range(arguments.seeds)
            ]
            *row, spent = np.mean(rows, 0)
            seconds.append(spent)
            means[second].append(row)
            session = opened(arguments.teacher, None)
            name = f"{noun}, {second or 'own'} {session.teacher.world.second_parts[noun]}"
            lines.append(f"| {name} | " + " | ".join(f"{v:.2f}" for v in row) + " |")
            print(lines[-1], flush=True)
    for second, rows in means.items():
        mean = np.mean(rows, 0)
        name = f"mean, {second or 'own tone'}"
        lines.append(f"| **{name}** | " + " | ".join(f"{v:.2f}" for v in mean) + " |")
        print(lines[-1])
    print(f"\n{np.mean(seconds):.1f} s a region on {arguments.threads} thread(s)")


if __name__ == "__main__":
    main()
