"""The splats container: shapes checked, colours and opacities in range, bad rows dropped."""

from __future__ import annotations

import numpy as np
import pytest

from score3d.files.splats import SH_C0, Splats


def arrays(n: int = 3, k: int = 4) -> dict[str, np.ndarray]:
    return {
        "means": np.zeros((n, 3)),
        "quats": np.ones((n, 4)),
        "log_scales": np.zeros((n, 3)),
        "logit_opacities": np.zeros(n),
        "sh": np.zeros((n, k, 3)),
    }


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("means", (3, 2)),
        ("means", ()),
        ("quats", (3, 3)),
        ("quats", (2, 4)),
        ("log_scales", (3,)),
        ("logit_opacities", (3, 1)),
        ("sh", (3, 3)),
        ("sh", (3, 5, 3)),
        ("sh", (2, 4, 3)),
        ("sh", (3, 4, 4)),
        ("sh", (3, 25, 3)),
    ],
)
def test_wrong_shapes_are_named(name: str, shape: tuple[int, ...]) -> None:
    wrong = name if shape != () else "means"
    with pytest.raises(ValueError, match=f"{wrong} has shape"):
        Splats(**{**arrays(), name: np.zeros(shape)})


@pytest.mark.parametrize(("k", "degree"), [(1, 0), (4, 1), (9, 2), (16, 3)])
def test_degree(k: int, degree: int) -> None:
    assert Splats(**arrays(k=k)).sh_degree == degree


def test_colours_and_opacities() -> None:
    given = arrays()
    given["sh"][:, 0] = np.array([[-9.0] * 3, [0.0, 0.25 / SH_C0, 0.1], [9.0] * 3])
    given["logit_opacities"] = np.array([-200.0, np.log(3.0), 200.0])
    splats = Splats(**given)
    np.testing.assert_allclose(splats.rgb[1], [0.5, 0.75, 0.5 + 0.1 * SH_C0], atol=1e-6)
    assert splats.rgb.min() == 0.0
    assert splats.rgb.max() == 1.0
    np.testing.assert_allclose(splats.opacities, [0, 0.75, 1], atol=1e-6)


@pytest.mark.parametrize("name", ["means", "quats", "log_scales", "logit_opacities", "sh"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_finite_drops_and_counts(name: str, bad: float) -> None:
    given = arrays()
    given["means"][:, 0] = [0, 1, 2]
    given[name][1].flat[-1] = bad if name != "logit_opacities" else 0
    if name == "logit_opacities":
        given[name][1] = bad
    kept, dropped = Splats(**given).finite()
    assert dropped == 1
    assert kept.means[:, 0].tolist() == [0, 2]


def test_select_by_mask_and_by_index_copies() -> None:
    given = arrays()
    given["means"][:, 0] = [0, 1, 2]
    splats = Splats(**given)
    assert splats.select(np.array([True, False, True])).means[:, 0].tolist() == [0, 2]
    reordered = splats.select(np.array([2, 0]))
    assert reordered.means[:, 0].tolist() == [2, 0]
    reordered.means[:] = 7
    assert splats.means[2, 0] == 2


def test_no_splats() -> None:
    kept, dropped = Splats(**arrays(n=0)).finite()
    assert (len(kept), dropped) == (0, 0)
