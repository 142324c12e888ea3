"""Asking about four views at once."""

import pytest
import torch

from score3d.schedule import NoiseSchedule
from score3d.teachers.grid import GridTeacher, tile, untile


class Positions:
    """A teacher that answers with the position of each latent in the picture it was shown, and
    remembers what it was asked."""

    schedule = NoiseSchedule(torch.linspace(0.999, 0.01, 1000).double())
    latent_shape, resolution, view_style = (1, 2, 2), 8, "fine"
    capabilities = frozenset({"grid"})
    name = "positions"

    def embed(self, prompts):
        return torch.zeros(len(prompts), 3, 5)

    encode = decode = staticmethod(lambda x: x)

    def eps(self, z_t, t, emb, image=None, camera=None):
        self.asked, self.image = (z_t, t, emb), image
        return z_t + 100 * torch.arange(z_t.shape[2])[:, None] + 1000 * torch.arange(z_t.shape[3])


def test_tiles_are_read_left_to_right_top_down():
    views = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 2, 2)
    (grid,) = tile(views)
    assert grid[0].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    many = torch.randn(12, 3, 4, 6)
    assert torch.equal(untile(tile(many)), many)


@pytest.mark.parametrize("samples", [1, 3])
def test_rows_come_back_where_they_were(samples):
    """Two grids, each row tagged with (view, sample): every grid shown to the teacher holds one
    sample of its four views, and answers return to their rows."""
    inner = Positions()
    teacher = GridTeacher(inner, samples)
    view = torch.arange(8.0).repeat_interleave(samples)
    sample = torch.arange(float(samples)).repeat(8)
    tag = (view + 10 * sample).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    t = (0.2 + 0.3 * (view >= 4)).float()
    emb = view.view(-1, 1, 1).expand(-1, 3, 5)
    said = teacher.eps(tag, t, emb)
    shown, times, texts = inner.asked
    assert shown.shape == (2 * samples, 1, 4, 4)
    for k, grid in enumerate(untile(shown).view(-1, 4, 4)):
        first, s = 4 * (k // samples), k % samples
        assert grid[:, 0].tolist() == [first + i + 10 * s for i in range(4)]
        assert texts[k, 0, 0] == first
    assert times.tolist() == pytest.approx([0.2] * samples + [0.5] * samples)
    right, below = (view % 2).view(-1, 1, 1, 1), (view % 4 // 2).view(-1, 1, 1, 1)
    corner = (said - tag)[:, :, :1, :1]
    assert torch.equal(corner, 200 * below + 2000 * right)


def test_two_branches_of_guidance_are_two_sets_of_grids():
    inner = Positions()
    z = torch.randn(4, 1, 2, 2)
    once = GridTeacher(inner).eps(z, torch.full((4,), 0.5), torch.zeros(4, 3, 5))
    twice = GridTeacher(inner).eps(torch.cat([z, z]), torch.full((8,), 0.5), torch.zeros(8, 3, 5))
    assert torch.equal(twice, torch.cat([once, once]))


@pytest.mark.parametrize("samples", [1, 2])
def test_pictures_to_edit_are_tiled_as_the_latents_are(samples):
    """Each row's picture is a copy of its latent: so are the grids the teacher is shown."""
    inner, rows = Positions(), 8 * samples
    z = torch.randn(rows, 1, 2, 2)
    GridTeacher(inner, samples).eps(z, torch.full((rows,), 0.5), torch.zeros(rows, 3, 5), image=z)
    assert torch.equal(inner.image, inner.asked[0])
    GridTeacher(inner, samples).eps(z, torch.full((rows,), 0.5), torch.zeros(rows, 3, 5))
    assert inner.image is None


def test_what_is_no_grid_is_refused():
    teacher = GridTeacher(Positions())
    four = torch.zeros(4, 1, 2, 2), torch.full((4,), 0.5), torch.zeros(4, 3, 5)
    with pytest.raises(ValueError, match="takes no cameras"):
        teacher.eps(*four, camera=torch.zeros(4, 16))
    with pytest.raises(ValueError, match="do not make grids"):
        teacher.eps(torch.zeros(3, 1, 2, 2), torch.full((3,), 0.5), torch.zeros(3, 3, 5))
    with pytest.raises(ValueError, match="share one time"):
        teacher.eps(torch.zeros(4, 1, 2, 2), torch.rand(4), torch.zeros(4, 3, 5))


def test_the_rest_is_the_single_teachers():
    teacher = GridTeacher(Positions())
    assert teacher.name == "positions"
    assert teacher.view_style == "grid"
    assert teacher.latent_shape == (1, 2, 2)
