"""A teacher that looks at four views at once, as one 2x2 picture.

Four views a quarter turn apart, denoised jointly, can agree with one another. The layout is
Instant3D's (arXiv 2311.06214): it needs no camera input and no other attention than the network
has, only training on such pictures.
"""

from torch import Tensor

from score3d.cameras import Cameras
from score3d.teachers.base import Teacher, at_step

__all__ = ["GRID_VIEWS", "GridTeacher", "tile", "untile"]

GRID_VIEWS = 4


def tile(views: Tensor) -> Tensor:
    """[4B,C,h,w], the four of a grid in a row -> [B,C,2h,2w], read left to right, top down."""
    n, c, h, w = views.shape
    tiled = views.view(n // GRID_VIEWS, 2, 2, c, h, w).permute(0, 3, 1, 4, 2, 5)
    return tiled.reshape(n // GRID_VIEWS, c, 2 * h, 2 * w)


def untile(grids: Tensor) -> Tensor:
    """The inverse of `tile`."""
    b, c, h, w = grids.shape
    split = grids.view(b, c, 2, h // 2, 2, w // 2).permute(0, 2, 4, 1, 3, 5)
    return split.reshape(b * GRID_VIEWS, c, h // 2, w // 2)


class GridTeacher:
    """`teacher`, asked about grids; latents, times and texts stay those of single views.

    samples: noises per view. Rows of `eps` are ordered by (view, sample), as `equation.ask` lays
    them out; the four views of a grid follow each other, share one time, and the first one's
    text is the grid's (`view_style` "grid" makes it so).
    """

    view_style = "grid"
    group = GRID_VIEWS

    def __init__(self, teacher: Teacher, samples: int = 1) -> None:
        self.teacher, self.samples = teacher, samples
        self.schedule, self.latent_shape = teacher.schedule, teacher.latent_shape
        self.resolution = teacher.resolution
        self.capabilities = teacher.capabilities - {"grid"}
        self.embed, self.encode, self.decode = teacher.embed, teacher.encode, teacher.decode

    def __getattr__(self, name: str):
        """What a single teacher has besides the protocol (`world`, networks)."""
        return getattr(self.teacher, name)

    def at(self, views: Cameras, samples: int, progress: float) -> "GridTeacher":
        """See `at_step`."""
        return GridTeacher(at_step(self.teacher, views, samples, progress), samples)

    def _grouped(self, rows: Tensor) -> Tensor:
        """[(grid, view, sample), ...] -> [(grid, sample, view), ...]."""
        shape = rows.shape[1:]
        return rows.view(-1, GRID_VIEWS, self.samples, *shape).transpose(1, 2).reshape(-1, *shape)

    def _ungrouped(self, rows: Tensor) -> Tensor:
        shape = rows.shape[1:]
        return rows.view(-1, self.samples, GRID_VIEWS, *shape).transpose(1, 2).reshape(-1, *shape)

    def eps(
        self,
        z_t: Tensor,
        t: Tensor,
        emb: Tensor,
        image: Tensor | None = None,
        camera: Tensor | None = None,
    ) -> Tensor:
        """As `Teacher.eps`. image [M,C,h,w]: of each view, for teachers that edit. Raises
        ValueError for views that do not make whole grids or whose times differ within one, and
        for cameras, which no grid teacher takes."""
        if camera is not None:
            raise ValueError("a teacher of grids takes no cameras")
        if len(z_t) % (GRID_VIEWS * self.samples):
            raise ValueError(f"{len(z_t)} rows do not make grids of {GRID_VIEWS} views")
        times = self._grouped(t).view(-1, GRID_VIEWS)
        if not (times == times[:, :1]).all():
            raise ValueError("the views of a grid share one time")
        texts = self._grouped(emb)[::GRID_VIEWS]
        picture = None if image is None else tile(self._grouped(image))
        return self._ungrouped(
            untile(self.teacher.eps(tile(self._grouped(z_t)), times[:, 0], texts, picture))
        )
