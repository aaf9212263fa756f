"""Reads one animated GLB file into numpy arrays. Next: skinning.py poses it.

Source: glTF 2.0 specification (Khronos). Supported: triangle lists, skins, node animations, base colour (factor, texture, vertex colour).
Not supported, with a clear error: sparse accessors, external files, Draco and meshopt compression, other primitive modes.
Left out in silence because a small render does not need it: morph targets, normal maps, metalness, transparency.

Legend: N vertices, M triangles, P palette entries (one per joint of a skin, one per rigid mesh node), K keys of an animation, C components.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

COMPONENT_TYPES = {5120: np.int8, 5121: np.uint8, 5122: np.int16, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
COMPONENT_COUNTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
COMPRESSIONS = {"KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_mesh_quantization"}
JSON_CHUNK, BINARY_CHUNK = 0x4E4F534A, 0x004E4942


@dataclass(frozen=True)
class Node:
    """One node of the hierarchy; the local transform is translate * rotate * scale (rotation is a quaternion x, y, z, w)."""

    name: str
    parent: int
    translation: np.ndarray
    rotation: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True)
class Channel:
    """One animated property of a node: `times` [K] seconds; `values` [K, C], or [K, 3, C] (in-tangent, value, out-tangent) for CUBICSPLINE."""

    node: int
    property: str
    interpolation: str
    times: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Clip:
    name: str
    duration: float
    channels: tuple[Channel, ...]


@dataclass(frozen=True)
class Part:
    """Triangles start..stop of the model, drawn with one material.

    `texture` indexes Model.textures, -1 is none; `unlit` is what the file asks for, but scenes light every model.
    """

    node: int
    rigid: bool
    start: int
    stop: int
    texture: int
    unlit: bool


@dataclass(frozen=True)
class Model:
    """All meshes of a GLB in one vertex list. Y is up, colours are linear RGB in 0..1, textures uint8 sRGB [H, W, 3]."""

    name: str
    nodes: tuple[Node, ...]
    positions_N3: np.ndarray
    normals_N3: np.ndarray
    colours_N3: np.ndarray
    uv_N2: np.ndarray
    joints_N4: np.ndarray
    weights_N4: np.ndarray
    triangles_M3: np.ndarray
    parts: tuple[Part, ...]
    textures: tuple[np.ndarray, ...]
    palette_nodes: tuple[int, ...]
    inverse_bind_P44: np.ndarray
    clips: tuple[Clip, ...]

    def clip(self, name: str) -> Clip:
        """The clip called `name`; ValueError lists what there is."""
        for clip in self.clips:
            if clip.name == name:
                return clip
        raise ValueError(f"{self.name} has no animation {name!r}: choose one of {[clip.name for clip in self.clips]}")

    def without(self, hidden: Sequence[str]) -> Model:
        """The same model without the mesh nodes named in `hidden`: characters often carry every prop of their set at once."""
        return replace(self, parts=tuple(part for part in self.parts if self.nodes[part.node].name not in hidden))

    def shown_vertices(self) -> np.ndarray:
        """Sorted indices of the vertices that the shown parts use."""
        return np.unique(np.concatenate([self.triangles_M3[part.start : part.stop] for part in self.parts]))


def load_glb(path: str | Path) -> Model:
    """Reads a binary glTF 2.0 file. Raises ValueError with one sentence for what is missing, broken or unsupported."""
    path = Path(path)
    document, binary = _read_chunks(path)
    unsupported = COMPRESSIONS & set(document.get("extensionsRequired", []))
    if unsupported:
        raise ValueError(
            f"{path.name} needs the glTF extension {sorted(unsupported)[0]}, which is not supported: export it without compression"
        )
    try:
        return _build_model(path.stem, document, binary)
    except (KeyError, IndexError, TypeError, struct.error) as error:
        raise ValueError(
            f"{path.name} is a broken glTF file ({type(error).__name__}: {error}): export it again"
        ) from error


def _read_chunks(path: Path) -> tuple[dict, bytes]:
    data = path.read_bytes()
    if len(data) < 20 or data[:4] != b"glTF" or struct.unpack_from("<I", data, 4)[0] != 2:
        raise ValueError(f"{path.name} is not a binary glTF 2.0 file: export the model as .glb")
    document, binary, offset = None, b"", 12
    while offset + 8 <= len(data):
        length, kind = struct.unpack_from("<II", data, offset)
        chunk = data[offset + 8 : offset + 8 + length]
        if len(chunk) < length:
            raise ValueError(f"{path.name} ends in the middle of a chunk: copy or download it again")
        if kind == JSON_CHUNK and document is None:
            try:
                document = json.loads(chunk)
            except ValueError as error:
                raise ValueError(f"{path.name} has a broken JSON chunk ({error}): export it again") from error
        elif kind == BINARY_CHUNK:
            binary = chunk
        offset += 8 + length
    if document is None:
        raise ValueError(f"{path.name} has no JSON chunk: export it again")
    return document, binary


def read_accessor(document: Mapping, binary: bytes, index: int) -> np.ndarray:
    """Accessor `index` as [count, components]; normalized integers become floats in 0..1 or -1..1 (glTF 2.0, section 3.11)."""
    accessor = document["accessors"][index]
    if "sparse" in accessor:
        raise ValueError(
            f"accessor {index} is sparse, which is not supported: export the model without sparse accessors"
        )
    dtype = np.dtype(COMPONENT_TYPES[accessor["componentType"]]).newbyteorder("<")
    components, count = COMPONENT_COUNTS[accessor["type"]], accessor["count"]
    if "bufferView" not in accessor:
        return np.zeros((count, components), dtype)
    view = document["bufferViews"][accessor["bufferView"]]
    offset = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    stride = view.get("byteStride") or components * dtype.itemsize
    if offset + stride * (count - 1) + components * dtype.itemsize > len(binary):
        raise ValueError(
            f"accessor {index} reaches past the end of the binary chunk: the file is truncated or uses external buffers"
        )
    values = np.ndarray((count, components), dtype, binary, offset, (stride, dtype.itemsize))
    if accessor.get("normalized"):
        return np.maximum(values.astype(np.float32) / np.iinfo(dtype).max, -1.0)
    return values.astype(dtype.newbyteorder("="))


def _build_model(name: str, document: Mapping, binary: bytes) -> Model:
    nodes = _read_nodes(document)
    palette_nodes, inverse_bind, vertices, triangles, parts = [], [], [], [], []
    vertex_count = triangle_count = 0
    for index, node in enumerate(document["nodes"]):
        if "mesh" not in node:
            continue
        first_entry = len(palette_nodes)
        joints, bind_P44 = _skin_of(document, binary, node, index)
        palette_nodes += joints
        inverse_bind.append(bind_P44)
        for primitive in document["meshes"][node["mesh"]]["primitives"]:
            attributes, triangles_M3 = _read_primitive(document, binary, primitive, "skin" in node, len(joints))
            attributes["joints"] = attributes["joints"] + first_entry
            material = _material_of(document, primitive)
            texture = document["textures"][material[1]]["source"] if material[1] >= 0 else -1
            attributes["colours"] = attributes["colours"] * material[0]
            parts.append(
                Part(
                    index, "skin" not in node, triangle_count, triangle_count + len(triangles_M3), texture, material[2]
                )
            )
            triangles.append(triangles_M3 + vertex_count)
            vertices.append(attributes)
            vertex_count += len(attributes["positions"])
            triangle_count += len(triangles_M3)
    if not parts:
        raise ValueError(f"{name} contains no mesh: choose another model")
    merged = {key: np.concatenate([part[key] for part in vertices]) for key in vertices[0]}
    return Model(
        name=name, nodes=nodes, positions_N3=merged["positions"], normals_N3=merged["normals"], colours_N3=merged["colours"], uv_N2=merged["uv"],
        joints_N4=merged["joints"], weights_N4=merged["weights"], triangles_M3=np.concatenate(triangles), parts=tuple(parts),
        textures=tuple(_read_image(document, binary, image) for image in document.get("images", [])),
        palette_nodes=tuple(palette_nodes), inverse_bind_P44=np.concatenate(inverse_bind), clips=_read_clips(document, binary),
    )  # fmt: skip


def _read_nodes(document: Mapping) -> tuple[Node, ...]:
    parents = {child: index for index, node in enumerate(document["nodes"]) for child in node.get("children", [])}
    nodes = []
    for index, node in enumerate(document["nodes"]):
        if "matrix" in node:
            translation, rotation, scale = _decompose(np.array(node["matrix"], np.float64).reshape(4, 4).T)
        else:
            translation, rotation, scale = (
                node.get("translation", (0, 0, 0)),
                node.get("rotation", (0, 0, 0, 1)),
                node.get("scale", (1, 1, 1)),
            )
        values = (np.asarray(value, np.float64) for value in (translation, rotation, scale))
        nodes.append(Node(node.get("name", f"node {index}"), parents.get(index, -1), *values))
    return tuple(nodes)


def _decompose(matrix_44: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Translation, quaternion (x, y, z, w) and scale of a matrix without shear; a mirrored matrix gets a negative x scale."""
    linear_33 = matrix_44[:3, :3]
    scale = np.linalg.norm(linear_33, axis=0)
    if np.linalg.det(linear_33) < 0:
        scale[0] = -scale[0]
    m = linear_33 / scale
    # The eigenvector of the largest eigenvalue of this symmetric matrix is the quaternion (Bar-Itzhack 2000).
    symmetric = np.array([
        [m[0, 0] - m[1, 1] - m[2, 2], m[0, 1] + m[1, 0], m[0, 2] + m[2, 0], m[2, 1] - m[1, 2]],
        [m[0, 1] + m[1, 0], m[1, 1] - m[0, 0] - m[2, 2], m[1, 2] + m[2, 1], m[0, 2] - m[2, 0]],
        [m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], m[2, 2] - m[0, 0] - m[1, 1], m[1, 0] - m[0, 1]],
        [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], m[0, 0] + m[1, 1] + m[2, 2]],
    ])  # fmt: skip
    return matrix_44[:3, 3], np.linalg.eigh(symmetric)[1][:, -1], scale


