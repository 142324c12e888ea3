"""Closed forms of the guides."""

import pytest
import torch

from score3d.cameras import orbit
from score3d.distill.guide.classifier_free import ClassifierFree
from score3d.distill.guide.instruct_pix2pix import InstructPix2Pix
from score3d.distill.guide.perp_neg import PerpNeg, perpendicular
from score3d.distill.guide.source_negative import SourceNegative
from score3d.prompts import Conditioning, PromptBook, opposite_weights
from score3d.teachers.gaussian import GaussianTeacher


@pytest.fixture
def noisy():
    g = torch.Generator().manual_seed(3)
    return torch.randn(4, 3, 8, 8, generator=g), torch.full((4,), 0.5)


def conditioning(**more):
    return Conditioning(torch.ones(4, 1, 1), torch.zeros(4, 1, 1), **more)


class SidedTeacher(GaussianTeacher):
    """An embedding e has mean e * m + e^2 * n: not all directions are parallel."""

    def __init__(self, mean, other):
        super().__init__(mean, 0.3)
        self.other = other

    def eps(self, z_t, t, emb, image=None, camera=None):
        alpha, sigma = self.schedule.alpha_sigma(t, z_t)
        e = emb.view(-1, 1, 1, 1)
        mean = e * self.mean + e**2 * self.other
        return sigma * (z_t - alpha * mean) / (alpha**2 * 0.09 + sigma**2)


@pytest.fixture
def sided(gaussian_teacher):
    other = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(6))
    return SidedTeacher(gaussian_teacher.mean, other)


def x0(teacher, z_t, t, e):
    alpha, sigma = teacher.schedule.alpha_sigma(t, z_t)
    return (z_t - sigma * e) / alpha


@pytest.mark.parametrize("phi", [0.3, 1.0])
def test_rescale_blends_the_spreads_of_x0(gaussian_teacher, noisy, phi):
    """std(x0') = phi std(x0_c) + (1 - phi) std(x0_g): float32 rounding of x0, hence 1e-4."""
    z_t, t = noisy
    e_c = ClassifierFree(1.0)(gaussian_teacher, z_t, t, conditioning())
    e_g = ClassifierFree(20.0)(gaussian_teacher, z_t, t, conditioning())
    e = ClassifierFree(20.0, phi)(gaussian_teacher, z_t, t, conditioning())
    c, g, r = (x0(gaussian_teacher, z_t, t, v).std((1, 2, 3)) for v in (e_c, e_g, e))
    assert (g > 1.5 * c).all()
    assert torch.allclose(r, phi * c + (1 - phi) * g, rtol=1e-4)


def test_no_rescale_is_bit_identical_and_guidance_one_needs_none(gaussian_teacher, noisy):
    z_t, t = noisy
    off = ClassifierFree(20.0, 0.0)(gaussian_teacher, z_t, t, conditioning())
    e_u = gaussian_teacher.eps(z_t, t, conditioning().negative)
    e_c = gaussian_teacher.eps(z_t, t, conditioning().positive)
    assert torch.equal(off, e_u + 20.0 * (e_c - e_u))
    assert torch.equal(ClassifierFree(1.0, 0.7)(gaussian_teacher, z_t, t, conditioning()), e_c)


def test_perpendicular_part_is_orthogonal():
    """|cos| < 1e-6, the rounding of float32, also for nearly parallel vectors."""
    g = torch.Generator().manual_seed(1)
    b = torch.randn(4, 3, 8, 8, generator=g)
    a = torch.randn(4, 2, 3, 8, 8, generator=g)
    a[:, 1] = 3 * b + 0.1 * a[:, 1]
    part = perpendicular(a, b).double().flatten(2)
    d = b.double().flatten(1).unsqueeze(1)
    cosine = (part * d).sum(2) / (part.norm(dim=2) * d.norm(dim=2))
    assert cosine.abs().max() < 1e-6
    along = (a.double().flatten(2) - part).flatten(0, 1)
    line = (along[0] @ d[0, 0]) / (d[0, 0] @ d[0, 0]) * d[0, 0]
    assert torch.allclose(along[0], line, atol=1e-6)


def test_perpendicular_to_nothing_is_everything():
    a = torch.randn(1, 1, 1, 2, 2)
    assert torch.equal(perpendicular(a, torch.zeros(1, 1, 2, 2)), a)


def test_perp_neg_is_the_closed_form(sided, noisy):
    z_t, t = noisy
    levels, weights = torch.tensor([2.0, -1.0]), torch.tensor([[-0.5, -1.2]]).repeat(4, 1)
    cond = conditioning(
        opposites=levels.view(1, 2, 1, 1).repeat(4, 1, 1, 1), opposite_weights=weights
    )
    e_u = sided.eps(z_t, t, cond.negative)
    p = sided.eps(z_t, t, cond.positive) - e_u
    expected = p.clone()
    for k, level in enumerate(levels):
        n = sided.eps(z_t, t, torch.full((4, 1, 1), level)) - e_u
        share = (n * p).sum((1, 2, 3), keepdim=True) / (p * p).sum((1, 2, 3), keepdim=True)
        expected = expected + weights[:, k].view(4, 1, 1, 1) * (n - share * p)
    said = PerpNeg(3.0)(sided, z_t, t, cond)
    assert torch.allclose(said, e_u + 3.0 * expected, atol=1e-4)  # three terms of size 10
    assert (said - e_u - 3.0 * p).abs().max() > 0.1


