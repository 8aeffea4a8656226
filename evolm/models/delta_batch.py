"""Many deltas in one forward pass: base weights are multiplied once, and each row adds the terms of its own delta.

The rows of a pass belong to segments, and each segment carries at most one delta. A linear layer multiplies all rows
at once; then the low-rank terms of all deltas are two more products: every row is multiplied by the ``down`` factors
of a *column block*, the columns of other deltas are set to zero, and the product with the ``up`` factors is added
(the batches of punica and S-LoRA, Sheng 2023, https://arxiv.org/abs/2311.03285, gather factors per row instead;
EGGROLL, Sarkar 2025, https://arxiv.org/abs/2511.16652, perturbs in this form). Gains are elementwise.

A row's bits do not depend on the other rows: a block always has the same number of columns, a delta of rank ``r``
fills ``r`` neighbouring ones, and the columns of other deltas only add zeros. This holds even if a delta is so large
that it overflows: its terms in other rows are replaced by zeros, not multiplied by zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from evolm.models.deltas import Delta, Gain, LowRank

BITS = {
    2: torch.int16,
    4: torch.int32,
    8: torch.int64,
}  # bytes of a number -> integer type of that size, for masks


@contextmanager
def hooked(model: nn.Module, hooks: Sequence[tuple[str, str, Any]]) -> Iterator[None]:
    """Register hooks on modules for the duration of this block.

    Args:
        model: contains the modules.
        hooks: name of a module, its side (``"input"`` or ``"output"``), and the hook.
    """
    modules = dict(model.named_modules())
    handles = []
    try:
        for name, side, hook in hooks:
            module = modules[name]
            register = module.register_forward_pre_hook if side == "input" else module.register_forward_hook
            handles.append(register(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()


class Placed(Protocol):
    """Neighbouring rows of a pass, ``begin`` up to ``end``, that carry the delta with index ``delta``; -1 = none."""

    begin: int

    @property
    def end(self) -> int: ...

    @property
    def delta(self) -> int: ...


@dataclass
class _Terms:
    """One module's low-rank factors, stacked in column blocks."""

    down: torch.Tensor  # (blocks, columns, in)
    up: torch.Tensor  # (blocks, columns, out)