def _skin_of(document: Mapping, binary: bytes, node: Mapping, index: int) -> tuple[list[int], np.ndarray]:
    """Joint nodes and inverse bind matrices [P, 4, 4] of a mesh node; a rigid one is its own only joint."""
    if "skin" not in node:
        return [index], np.eye(4)[None]
    skin = document["skins"][node["skin"]]
    joints = list(skin["joints"])
    if "inverseBindMatrices" not in skin:
        return joints, np.tile(np.eye(4), (len(joints), 1, 1))
    # glTF stores matrices transposed.
    return joints, read_accessor(document, binary, skin["inverseBindMatrices"]).astype(np.float64).reshape(
        -1, 4, 4
    ).transpose(0, 2, 1)


def _read_primitive(
    document: Mapping, binary: bytes, primitive: Mapping, skinned: bool, joint_count: int
) -> tuple[dict, np.ndarray]:
    if primitive.get("mode", 4) != 4:
        raise ValueError(
            f"expected meshes made of triangles, got primitive mode {primitive['mode']}: export them as triangles"
        )
    attributes = primitive["attributes"]
    read = {key: read_accessor(document, binary, accessor) for key, accessor in attributes.items()}
    positions_N3 = read["POSITION"].astype(np.float32)
    count = len(positions_N3)
    indices = (
        read_accessor(document, binary, primitive["indices"]).ravel() if "indices" in primitive else np.arange(count)
    )
    triangles_M3 = indices[: len(indices) // 3 * 3].astype(np.int64).reshape(-1, 3)
    joints_N4, weights_N4 = np.zeros((count, 4), np.int64), np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1))
    if skinned and "JOINTS_0" in read:
        joints_N4, weights_N4 = clean_weights(read["JOINTS_0"], read["WEIGHTS_0"], joint_count)
    normals_N3 = read["NORMAL"].astype(np.float32) if "NORMAL" in read else vertex_normals(positions_N3, triangles_M3)
    colours_N3 = read["COLOR_0"][:, :3].astype(np.float32) if "COLOR_0" in read else np.ones((count, 3), np.float32)
    uv_N2 = read["TEXCOORD_0"].astype(np.float32) if "TEXCOORD_0" in read else np.zeros((count, 2), np.float32)
    return {
        "positions": positions_N3,
        "normals": normals_N3,
        "colours": colours_N3,
        "uv": uv_N2,
        "joints": joints_N4,
        "weights": weights_N4,
    }, triangles_M3


