"""Where the blocks of each family keep the grid's tokens, and what they carry beside them (text, sound).

Each place reads a block's arguments as (tokens `[N, length, D]`, what is beside them) and writes them back.
Legend as in layout.py.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from einops import rearrange
from torch import Tensor

Arguments = dict[str, Any]


class BlockTokens(Protocol):
    """name: the argument that holds the tokens."""

    name: str

    def read(self, arguments: Arguments, length: int) -> tuple[Tensor, Tensor | None]:
        """(tokens `[N, length, D]`, what a block carries beside them or None)"""

    def write(self, arguments: Arguments, tokens: Tensor, beside: Tensor | None) -> Arguments:
        """The arguments with these tokens."""


@dataclass(frozen=True)
class PlainTokens:
    """Tokens in one argument; some blocks carry text in another."""

    name: str
    text: str = "txt"

    def read(self, arguments: Arguments, length: int) -> tuple[Tensor, Tensor | None]:
        return arguments[self.name], arguments.get(self.text)

    def write(self, arguments: Arguments, tokens: Tensor, beside: Tensor | None) -> Arguments:
        return {**arguments, self.name: tokens, **({} if beside is None else {self.text: beside})}


@dataclass(frozen=True)
class TokensAfterText:
    """Text and tokens in one tensor, text first (HunyuanVideo's single blocks)."""

    name: str

    def read(self, arguments: Arguments, length: int) -> tuple[Tensor, Tensor | None]:
        both = arguments[self.name]
        text_length = both.shape[1] - length
        return both[:, text_length:], both[:, :text_length]

    def write(self, arguments: Arguments, tokens: Tensor, beside: Tensor | None) -> Arguments:
        return {**arguments, self.name: torch.cat([beside, tokens], dim=1)}


@dataclass(frozen=True)
class TokensWithSound:
    """(video tokens, sound tokens) in one argument (LTX-2)."""

    name: str

    def read(self, arguments: Arguments, length: int) -> tuple[Tensor, Tensor | None]:
        return arguments[self.name]

    def write(self, arguments: Arguments, tokens: Tensor, beside: Tensor | None) -> Arguments:
        return {**arguments, self.name: (tokens, beside)}


@dataclass(frozen=True)
class TokensOnAxes:
    """Tokens that keep their axes (Cosmos); axes: their order, such as "n t h w d"; size: (h, w) in tokens."""

    name: str
    axes: str
    size: tuple[int, int]

    def read(self, arguments: Arguments, length: int) -> tuple[Tensor, Tensor | None]:
        return rearrange(arguments[self.name], f"{self.axes} -> n (t h w) d"), None

    def write(self, arguments: Arguments, tokens: Tensor, beside: Tensor | None) -> Arguments:
        height, width = self.size
        return {**arguments, self.name: rearrange(tokens, f"n (t h w) d -> {self.axes}", h=height, w=width)}
