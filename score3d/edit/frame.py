"""Where a scene of unknown place and size stands in the world that teachers look at."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from score3d.files.splats import Splats

__all__ = ["Frame"]

RADIUS = 0.5  # world units, of what is looked at
GOOD_RADIUS, GOOD_OFFSET = (0.35, 0.62), 0.12  # a scene within these is left where it is


def _quantile(values: NDArray[np.float64], weights: NDArray[np.float64], q: float) -> float:
    """The weighted quantile `q` in [0,1] of values [N]."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    at = int(np.searchsorted(total, q * total[-1]))
    return float(values[order[min(at, len(order) - 1)]])


@dataclass(frozen=True)
class Frame:
    """x -> (x - centre) * scale: from a file's coordinates to the world's."""

    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: float = 1.0

    @classmethod
    def of(cls, splats: Splats) -> "Frame":
        """The frame in which `splats` fill a ball of radius 0.5 around the origin; the identity
        if they nearly do. By opacity, without the outermost two per cent, so that floaters do
        not count."""
        means, weights = splats.means.astype(np.float64), splats.opacities.astype(np.float64)
        weights = weights + 1e-9
        centre = [(_quantile(m, weights, 0.01) + _quantile(m, weights, 0.99)) / 2 for m in means.T]
        reach = np.linalg.norm(means - centre, axis=1)
        radius = _quantile(reach, weights, 0.98)
        if radius == 0:  # a single Gaussian
            radius = 3 * float(np.exp(splats.log_scales.astype(np.float64)).max())
        low, high = GOOD_RADIUS
        if low <= radius <= high and np.linalg.norm(centre) <= GOOD_OFFSET:
            return cls()
        return cls((centre[0], centre[1], centre[2]), RADIUS / radius)

    @property
    def is_identity(self) -> bool:
        return self == Frame()

    def into(self, splats: Splats) -> Splats:
        """`splats` in the world's coordinates."""
        if self.is_identity:
            return splats
        means = (splats.means.astype(np.float64) - self.centre) * self.scale
        log_scales = splats.log_scales.astype(np.float64) + np.log(self.scale)
        return Splats(
            _single(means), splats.quats, _single(log_scales), splats.logit_opacities, splats.sh
        )

    def back(self, edited: Splats, start: Splats, original: Splats) -> Splats:
        """`edited`, of which `start` = into(original) was the beginning, in the file's
        coordinates. Every number that is as it was at the start is the original's, bit for bit."""
        means = edited.means.astype(np.float64) / self.scale + self.centre
        log_scales = edited.log_scales.astype(np.float64) - np.log(self.scale)
        found = Splats(
            _single(means), edited.quats, _single(log_scales), edited.logit_opacities, edited.sh
        )
        return Splats(
            *(
                np.where(
                    getattr(edited, f.name) == getattr(start, f.name),
                    getattr(original, f.name),
                    getattr(found, f.name),
                )
                for f in fields(Splats)
            )
        )


def _single(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return values.astype(np.float32)