def test_perp_neg_with_parallel_negatives_is_classifier_free(gaussian_teacher, noisy):
    """A Gaussian's conditions all move the mean along one line: nothing is perpendicular."""
    z_t, t = noisy
    cond = conditioning(opposites=torch.full((4, 2, 1, 1), 0.4), opposite_weights=-torch.ones(4, 2))
    plain = ClassifierFree(7.5)(gaussian_teacher, z_t, t, cond)
    assert torch.allclose(PerpNeg(7.5)(gaussian_teacher, z_t, t, cond), plain, atol=1e-5)


def test_opposite_weights_leave_a_view_alone_at_its_own_angle():
    """The constants are rounded to three digits: 1e-3."""
    assert opposite_weights(0)[0] == pytest.approx(0, abs=1e-3)
    assert opposite_weights(90)[1] == pytest.approx(0, abs=1e-3)
    assert opposite_weights(0)[1] == pytest.approx(-1.574, abs=1e-3)
    assert opposite_weights(180) == pytest.approx((-1.967, -0.394), abs=1e-3)
    for side in (90.0, -90.0):
        near, far = opposite_weights(side * 0.9999), opposite_weights(side * 1.0001)
        assert near == pytest.approx(far, abs=2e-3)
    assert opposite_weights(-50) == pytest.approx(opposite_weights(50))
    assert all(w <= 0 for a in range(-180, 180, 5) for w in opposite_weights(a))


def test_prompts_hand_out_opposites_on_request(gaussian_teacher):
    asked = []

    class Recording(GaussianTeacher):
        view_style = "eight"

        def embed(self, prompts):
            asked.extend(prompts)
            return super().embed(prompts)

    book = PromptBook(Recording(gaussian_teacher.mean, 0.3), "x")
    views = orbit(torch.tensor([180.0, -60.0]), torch.tensor([0.0, 40.0]), 2.0, 40.0, 8, 8)
    assert book.at(views).opposites is None
    before = set(asked)
    cond = book.at(views, opposites=True)
    assert cond.opposites.shape == (2, 2, 1, 1)
    assert cond.opposite_weights[0].tolist() == pytest.approx(opposite_weights(180))
    assert set(asked) - before == {
        "x, front view", "x, right side view", "x, front view from above",
        "x, right side view from above",
    }  # fmt: skip
    assert cond.repeat(3).opposites.shape == (6, 2, 1, 1)


class EditingTeacher(GaussianTeacher):
    """The mean is emb * m plus the picture."""

    capabilities = frozenset({"instruct"})

    def eps(self, z_t, t, emb, image=None, camera=None):
        alpha, sigma = self.schedule.alpha_sigma(t, z_t)
        mean = emb.view(-1, 1, 1, 1) * self.mean + image
        return sigma * (z_t - alpha * mean) / (alpha**2 * 0.09 + sigma**2)


def test_instruct_pix2pix_is_the_closed_form(gaussian_teacher, noisy):
    """Each scale multiplies its own shift of the mean: m_eff = s_T m + s_I picture."""
    z_t, t = noisy
    teacher = EditingTeacher(gaussian_teacher.mean, 0.3)
    picture = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    said = InstructPix2Pix(7.5, 1.5)(teacher, z_t, t, conditioning(image=picture))
    alpha, sigma = teacher.schedule.alpha_sigma(t, z_t)
    mean = 7.5 * teacher.mean + 1.5 * picture
    expected = sigma * (z_t - alpha * mean) / (alpha**2 * 0.09 + sigma**2)
    assert torch.allclose(said, expected, atol=1e-5)


def test_what_a_guide_lacks_is_named(gaussian_teacher, noisy):
    with pytest.raises(ValueError, match="needs the views' opposites"):
        PerpNeg(2.0)(gaussian_teacher, *noisy, conditioning())
    with pytest.raises(ValueError, match="needs a teacher that edits"):
        InstructPix2Pix(2.0)(gaussian_teacher, *noisy, conditioning())
    with pytest.raises(ValueError, match="needs a picture"):
        InstructPix2Pix(2.0)(EditingTeacher(gaussian_teacher.mean, 0.3), *noisy, conditioning())
    with pytest.raises(ValueError, match="have no source"):
        SourceNegative(2.0)(gaussian_teacher, *noisy, conditioning())


@pytest.mark.parametrize("s", [0.0, 1.0, 7.5])
def test_the_source_is_half_of_the_negative_prompt(sided, noisy, s):
    """e(y) + (s - 1) (e(y) - (e_u + e(y_src)) / 2), from three passes; float32 rounding."""
    z_t, t = noisy
    cond = Conditioning(
        torch.ones(4, 1, 1), torch.full((4, 1, 1), 0.3), source=torch.full((4, 1, 1), -0.7)
    )
    e, e_u, e_src = (sided.eps(z_t, t, v) for v in (cond.positive, cond.negative, cond.source))
    got = SourceNegative(s)(sided, z_t, t, cond)
    torch.testing.assert_close(got, e + (s - 1) * (e - (e_u + e_src) / 2), rtol=1e-5, atol=1e-5)


def test_without_a_change_it_is_guidance_of_half_the_scale(sided, noisy):
    """y_src = y: s - 1 is halved."""
    z_t, t = noisy
    same = conditioning(source=torch.ones(4, 1, 1))
    half = ClassifierFree(1 + (7.5 - 1) / 2)(sided, z_t, t, same)
    got = SourceNegative(7.5)(sided, z_t, t, same)
    torch.testing.assert_close(got, half, rtol=1e-5, atol=1e-5)
