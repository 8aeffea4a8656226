"""A pretraining run and its folder: corpus, tokenizer, training, test, a folder for ``model.name``.

While it runs, the folder holds ``checkpoint/`` alone; the same command continues from there. The model's files come
at the end, ``config.json``, without which no folder is a model, last; then the checkpoint goes.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evolm.errors import ConfigError, RunError
from evolm.interrupts import interruptible
from evolm.pretraining.bigrams import Bigrams
from evolm.pretraining.corpus import Corpus, read_corpus
from evolm.pretraining.settings import PretrainSettings
from evolm.pretraining.trainer import Mark, Trainer, nats
from evolm.pretraining.vocabulary import encode, train_tokenizer
from evolm.storage import read_checkpoint, write_atomically, write_checkpoint
from evolm.storage.damage import damaged
from evolm.storage.files import disk_errors, require_new
from evolm.wording import counted

CHECKPOINT = "checkpoint"
RECORD = "pretraining.json"
TESTED = 65_536  # most held-out tokens of the test
FREE = {"minutes"}  # settings that may differ when a training is continued: its steps are planned once
SCRATCH = ".model-"

Told = Callable[[str], None]


def pretrain(
    sources: Sequence[str],
    out: Path,
    settings: PretrainSettings,
    column: str = "",
    read: dict[str, Any] | None = None,
    say: Told = lambda sentence: None,
    told: Callable[[Mark], None] = lambda mark: None,
) -> dict[str, Any]:
    """Train a model from scratch, or continue; return the record of ``pretraining.json``.

    Args:
        sources, column, read: as for :func:`evolm.pretraining.corpus.read_corpus`.
        out: folder of the model; a new one, or that of the same training.
        settings: of the training.
        say: is told sentences about what happens.
        told: is told of every evaluation.

    Raises:
        DataError, ConfigError: for a corpus or settings that cannot be used; nothing is then written.
        RunError: if the folder holds something else, or a training of another corpus or other settings.
        Interrupted: after a signal; the state is saved.
    """
    began = time.monotonic()
    finished = _finished(out)
    corpus = read_corpus(sources, column, read)
    identity = {"corpus": corpus.digest, "settings": _fixed(settings)}
    if finished:
        _require_same(out, finished, identity)
        shutil.rmtree(out / CHECKPOINT, ignore_errors=True)  # it was killed right before this
        say(f"{out}: the training was finished before")
        return finished
    checkpoint = read_checkpoint(out / CHECKPOINT)
    if checkpoint is not None:
        _require_same(out, checkpoint, identity)
    tokenizer = train_tokenizer(corpus.train, settings.vocabulary)
    end = int(tokenizer.eos_token_id)
    train, validation, test = (encode(tokenizer, part) for part in (corpus.train, corpus.validation, corpus.test))
    _require_enough(train, validation, settings)
    trainer = Trainer(settings, train, validation, end)
    say(_about(corpus, trainer, train))
    if checkpoint is not None:
        with damaged(out / CHECKPOINT, "the state of a training", f"delete {out} to begin again"):
            trainer.load_state_dict(checkpoint["trainer"])
        say(f"Continued after step {trainer.step}")

    def save() -> None:
        write_checkpoint(out / CHECKPOINT, {**identity, "trainer": trainer.state_dict()})

    with interruptible(trainer):
        trainer.run(told, save, time.monotonic() - began)
    trainer.take_best()
    record = {**identity, "sources": list(sources), **_measured(trainer, corpus, train, test, tokenizer)}
    _write_model(trainer, tokenizer, record, out)
    return record


# -- the folder ------------------------------------------------------------------------------------------------


def _finished(out: Path) -> dict[str, Any] | None:
    """Return the record of a finished training in the folder; None if it is new, or a training is under way.

    Raises:
        RunError: if it holds something else.
    """
    if (out / RECORD).is_file() and (out / "config.json").is_file():
        with damaged(out / RECORD, "the record of a training", "delete the folder, or choose another"):
            record: dict[str, Any] = json.loads((out / RECORD).read_text(encoding="utf-8"))
            return {**record, "settings": dict(record["settings"])}
    if not (out / CHECKPOINT).is_dir() and not (out.is_dir() and not any(out.iterdir())):
        require_new(out, "folder for the model")
    return None


def _fixed(settings: PretrainSettings) -> dict[str, Any]:
    return settings.model_dump(exclude=FREE)


def _require_same(out: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    if before.get("corpus") != now["corpus"]:
        raise RunError(
            f"{out}: expected the corpus that its training began with ({before.get('corpus')}), found another one "
            f"({now['corpus']}); choose another --out"
        )
    for key, value in now["settings"].items():
        if (was := before["settings"].get(key)) != value:
            raise RunError(f"{out}: expected {key} = {was}, with which its training began, found {value}")


def _write_model(trainer: Trainer, tokenizer: Any, record: dict[str, Any], out: Path) -> None:
    """Write the model's files, ``config.json`` last, and remove the checkpoint."""
    for left in out.glob(f"{SCRATCH}*"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    with disk_errors(out), tempfile.TemporaryDirectory(dir=out, prefix=SCRATCH) as scratch:
        trainer.model.save_pretrained(scratch)
        tokenizer.save_pretrained(scratch)
        write_atomically(Path(scratch) / RECORD, json.dumps(record, indent=2) + "\n")
        for path in sorted(Path(scratch).iterdir(), key=lambda path: (path.name == "config.json", path.name)):
            os.replace(path, out / path.name)
    shutil.rmtree(out / CHECKPOINT, ignore_errors=True)


# -- what is measured ------------------------------------------------------------------------------------------


def _require_enough(train: np.ndarray, validation: np.ndarray, settings: PretrainSettings) -> None:
    least = 2 * settings.context + 2
    if len(train) < least:
        raise ConfigError(f"context: expected a corpus of at least {least:,} train tokens, found {len(train):,}")
    if len(validation) < 2:
        raise ConfigError("context: expected validation text of at least 2 tokens, found none")


def _about(corpus: Corpus, trainer: Trainer, train: np.ndarray) -> str:
    parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
    held_out = len(corpus.validation) + len(corpus.test)
    return (
        f"{counted(len(corpus.train), 'document')} of {len(train):,} tokens to learn from, {held_out:,} held out; "
        f"{parameters:,} parameters"
    )


def _measured(
    trainer: Trainer, corpus: Corpus, train: np.ndarray, test: np.ndarray, tokenizer: Any
) -> dict[str, Any]:
    """Return how the model and bigrams of the same tokens predict text that neither has seen."""
    settings, held_out = trainer.settings, test[: TESTED + 1]
    model = nats(trainer.model, held_out, settings.context)
    bigrams = Bigrams(train, settings.vocabulary).logprobs(held_out)
    size = len(tokenizer.decode(held_out.tolist(), skip_special_tokens=True).encode())
    scores = {
        name: {
            "perplexity": float(np.exp(-each.mean(dtype=np.float64))),
            "bits_per_byte": float(-each.sum(dtype=np.float64) / math.log(2) / size),
        }
        for name, each in (("model", model), ("bigrams", bigrams))
    }
    return {
        "parameters": sum(parameter.numel() for parameter in trainer.model.parameters()),
        "documents": {"train": len(corpus.train), "validation": len(corpus.validation), "test": len(corpus.test)},
        "train_tokens": len(train),
        "steps": trainer.step,
        "tokens": trainer.step * trainer.per_step,
        "seconds": round(trainer.seconds, 1),
        "stopped_early": trainer.step < trainer.steps,
        "validation": [[mark.step, mark.perplexity] for mark in trainer.marks],
        "test": {"tokens": len(held_out) - 1, **scores},
    }


def conclusion(record: dict[str, Any], out: Path) -> list[str]:
    """Return sentences about a finished training."""
    test = record["test"]
    model, bigrams = test["model"]["perplexity"], test["bigrams"]["perplexity"]
    share = 100 * abs(1 - model / bigrams)
    than = f"{share:.0f} % {'below' if model < bigrams else 'above'} that of bigrams ({bigrams:.1f})"
    return [
        f"Perplexity of {test['tokens']:,} held-out tokens: {model:.1f}, {than}; "
        f"{test['model']['bits_per_byte']:.2f} against {test['bigrams']['bits_per_byte']:.2f} bits per byte",
        f"Use it with: model.name = {json.dumps(str(out))}",
    ]


__all__ = ["conclusion", "pretrain"]
