"""The examples appear in the host's input folder, where Load Video and Load Image list them, and nobody's file is touched."""

import logging

import pytest
from environment import PACK

NAMES = ["first_frame.png", "fixed_view.mp4", "freeze_time.mp4", "hard_fixed_view.mp4", "hard_freeze_time.mp4"]


@pytest.fixture
def examples(comfy_inside):
    return comfy_inside.pack_host("examples")


def bytes_of(name):
    return (PACK / "example_inputs" / name).read_bytes()


def test_the_loaders_list_them_as_soon_as_the_pack_is_loaded(comfy_inside):
    videos = comfy_inside.node_classes["LoadVideo"].INPUT_TYPES()["required"]["file"][1]["options"]
    pictures = comfy_inside.node_classes["LoadImage"].INPUT_TYPES()["required"]["image"][0]
    assert {"4real_" + name for name in NAMES} <= {*videos, *pictures}
    for name in NAMES:
        assert (comfy_inside.base / "input" / f"4real_{name}").read_bytes() == bytes_of(name)


def test_a_file_of_that_name_stays_as_it_is(examples, monkeypatch, tmp_path):
    (tmp_path / "4real_fixed_view.mp4").write_bytes(b"my own")
    monkeypatch.setattr(examples.folder_paths, "get_input_directory", lambda: str(tmp_path))
    examples.lay_out_examples()
    assert (tmp_path / "4real_fixed_view.mp4").read_bytes() == b"my own"
    assert (tmp_path / "4real_freeze_time.mp4").read_bytes() == bytes_of("freeze_time.mp4")
    assert len(list(tmp_path.iterdir())) == len(NAMES)


def test_a_folder_that_cannot_be_written_is_a_warning(examples, monkeypatch, tmp_path, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setattr(examples.folder_paths, "get_input_directory", lambda: str(tmp_path / "file" / "input"))
    with caplog.at_level(logging.WARNING):
        examples.lay_out_examples()
    assert "choose your own videos in Load Video" in caplog.text


def test_a_copy_that_breaks_off_leaves_nothing(examples, monkeypatch, tmp_path):
    def full_disk(source, target):
        target.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(examples.shutil, "copyfile", full_disk)
    monkeypatch.setattr(examples.folder_paths, "get_input_directory", lambda: str(tmp_path))
    examples.lay_out_examples()
    assert list(tmp_path.iterdir()) == []
