"""`score3d cite`: the papers a run stands on, as BibTeX."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from score3d.cli.errors import reported

if TYPE_CHECKING:
    from score3d.config import Config

# what a setting's value is due to, as keys of configs/losses/references.bib
PAPERS: dict[tuple[str, str], tuple[str, ...]] = {
    ("noise", "consistent"): ("kwak2024geometry", "chang2024warped"),
    ("guide", "classifier-free"): ("ho2022classifierfree",),
    ("guide", "perp-neg"): ("armandpour2023perpneg",),
    ("guide", "instruct-pix2pix"): ("brooks2023instructpix2pix",),
    ("baseline", "noise"): ("poole2023dreamfusion",),
    ("baseline", "stein"): ("wang2024steindreamer",),
    ("baseline", "student"): ("wang2023prolificdreamer", "hu2022lora"),
    ("baseline", "dds"): ("hertz2023delta",),
    ("baseline", "pds"): ("koo2024posterior",),
    ("weight", "reward-min-max"): ("chachy2025rewardsds",),
    ("weight", "reward-best"): ("chachy2025rewardsds",),
    ("weight", "reward-softmax"): ("chachy2025rewardsds",),
    ("couple", "svgd"): ("kim2023collaborative",),
    ("couple", "upgrad"): ("quinton2024jacobian",),
    ("consistency", "gradient"): ("kwak2024geometry",),
    ("kind", "gaussians"): ("kerbl2023gaussian",),
    ("adapt", "mcmc"): ("kheradmand2024mcmc",),
    ("adapt", "gradient"): ("ye2025gsplat",),
}


def cite(
    run: Annotated[
        Path, typer.Argument(help="A run folder, or the name of a loss (`score3d losses`).")
    ],
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """Print the BibTeX entries of what a run used: loss, slots, scene and kind of teacher."""
    with reported(debug):
        from score3d.config import load_config, loss_names, suggestion
        from score3d.runs.folder import RunFolder

        if run.is_dir():
            config = load_config(str(RunFolder.open(run, lock=False).config))
        elif str(run) in loss_names():
            config = load_config(None, str(run))
        else:
            raise ValueError(
                f"{run}: no such run folder, and no such loss; {suggestion(str(run), loss_names())}"
            )
        entries = references()
        typer.echo("\n\n".join(entries[key] for key in keys_of(config)))


def keys_of(config: "Config") -> list[str]:
    """Keys of the papers, without repetition, the loss's own idea before the scene's."""
    d, s = config.distill, config.scene
    chosen = [(slot, getattr(d, slot)) for slot in ("baseline", "weight", "couple", "noise")]
    chosen += [("consistency", d.consistency), ("guide", d.guide), ("kind", s.kind)]
    if s.kind == "gaussians":
        chosen.append(("adapt", s.adapt))
    keys = ["poole2023dreamfusion"]
    for choice in chosen:
        keys += PAPERS.get(choice, ())
    if d.rescale:
        keys.append("lin2023common")
    keys.append("rombach2022high")  # every kind of teacher is a latent diffusion model
    return list(dict.fromkeys(keys))


def references() -> dict[str, str]:
    """The shipped BibTeX entries by key."""
    from score3d.resources import resource

    text = resource("configs", "losses", "references.bib").read_text(encoding="utf-8")
    entries = [e.strip() for e in re.split(r"\n\n+", text) if e.strip()]
    return {re.match(r"@\w+\{([^,]+),", e)[1]: e for e in entries}  # pyright: ignore[reportOptionalSubscript]
