"""Specks that hang in the air beside a scene of Gaussians."""

import numpy as np
from numpy.typing import NDArray

from score3d.files.splats import Splats

__all__ = ["attached"]

NEIGHBOURS = 32
REACH = 1.6  # standard deviations of both, across which two Gaussians still touch


def attached(splats: Splats, share: float) -> NDArray[np.bool_]:
    """Which Gaussians [N] are part of something: of a connected group with at least `share`, in
    [0,1], of the whole's opacity times area. The largest group always is.

    Two of a Gaussian's 32 nearest neighbours are connected with it if their centres are no farther
    apart than `REACH` times the sum of their second largest standard deviations, the radius of a
    disc and of a ball alike. Ours; chosen on six assets by eye, so that spots and legs stay.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import KDTree

    count = len(splats)
    if share <= 0 or count < 2:
        return np.ones(count, np.bool_)
    radius = np.exp(np.sort(splats.log_scales, 1)[:, 1].astype(np.float64))
    found = KDTree(splats.means).query(splats.means, k=min(NEIGHBOURS + 1, count))
    distance, near = (np.asarray(a) for a in found)
    touching = distance <= REACH * (radius[:, None] + radius[near])
    rows, columns = np.nonzero(touching)
    graph = coo_matrix((np.ones(len(rows)), (rows, near[rows, columns])), (count, count))
    _, group = connected_components(graph, directed=False)
    weight = np.bincount(group, splats.opacities * radius**2)
    return (weight >= min(share * weight.sum(), weight.max()))[group]
