"""Whether frames that belong together change together."""

import numpy as np
import torch
from numpy.typing import NDArray

from score3d.cameras import Cameras
from score3d.evaluate.two_tower import TwoTower
from score3d.files.splats import Splats
from score3d.scenes.photograph import depth_pictures

__all__ = ["estimated_flow", "feature_distance", "geometry_flow", "warp_error", "warped"]

AGREEMENT = 1.0  # pixels by which there and back may differ before a pixel counts as hidden
SAME_PLACE = 0.03  # world units by which two views' surface points may differ
SOLID = 0.9  # alpha from which on a pixel shows a surface


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


def feature_distance(
    first: NDArray[np.floating], second: NDArray[np.floating], model: TwoTower
) -> float:
    """1 - cosine, in [0,2], of the vectors that a model has of two frames [H,W,3] in [0,1]: what
    is called frame consistency when CLIP's vectors are taken. Unlike `warp_error` it needs no
    motion and is blind to what the model does not look at."""
    rgb = [torch.from_numpy(np.ascontiguousarray(f)).permute(2, 0, 1) for f in (first, second)]
    a, b = model.embed(torch.stack(rgb).float())
    return float(1 - a @ b)


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


def _positions(splats: Splats, camera: Cameras) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """World position that each pixel shows [H,W,3], by its depth, and whether it shows a surface
    [H,W]."""
    depth, alpha = (a[0].astype(np.float64) for a in depth_pictures(splats, camera))
    viewmat, k = camera.viewmats[0].double().numpy(), camera.Ks[0].double().numpy()
    y, x = np.mgrid[: camera.height, : camera.width] + 0.5
    rays = np.stack([(x - k[0, 2]) / k[0, 0], (y - k[1, 2]) / k[1, 1], np.ones_like(x)], -1)
    return (rays * depth[..., None] - viewmat[:3, 3]) @ viewmat[:3, :3], alpha > SOLID


def geometry_flow(
    splats: Splats, first: Cameras, second: Cameras
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The motion [H,W,2] in pixels (columns, rows) from one camera's picture of a scene to
    another's, by its geometry, and the pixels [H,W] whose surface both see. Each camera is a batch
    of one. Pixels without a surface have motion 0 and are not visible."""
    here, solid = _positions(splats, first)
    there, _ = _positions(splats, second)
    viewmat, k = second.viewmats[0].double().numpy(), second.Ks[0].double().numpy()
    seen = here @ viewmat[:3, :3].T + viewmat[:3, 3]
    solid = solid & (seen[..., 2] > 1e-6)
    depth = np.where(solid, seen[..., 2], 1.0)
    columns = k[0, 0] * seen[..., 0] / depth + k[0, 2] - 0.5  # pixel centres at +0.5
    rows = k[1, 1] * seen[..., 1] / depth + k[1, 2] - 0.5
    y, x = np.mgrid[: here.shape[0], : here.shape[1]]
    flow = np.where(solid[..., None], np.stack([columns - x, rows - y], -1), 0.0)
    gap = np.linalg.norm(warped(there, flow) - here, axis=-1)
    return flow, solid & (np.nan_to_num(gap, nan=np.inf) < SAME_PLACE)
