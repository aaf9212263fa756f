"""Whether a fixed-view and a freeze-time video belong together: they should share their first frame.

Shape suffixes: N frames, H W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

SAME_FRAME = 0.03  # mean absolute difference above which two frames are called different; re-encoding gives about 0.01
CLEARLY_BETTER = 0.6  # of the first frame's difference: what another frame must stay below to be named


def frame_differences(frame_HW3: Tensor, frames_NHW3: Tensor) -> Tensor:
    """float32 [N]: mean absolute difference, 0..1, of one frame to each of others. Both uint8, of one size."""
    one_HW3 = frame_HW3.float()
    return torch.stack([(other_HW3.float() - one_HW3).abs().mean() / 255 for other_HW3 in frames_NHW3])


def mismatch_message(first_difference: float, numbers: range, differences_N: Tensor, length: int) -> str:
    """What to tell when the first frames differ by `first_difference` (0..1); empty when they are the same.

    differences_N: of the fixed-view video's first frame to the freeze-time video's frames `numbers`, of `length` in all.
    """
    if first_difference <= SAME_FRAME:
        return ""
    message = (
        "expected the freeze-time video to start with the fixed-view video's first frame; "
        f"they differ by {first_difference:.0%}: "
    )
    best = int(differences_N.argmin())
    number, difference = numbers[best], differences_N[best].item()
    if number == 0 or difference > CLEARLY_BETTER * first_difference:
        return message + "check that both come from the same image"
    if number == length - 1:
        return message + f"its last frame fits best ({difference:.0%}): is it reversed?"
    return message + f"its frame {number + 1} of {length} fits best ({difference:.0%}): trim it to start there"
