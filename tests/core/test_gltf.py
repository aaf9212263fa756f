"""GLB reading and skinning against hand-made files with known answers."""

import json
import struct

import numpy as np
import pytest

from fourreal_core.data.rendered.gltf import clean_weights, load_glb, vertex_normals
from fourreal_core.data.rendered.skinning import pose, rotation_matrix, slerp, world_matrices

HALF = np.sqrt(0.5)
TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
COMPONENTS = {"float32": 5126, "uint8": 5121, "uint16": 5123}


class Builder:
    """Collects accessors and writes a GLB."""

    def __init__(self):
        self.binary = b""
        self.document = {
            "asset": {"version": "2.0"},
            "accessors": [],
            "bufferViews": [],
            "nodes": [],
            "meshes": [],
            "animations": [],
        }

    def accessor(self, values, dtype="float32", normalized=False) -> int:
        values = np.asarray(values, dtype)
        values = values[:, None] if values.ndim == 1 else values.reshape(len(values), -1)
        self.binary += b"\0" * (-len(self.binary) % 4)
        self.document["bufferViews"].append({"buffer": 0, "byteOffset": len(self.binary), "byteLength": values.nbytes})
        self.binary += values.tobytes()
        entry = {
            "bufferView": len(self.document["bufferViews"]) - 1,
            "componentType": COMPONENTS[dtype],
            "count": len(values),
        }
        self.document["accessors"].append({**entry, "type": TYPES[values.shape[1]], "normalized": normalized})
        return len(self.document["accessors"]) - 1

    def mesh(self, positions, indices, material=None, **attributes) -> int:
        primitive = {
            "attributes": {"POSITION": self.accessor(positions), **attributes},
            "indices": self.accessor(indices, "uint16"),
        }
        self.document["meshes"].append(
            {"primitives": [primitive | ({"material": material} if material is not None else {})]}
        )
        return len(self.document["meshes"]) - 1

    def animation(self, name, node, path, times, values, interpolation="LINEAR"):
        sampler = {"input": self.accessor(times), "output": self.accessor(values), "interpolation": interpolation}
        self.document["animations"].append(
            {"name": name, "samplers": [sampler], "channels": [{"sampler": 0, "target": {"node": node, "path": path}}]}
        )

    def write(self, path):
        text = json.dumps(self.document | {"buffers": [{"byteLength": len(self.binary)}]}).encode()
        text += b" " * (-len(text) % 4)
        binary = self.binary + b"\0" * (-len(self.binary) % 4)
        body = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(binary), 0x004E4942) + binary
        path.write_bytes(b"glTF" + struct.pack("<II", 2, 12 + len(body)) + body)
        return path


TRIANGLE = [(0, 0, 0), (1, 0, 0), (0, 1, 0)]


def moving_triangle(tmp_path, property, times, values, interpolation="LINEAR"):
    builder = Builder()
    builder.document["nodes"] = [
        {"name": "parent", "translation": [10, 0, 0], "children": [1]},
        {"name": "triangle", "mesh": builder.mesh(TRIANGLE, [0, 1, 2])},
    ]
    builder.animation("move", 1, property, times, values, interpolation)
    return load_glb(builder.write(tmp_path / "moving.glb"))


