"""Files from which scenes are rendered, small and made on the spot."""

import json
import struct

import numpy as np
import pytest


@pytest.fixture(scope="session")
def scene_files(tmp_path_factory):
    """(two .glb models, the folder that holds a .hdr panorama)."""
    folder = tmp_path_factory.mktemp("scene")
    sky = np.random.default_rng(0).integers(1, 255, (8, 16, 4)).astype(np.uint8)
    sky[..., 3] = 127
    header = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 8 +X 16\n"
    (folder / "sky.hdr").write_bytes(header + sky.tobytes())
    return [write_model(folder / "a.glb"), write_model(folder / "b.glb")], folder


def write_model(path):
    """A GLB with one upright square of side 2 that slides by 1 along x within a second."""
    square = np.float32([(-1, 0, 0), (1, 0, 0), (1, 2, 0), (-1, 2, 0)])
    blocks = [
        square.tobytes(),
        np.uint16([0, 1, 2, 0, 2, 3]).tobytes(),
        np.float32([0, 1]).tobytes(),
        np.float32([(0, 0, 0), (1, 0, 0)]).tobytes(),
    ]
    kinds = [(5126, 4, "VEC3"), (5123, 6, "SCALAR"), (5126, 2, "SCALAR"), (5126, 2, "VEC3")]
    offsets = np.cumsum([0] + [len(block) for block in blocks])
    document = {
        "nodes": [{"mesh": 0, "name": "square"}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "animations": [
            {
                "name": "Walk",
                "channels": [{"sampler": 0, "target": {"node": 0, "path": "translation"}}],
                "samplers": [{"input": 2, "output": 3}],
            }
        ],
        "accessors": [
            {"bufferView": i, "componentType": kind, "count": count, "type": shape}
            for i, (kind, count, shape) in enumerate(kinds)
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": int(offsets[i]), "byteLength": len(block)} for i, block in enumerate(blocks)
        ],
    }
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    chunks = (
        struct.pack("<II", len(text), 0x4E4F534A)
        + text
        + struct.pack("<II", int(offsets[-1]), 0x004E4942)
        + b"".join(blocks)
    )
    path.write_bytes(b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks)
    return path
