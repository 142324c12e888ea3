"""Values on nested cubic grids, each twice as fine as the one before, that are added up; and the
state of an Adam that moves them."""

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

__all__ = ["LEVELS", "adam_state", "level_side", "level_sum", "load_adam", "look_up"]

LEVELS = 3

Values = dict[str, torch.nn.Parameter]


def level_side(level: int, resolution: int) -> int:
    """Corners along a side of a level, of which the finest has `resolution` cells."""
    return resolution // 2 ** (LEVELS - 1 - level) + 1


def level_sum(values: Values, name: str, resolution: int) -> Tensor:
    """The levels' sum on the corners of the finest, before activation, [1,C,n,n,n]."""
    size = (level_side(LEVELS - 1, resolution),) * 3
    total = values[f"{name}.{LEVELS - 1}"]
    for k in range(LEVELS - 1):
        total = total + interpolate(
            values[f"{name}.{k}"], size, mode="trilinear", align_corners=True
        )
    return total


def look_up(grid: Tensor, points: Tensor, bound: float) -> Tensor:
    """[M,C] of a grid [1,C,n,n,n], z slowest, that fills [-bound, bound]^3, at points [M,3]."""
    at = (points / bound)[None, None, None]
    return grid_sample(grid, at, padding_mode="border", align_corners=True)[0, :, 0, 0].T


def adam_state(values: Values, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Parameters and moments, flat."""
    state = {f"param.{k}": v.detach() for k, v in values.items()}
    for name, p in values.items():
        for key, value in optimizer.state.get(p, {}).items():
            state[f"adam.{name}.{key}"] = value
    return state


def load_adam(values: Values, optimizer: torch.optim.Optimizer, state: dict[str, Tensor]) -> None:
    """The inverse of `adam_state`, into a fresh optimiser."""
    for name, p in values.items():
        p.data.copy_(state[f"param.{name}"])
        prefix = f"adam.{name}."
        moments = {k[len(prefix) :]: v.clone() for k, v in state.items() if k.startswith(prefix)}
        if moments:
            optimizer.state[p] = moments
