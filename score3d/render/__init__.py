"""Differentiable rendering of 3D Gaussians (see docs/rasterizer.md)."""

from score3d.render.rasterize import rasterization, warm_up

__all__ = ["rasterization", "warm_up"]
