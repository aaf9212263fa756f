"""Pictures in high dynamic range or wide gamut (HLG, PQ, BT.2020) brought to the BT.709 that everything else here speaks.

Shape suffixes: H W pixels, 3 colour channels (RGB). Light is linear, 1 = reference white = 203 cd/m2 (ITU-R BT.2408).
"""

from __future__ import annotations

import torch
from torch import Tensor

PQ, HLG = 16, 18  # transfer characteristics, ITU-T H.273
BT2020 = 9  # primaries, ITU-T H.273
NAMES = {PQ: "PQ", HLG: "HLG"}
WHITE = 203.0  # cd/m2, BT.2408
PEAK = 1000.0  # cd/m2: what HLG is defined for, and what most PQ footage is mastered for
GAMMA = 2.4  # of a BT.1886 display
BT709_FROM_BT2020 = ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187))  # BT.2087
LUMA_2020 = (0.2627, 0.6780, 0.0593)
M1, M2, C1, C2, C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128  # BT.2100, PQ
A, B, C = 0.17883277, 0.28466892, 0.55991073  # BT.2100, HLG


def needs_mapping(transfer: int, primaries: int) -> bool:
    """Whether such pictures (H.273 numbers) look wrong when they are taken for BT.709."""
    return transfer in NAMES or primaries == BT2020


def to_bt709(coded_HW3: Tensor, transfer: int, primaries: int) -> Tensor:
    """R'G'B' in 0..1 as stored -> R'G'B' in 0..1 for a BT.709 display; float32 [H, W, 3].

    Highlights above reference white are rolled off as ITU-R BT.2390-8, 5.4.1 does it, for a peak of 1000 cd/m2, on the brightest channel,
    so that hues stay. transfer, primaries: H.273 numbers; other transfers than PQ and HLG count as gamma 2.4.
    """
    coded_HW3 = coded_HW3.float()
    if transfer == PQ:
        light_HW3 = _rolled_off(_pq_light(coded_HW3))
    elif transfer == HLG:
        light_HW3 = _rolled_off(_hlg_light(coded_HW3))
    else:
        light_HW3 = coded_HW3**GAMMA
    if primaries == BT2020:
        light_HW3 = light_HW3 @ torch.tensor(BT709_FROM_BT2020).T
    return light_HW3.clamp(0, 1) ** (1 / GAMMA)


def _pq_light(coded: Tensor) -> Tensor:
    """BT.2100, table 4: the PQ EOTF; 1 = 203 cd/m2."""
    root = coded.clamp(0, 1) ** (1 / M2)
    return ((root - C1).clamp(min=0) / (C2 - C3 * root)) ** (1 / M1) * (10000 / WHITE)


def _pq_code(light: Tensor) -> Tensor:
    """Inverse of _pq_light."""
    root = (light.clamp(min=0) * (WHITE / 10000)) ** M1
    return ((C1 + C2 * root) / (1 + C3 * root)) ** M2


def _hlg_light(coded: Tensor) -> Tensor:
    """BT.2100, table 5: inverse OETF, then the OOTF of a 1000 cd/m2 display (system gamma 1.2); 1 = 203 cd/m2."""
    coded = coded.clamp(0, 1)
    scene = torch.where(coded <= 0.5, coded**2 / 3, (((coded - C) / A).exp() + B) / 12)
    luminance = (scene * torch.tensor(LUMA_2020)).sum(-1, keepdim=True)
    return scene * luminance.clamp(min=1e-9) ** 0.2 * (PEAK / WHITE)


def _rolled_off(light: Tensor) -> Tensor:
    """BT.2390-8, 5.4.1: below the knee unchanged, above it a Hermite spline in PQ that ends at reference white."""
    brightest = light.amax(-1, keepdim=True).clamp(min=1e-9)
    peak = _pq_code(torch.tensor(PEAK / WHITE))
    most = _pq_code(torch.tensor(1.0)) / peak
    knee = 1.5 * most - 0.5
    code = (_pq_code(brightest) / peak).clamp(max=1)
    t = (code - knee) / (1 - knee)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * most
    mapped = torch.where(code < knee, code, spline) * peak
    return light * (_pq_light(mapped) / brightest)
