"""Which frame of a freeze-time video fits the fixed-view video's first one, and what is said of it."""

import torch

from fourreal_core.pairing import frame_differences, mismatch_message

FRAMES = torch.randint(0, 256, (9, 8, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def message(number, length=9, first=0.3):
    differences = frame_differences(FRAMES[number], FRAMES)
    assert differences[number] == 0 and differences.argmin() == number
    return mismatch_message(first, range(9), differences, length)


def test_equal_first_frames_need_no_words():
    assert message(0, first=0.03) == ""


def test_the_frame_that_fits_is_named_from_one_on():
    assert "they differ by 30%: its frame 5 of 9 fits best (0%): trim it to start there" in message(4)
    assert "its last frame fits best (0%): is it reversed?" in message(8)
    assert "reversed" not in message(8, length=20)


def test_nothing_is_named_when_no_frame_fits_clearly_better():
    differences = torch.full((9,), 0.28)
    assert mismatch_message(0.3, range(9), differences, 9).endswith("check that both come from the same image")
