"""Real textured models as instances of nouns: unpack, check licences, convert.

    python scripts/fetch_real_models.py                       # apt-get download on Debian
    python scripts/fetch_real_models.py --deb sweethome3d-furniture_1.8-1_all.deb
    python scripts/fetch_real_models.py --url https://.../sweethome3d-furniture_1.8-1_all.deb

The models come from the Debian package sweethome3d-furniture, whose packs are zip files of OBJ
files with a catalogue. Which of them stand for which noun, and by how many degrees one has to be
turned to face +z, is decided by hand in `real_models.json`. Licences are read from the packs, each
model's own file before its pack's, and only CC0 and CC-BY are let in.

Written into --folder: one NAME.npz per model (`score3d.world.models`) and `index.json`, which
training and measuring read. With --update the facts of `real_models.json` (licence, author, split)
and docs/real-models.md are written anew; the split is by instance and depends on SEED alone.
"""

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import urllib.request
import zipfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from score3d.world.models import convert, look_at

PACKAGE = "sweethome3d-furniture"
SHA256 = "3ccb90c63f9525e887a767b9cd5c8b6933b8b6b2973a615a5359ee68a2118668"
SEED = 0
HERE = Path(__file__).parent
MANIFEST = HERE / "real_models.json"
CREDITS = HERE.parent / "docs" / "real-models.md"

LICENCES = {
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "CC-BY-3.0": "https://creativecommons.org/licenses/by/3.0/",
    "CC-BY-3.0-US": "https://creativecommons.org/licenses/by/3.0/us/",
}
PACK_CREDITS = {
    "BlendSwap-CC-0": "Blend Swap (CC-0), converted to OBJ by Emmanuel Puybaret / eTeks",
    "BlendSwap-CC-BY": "Blend Swap (CC-BY), converted to OBJ by Emmanuel Puybaret / eTeks",
    "KatorLegaz": "Andrew Kator & Jennifer Legaz",
    "Reallusion": "Reallusion (http://www.reallusion.com)",
    "Scopia": "Scopia Visual Interfaces Systems, s.l. (http://www.scopia.es) and Emmanuel Puybaret"
    " / eTeks",
}


@dataclass(frozen=True)
class Listed:
    """One model of a pack's catalogue. file: the OBJ in the pack's zip; rotation: what the
    catalogue turns it by, row by row; source: where its own licence file says it came from."""

    id: str
    title: str
    author: str
    licence: str
    file: str
    pack: Path
    rotation: tuple[float, ...] | None
    source: str


def licence_of(text: str) -> str:
    """The key of LICENCES that a licence file names. Raises ValueError for any other."""
    said = re.search(r"[Rr]eleased under\s+(.*)", text)
    words = said[1] if said else text
    if re.search(r"licenses/by-|share.?alike|non.?commercial|no.?deriv", words, re.I):
        raise ValueError("a licence with more conditions than CC-BY")
    if re.search(r"publicdomain/|Creative Commons Zero", words):
        return "CC0-1.0"
    if "licenses/by/3.0/us" in words:
        return "CC-BY-3.0-US"
    if re.search(r"licenses/by/3.0|Creative Commons Attribution 3.0", words):
        return "CC-BY-3.0"
    raise ValueError("no licence that is known")


def read_packs(folder: Path) -> list[Listed]:
    """Every model of the packs (*.sh3f) below a folder whose licence is CC0 or CC-BY."""
    found = []
    for path in sorted(folder.rglob("*.sh3f")):
        with zipfile.ZipFile(path) as pack:
            catalogue = pack.read("PluginFurnitureCatalog.properties").decode("latin1")
            entries: dict[str, dict[str, str]] = defaultdict(dict)
            for key, number, value in re.findall(r"(?m)^(\w+)#(\d+)=(.*?)\r?$", catalogue):
                entries[number][key] = value.encode("latin1").decode("unicode_escape")
            own = defaultdict(str)
            for name in pack.namelist():
                if "licen" in name.lower() and not name.endswith("/"):
                    own[name.rpartition("/")[0]] = pack.read(name).decode("utf8", "replace")
            for e in entries.values():
                file = e["model"].lstrip("/")
                text = own[file.rpartition("/")[0]]
                try:
                    licence = licence_of(text or own[""])
                except ValueError as error:
                    print(f"{path.stem}: {e['name']} left out: {error}")
                    continue
                turn = tuple(float(v) for v in e.get("modelRotation", "").split())
                source = re.search(r"https?://www\.blendswap\.com/blends/view/\d+", text)
                found.append(
                    Listed(
                        f"{path.stem}/{Path(file).stem}", e["name"], e["creator"], licence, file,
                        path, turn or None, source[0] if source else "",
                    )
                )  # fmt: skip
    return found


def unpacked(args: argparse.Namespace) -> Path:
    """The folder of the package's contents."""
    args.folder.mkdir(parents=True, exist_ok=True)
    deb = args.deb
    if deb is None and args.url:
        deb = args.folder / args.url.rpartition("/")[2]
        if not deb.exists():
            with urllib.request.urlopen(args.url) as answer, deb.open("wb") as file:
                shutil.copyfileobj(answer, file)
    elif deb is None:
        if not list(args.folder.glob(f"{PACKAGE}_*.deb")):
            if shutil.which("apt-get") is None:
                raise SystemExit(f"no apt-get here: get {PACKAGE} 1.8-1 and give --deb or --url")
            subprocess.run(["apt-get", "download", PACKAGE], cwd=args.folder, check=True)
        deb = sorted(args.folder.glob(f"{PACKAGE}_*.deb"))[-1]
    if not deb.is_file():
        raise SystemExit(f"{deb}: no such file")
    if hashlib.sha256(deb.read_bytes()).hexdigest() != SHA256:
        print(f"{deb}: not the version that the manifest was made with (1.8-1)")
    out = args.folder / "package"
    if not out.exists():
        if shutil.which("dpkg-deb") is None:
            raise SystemExit(f"no dpkg-deb here: unpack {deb} into {out} yourself")
        subprocess.run(["dpkg-deb", "-x", str(deb), str(out)], check=True)
    return out


