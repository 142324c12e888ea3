import pytest
import torch

from score3d.teachers.gaussian import GaussianTeacher


def test_score_is_the_gradient_of_the_log_density(gaussian_teacher):
    """eps* = -sigma grad log p_t(z_t) with p_t = N(alpha m, alpha^2 s^2 + sigma^2)."""
    z_t = torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    t = torch.tensor([0.2, 0.8])
    alpha, sigma = gaussian_teacher.schedule.alpha_sigma(t, z_t)
    variance = alpha**2 * 0.09 + sigma**2
    log_p = -0.5 * ((z_t - alpha * gaussian_teacher.mean) ** 2 / variance).sum()
    (score,) = torch.autograd.grad(log_p, z_t)
    emb = torch.ones(2, 1, 1)
    assert torch.allclose(gaussian_teacher.eps(z_t, t, emb), -sigma * score, atol=1e-10)


def test_prompts_shift_the_mean(gaussian_teacher):
    assert gaussian_teacher.embed(["", "x"]).flatten().tolist() == [0, 1]


def test_std_must_be_positive():
    with pytest.raises(ValueError, match="positive"):
        GaussianTeacher(torch.zeros(3, 4, 4), 0.0)
