import torch
from diffusers import DDIMScheduler

from score3d.schedule import NoiseSchedule


def test_equals_diffusers():
    theirs = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    ours = NoiseSchedule.scaled_linear()
    # diffusers accumulates 1000 products in float32
    assert torch.allclose(ours.alphas_cumprod.float(), theirs.alphas_cumprod, rtol=2e-5)


def test_adding_noise_equals_diffusers():
    theirs = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    ours = NoiseSchedule(theirs.alphas_cumprod)
    z, eps = torch.randn(5, 4, 8, 8), torch.randn(5, 4, 8, 8)
    t = torch.tensor([0.0001, 0.02, 0.5, 0.98, 0.99999])
    alpha, sigma = ours.alpha_sigma(t, z)
    assert torch.allclose(
        alpha * z + sigma * eps, theirs.add_noise(z, eps, ours.timesteps(t)), atol=1e-6
    )


def test_variance_is_preserved_and_falls():
    ours = NoiseSchedule.scaled_linear()
    t = torch.linspace(0.001, 0.999, 50)
    alpha, sigma = ours.alpha_sigma(t, torch.zeros(50, 1, 1, 1, dtype=torch.float64))
    assert torch.allclose(alpha**2 + sigma**2, torch.ones_like(alpha))
    assert (alpha.diff(dim=0) < 0).all()


def test_timesteps_stay_in_range():
    ours = NoiseSchedule.scaled_linear()
    assert ours.timesteps(torch.tensor([0.0, 0.9999999, 1.0])).tolist() == [0, 999, 999]