def split_of(ids: list[str]) -> set[str]:
    """Of a noun's instances, those to hold out: a fifth, at least one of three or more, by a hash
    of the seed and the name."""
    if len(ids) < 3:
        return set()
    order = sorted(ids, key=lambda i: hashlib.sha256(f"{SEED} {i}".encode()).hexdigest())
    return set(order[: max(1, len(ids) // 5)])


def update(chosen: list[dict], listed: dict[str, Listed]) -> list[dict]:
    """The manifest with licence, author and split from the packs, sorted."""
    of_noun = defaultdict(list)
    for e in chosen:
        of_noun[e["noun"]].append(e["id"])
    held = set().union(*(split_of(ids) for ids in of_noun.values()))
    rows = []
    for e in sorted(chosen, key=lambda e: (e["noun"], e["id"])):
        m = listed[e["id"]]
        facts = {"licence": m.licence, "author": m.author, "file": m.file}
        by_hand = {k: e[k] for k in ("turn", "natural") if k in e}
        rows.append({"noun": e["noun"], "id": e["id"], **by_hand, **facts,
                     "split": "held-out" if e["id"] in held else "train"})  # fmt: skip
    return rows


def credits(rows: list[dict], listed: dict[str, Listed]) -> str:
    """The text of docs/real-models.md."""
    counts = defaultdict(lambda: [0, 0])
    for e in rows:
        counts[e["noun"]][e["split"] == "held-out"] += 1
    several = sum(sum(c) > 1 for c in counts.values())
    lines = [
        "# Real models: nouns and credits",
        "",
        "Written by `scripts/fetch_real_models.py --update`. The models are in the Debian package",
        f"`{PACKAGE}` 1.8-1 (https://www.sweethome3d.com) and are not part of this repository;",
        "pictures of them train the embedded teacher, judges and 3D prior. Changes made to",
        "them: centred, scaled, turned, textures shrunk, and in many pictures stretched and",
        "recoloured.",
        "",
        f"{len(rows)} models of {len(counts)} nouns, {several} nouns with more than one;"
        f" {sum(c[1] for c in counts.values())} models of {sum(c[1] > 0 for c in counts.values())}"
        " nouns are held out of training.",
        "",
        "Instances (of which held out): "
        + ", ".join(
            f"{n} {sum(c)}" + (f" ({c[1]})" if c[1] else "") for n, c in sorted(counts.items())
        )
        + ".",
        "",
    ]
    for licence, url in LICENCES.items():
        lines += [f"## {licence}", "", url, ""]
        by_pack = defaultdict(lambda: defaultdict(list))
        for e in rows:
            if e["licence"] == licence:
                m = listed[e["id"]]
                author = "" if m.author in ("Scopia", "Kator Legaz", "Reallusion") else m.author
                name = f"[{m.title}]({m.source})" if m.source else m.title
                by_pack[m.pack.stem][author].append(f"{name} (`{m.file.split('/')[-1]}`)")
        for pack, authors in sorted(by_pack.items()):
            lines += [f"### {PACK_CREDITS[pack]}", ""]
            for author, works in sorted(authors.items()):
                lines.append(("- " + (f"{author}: " if author else "")) + ", ".join(works))
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def main(args: argparse.Namespace) -> None:
    packs = unpacked(args)
    listed = {m.id: m for m in read_packs(packs)}
    rows = json.loads(MANIFEST.read_text())
    if args.update:
        rows = update(rows, listed)
        MANIFEST.write_text("[\n" + ",\n".join(json.dumps(e) for e in rows) + "\n]\n")
        CREDITS.write_text(credits(rows, listed))
    index = []
    for e in rows:
        m = listed.get(e["id"])
        if m is None or m.licence != e["licence"]:
            raise SystemExit(f"{e['id']}: not in the package with licence {e['licence']}")
        target = args.folder / f"{e['id'].replace('/', '-')}.npz"
        if not target.exists() or args.again:
            inside = args.folder / "files" / m.pack.stem
            with zipfile.ZipFile(m.pack) as pack:
                beside = m.file.rpartition("/")[0] + "/"
                pack.extractall(inside, [n for n in pack.namelist() if n.startswith(beside)])
            rotation = np.eye(3) if m.rotation is None else np.reshape(m.rotation, (3, 3))
            try:
                model = convert(inside / m.file, rotation)
            except ValueError as error:
                print(f"{e['id']}: {error}")
                continue
            model.save(target)
        facts = look_at(target, float(e.get("turn", 0)))
        index.append({**e, "npz": target.name, **facts.__dict__})
    (args.folder / "index.json").write_text(json.dumps(index, indent=0))
    print(f"{len(index)} models of {len({e['noun'] for e in index})} nouns in {args.folder}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--deb", type=Path, help="the package, if it is there already")
    parser.add_argument("--url", help="where to download it from, instead of apt-get")
    parser.add_argument("--folder", type=Path, default=Path(".cache/real-models"))
    parser.add_argument("--update", action="store_true", help="renew the manifest and the credits")
    parser.add_argument("--again", action="store_true", help="convert what has been converted")
    main(parser.parse_args())
