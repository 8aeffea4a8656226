"""One saved prompt as it is read back, with its delta and its readout; a committee has several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from evolm.artifacts import DELTA_FILE, READOUT_FILE, PromptRecord, read_delta, read_readout
from evolm.config import CampaignConfig
from evolm.errors import RunError
from evolm.export.saved_task import task_with_test
from evolm.genomes import (
    DELTA,
    PROMPT,
    READOUT,
    ChromosomeSpace,
    DeltaGenes,
    DeltaSpace,
    Genome,
    Phenotype,
    Prompt,
    Readout,
    ReadoutSpace,
    Space,
)
from evolm.models.deltas import Delta
from evolm.readout_kinds import KINDS_OF_READOUTS, WORDS
from evolm.readouts import Fit

if TYPE_CHECKING:
    from evolm.models import LanguageModel

SHARED = {"item", "normalization", "chat_template", "model", "task", "template"}  # by all members of a committee


@dataclass(frozen=True)
class SavedPrompt:
    """A prompt that was read from a ``prompt.json``, and what lies beside it.

    Attributes:
        path: its ``prompt.json``.
        genome: the prompt.
        readout: how labels or options are read.
        left_out: demonstrations that it had when it was scored, and that were left out.
        fit: of the readout; None if it is not fitted.
        space, delta: the model's change and its space; None if the model is not changed.
    """

    path: Path
    genome: Prompt
    readout: Readout
    left_out: int = 0
    fit: Fit | None = None
    space: DeltaSpace | None = None
    delta: DeltaGenes | None = None

    @classmethod
    def of(cls, path: Path, record: PromptRecord, config: CampaignConfig, model: LanguageModel) -> SavedPrompt:
        """Read what lies beside a ``prompt.json``.

        Args:
            path: the file.
            record: its content.
            config: its campaign.
            model: the prompt's.

        Raises:
            RunError: if a file is missing or damaged.
            GenomeError: if the delta was made for another model.
        """
        space, delta = (None, None) if record.delta is None else read_delta(path.with_name(DELTA_FILE), model)
        fit, readout = None, Readout(record.readout or WORDS)
        if KINDS_OF_READOUTS[readout.kind].fitted:
            labels = task_with_test(config, (), gold=False).labels
            fit = read_readout(path.with_name(READOUT_FILE), labels, model.width)
        genes = fit.genes if fit else readout
        return cls(path, Prompt.from_record(record.genome), genes, record.left_out, fit, space, delta)

    @cached_property
    def change(self) -> Delta | None:
        """The model's change."""
        return self.space.delta(self.delta) if self.space and self.delta else None

    @property
    def shown(self) -> Phenotype:
        """The prompt and its readout; the engine adds the model's change."""
        return Phenotype(self.genome, readout=self.readout)

    @property
    def whole(self) -> Genome:
        """The genome with all of its chromosomes."""
        genome = Genome({PROMPT: self.genome})
        genome = genome.with_chromosome(DELTA, self.delta) if self.delta else genome
        return genome.with_chromosome(READOUT, self.readout)

    def space_around(self, prompts: ChromosomeSpace) -> Space:
        """Return a space that has the genome; ``prompts`` is that of its prompt."""
        spaces = {PROMPT: prompts} | ({DELTA: self.space} if self.space and self.delta else {})
        return Space({**spaces, READOUT: ReadoutSpace.around(self.readout)})

    def without_examples(self) -> SavedPrompt:
        """Return the prompt without demonstrations."""
        bare = replace(self.genome, demonstrations=())
        return replace(self, genome=bare, left_out=self.left_out + len(self.genome.demonstrations))

    def unchanged(self) -> SavedPrompt:
        """Return the prompt without its delta."""
        return replace(self, space=None, delta=None)


def read_records(paths: Sequence[Path]) -> list[PromptRecord]:
    """Read the ``prompt.json`` of each member, which must be of one task and one model.

    Raises:
        RunError: if one is damaged, or of another task or model than the first.
        ConfigError: if a key is missing, unknown or of a wrong type.
    """
    records = [PromptRecord.read(path) for path in paths]
    for path, record in zip(paths, records, strict=True):
        if any(getattr(record, key) != getattr(records[0], key) for key in SHARED):
            raise RunError(f"{path}: expected the task and the model of {paths[0]}, found others")
    return records
