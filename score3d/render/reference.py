"""The oracle: the same picture in plain torch, dense, for any float dtype, by autograd.

Every Gaussian meets every pixel, so memory grows as cameras x Gaussians x pixels: meant for tests
and small scenes. Formulas: Zwicker et al. 2001 (EWA splatting), Kerbl et al. 2023 sections 4 and
6, Sloan 2013 (spherical harmonics), with the constants and cut-offs of gsplat 1.5.3.
"""

import torch
from torch import Tensor

ALPHA_MAX = 0.999
ALPHA_MIN = 1.0 / 255.0
T_STOP = 1e-4
REACH_MAX = 3.33  # gsplat's bound; sqrt(2 ln 255) = 3.329 is the exact one for opacity 1


def rotation_matrices(quats: Tensor) -> Tensor:
    """Rotation matrices [..., 3, 3] of wxyz quaternions [..., 4] of any norm; zero gives I."""
    w, x, y, z = torch.nn.functional.normalize(quats, dim=-1).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def project(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    viewmats: Tensor,
    intrinsics: Tensor,
    width: int,
    height: int,
    near_plane: float = 0.01,
    far_plane: float = 1e10,
    eps2d: float = 0.3,
    radius_clip: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Ellipses of Gaussians in every camera: ``means2d`` [C,N,2] (pixels), ``depths`` [C,N],
    ``conics`` [C,N,3] (inverse 2D covariance: xx, xy, yy) and ``radii`` [C,N,2] (int32 pixels,
    0 where culled; the other outputs are 0 there too)."""
    world = viewmats[:, :3, :3]
    points = torch.einsum("cij,nj->cni", world, means) + viewmats[:, None, :3, 3]
    depths = points[..., 2]
    in_range = (depths > near_plane) & (depths < far_plane)
    z = torch.where(in_range, depths, torch.ones_like(depths))
    x = torch.where(in_range, points[..., 0], torch.zeros_like(z))
    y = torch.where(in_range, points[..., 1], torch.zeros_like(z))
    fx, fy = intrinsics[:, None, 0, 0], intrinsics[:, None, 1, 1]
    cx, cy = intrinsics[:, None, 0, 2], intrinsics[:, None, 1, 2]
    # The Jacobian is evaluated no further out than 15 % of the image beyond its border.
    margin_x, margin_y = 0.15 * width / fx, 0.15 * height / fy
    u = torch.clamp(x / z, -cx / fx - margin_x, (width - cx) / fx + margin_x)
    v = torch.clamp(y / z, -cy / fy - margin_y, (height - cy) / fy + margin_y)
    zero = torch.zeros_like(z)
    jacobian = torch.stack([fx / z, zero, -fx * u / z, zero, fy / z, -fy * v / z], -1)
    spread = rotation_matrices(quats) * scales[:, None, :]
    half = torch.einsum("cnij,cjk,nkl->cnil", jacobian.unflatten(-1, (2, 3)), world, spread)
    xx = (half[..., 0, :] ** 2).sum(-1) + eps2d
    yy = (half[..., 1, :] ** 2).sum(-1) + eps2d
    xy = (half[..., 0, :] * half[..., 1, :]).sum(-1)
    det = xx * yy - xy * xy
    good = in_range & (det > 0) & torch.isfinite(det)
    safe = torch.where(good, det, torch.ones_like(det))
    conics = torch.stack([yy / safe, -xy / safe, xx / safe], -1)
    means2d = torch.stack([fx * x / z + cx, fy * y / z + cy], -1)
    with torch.no_grad():
        reach = torch.sqrt(2 * torch.log(255 * opacities).clamp(min=0)).clamp(max=REACH_MAX)
        radii = torch.ceil(reach[:, None] * torch.stack([xx, yy], -1).sqrt())
        low, high = means2d + radii > 0, means2d - radii < means2d.new_tensor([width, height])
        seen = good & (radii > 0).all(-1) & (radii > radius_clip).any(-1) & (low & high).all(-1)
        keep = seen[..., None]
        radii = torch.where(keep, radii, torch.zeros_like(radii)).to(torch.int32)
    means2d = torch.where(keep, means2d, torch.zeros_like(means2d))
    conics = torch.where(keep, conics, torch.zeros_like(conics))
    return means2d, torch.where(seen, z, zero), conics, radii


def harmonics_basis(directions: Tensor, degree: int) -> Tensor:
    """Real spherical harmonics [..., (degree + 1)^2] of unit directions [..., 3], degree 0 to 3,
    in the order and with the signs of Kerbl et al. 2023 (Sloan 2013, with Condon-Shortley)."""
    x, y, z = directions.unbind(-1)
    out = [torch.full_like(x, 0.28209479177387814)]
    if degree > 0:
        out += [-0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x]
    if degree > 1:
        out += [
            1.0925484305920792 * x * y,
            -1.0925484305920792 * y * z,
            0.31539156525252005 * (3 * z * z - 1),
            -1.0925484305920792 * x * z,
            0.5462742152960396 * (x * x - y * y),
        ]
    if degree > 2:
        out += [
            -0.5900435899266435 * y * (3 * x * x - y * y),
            2.890611442640554 * x * y * z,
            -0.4570457994644658 * y * (5 * z * z - 1),
            0.3731763325901154 * z * (5 * z * z - 3),
            -0.4570457994644658 * x * (5 * z * z - 1),
            1.445305721320277 * z * (x * x - y * y),
            -0.5900435899266435 * x * (x * x - 3 * y * y),
        ]
    return torch.stack(out, -1)


def harmonics_colors(means: Tensor, coefficients: Tensor, viewmats: Tensor, degree: int) -> Tensor:
    """Colours [C,N,3] of SH coefficients ([N,K,3] or [C,N,K,3]) seen along camera-to-Gaussian
    directions: ``max(sum_k Y_k c_k + 1/2, 0)``."""
    positions = torch.linalg.inv(viewmats)[:, :3, 3]
    directions = torch.nn.functional.normalize(means - positions[:, None], dim=-1)
    basis = harmonics_basis(directions, degree)
    used = coefficients[..., : basis.shape[-1], :]
    colors = torch.einsum("cnk,...nkd->cnd" if used.dim() == 3 else "cnk,cnkd->cnd", basis, used)
    return (colors + 0.5).clamp_min(0.0)


def pixel_alphas(
    means2d: Tensor, conics: Tensor, opacities: Tensor, width: int, height: int
) -> Tensor:
    """Clipped alphas [N, P] of one camera's ellipses at its pixel centres, before any cut-off."""
    kind = {"dtype": means2d.dtype, "device": means2d.device}
    ys, xs = torch.meshgrid(
        torch.arange(height, **kind) + 0.5, torch.arange(width, **kind) + 0.5, indexing="ij"
    )
    dx = xs.reshape(-1) - means2d[:, 0, None]
    dy = ys.reshape(-1) - means2d[:, 1, None]
    a, b, c = conics.unbind(-1)
    sigma = 0.5 * (a[:, None] * dx**2 + c[:, None] * dy**2) + b[:, None] * dx * dy
    return (opacities[:, None] * torch.exp(-sigma)).clamp_max(ALPHA_MAX)


def weights(alphas: Tensor) -> tuple[Tensor, Tensor]:
    """Blending weights [N, P] of depth-sorted alphas [N, P], and the transmittance left [P].

    An ended pixel stays ended: transmittance only falls, so comparing the running product with
    the threshold decides every later splat as well.
    """
    alphas = torch.where(alphas >= ALPHA_MIN, alphas, torch.zeros_like(alphas))
    after = torch.cumprod(1 - alphas, 0)
    applied = torch.where(after > T_STOP, alphas, torch.zeros_like(alphas))
    before = torch.cumprod(1 - applied, 0)
    final = before[-1] if len(before) else alphas.new_ones(alphas.shape[1])
    start = alphas.new_ones(1, alphas.shape[1])
    return applied * torch.cat([start, before])[: len(applied)], final


def blend(
    means2d: Tensor,
    depths: Tensor,
    conics: Tensor,
    radii: Tensor,
    opacities: Tensor,
    colors: Tensor,
    backgrounds: Tensor | None,
    width: int,
    height: int,
) -> tuple[Tensor, Tensor]:
    """Composite ``colors`` [C,N,D] front to back: pictures [C,H,W,D] and alphas [C,H,W,1]."""
    pictures, alphas = [], []
    for camera in range(len(means2d)):
        seen = torch.nonzero((radii[camera] > 0).all(-1)).squeeze(-1)
        seen = seen[torch.argsort(depths[camera, seen], stable=True)]
        dense = pixel_alphas(
            means2d[camera, seen], conics[camera, seen], opacities[seen], width, height
        )
        weight, final = weights(dense)
        picture = weight.T @ colors[camera, seen]
        if backgrounds is not None:
            picture = picture + final[:, None] * backgrounds[camera]
        pictures.append(picture.view(height, width, -1))
        alphas.append((1 - final).view(height, width, 1))
    return torch.stack(pictures), torch.stack(alphas)


def rasterize(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    viewmats: Tensor,
    intrinsics: Tensor,
    width: int,
    height: int,
    near_plane: float,
    far_plane: float,
    eps2d: float,
    radius_clip: float,
    sh_degree: int | None,
    backgrounds: Tensor | None,
    render_mode: str,
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Pictures, alphas and (means2d, depths, conics, radii); depth is accumulated, not expected."""
    projected = project(
        means, quats, scales, opacities, viewmats, intrinsics, width, height,
        near_plane, far_plane, eps2d, radius_clip,
    )  # fmt: skip
    means2d, depths, conics, radii = projected
    channels = []
    if render_mode.startswith("RGB"):
        if sh_degree is not None:
            colors = harmonics_colors(means, colors, viewmats, sh_degree)
        channels.append(colors.expand(len(viewmats), -1, -1))
    else:
        backgrounds = None
    if render_mode.endswith("D"):
        channels.append(depths[..., None])
        if backgrounds is not None:
            backgrounds = torch.cat([backgrounds, backgrounds.new_zeros(len(backgrounds), 1)], -1)
    rendered, alphas = blend(
        means2d, depths, conics, radii, opacities, torch.cat(channels, -1), backgrounds,
        width, height,
    )  # fmt: skip
    return rendered, alphas, projected