class DeltaBatch:
    """The deltas of a batch, attached to a model.

    Args:
        model: contains the modules that the deltas name.
        deltas: all deltas of the batch.
        columns: columns of a block.
    """

    def __init__(self, model: nn.Module, deltas: Sequence[Delta], columns: int) -> None:
        self.model = model
        self.deltas = deltas
        self.columns = columns
        self._weight = next(model.parameters())
        self._places = self._assign()  # delta -> (block, first column, columns) for each block it needs
        self._blocks = 1 + max((block for spans in self._places for block, _, _ in spans), default=-1)
        self._low_rank = {name: self._stacked(name) for name in self._modules(LowRank)}
        self._gains = {name: self._stacked_gains(name) for name in self._modules(Gain)}
        self._bits = BITS[self._weight.element_size()]
        self._masks: dict[int, torch.Tensor] = {}  # block -> (rows, columns), all bits set in a row's own columns
        self._owners: torch.Tensor | None = None  # (rows,) index into the gains; the last one = no delta

    def _modules(self, kind: type) -> list[str]:
        found = (name for delta in self.deltas for name, change in delta.changes.items() if isinstance(change, kind))
        return list(dict.fromkeys(found))

    def _assign(self) -> list[list[tuple[int, int, int]]]:
        """Assign columns to every delta, as many as its largest rank; a large one takes several blocks."""
        places = []
        block, used = 0, 0
        for delta in self.deltas:
            rank = max((len(c.down) for c in delta.changes.values() if isinstance(c, LowRank)), default=0)
            if used and used + rank > self.columns:
                block, used = block + 1, 0
            spans = []
            for begin in range(0, rank, self.columns):
                width = min(rank - begin, self.columns)
                spans.append((block, used, width))
                used += width
                if begin + width < rank:
                    block, used = block + 1, 0
            places.append(spans)
        return places

    def _stacked(self, name: str) -> _Terms:
        changes = [delta.changes.get(name) for delta in self.deltas]
        some = next(change for change in changes if isinstance(change, LowRank))
        down = torch.zeros(self._blocks, self.columns, some.down.shape[1])
        up = torch.zeros(self._blocks, self.columns, some.up.shape[0])
        for change, spans in zip(changes, self._places, strict=True):
            if not isinstance(change, LowRank):
                continue
            begin = 0
            for block, first, width in spans:
                width = min(width, len(change.down) - begin)
                down[block, first : first + width] = torch.tensor(change.down[begin : begin + width])
                up[block, first : first + width] = torch.tensor(change.up[:, begin : begin + width].T)
                begin += width
        down, up = self._cast(down), self._cast(up)
        endless = ~up.isfinite().all(-1)  # (blocks, columns)
        down[endless], up[endless] = torch.nan, 0  # 0 of other rows times infinity would be NaN
        return _Terms(down, up)

    def _stacked_gains(self, name: str) -> tuple[torch.Tensor, str]:
        """Return the factors ``(deltas + 1, channels)`` of a module, the last row of ones, and their side."""
        changes = [delta.changes.get(name) for delta in self.deltas]
        some = next(change for change in changes if isinstance(change, Gain))
        factors = torch.ones(len(self.deltas) + 1, len(some.gain))
        for index, change in enumerate(changes):
            if isinstance(change, Gain):
                factors[index] += torch.tensor(change.gain)
        return factors.to(self._weight.device), some.side

    def _cast(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self._weight.device, self._weight.dtype)

    def place(self, rows: Sequence[Placed], size: int) -> None:
        """Set which delta each of the ``size`` rows of the next pass carries."""
        owners = torch.full((size,), -1, dtype=torch.long)
        masks: dict[int, torch.Tensor] = {}
        for row in rows:
            owners[row.begin : row.end] = row.delta
            for block, first, width in self._places[row.delta] if row.delta >= 0 else ():
                if block not in masks:
                    masks[block] = torch.zeros(size, self.columns, dtype=self._bits)
                masks[block][row.begin : row.end, first : first + width] = -1
        self._masks = {block: mask.to(self._weight.device) for block, mask in sorted(masks.items())}
        self._owners = owners.to(self._weight.device) if self._gains else None

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Let the deltas act on the model's modules for the duration of this block."""
        hooks = [(name, "output", self._adding(terms)) for name, terms in self._low_rank.items()]
        for name, (gains, side) in self._gains.items():
            multiplying = self._multiplying_input if side == "input" else self._multiplying_output
            hooks.append((name, side, multiplying(gains)))
        with hooked(self.model, hooks):
            yield

    def _adding(self, terms: _Terms) -> Any:
        def add(module: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
            inputs, outputs = args[0].flatten(0, -2), output.view(-1, output.shape[-1])  # (N, in), (N, out)
            for block, mask in self._masks.items():
                hidden = inputs @ terms.down[block].T  # (N, columns)
                hidden.view(self._bits).bitwise_and_(mask)  # zero in other deltas' columns, even after overflow
                outputs.addmm_(hidden, terms.up[block])  # in place: the layer's output has no other reference
            return output

        return add

    def _multiplying_output(self, gains: torch.Tensor) -> Any:
        def multiply(module: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
            factors = self._per_row(gains, output)
            return (output * factors).to(output.dtype)  # in float32: bfloat16 has 8 bits around 1

        return multiply

    def _multiplying_input(self, gains: torch.Tensor) -> Any:
        def multiply(module: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            return ((args[0] * self._per_row(gains, args[0])).to(args[0].dtype), *args[1:])

        return multiply

    def _per_row(self, gains: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Return the gains of the rows of a pass, in a shape that multiplies ``like``.

        Args:
            gains: ``(deltas + 1, channels)``.
            like: ``(1, N, channels)``; for a norm of heads ``(1, N, H, channels)``, or ``(1, H, N, channels)`` as a
                view of that. If there are as many heads as rows, the longer stride is that of the rows.
        """
        assert self._owners is not None
        factors = gains[self._owners]  # (N, channels)
        if like.ndim < 4:
            return factors
        size = len(factors)
        rows_first = like.shape[1] == size and (like.shape[2] != size or like.stride(1) > like.stride(2))
        return factors[:, None] if rows_first else factors
