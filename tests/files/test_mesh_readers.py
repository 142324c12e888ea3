"""Our meshes in readers other than trimesh, which wrote them: meshio and pygltflib."""

import io

import numpy as np
import pytest
from PIL import Image

from score3d.files.mesh import tetrahedra_to_mesh, write_mesh
from score3d.files.tetrahedra import TetrahedralField, lattice

CELLS, BOUND = 8, 0.62


@pytest.fixture(scope="module")
def mesh():
    """An egg, its thick end down (-y), lying towards +z; red at +x."""
    points = lattice(CELLS).points * BOUND
    x, y, z = points.T
    distance = np.sqrt(x**2 + y**2 + (z - 0.1) ** 2) - 0.35 + 0.3 * y
    raw = np.full((3, 9, 9, 9), -4, np.float32)
    raw[0] = np.linspace(-4, 4, 9)
    zeros = np.zeros(points.shape, np.float32)
    field = TetrahedralField(CELLS, BOUND, distance.astype(np.float32), zeros, raw)
    return tetrahedra_to_mesh(field, texture_size=128)


def sides(vertices, colours):
    """Mean red of the corners far to +x and far to -x."""
    far = vertices[:, 0] > 0.15, vertices[:, 0] < -0.15
    return [float(colours[side, 0].mean()) for side in far]


@pytest.mark.parametrize("ending", [".obj", ".ply", ".stl"])
def test_meshio_reads_the_same_mesh(tmp_path, mesh, ending):
    meshio = pytest.importorskip("meshio")
    write_mesh(tmp_path / f"egg{ending}", mesh)
    other = meshio.read(tmp_path / f"egg{ending}")
    faces = other.cells_dict["triangle"]
    assert len(faces) == len(mesh.faces)
    corners = np.asarray(other.points)[faces]
    # single precision, or the eight digits of text
    np.testing.assert_allclose(corners, mesh.triangles, atol=2e-7)
    if ending == ".ply":
        # meshio 5.3 takes binary unsigned bytes for signed ones
        names = ("red", "green", "blue")
        red = np.stack([other.point_data[k].astype(np.uint8) for k in names], 1) / 255
        right, left = sides(np.asarray(other.points), red)
        assert right > 0.7 > 0.3 > left
    if ending == ".obj":
        uv = np.asarray(other.point_data["obj:vt"])
        assert uv.shape == (len(other.points), 2)
        picture = np.asarray(Image.open(tmp_path / "egg_colour.png").convert("RGB")) / 255
        right, left = sides(np.asarray(other.points), looked_up(picture, uv[:, 0], 1 - uv[:, 1]))
        assert right > 0.7 > 0.3 > left


def looked_up(picture, u, v_down):
    """Colours of the nearest texels; v from the top."""
    height, width = picture.shape[:2]
    column = np.clip((u * width).astype(int), 0, width - 1)
    return picture[np.clip((v_down * height).astype(int), 0, height - 1), column]


def test_pygltflib_reads_the_same_mesh(tmp_path, mesh):
    pygltflib = pytest.importorskip("pygltflib")
    write_mesh(tmp_path / "egg.glb", mesh)
    gltf = pygltflib.GLTF2().load(tmp_path / "egg.glb")
    blob = gltf.binary_blob()

    def view(index):
        found = gltf.bufferViews[index]
        return blob[found.byteOffset or 0 : (found.byteOffset or 0) + found.byteLength]

    def read(index, dtype, width):
        accessor = gltf.accessors[index]
        data = np.frombuffer(view(accessor.bufferView), dtype, offset=accessor.byteOffset or 0)
        return data[: accessor.count * width].reshape(accessor.count, width)

    assert len(gltf.meshes) == 1
    primitive = gltf.meshes[0].primitives[0]
    assert primitive.mode in (None, pygltflib.TRIANGLES)
    points = read(primitive.attributes.POSITION, np.float32, 3)
    normals = read(primitive.attributes.NORMAL, np.float32, 3)
    uv = read(primitive.attributes.TEXCOORD_0, np.float32, 2)
    assert gltf.accessors[primitive.indices].componentType == pygltflib.UNSIGNED_INT
    faces = read(primitive.indices, np.uint32, 1).reshape(-1, 3)
    np.testing.assert_allclose(points[faces], mesh.triangles, atol=1e-7)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    # nothing turns it: +y up as glTF has it
    for node in gltf.nodes:
        turned = [node.rotation, node.translation, node.scale]
        assert not any(turned)
        matrix = np.eye(4) if node.matrix is None else np.reshape(node.matrix, (4, 4))
        np.testing.assert_array_equal(matrix, np.eye(4))
    material = gltf.materials[primitive.material].pbrMetallicRoughness
    image = gltf.images[gltf.textures[material.baseColorTexture.index].source]
    picture = np.asarray(Image.open(io.BytesIO(view(image.bufferView))).convert("RGB")) / 255
    right, left = sides(points, looked_up(picture, uv[:, 0], uv[:, 1]))  # glTF: v from the top
    assert right > 0.7 > 0.3 > left