def clean_weights(joints_N4: np.ndarray, weights_N4: np.ndarray, joint_count: int) -> tuple[np.ndarray, np.ndarray]:
    """Joints and weights that sum to one: NaN, negative and dangling weights are dropped; a vertex left without any follows the first joint."""
    joints_N4 = joints_N4.astype(np.int64)
    usable_N4 = np.isfinite(weights_N4) & (weights_N4 > 0) & (joints_N4 < joint_count)
    weights_N4 = np.where(usable_N4, weights_N4, 0).astype(np.float32)
    joints_N4 = np.where(usable_N4, joints_N4, 0)
    weights_N4[weights_N4.sum(1) == 0, 0] = 1
    return joints_N4, weights_N4 / weights_N4.sum(1, keepdims=True)


def vertex_normals(positions_N3: np.ndarray, triangles_M3: np.ndarray) -> np.ndarray:
    """Area-weighted vertex normals for meshes that come without."""
    corners = positions_N3[triangles_M3]
    face_M3 = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals_N3 = np.zeros_like(positions_N3)
    for corner in range(3):
        np.add.at(normals_N3, triangles_M3[:, corner], face_M3)
    return normals_N3 / np.maximum(np.linalg.norm(normals_N3, axis=1, keepdims=True), 1e-12)


