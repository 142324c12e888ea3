"""Charts: what is doubly covered, and charts that lie over themselves are cut."""

import numpy as np
import pytest
import trimesh

from score3d.files import texture
from score3d.files.texture import _doubly_covered, unwrap


def shared_points(corners: np.ndarray, side: int) -> np.ndarray:
    """Whole-numbered points [side, side] inside two faces: by barycentric coordinates of all."""
    y, x = np.mgrid[:side, :side].astype(float)
    count = np.zeros((side, side), int)
    for face in corners:
        matrix = np.vstack([face.T, np.ones(3)])
        if abs(np.linalg.det(matrix)) > 1e-9:
            weights = np.linalg.solve(matrix, np.stack([x.ravel(), y.ravel(), np.ones(side**2)]))
            count += (weights > 1e-3).all(axis=0).reshape(side, side)
    return count > 1


def test_doubly_covered_faces_are_those_that_share_a_point():
    rng = np.random.default_rng(0)
    for _ in range(20):
        corners = rng.uniform(-2, 18, (6, 3, 2))  # some beyond the raster
        corners[0, 2] = corners[0, 1]  # without area
        truth = np.zeros(6, bool)
        for i in range(6):
            for j in range(i):
                if shared_points(corners[[i, j]], 16).any():
                    truth[[i, j]] = True
        # a face that the raster lets two others hide is still known by those
        assert (_doubly_covered(corners, 16, 16) == truth).all()


@pytest.mark.parametrize("angle", [0.0, 0.7])
def test_a_chart_that_lies_over_itself_is_cut(monkeypatch, angle):
    """Seen along an axis every closed mesh lies over itself; its halves do or do not."""
    ball = trimesh.creation.torus(1.0, 0.4, major_sections=24, minor_sections=12)
    rounds = []

    def along_an_axis(vertices, normals, faces, pieces, size):
        rounds.append(len(pieces))
        turned = vertices @ trimesh.transformations.rotation_matrix(angle, [1, 0, 0])[:3, :3]
        sources, uvs, new_faces, count = [], [], np.empty_like(faces), 0
        side = int(np.ceil(np.sqrt(len(pieces))))
        for i, piece in enumerate(pieces):
            vertex, face = np.unique(faces[piece], return_inverse=True)
            new_faces[piece] = face.reshape(-1, 3) + count
            place = np.array([i % side, i // side])
            uvs.append((place + (turned[vertex, :2] + 1.5) / 3) / side)
            sources.append(vertex)
            count += len(vertex)
        return np.concatenate(sources), new_faces, np.concatenate(uvs), (size, size)

    monkeypatch.setattr(texture, "_atlas", along_an_axis)
    vertices, faces = np.array(ball.vertices), np.array(ball.faces)
    source, new_faces, uv, shape = unwrap(vertices, np.array(ball.vertex_normals), faces, 256)
    assert rounds[0] == 1
    assert len(rounds) > 2
    np.testing.assert_array_equal(source[new_faces], faces)
    corners = uv[new_faces] * (2 * shape[1], 2 * shape[0]) - 0.5
    assert not _doubly_covered(corners, 2 * shape[0], 2 * shape[1]).any()


def test_pieces_share_no_vertex_and_keep_their_faces():
    ball = trimesh.creation.icosphere(subdivisions=2)
    vertices, faces = np.array(ball.vertices), np.array(ball.faces)
    upper = vertices[faces].mean(axis=1)[:, 2] > 0
    pieces = [np.flatnonzero(upper), np.flatnonzero(~upper)]
    source, new_faces, uv, _ = texture._atlas(vertices, vertices, faces, pieces, 128)
    np.testing.assert_array_equal(source[new_faces], faces)
    assert not np.intersect1d(new_faces[upper], new_faces[~upper]).size
    assert (uv >= 0).all()
    assert (uv <= 1).all()
