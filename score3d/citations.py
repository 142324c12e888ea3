"""Which papers a run stands on, and their BibTeX entries (configs/losses/references.bib)."""

import re
import unicodedata

from score3d.config import Config
from score3d.resources import resource

__all__ = ["cited", "keys_of", "references"]

# as TeX writes them -> combining characters
ACCENTS = {"`": "\u0300", "'": "\u0301", "^": "\u0302", "~": "\u0303", '"': "\u0308"}
# what a setting's value is due to, as keys of configs/losses/references.bib
PAPERS: dict[tuple[str, str], tuple[str, ...]] = {
    ("noise", "consistent"): ("kwak2024geometry", "chang2024warped"),
    ("guide", "classifier-free"): ("ho2022classifierfree",),
    ("guide", "source-negative"): ("ho2022classifierfree",),
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
    ("start", "prior"): ("yi2024gaussiandreamer",),
    ("adapt", "mcmc"): ("kheradmand2024mcmc",),
    ("adapt", "gradient"): ("ye2025gsplat",),
}


def keys_of(config: Config) -> list[str]:
    """Keys of the papers, without repetition, the loss's own idea before the scene's."""
    d, s = config.distill, config.scene
    chosen = [(slot, getattr(d, slot)) for slot in ("baseline", "weight", "couple", "noise")]
    chosen += [("consistency", d.consistency), ("guide", d.guide), ("kind", s.kind)]
    if s.kind == "gaussians":
        chosen.append(("adapt", s.adapt))
    if s.start == "prior":
        chosen.append(("start", s.start))
    keys = ["poole2023dreamfusion"]
    for choice in chosen:
        keys += PAPERS.get(choice, ())
    if d.targets:
        keys += ("haque2023instruct", "meng2022sdedit")
    if d.rescale:
        keys.append("lin2023common")
    keys.append("rombach2022high")  # every kind of teacher is a latent diffusion model
    return list(dict.fromkeys(keys))


def references() -> dict[str, str]:
    """The shipped BibTeX entries by key."""
    text = resource("configs", "losses", "references.bib").read_text(encoding="utf-8")
    entries = [e.strip() for e in re.split(r"\n\n+", text) if e.strip()]
    return {re.match(r"@\w+\{([^,]+),", e)[1]: e for e in entries}  # pyright: ignore[reportOptionalSubscript]


def cited(config: Config) -> list[str]:
    """A line for each paper: authors, title, where, year, arXiv number."""
    entries = references()
    return [_line(entries[key]) for key in keys_of(config)]


def _line(entry: str) -> str:
    entry = re.sub(r"\\([`'\"^~])(\w)", lambda m: m[2] + ACCENTS[m[1]], entry)
    entry = unicodedata.normalize("NFC", entry)
    fields = dict(re.findall(r"(\w+) *= *\{((?:[^{}]|\{[^{}]*\})*)\}", entry))
    names = [author.split(",")[0] for author in fields.get("author", "").split(" and ")]
    people = ", ".join(names[:5]) + (" and others" if len(names) > 5 else "")
    arxiv = f"arXiv {fields['eprint']}" if "eprint" in fields else ""
    where = fields.get("booktitle") or fields.get("journal") or ""
    parts = [people, fields.get("title", ""), where, fields.get("year", ""), arxiv]
    return re.sub(r"[{}]", "", "; ".join(part for part in parts if part))