def test_materials_vertex_colours_and_parts(tmp_path):
    builder = Builder()
    colours = builder.accessor([(255, 0, 0, 255), (0, 255, 0, 255), (0, 0, 51, 255)], "uint8", normalized=True)
    red = {"pbrMetallicRoughness": {"baseColorFactor": [0.5, 1, 1, 1]}, "extensions": {"KHR_materials_unlit": {}}}
    builder.document["materials"] = [red]
    first = builder.mesh(TRIANGLE, [0, 1, 2], 0, COLOR_0=colours)
    second = builder.mesh(TRIANGLE, [2, 1, 0])
    builder.document["nodes"] = [{"name": "shirt", "mesh": first}, {"name": "sword", "mesh": second}]
    model = load_glb(builder.write(tmp_path / "two.glb"))
    assert np.allclose(model.colours_N3[:3], [(0.5, 0, 0), (0, 1, 0), (0, 0, 0.2)]) and np.allclose(
        model.colours_N3[3:], 1
    )
    assert model.parts[0].unlit and not model.parts[1].unlit and model.triangles_M3.tolist() == [[0, 1, 2], [5, 4, 3]]
    bare = model.without(["sword"])
    assert [model.nodes[part.node].name for part in bare.parts] == ["shirt"] and bare.shown_vertices().tolist() == [
        0,
        1,
        2,
    ]
    assert np.allclose(model.normals_N3[0], (0, 0, 1)) and np.allclose(model.normals_N3[5], (0, 0, -1))


def test_linear_translation_is_held_outside_its_keys_and_moves_with_the_parent(tmp_path):
    model = moving_triangle(tmp_path, "translation", [1, 3], [(0, 0, 0), (0, 4, 0)])
    assert model.clip("move").duration == 3
    for seconds, height in ((0, 0), (1, 0), (1.5, 1), (2, 2), (3, 4), (9, 4)):
        assert np.allclose(pose(model, model.clip("move"), seconds)[0][0], (10, height, 0)), seconds
    assert np.allclose(pose(model, None, 2)[0][0], (10, 0, 0))
    with pytest.raises(ValueError, match="choose one of"):
        model.clip("jump")


def test_step_and_cubic_interpolation(tmp_path):
    stepped = moving_triangle(tmp_path, "translation", [0, 1], [(0, 0, 0), (0, 4, 0)], "STEP")
    assert np.allclose(pose(stepped, stepped.clips[0], 0.99)[0][0], (10, 0, 0))
    # Tangents of y = t^3 on 0..2: the Hermite curve is exact for a cubic.
    keys = [(0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 12, 0), (0, 8, 0), (0, 12, 0)]
    cubic = moving_triangle(tmp_path, "translation", [0, 2], keys, "CUBICSPLINE")
    for seconds in (0.5, 1, 1.7):
        assert np.allclose(pose(cubic, cubic.clips[0], seconds)[0][0], (10, seconds**3, 0))


def test_rotation_takes_the_short_way_at_constant_speed(tmp_path):
    quarter_about_z = np.array([0, 0, HALF, HALF])
    model = moving_triangle(tmp_path, "rotation", [0, 1], [(0, 0, 0, 1), -quarter_about_z])
    positions, normals = pose(model, model.clips[0], 1 / 3)
    angle = np.radians(30)
    assert np.allclose(positions[1], (10 + np.cos(angle), np.sin(angle), 0), atol=1e-6) and np.allclose(
        normals, (0, 0, 1), atol=1e-6
    )
    assert np.allclose(slerp(np.array([0, 0, 0, 1.0]), np.array([0, 0, 1e-5, 1.0]), 0.5), (0, 0, 5e-6, 1), atol=1e-9)


def skinned_bar(tmp_path, weights):
    """Three points at x = 0, 1, 2 on the joints "root" at x = 0 and "elbow" at x = 1; the elbow bends by 90 degrees about z."""
    builder = Builder()
    inverse_bind = np.stack([np.eye(4), np.eye(4)])
    inverse_bind[1, 0, 3] = -1
    joints = builder.accessor([(0, 1, 0, 0)] * 3, "uint8")
    mesh = builder.mesh(
        [(0, 0, 0), (1, 0, 0), (2, 0, 0)], [0, 1, 2], JOINTS_0=joints, WEIGHTS_0=builder.accessor(weights)
    )
    builder.document["nodes"] = [
        {"name": "root", "children": [1]},
        {"name": "elbow", "translation": [1, 0, 0]},
        {"name": "bar", "mesh": mesh, "skin": 0, "translation": [99, 99, 99]},
    ]
    builder.document["skins"] = [
        {"joints": [0, 1], "inverseBindMatrices": builder.accessor(inverse_bind.transpose(0, 2, 1).reshape(2, 16))}
    ]
    builder.animation("bend", 1, "rotation", [0, 1], [(0, 0, 0, 1), (0, 0, HALF, HALF)])
    return load_glb(builder.write(tmp_path / "bar.glb"))


