"""Splats in USD: one ParticleField3DGaussianSplat prim, +y up, metres.

Needs usd-core 26.3 or newer (`pip install 'score3d[usd]'`). Quaternions have their real part
first, scales are linear, opacities lie in 0..1; the harmonics of a splat follow each other.

Source: OpenUSD, schema UsdVol.ParticleField3DGaussianSplat.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from score3d.files.atomic import atomic_write
from score3d.files.packing import logit, require_finite
from score3d.files.splats import FileFormatError, Splats

__all__ = ["read_usd", "write_usd"]


def write_usd(path: str | Path, splats: Splats) -> None:
    """Write splats as .usda (text), .usdc, .usd (binary) or .usdz (package), atomically.

    Raises:
        ValueError: values that are not finite.
        RuntimeError: usd-core is missing or too old; says how to install it.
        OSError: the file cannot be written.
    """
    require_finite(splats, str(path))
    path = Path(path)
    pxr = _pxr()
    Gf, Usd, UsdGeom, Vt = pxr.Gf, pxr.Usd, pxr.UsdGeom, pxr.Vt
    with atomic_write(path) as temporary, tempfile.TemporaryDirectory() as folder:
        packed = path.suffix.lower() == ".usdz"
        # inside a package the layer keeps its name
        layer = Path(folder) / "splats.usdc" if packed else temporary
        stage = Usd.Stage.CreateNew(str(layer))
        UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
        UsdGeom.SetStageMetersPerUnit(stage, 1.0)
        field = pxr.UsdVol.ParticleField3DGaussianSplat.Define(stage, "/splats")
        stage.SetDefaultPrim(field.GetPrim())
        quats = splats.quats.astype(np.float64)
        quats[:, 0] += ~quats.any(axis=1)
        quats /= np.linalg.norm(quats, axis=1, keepdims=True)
        scales = np.exp(np.clip(splats.log_scales, -80, 80))
        vectors: Any = Vt.Vec3fArray.FromNumpy
        field.CreatePositionsAttr(vectors(splats.means))
        field.CreateScalesAttr(vectors(scales))
        field.CreateOrientationsAttr(Vt.QuatfArray([Gf.Quatf(*map(float, quat)) for quat in quats]))
        field.CreateOpacitiesAttr(Vt.FloatArray.FromNumpy(splats.opacities))
        field.CreateRadianceSphericalHarmonicsDegreeAttr(splats.sh_degree)
        coefficients = np.ascontiguousarray(splats.sh.reshape(-1, 3))
        attribute = field.CreateRadianceSphericalHarmonicsCoefficientsAttr(vectors(coefficients))
        UsdGeom.Primvar(attribute).SetElementSize(splats.sh.shape[1])
        if len(splats):
            reach = 3 * scales.max(axis=1, keepdims=True)
            corners = [(splats.means - reach).min(axis=0), (splats.means + reach).max(axis=0)]
            field.CreateExtentAttr(vectors(np.array(corners, np.float32)))
        stage.GetRootLayer().Save()
        if packed and not pxr.UsdUtils.CreateNewUsdzPackage(
            pxr.Sdf.AssetPath(str(layer)), str(temporary)
        ):
            raise OSError(f"{path}: the USDZ package could not be written")


def read_usd(path: str | Path) -> Splats:
    """Splats of the first particle field of Gaussians in a USD file.

    Half-precision attributes are read too. Transforms above it must be the identity, and the
    stage +y up.

    Raises:
        FileFormatError: not such a file.
        RuntimeError: usd-core is missing or too old; says how to install it.
    """
    pxr = _pxr()
    Usd, UsdGeom = pxr.Usd, pxr.UsdGeom
    try:
        stage = Usd.Stage.Open(str(path), Usd.Stage.LoadNone)
    except pxr.Tf.ErrorException:
        raise FileFormatError(f"{path}: not a USD file, or damaged") from None
    kind = pxr.UsdVol.ParticleField3DGaussianSplat
    prims = [prim for prim in stage.Traverse() if prim.IsA(kind)]
    if not prims:
        raise FileFormatError(f"{path}: no ParticleField3DGaussianSplat in this USD file")
    field = kind(prims[0])
    if UsdGeom.GetStageUpAxis(stage) != UsdGeom.Tokens.y:
        raise FileFormatError(f"{path}: the stage is not +y up, which is not read")
    if UsdGeom.XformCache().GetLocalToWorldTransform(prims[0]) != pxr.Gf.Matrix4d(1):
        raise FileFormatError(f"{path}: the splats have a transform; only splats in place are read")

    def values(name: str, width: int) -> np.ndarray:
        for half in ("", "h"):
            found = field.GetPrim().GetAttribute(name + half).Get()
            if found is not None:
                if name == "orientations":
                    parts = [(q.GetReal(), *q.GetImaginary()) for q in found]
                    return np.array(parts, np.float32).reshape(-1, 4)
                return np.array(found, np.float32).reshape(-1, width)
        raise FileFormatError(f"{path}: the splats have no {name}")

    degree = field.GetRadianceSphericalHarmonicsDegreeAttr().Get()
    means = values("positions", 3)
    sh = values("radiance:sphericalHarmonicsCoefficients", 3)
    if degree not in (0, 1, 2, 3) or len(sh) != len(means) * (degree + 1) ** 2:
        raise FileFormatError(
            f"{path}: {len(sh)} harmonics of degree {degree} for {len(means)} splats"
        )
    opacities, scales = values("opacities", 1)[:, 0], values("scales", 3)
    quats = values("orientations", 4)
    if not len(opacities) == len(scales) == len(quats) == len(means):
        raise FileFormatError(f"{path}: attributes of different lengths")
    with np.errstate(divide="ignore", invalid="ignore"):  # bad rows stay bad, see Splats.finite
        logits = np.where(np.isfinite(opacities), logit(opacities), np.nan)
        return Splats(
            means, quats, np.log(scales), logits, sh.reshape(len(means), (degree + 1) ** 2, 3)
        )


def _pxr() -> Any:
    try:
        import pxr
        from pxr import Gf, Sdf, Tf, Usd, UsdGeom, UsdUtils, UsdVol, Vt  # noqa: F401
    except ImportError:
        raise RuntimeError("USD files need usd-core: pip install 'score3d[usd]'") from None
    if not hasattr(UsdVol, "ParticleField3DGaussianSplat"):
        raise RuntimeError(
            "this usd-core has no Gaussian splats; 26.3 or newer does:"
            " pip install -U 'score3d[usd]'"
        )
    return pxr
