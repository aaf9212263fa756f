"""Every number that shapes the weights, as one frozen dataclass with a JSON round trip. Read `dit.py` next."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields

from .channels import GUESS_CHANNELS, KNOWN_CHANNELS

PATCH = 8  # pixels per token side: the convolutional stem halves three times
LARGEST = {  # bounds a stranger's checkpoint before anything of it is built
    "width": 8192,
    "depth": 96,
    "head_width": 512,
    "mlp_width": 32768,
    "fine_width": 2048,
    "middle_width": 4096,
    "sync_sigma_width": 1024,
}
TRAINED_SYNC = ("hard", "soft", "sequential", "fused")  # the kinds of synchronization that may have trained layers


@dataclass(frozen=True)
class ModelConfig:
    """Shape of a grid model.

    width: token width D. depth: transformer blocks. head_width: channels per attention head (multiple of 4).
    mlp_width: hidden width of each block's MLP. fine_width / middle_width: channels at 1/2 and 1/4 resolution in the
    convolutional stem and head. guess: take Transport's predictions as input and predict the residual to their
    blend (False: the paper's configuration). text_width: width of text tokens for cross-attention, 0 for none.
    sync: the kinds of trained synchronization layers in the checkpoint. sync_rank: rank of the soft layers, 0 for
    dense. sync_sigma_width: width of the sigma embedding that modulates the synchronization layers.
    """

    width: int = 192
    depth: int = 6
    head_width: int = 64
    mlp_width: int = 768
    fine_width: int = 64
    middle_width: int = 128
    guess: bool = True
    text_width: int = 0
    sync: tuple[str, ...] = ("hard", "soft")
    sync_rank: int = 0
    sync_sigma_width: int = 32

    def __post_init__(self) -> None:
        for name, most in LARGEST.items():
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"the model config's {name!r} must be from 1 to {most}, got {getattr(self, name)}")
        if self.width % self.head_width or self.head_width % 4:
            raise ValueError(
                f"model width {self.width} must be a multiple of head width {self.head_width}, itself a multiple of 4"
            )
        unknown = [kind for kind in self.sync if kind not in TRAINED_SYNC]
        if unknown:
            raise ValueError(
                f"unknown synchronization layers {str(unknown)[:80]}: expected any of {', '.join(TRAINED_SYNC)}"
            )
        if len(set(self.sync)) < len(self.sync):
            raise ValueError(f"expected each kind of synchronization layers once, got {', '.join(self.sync)[:80]}")

    @property
    def heads(self) -> int:
        return self.width // self.head_width

    @property
    def condition_channels(self) -> int:
        return KNOWN_CHANNELS + (GUESS_CHANNELS if self.guess else 0)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ModelConfig:
        """Inverse of `to_json`; ValueError when the text is no config of this version."""
        try:
            values = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"the model config is not valid JSON: {error}") from error
        names = {field.name: field for field in fields(cls)}
        if not isinstance(values, dict) or set(values) != set(names):
            raise ValueError(f"the model config must have exactly the names {sorted(names)}, got {str(values)[:200]}")
        for name, value in values.items():
            wanted = type(names[name].default)
            if wanted is tuple and isinstance(value, list):
                values[name] = tuple(value)
            elif type(value) is not wanted or (wanted is int and not 0 <= value <= 65536):
                raise ValueError(
                    f"the model config's {name!r} must be a reasonable {wanted.__name__}, got {value!r:.80}"
                )
        return cls(**values)


def bundled() -> ModelConfig:
    """The model that ships: residual to Transport's guess."""
    return ModelConfig()


def paper() -> ModelConfig:
    """The paper's own task at the same size: known pixels and mask only, no guess."""
    return ModelConfig(guess=False)


def tiny(guess: bool = True) -> ModelConfig:
    """For tests and quick trials: trains in seconds on a CPU."""
    return ModelConfig(width=32, depth=2, head_width=16, mlp_width=64, fine_width=8, middle_width=16, guess=guess)