def test_skin_blends_joints_and_ignores_the_mesh_node_s_own_place(tmp_path):
    model = skinned_bar(tmp_path, [(1, 0, 0, 0), (0, 1, 0, 0), (0.5, 0.5, 0, 0)])
    assert np.allclose(pose(model, None, 0)[0], [(0, 0, 0), (1, 0, 0), (2, 0, 0)])
    bent = pose(model, model.clips[0], 1)[0]
    assert np.allclose(bent, [(0, 0, 0), (1, 0, 0), (1.5, 0.5, 0)], atol=1e-6)


def test_broken_weights_are_cleaned(tmp_path):
    model = skinned_bar(tmp_path, [(np.nan, 2, 0, 0), (np.nan, np.nan, 0, 0), (-1, 3, 0, 0)])
    bent = pose(model, model.clips[0], 1)[0]
    assert np.allclose(bent, [(1, -1, 0), (1, 0, 0), (1, 1, 0)], atol=1e-6)
    joints, weights = clean_weights(np.array([[7, 1, 0, 0]]), np.array([[0.5, 0.5, 0, 0]]), joint_count=2)
    assert joints.tolist() == [[0, 1, 0, 0]] and weights.tolist() == [[0, 1, 0, 0]]


def test_node_matrix_equals_its_parts(tmp_path):
    builder = Builder()
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_matrix(np.array([0.1, -0.5, 0.3, 0.7])) * np.array([-2.0, 3.0, 0.5])
    matrix[:3, 3] = (4, 5, 6)
    builder.document["nodes"] = [{"mesh": builder.mesh(TRIANGLE, [0, 1, 2]), "matrix": matrix.T.ravel().tolist()}]
    model = load_glb(builder.write(tmp_path / "matrix.glb"))
    assert np.allclose(world_matrices(model, None, 0)[0], matrix)


def test_missing_normals_are_weighted_by_area():
    positions = np.float32([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 3)])
    normals = vertex_normals(positions, np.array([(0, 1, 2), (0, 2, 3)]))
    assert np.allclose(normals[0], np.array([3, 0, 1]) / np.sqrt(10)) and np.allclose(normals[1], (0, 0, 1))


def test_unsupported_and_broken_files_are_named(tmp_path):
    (tmp_path / "text.glb").write_text("solid cube, not a binary glTF at all")
    with pytest.raises(ValueError, match="text.glb is not a binary glTF 2.0 file"):
        load_glb(tmp_path / "text.glb")

    def broken(change):
        builder = Builder()
        builder.document["nodes"] = [{"mesh": builder.mesh(TRIANGLE, [0, 1, 2])}]
        change(builder.document)
        return builder.write(tmp_path / "broken.glb")

    cases = [
        (lambda d: d["accessors"][0].update(sparse={}), "is sparse"),
        (lambda d: d["accessors"][0].update(count=1000), "reaches past the end"),
        (lambda d: d["meshes"][0]["primitives"][0].update(mode=1), "made of triangles"),
        (lambda d: d.update(extensionsRequired=["KHR_draco_mesh_compression"]), "KHR_draco_mesh_compression"),
        (lambda d: d.update(nodes=[{"name": "empty"}]), "contains no mesh"),
        (lambda d: d["nodes"][0].update(mesh=5), "broken glTF file"),
    ]
    for change, message in cases:
        with pytest.raises(ValueError, match=message):
            load_glb(broken(change))
    whole = broken(lambda d: None).read_bytes()
    (tmp_path / "cut.glb").write_bytes(whole[:-20])
    with pytest.raises(ValueError, match="ends in the middle"):
        load_glb(tmp_path / "cut.glb")
