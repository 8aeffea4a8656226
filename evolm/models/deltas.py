"""Changes of a model's weights, as values: each row of a forward pass carries one beside its token.

A *delta* maps names of modules, as transformers gives them, to their changes. The weights themselves are never
written; :mod:`evolm.models.delta_batch` adds the effect of the changes to each row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np


@dataclass(frozen=True, eq=False)
class LowRank:
    """A linear layer's weight ``W`` becomes ``W + up @ down`` (LoRA, Hu 2021, https://arxiv.org/abs/2106.09685).

    Attributes:
        down: ``(rank, in)`` float32, PEFT's ``lora_A``.
        up: ``(out, rank)`` float32, PEFT's ``lora_B``.
    """

    down: np.ndarray
    up: np.ndarray


@dataclass(frozen=True, eq=False)
class Gain:
    """A module's channels are multiplied by ``1 + gain`` (IA3, Liu 2022, https://arxiv.org/abs/2205.05638).

    Attributes:
        gain: ``(channels,)`` float32.
        side: whether the module's input or its output is multiplied.
    """

    gain: np.ndarray
    side: Literal["input", "output"] = "output"


Change: TypeAlias = LowRank | Gain


# Largest finite number of each dtype; bfloat16, which NumPy lacks, has 8 bits of significand: (2 - 2**-7) * 2**127.
LARGEST = {"float32": float(np.finfo(np.float32).max), "bfloat16": (2 - 2**-7) * 2.0**127}


def factors(change: Change) -> tuple[np.ndarray, ...]:
    """Return a change's arrays, in the order of its fields."""
    return (change.down, change.up) if isinstance(change, LowRank) else (change.gain,)


def too_large(changes: Mapping[str, Change], dtype: str) -> str:
    """Return the first module whose change holds NaN, or a number beyond the largest finite one, or ``""``.

    Args:
        changes: module -> change.
        dtype: of the model; low-rank factors are rounded to it, gains stay in float32.
    """
    for name, change in changes.items():
        largest = LARGEST[dtype if isinstance(change, LowRank) else "float32"]
        if not all(-largest <= array.min() and array.max() <= largest for array in factors(change)):
            return name
    return ""


@dataclass(frozen=True, eq=False)
class Delta:
    """One individual's change of the model; two deltas with the same values are equal.

    Attributes:
        changes: module -> change, in a fixed order.
        depth: number of layers below the first changed one; their output is that of the unchanged model.
    """

    changes: Mapping[str, Change]
    depth: int = 0

    @cached_property
    def digest(self) -> str:
        """32 hexadecimal digits over modules and values."""
        total = hashlib.sha256()
        for module, change in self.changes.items():
            side = change.side if isinstance(change, Gain) else "up"
            total.update(f"{module} {side} {[array.shape for array in factors(change)]}\n".encode())
            for array in factors(change):
                total.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
        return total.hexdigest()[:32]

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for change in self.changes.values() for array in factors(change))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Delta) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)
