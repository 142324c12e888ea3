"""Shared fixtures."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch

from score3d.teachers.gaussian import GaussianTeacher


@pytest.fixture(autouse=True)
def _two_threads():
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))


@pytest.fixture
def gaussian_teacher() -> GaussianTeacher:
    """N(m, 0.3^2 I) on 3 x 8 x 8 pictures."""
    mean = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(5))
    return GaussianTeacher(mean, 0.3)
