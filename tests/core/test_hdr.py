"""HLG, PQ and BT.2020 become BT.709: known levels of the standards, and files that say what they are."""

import av
import pytest
import torch

from fourreal_core.files.hdr import BT2020, HLG, PQ, to_bt709
from fourreal_core.files.recording import Measured, Recording

H, W = 64, 96


def grey(*levels):
    return torch.tensor(levels)[:, None, None].expand(-1, 1, 3)


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_grey_stays_grey_and_brighter_stays_brighter(transfer):
    mapped = to_bt709(grey(*torch.linspace(0, 1, 64).tolist()), transfer, BT2020)[:, 0]
    assert torch.allclose(mapped, mapped[:, :1].expand(-1, 3), atol=2e-3)
    assert mapped[0, 0] == 0 and mapped[-1, 0] == pytest.approx(1, abs=0.01) and (mapped[:, 0].diff() >= -1e-5).all()


def test_both_curves_agree_on_reference_levels():
    """BT.2408, table 1: diffuse white is 58 % in PQ and 75 % in HLG, 18 % grey (26 cd/m2) 38 % in both."""
    white = [to_bt709(grey(level), transfer, BT2020)[0, 0, 0].item() for level, transfer in ((0.58, PQ), (0.75, HLG))]
    dark = [to_bt709(grey(level), transfer, BT2020)[0, 0, 0].item() for level, transfer in ((0.38, PQ), (0.38, HLG))]
    assert white[0] == pytest.approx(white[1], abs=0.02) and 0.8 < white[0] < 1
    assert dark[0] == pytest.approx(dark[1], abs=0.03)
    assert dark[0] == pytest.approx((26 / 203) ** (1 / 2.4), abs=0.01)  # below the knee nothing changes


def test_wide_gamut_keeps_white_and_strengthens_colours():
    sdr = to_bt709(torch.tensor([[[1.0, 1.0, 1.0], [0.7, 0.5, 0.5]]]), 14, BT2020)[0]
    assert torch.allclose(sdr[0], torch.ones(3), atol=1e-3) and sdr[1, 0] - sdr[1, 1] > 0.25


@pytest.mark.parametrize(("transfer", "name", "level"), [(HLG, "HLG", 0.75), (PQ, "PQ", 0.58)])
def test_files_are_converted_and_told(transfer, name, level, tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=10)
        stream.height, stream.width, stream.pix_fmt = H, W, "yuv420p10le"
        # with B-frames x265 reads the first times of so short a video from memory that nobody wrote
        stream.options = {"x265-params": "log-level=none:bframes=0"}
        coded = stream.codec_context
        coded.color_trc, coded.color_primaries, coded.colorspace = transfer, BT2020, 9
        for _ in range(2):
            frame = av.VideoFrame(W, H, "yuv420p10le")
            for plane, code in zip(frame.planes, (64 + round(876 * level), 512, 512)):
                plane.update(code.to_bytes(2, "little") * (plane.buffer_size // 2))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    frames, remarks = (clip := Measured(Recording.at(path))).read(clip.pick(0), (16, 24))
    expected = to_bt709(grey(level), transfer, BT2020)[0, 0, 0] * 255
    assert (frames.float() - expected).abs().max() <= 3
    assert remarks == [f"a.mp4 is HDR video ({name}): it was converted to BT.709"]
