"""How a network tells where a token stands, a file each. Each is a module that is built from
(ModelConfig) and has the methods of `Positions`. A row's `reference` is a `model.embed.reference.Places`."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class Positions(Protocol):
    """`at_input` acts on the embeddings (B, T, C), `at_heads` on queries and keys (B, T, heads, D), of tokens
    of which the first stands at place `start`. A row that has nothing to do in one place returns what it was
    given; `acts_on_heads` says whether it does there."""

    acts_on_heads: bool

    def at_input(self, x: "Tensor", start: int = 0) -> "Tensor": ...

    def at_heads(self, x: "Tensor", start: int = 0) -> "Tensor": ...
