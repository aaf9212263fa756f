"""What tests of the core share. PyTorch is imported where it is needed only: the process that hands out tests to workers needs none."""

import pytest


@pytest.fixture(scope="module")
def renderer():
    """Draws pictures of 36 x 64 pixels; what needs it is skipped where OpenGL cannot be had, and says why."""
    from fourreal_core.data.rendered.render import Renderer, RendererUnavailable

    try:
        made = Renderer(36, 64)
    except RendererUnavailable as reason:
        pytest.skip(str(reason))
    yield made
    made.close()


@pytest.fixture(scope="session")
def scene_files(tmp_path_factory):
    """(two .glb models, the folder that holds a .hdr panorama)."""
    from made_scenes import write_scene_files

    folder = tmp_path_factory.mktemp("scene")
    return write_scene_files(folder), folder
