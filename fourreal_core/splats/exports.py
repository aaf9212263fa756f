"""4D splats for other programs: one PLY file per time (SuperSplat and most others); .4dgs, GLB and USD through the library fourdgs.

PLY: the layout of Kerbl et al., 2023: log scales, logit opacities, colours as the constant spherical harmonic. Axes as in the grid's cameras, y down,
which is what programs expect of such files. The others have y up. Shape suffixes: N Gaussians, T times.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..files.atomic import whole_file
from .gaussians import Gaussians, Splats, quaternion_product

HARMONIC = 0.28209479177387814  # the constant spherical harmonic
NEARLY_OPAQUE = 1e-6
CHANGES = 4 / 255  # of a colour, from which a Gaussian is written once per time
AXES, COLOURS = "y-up-right-handed", "srgb-rec709-display"


class LibraryMissing(ImportError):
    """A format needs a package that is not installed."""


def write_ply(gaussians: Gaussians, file: str | Path) -> None:
    """One PLY file of Gaussians at one time, all or nothing. Raises OSError."""
    opacity = gaussians.opacities_N.clamp(NEARLY_OPAQUE, 1 - NEARLY_OPAQUE)
    columns = {
        "xyz": gaussians.positions_N3,
        "normal": torch.zeros_like(gaussians.positions_N3),
        "f_dc": (gaussians.colours_N3 - 0.5) / HARMONIC,
        "opacity": opacity.logit()[:, None],
        "scale": gaussians.scales_N3.clamp_min(1e-12).log(),
        "rot": gaussians.rotations_N4,
    }
    names = ["x", "y", "z", "nx", "ny", "nz", *(f"f_dc_{i}" for i in range(3)), "opacity"]
    names += [*(f"scale_{i}" for i in range(3)), *(f"rot_{i}" for i in range(4))]
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(gaussians)}"]
    lines += [*(f"property float {name}" for name in names), "end_header", ""]
    table = torch.cat(list(columns.values()), 1).numpy().astype("<f4")
    with whole_file(file) as part, open(part, "wb") as opened:
        opened.write("\n".join(lines).encode() + table.tobytes())


def write_4dgs(splats: Splats, file: str | Path) -> None:
    """One .4dgs file, all or nothing, checked by the library while it writes. Raises OSError, LibraryMissing."""
    library = _library(".4dgs")
    options = library.WriteOptions(
        profile="fine", min_chunk_gaussians=512, metadata={"coordinate_system": AXES, "color_space": COLOURS}
    )
    with whole_file(file, ".4dgs") as part:
        library.write(str(part), _gaussian_set(library, splats), splats.times / splats.fps, options=options)


def write_glb(splats: Splats, time: float, file: str | Path) -> None:
    """One GLB file (KHR_gaussian_splatting) of one time, all or nothing. Raises OSError, LibraryMissing."""
    library = _library("GLB")
    from fourdgs.quantization import DEFAULT_CUTOFF  # pyright: ignore[reportMissingImports]

    with whole_file(file, ".glb") as part:
        library.to_gltf(
            str(part),
            _gaussian_set(library, splats),
            min(time, splats.times - 1) / splats.fps,
            cutoff=DEFAULT_CUTOFF,
            coordinate_system=AXES,
            color_space=COLOURS,
        )


def write_usd(splats: Splats, file: str | Path) -> None:
    """One file of OpenUSD's ParticleField3DGaussianSplat (since 26.03), .usdc, with a time sample per time, all or nothing. Raises OSError, LibraryMissing.

    USD shows the same Gaussians from one sample to the next; colours are those of the display, as other writers of this schema have them.
    """
    library = _library("USD", ("fourdgs", "pxr"), "fourdgs[usd]")
    from fourdgs.quantization import DEFAULT_CUTOFF  # pyright: ignore[reportMissingImports]

    with whole_file(file, ".usdc") as part:
        library.to_usd(
            str(part),
            _gaussian_set(library, splats, held=True),
            0.0,
            cutoff=DEFAULT_CUTOFF,
            coordinate_system=AXES,
            color_space=COLOURS,
            animated=True,
            fps=splats.fps,
            duration_sec=(splats.times - 1) / splats.fps,
        )


def write_sequence(
    splats: Splats,
    write: Callable[[int, Path], None],
    folder: Path,
    name: str,
    suffix: str,
    tell: Callable[[int, int], None],
) -> list[Path]:
    """One file per time, `name`_0001 and so on (counted from 1); write(time, file) makes each; tell(done, total) may raise to cancel."""
    files = []
    for time in range(splats.times):
        file = folder / f"{name}_{time + 1:04}{suffix}"
        write(time, file)
        files.append(file)
        tell(time + 1, splats.times)
    return files


def _library(kind: str, packages: tuple[str, ...] = ("fourdgs",), install: str = "fourdgs") -> Any:
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise LibraryMissing(
            f"saving {kind} needs the package {install}: install it with `pip install {install}` into the Python that runs this."
        )
    return import_module(packages[0])


def _gaussian_set(library: Any, splats: Splats, held: bool = False) -> Any:
    """Gaussians that neither move nor change colour once, the others once per time, on straight lines to the next time.

    The library's Gaussians move straight at a constant speed within a window of time; turns and colours are those in its middle. held: the others
    stand still instead, from half a time before their own to half a time after.
    """
    every = [splats.at(float(time)) for time in range(splats.times)]
    middle = every if held else [splats.at(min(time + 0.5, splats.times - 1)) for time in range(splats.times)]
    colours = torch.stack([parts.colours_N3 for parts in every])
    changing = (colours.amax(0) - colours.amin(0)).amax(-1) > CHANGES
    changing[len(changing) - splats.moving :] = True
    seconds = 1 / splats.fps
    still = ~changing
    rows = []
    if bool(still.any()):
        rows.append(_rows(every[round(splats.rest)], colours.mean(0), still, None, 0.0, splats.times * seconds))
    if bool(changing.any()):
        for time in range(splats.times):
            speed = (every[min(time + 1, splats.times - 1)].positions_N3 - every[time].positions_N3) / seconds
            parts = Gaussians(
                every[time].positions_N3,
                every[time].scales_N3,
                middle[time].rotations_N4,
                middle[time].colours_N3,
                every[time].opacities_N,
            )
            start = (time - 0.5 * held) * seconds
            rows.append(_rows(parts, parts.colours_N3, changing, None if held else speed, start, start + seconds))
    names = ("positions", "scales", "rotations", "colors", "motions", "mu_t", "sigma_t", "win_lo", "win_hi")
    return library.GaussianSet(**{name: np.concatenate([row[name] for row in rows]) for name in names})


def _rows(
    parts: Gaussians, colours_N3: Tensor, chosen_N: Tensor, speed_N3: Tensor | None, start: float, end: float
) -> dict[str, np.ndarray]:
    """The library's arrays of the chosen Gaussians; y up, quaternions x, y, z, w."""
    upright = torch.tensor([1.0, -1, -1])
    half_turn = torch.tensor([0.0, 1, 0, 0]).expand(len(chosen_N), 4)
    rotations = quaternion_product(half_turn, parts.rotations_N4)[:, [1, 2, 3, 0]]
    speed = torch.zeros_like(parts.positions_N3) if speed_N3 is None else speed_N3
    count = int(chosen_N.sum())
    pick = {
        "positions": parts.positions_N3 * upright,
        "scales": parts.scales_N3,
        "rotations": rotations,
        "colors": torch.cat([colours_N3.clamp(0, 1), parts.opacities_N[:, None]], 1),
        "motions": speed * upright,
    }
    arrays = {name: values[chosen_N].numpy().astype(np.float32) for name, values in pick.items()}
    arrays |= {"mu_t": np.full(count, start, np.float32), "sigma_t": np.full(count, np.inf, np.float32)}
    return arrays | {"win_lo": np.full(count, start), "win_hi": np.full(count, end)}