def _material_of(document: Mapping, primitive: Mapping) -> tuple[np.ndarray, int, bool]:
    """Linear base colour, texture index (-1: none) and whether the material is unlit."""
    material = document["materials"][primitive["material"]] if "material" in primitive else {}
    surface = material.get("pbrMetallicRoughness", {})
    colour = np.array(surface.get("baseColorFactor", (1, 1, 1, 1))[:3], np.float32)
    return (
        colour,
        surface.get("baseColorTexture", {}).get("index", -1),
        "KHR_materials_unlit" in material.get("extensions", {}),
    )


def _read_image(document: Mapping, binary: bytes, image: Mapping) -> np.ndarray:
    if "bufferView" not in image:
        raise ValueError("a texture is stored outside the .glb: export the model with embedded textures")
    view = document["bufferViews"][image["bufferView"]]
    start = view.get("byteOffset", 0)
    try:
        picture = Image.open(io.BytesIO(binary[start : start + view["byteLength"]]), formats=("PNG", "JPEG", "WEBP"))
        return np.asarray(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError("a texture of the model cannot be decoded: export its textures as PNG or JPEG") from error


def _read_clips(document: Mapping, binary: bytes) -> tuple[Clip, ...]:
    clips = []
    for index, animation in enumerate(document.get("animations", [])):
        channels = []
        for channel in animation["channels"]:
            target, sampler = channel["target"], animation["samplers"][channel["sampler"]]
            if "node" not in target or target["path"] not in ("translation", "rotation", "scale"):
                continue
            times_K = read_accessor(document, binary, sampler["input"]).ravel().astype(np.float64)
            values = read_accessor(document, binary, sampler["output"]).astype(np.float64)
            interpolation = sampler.get("interpolation", "LINEAR")
            if interpolation == "CUBICSPLINE":
                values = values.reshape(len(times_K), 3, -1)
            channels.append(Channel(target["node"], target["path"], interpolation, times_K, values))
        duration = max((float(channel.times[-1]) for channel in channels), default=0.0)
        clips.append(Clip(animation.get("name", f"animation {index}"), duration, tuple(channels)))
    return tuple(clips)
