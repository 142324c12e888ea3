"""`score3d losses` and `score3d cite`."""

import json
import re
import subprocess
import sys

import pytest

from score3d import build
from score3d.citations import PAPERS, cited, keys_of, references
from score3d.config import load_config, loss_names, to_toml

SLOTS = ("noise", "guide", "baseline", "weight", "couple", "consistency")


def run(*arguments):
    command = [sys.executable, "-m", "score3d.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_every_row_has_its_slots_and_citation():
    rows = json.loads(run("losses", "--json").stdout)
    assert set(rows) == set(loss_names())
    for row in rows.values():
        assert set(SLOTS) <= row["distill"].keys()
        assert re.search(r"arXiv \d{4}\.\d{5}", row["about"]["cite"])
    text = run("losses").stdout
    assert "reward-vsd: RewardSDS" in text
    assert "noises_per_view = 4" in text


@pytest.mark.parametrize("loss", loss_names())
def test_the_papers_of_a_row_are_cited(loss):
    row = json.loads(run("losses", "--json").stdout)[loss] if loss == "sds" else None
    config, entries = load_config(None, loss), references()
    keys = keys_of(config)
    assert all(key in entries for key in keys)
    cited = " ".join(entries[k] for k in keys)
    text = row["about"]["cite"] if row else _cite(loss)
    for number in re.findall(r"\d{4}\.\d{5}", text):
        assert number in cited


def _cite(loss):
    import tomllib

    from score3d.resources import resource

    row = tomllib.loads(resource("configs", "losses", f"{loss}.toml").read_text())
    return row["about"]["cite"]


def test_every_filler_is_known_to_the_citations():
    """A filler without a paper of its own is named here, so that none is forgotten."""
    without = {("noise", "iid"), ("weight", "mean"), ("couple", "none"), ("consistency", "none")}
    fillers = {(slot, name) for slot in SLOTS for name in build.SLOTS[slot]}
    assert fillers - without == {key for key in PAPERS if key[0] in SLOTS}
    used = {key for keys in PAPERS.values() for key in keys}
    assert used | {"poole2023dreamfusion", "lin2023common", "rombach2022high"} | {
        "haque2023instruct",
        "meng2022sdedit",
    } == set(references())


def test_entries_are_whole():
    for key, entry in references().items():
        assert entry.count("{") == entry.count("}"), key
        for field in ("title", "author", "year", "eprint"):
            assert re.search(rf"^  {field} = \{{.+\}},?$", entry, re.M), (key, field)


def test_a_run_is_cited_by_what_it_used(tmp_path):
    config = load_config("draft", "reward-vsd", ["scene.adapt=gradient"])
    (tmp_path / "config.toml").write_text(to_toml(config))
    out = run("cite", tmp_path)
    assert out.returncode == 0, out.stderr
    found = re.findall(r"^@\w+\{(.+),", out.stdout, re.M)
    assert found == [
        "poole2023dreamfusion", "wang2023prolificdreamer", "hu2022lora", "chachy2025rewardsds",
        "ho2022classifierfree", "kerbl2023gaussian", "ye2025gsplat", "rombach2022high",
    ]  # fmt: skip
    assert "kim2023collaborative" in run("cite", "csd").stdout
    wrong = run("cite", "vsdd")
    assert wrong.returncode == 2
    assert "did you mean 'vsd'" in wrong.stderr


def test_a_line_for_each_paper():
    lines = cited(load_config(None, "vsd"))
    assert lines[0] == (
        "Poole, Jain, Barron, Mildenhall; DreamFusion: Text-to-3D using 2D Diffusion; "
        "International Conference on Learning Representations; 2023; arXiv 2209.14988"
    )
    assert any("Leimkühler" in line for line in lines)
    assert any("LoRA" in line for line in lines)
    assert not any("None" in line or "{" in line for line in lines)
