"""What a model is made of: its layers, the modules in them, and their shapes, as plain values.

:mod:`evolm.models.inspection` reads them from a transformers configuration.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from evolm.errors import ConfigError, nearest
from evolm.wording import listed

LINEAR, NORM = "linear", "norm"

LAST_PART = 5  # layers "auto": the last of so many parts


@dataclass(frozen=True)
class Site:
    """A module that can be changed.

    Attributes:
        name: as transformers gives it, such as ``"model.layers.3.self_attn.q_proj"``.
        layer: index of the layer it is in.
        kind: ``"linear"``, or ``"norm"`` for a module whose only weight is a vector of gains.
        inputs: number of input channels.
        outputs: number of output channels.
        transposed: whether the weight is stored as ``(in, out)`` (GPT-2's ``Conv1D``).
    """

    name: str
    layer: int
    kind: str
    inputs: int
    outputs: int
    transposed: bool = False

    @property
    def suffix(self) -> str:
        """The name's last part, which PEFT calls a target module."""
        return self.name.rpartition(".")[2]


@dataclass(frozen=True)
class Structure:
    """A model's layers and the sites in them.

    Attributes:
        layers: number of layers.
        sites: in the order of the model.
    """

    layers: int
    sites: tuple[Site, ...]

    @cached_property
    def suffixes(self) -> dict[str, str]:
        """Last part of a site's name -> its kind."""
        return {site.suffix: site.kind for site in self.sites}

    def chosen(self, layers: str | Sequence[int], modules: Sequence[str]) -> tuple[Site, ...]:
        """Return the sites of the chosen modules in the chosen layers, in the order of the model.

        Args:
            layers: ``"all"``, ``"last:N"``, ``"first:N"``, ``"auto"`` (the last fifth) or indices, negative ones from
                the end.
            modules: last parts of names, or ``"all-linear"`` as in PEFT.

        Raises:
            ConfigError: if one of them matches nothing; the message lists the valid ones.
        """
        wanted = self._layers(layers)
        linear = [name for name, kind in self.suffixes.items() if kind == LINEAR]
        names = linear if list(modules) == ["all-linear"] else list(dict.fromkeys(modules))
        if not names:
            raise ConfigError(f"space.delta.target_modules: expected some of {listed(self.suffixes)}, found none")
        for name in names:
            if name not in self.suffixes:
                raise ConfigError(
                    f"space.delta.target_modules: {name!r} matches nothing, expected some of {listed(self.suffixes)}"
                    f" or 'all-linear'{nearest(name, self.suffixes)}"
                )
        return tuple(site for site in self.sites if site.layer in wanted and site.suffix in names)

    def _layers(self, layers: str | Sequence[int]) -> set[int]:
        expected = f"'all', 'last:N', 'first:N' or indices, with N of 1 to {self.layers}"
        if isinstance(layers, str):
            if layers == "all":
                return set(range(self.layers))
            if layers == "auto":
                layers = f"last:{-(-self.layers // LAST_PART)}"
            found = re.fullmatch(r"(last|first):(\d+)", layers)
            count = int(found[2]) if found else 0
            if not found or not 1 <= count <= self.layers:
                raise ConfigError(f"space.delta.layers: expected {expected}, found {layers!r}")
            return set(range(count) if found[1] == "first" else range(self.layers - count, self.layers))
        if not layers or any(not -self.layers <= index < self.layers for index in layers):
            raise ConfigError(
                f"space.delta.layers: expected {expected} (indices 0 to {self.layers - 1}), found {list(layers)}"
            )
        return {index % self.layers for index in layers}
