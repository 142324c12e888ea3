"""Conflict-free views: UPGrad of Jacobian descent (Quinton & Rey 2024, arXiv 2406.16232).

    G     = J J^T,  J_i = g_i dz_i/dtheta                       what each view asks of the scene
    l     = (1/B) sum_i argmin_{v >= e_i} v^T G v               each view's wish, projected onto
                                                                what harms no view
    g'_i  = B l_i g_i

so that the loop's (1/B) sum_i g'_i dz_i/dtheta increases no view's own objective to first order.
Without a conflict l_i = 1/B and the rule is unchanged. Latents of different views are different
variables and never conflict; the scene's parameters do, hence the price: one backward pass of the
renderer per view more.

The aggregation is torchjd's. Its default solver is quadprog, which is GPL; the same quadratic
program is solved here by non-negative least squares (scipy).
"""

import importlib.util

import numpy as np
import torch
from torch import Tensor

from score3d.distill.equation import Asked

__all__ = ["missing_library", "upgrad", "upgrad_weights"]


def missing_library() -> str:
    """What to install, in one line, or ""."""
    if importlib.util.find_spec("torchjd"):
        return ""
    return "couple 'upgrad' needs the torchjd library: pip install 'score3d[upgrad]'"


def _project(U: Tensor, G: Tensor) -> Tensor:
    """argmin v^T G v over v >= u, for each row u of U [K,B], by v = u + s with s >= 0 and
    ||R (s + u)|| smallest, G = R^T R."""
    from scipy.optimize import nnls

    gramian = G.detach().cpu().double().numpy()
    # G = R^T R by eigenvalues: Cholesky would need a ridge, which overrules views that ask little
    values, vectors = np.linalg.eigh(gramian / max(float(np.trace(gramian)), np.finfo(float).tiny))
    root = np.sqrt(values.clip(min=0))[:, None] * vectors.T
    rows = [u + nnls(root, -root @ u)[0] for u in U.detach().cpu().double().numpy()]
    return torch.as_tensor(np.stack(rows)).to(G)


def upgrad_weights(rows: Tensor) -> Tensor:
    """l [B] of the views' gradients [B,P], float64. Raises RuntimeError without torchjd."""
    if missing_library():
        raise RuntimeError(missing_library())
    from torchjd.aggregation import UPGradWeighting
    from torchjd.linalg import DualConeProjector

    class LeastSquares(DualConeProjector):
        def __call__(self, U: Tensor, G: Tensor) -> Tensor:
            return _project(U, G)

    rows = rows.double()
    return UPGradWeighting(projector=LeastSquares())(rows @ rows.T)


def upgrad(r: Tensor, asked: Asked) -> Tensor:
    """g [B,C,h,w] of residuals r [B,C,h,w]; r itself for a single view, or where a gradient is
    not finite (which the loop reports)."""
    if len(r) == 1:
        return r
    if asked.rows is None:
        raise ValueError("upgrad needs the scene's gradients (Asked.rows), which the loop gives")
    rows = asked.rows(r)
    if not torch.isfinite(rows).all():
        return r
    weights = upgrad_weights(rows).to(r)
    return len(r) * weights.view(-1, 1, 1, 1) * r
