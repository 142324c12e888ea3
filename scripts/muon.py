"""Muon, which trains the larger networks here, with AdamW for what is not a matrix."""

import torch
from torch import nn


class Muon(torch.optim.Optimizer):
    """Momentum, made orthogonal by five Newton-Schulz iterations (Jordan et al. 2024, with their
    coefficients), and scaled to the size of Adam's steps (Liu et al. 2025, arXiv 2502.16982).
    A convolution's weight is a matrix of a row per channel that it makes. torch.optim.Muon computes
    in bfloat16, which is slow on most CPUs."""

    def __init__(self, matrices: list[nn.Parameter], lr: float, decay: float = 0.01) -> None:
        super().__init__(matrices, {"lr": lr, "decay": decay})

    @torch.no_grad()
    def step(self, closure=None) -> None:
        group = self.param_groups[0]
        by_shape: dict[torch.Size, list[nn.Parameter]] = {}
        for p in group["params"]:
            by_shape.setdefault(p.flatten(1).shape, []).append(p)
        for shape, matrices in by_shape.items():
            moving = []
            for p in matrices:
                kept = self.state[p].setdefault("momentum", torch.zeros_like(p))
                kept.lerp_(p.grad, 0.05)
                moving.append(p.grad.lerp(kept, 0.95).flatten(1))
            x = torch.stack(moving)
            tall = shape[0] > shape[1]
            x = x.mT if tall else x
            x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
            # Every iterate is x times a polynomial of its Gram matrix: two products with x in
            # place of ten, and small ones; of a convolution x is up to nine times as wide.
            gram = x @ x.mT
            eye = torch.eye(len(gram[0]))
            total = eye.expand_as(gram)
            for k in range(5):
                factor = 3.4445 * eye - 4.7750 * gram + 2.0315 * gram @ gram
                total = factor @ total
                if k < 4:
                    gram = factor @ factor @ gram
            x = total @ x
            x = x.mT if tall else x
            rate = group["lr"] * 0.2 * max(shape) ** 0.5
            for p, direction in zip(matrices, x, strict=True):
                p.mul_(1 - group["lr"] * group["decay"]).sub_(direction.view_as(p), alpha=rate)


def muon_and_adam(
    net: nn.Module, lr: float, matrices: list[nn.Parameter]
) -> list[torch.optim.Optimizer]:
    """Muon for `matrices`, AdamW for the rest of `net`, at the same rate."""
    chosen = {id(p) for p in matrices}
    rest = [p for p in net.parameters() if id(p) not in chosen]
    adam = torch.optim.AdamW(rest, lr=lr, weight_decay=0.01, betas=(0.9, 0.99), fused=True)
    return [Muon(matrices, lr), adam]
