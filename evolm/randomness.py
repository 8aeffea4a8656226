"""The random numbers of a search: generators whose states are plain data.

evolm's own operators draw from a NumPy ``Generator``. DEAP draws from the global ``random`` (and parts of it from
NumPy's global generator), so calls of DEAP run inside :meth:`Randomness.lend`, which gives both global generators the
search's states and restores the user's states afterwards.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


def derive_seed(*parts: object) -> int:
    """Return a 63-bit seed that depends on all parts and on nothing else (SHA-256 of their ``repr``)."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class Randomness:
    """The random generators of one search.

    Args:
        seed: any integer; equal seeds give equal numbers.

    Attributes:
        numpy: the generator of evolm's own code.
    """

    def __init__(self, seed: int) -> None:
        self.numpy = np.random.Generator(np.random.PCG64(derive_seed("numpy", seed)))
        self._python = random.Random(derive_seed("python", seed))
        self._legacy = np.random.RandomState(derive_seed("legacy", seed) % 2**32)

    @contextmanager
    def lend(self) -> Iterator[None]:
        """Give the search's states to ``random`` and ``numpy.random`` inside of this block; DEAP draws from them."""
        ours = self._python.getstate(), self._legacy.get_state()
        theirs = random.getstate(), np.random.get_state()
        random.setstate(ours[0])
        np.random.set_state(ours[1])
        try:
            yield
        finally:
            self._python.setstate(random.getstate())
            self._legacy.set_state(np.random.get_state())
            random.setstate(theirs[0])
            np.random.set_state(theirs[1])

    def state_dict(self) -> dict[str, Any]:
        """Return the states of all generators as JSON values."""
        version, words, gauss = self._python.getstate()
        legacy = self._legacy.get_state(legacy=False)
        return {
            "numpy": self.numpy.bit_generator.state,
            "python": [version, list(words), gauss],
            "legacy": {**legacy, "state": {**legacy["state"], "key": legacy["state"]["key"].tolist()}},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from the states that :meth:`state_dict` returned."""
        version, words, gauss = state["python"]
        self._python.setstate((version, tuple(words), gauss))
        self.numpy.bit_generator.state = state["numpy"]
        legacy = state["legacy"]
        key = np.array(legacy["state"]["key"], dtype=np.uint32)
        self._legacy.set_state({**legacy, "state": {**legacy["state"], "key": key}})
