"""Whether frames that belong together change together."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["estimated_flow", "warp_error", "warped"]

AGREEMENT = 1.0  # pixels by which there and back may differ before a pixel counts as hidden


def warped(frame: NDArray[np.floating], flow: NDArray[np.floating]) -> NDArray[np.float64]:
    """`frame` [H,W,C] looked up, bilinearly, at x + flow [H,W,2] (columns, rows, in pixels); NaN
    where that is outside."""
    from scipy.ndimage import map_coordinates

    rows, columns = np.mgrid[: frame.shape[0], : frame.shape[1]].astype(np.float64)
    at = np.stack([rows + flow[..., 1], columns + flow[..., 0]])
    bands = [
        map_coordinates(frame[..., c].astype(np.float64), at, order=1, cval=np.nan)
        for c in range(frame.shape[2])
    ]
    return np.stack(bands, -1)


def warp_error(
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    flow: NDArray[np.floating],
    visible: NDArray[np.bool_] | None = None,
) -> float:
    """Root mean square difference of `first` and `second` [H,W,C] along a motion: `flow` [H,W,2]
    leads from pixels of the first (columns, rows) to where they are in the second. visible
    [H,W]: the pixels of the first that the second shows too. NaN if there are none."""
    found = warped(second, flow)
    valid = np.isfinite(found).all(-1)
    if visible is not None:
        valid &= visible
    if not valid.any():
        return float("nan")
    return float(np.sqrt(np.mean((first[valid] - found[valid]) ** 2)))


def estimated_flow(
    first: NDArray[np.floating], second: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The motion between two frames [H,W,3], for films whose motion is not known: flow [H,W,2] and
    where it leads back to where it came from. By skimage's TV-L1 (Zach, Pock, Bischof 2007)."""
    from skimage.color import rgb2gray
    from skimage.registration import optical_flow_tvl1

    a, b = rgb2gray(first), rgb2gray(second)
    there, back = (
        np.moveaxis(optical_flow_tvl1(x, y), 0, -1)[..., ::-1] for x, y in ((a, b), (b, a))
    )
    returned = warped(back, there)
    gap = np.linalg.norm(there + returned, axis=-1)
    return there, np.nan_to_num(gap, nan=np.inf) < AGREEMENT
