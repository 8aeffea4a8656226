"""The random numbers of a search: two generators whose state is plain data.

evolm's own operators draw from a NumPy ``Generator``. DEAP draws from the global ``random`` (and parts of
it from NumPy's global state), so calls into DEAP run inside :meth:`Randomness.lend`, which hands both
globals the search's own state and takes it back afterwards: the user's globals are left as they were.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


def derive_seed(*parts: object) -> int:
    """Return a 63-bit seed that depends on every part and on nothing else (SHA-256 of their ``repr``)."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class Randomness:
    """The generators of one search.

    Args:
        seed: any integer; equal seeds give equal draws.
    """

    def __init__(self, seed: int) -> None:
        self.numpy = np.random.Generator(np.random.PCG64(derive_seed("numpy", seed)))
        self._python = random.Random(derive_seed("python", seed))
        self._legacy = np.random.RandomState(derive_seed("legacy", seed) % 2**32)

    @contextmanager
    def lend(self) -> Iterator[None]:
        """Lend the search's state to ``random`` and ``numpy.random`` while DEAP runs."""
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
        """Return both states as JSON values."""
        version, words, gauss = self._python.getstate()
        legacy = self._legacy.get_state(legacy=False)
        return {
            "numpy": self.numpy.bit_generator.state,
            "python": [version, list(words), gauss],
            "legacy": {**legacy, "state": {**legacy["state"], "key": legacy["state"]["key"].tolist()}},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what :meth:`state_dict` returned."""
        version, words, gauss = state["python"]
        self._python.setstate((version, tuple(words), gauss))
        self.numpy.bit_generator.state = state["numpy"]
        legacy = state["legacy"]
        key = np.array(legacy["state"]["key"], dtype=np.uint32)
        self._legacy.set_state({**legacy, "state": {**legacy["state"], "key": key}})
