"""Taking a change of the weights home: as an adapter of PEFT, or merged into a model of its own."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from evolm import models
from evolm.artifacts.prompt_files import pretty
from evolm.errors import ConfigError
from evolm.export.folder import write_folder
from evolm.export.model_cards import README, Origin, adapter_card, merged_card
from evolm.export.peft import adapter_files, adapter_kind, refuse_norms
from evolm.export.predictor import Predictor, saved_prompt
from evolm.export.transfer import SCORE_FILE, base_at_hand, refuse_other_structure, rescored, score_sentence
from evolm.models import PreparedModel
from evolm.models.deltas import Change
from evolm.models.specs import is_hub_id
from evolm.wording import counted

HERE = "."  # how the prompt of a merged model names the model: the folder that both lie in


def export_adapter(path: Path, target: Path, without_examples: bool, base: str | None) -> list[str]:
    """Write an adapter, and what evolm needs to apply it, into a new folder; return sentences about it.

    Args:
        path: a ``prompt.json`` with a delta beside it.
        target: the folder.
        without_examples: leave the prompt's demonstrations out.
        base: another copy of the run's model, a folder or a hub id, that the adapter names and is scored on.

    Raises:
        ConfigError: if nothing is changed in the model, or a norm is.
        ModelError: if the base has other modules, or cannot be loaded.
    """
    with saved_prompt(path) as saved:
        opened, changes = _changed(saved, without_examples)
        refuse_norms(opened.space.sites)
        other = None if base is None else base_at_hand(base, opened.model.prepared.dtype)
        structure = opened.model.structure
        if base is not None and other is not None:
            structure = models.LanguageModel(other).structure
            refuse_other_structure(opened.space.sites, structure, base)
        name = _base_name(opened, base)
        revision = "" if base else opened.config.model.revision
        files = adapter_files(changes, opened.space.sites, structure.layers, name, revision)
        scores, said = _scores(opened, base, other)
        files |= opened.files() | ({SCORE_FILE: pretty(scores)} if scores else {})
        kind, loadable = adapter_kind(changes), is_hub_id(name) or Path(name).is_dir()
        files[README] = adapter_card(_origin(opened, target, said if scores else []), kind, name, loadable)
        write_folder(target, files)
    if not loadable:
        said.append(f"transformers cannot load {name!r} by that name; name another copy of the base with --base.")
    return [
        f"Written: {target}, a {kind} adapter of {counted(len(changes), 'module')} for {name}.",
        *said,
        *([left_out(opened.left_out)] if opened.left_out else []),
        f"Next: peft.PeftModel.from_pretrained(model, {str(target)!r}), or evolm score {target} ROWS",
    ]


def export_merged(path: Path, target: Path, without_examples: bool) -> list[str]:
    """Write a model with the delta in its weights, and the prompt, into a new folder; return sentences about it.

    Args:
        path, target, without_examples: as for :func:`export_adapter`.

    Raises:
        ConfigError: if nothing is changed in the model.
    """
    from evolm.export.merged import save_merged  # brings torch, which no other form of export needs

    with saved_prompt(path) as saved:
        opened, changes = _changed(saved, without_examples)
        said: list[str] = []

        def fill(folder: Path) -> dict[str, str | bytes]:
            save_merged(opened.model, changes, folder)
            model = opened.model.prepared
            merged = replace(models.prepare(str(folder), dtype=model.dtype, device=model.device), name=HERE)
            with closing(opened.over(merged, changed=False)) as there:
                files = there.files()
            scores = rescored(opened, merged, "merged", changed=False)
            if isinstance(scores, str):
                said.append(f"Not scored anew: {scores}.")
            else:
                said.append(score_sentence(scores, "merged"))
                files[SCORE_FILE] = pretty(scores)
            return files | {README: merged_card(_origin(opened, target, said))}

        write_folder(target, {}, fill)
    return [
        f"Written: {target}, a model with {counted(len(changes), 'changed module')}.",
        *said,
        *([left_out(opened.left_out)] if opened.left_out else []),
        f"Next: evolm score {target} ROWS, or evolm predict {target} ROWS --out FILE.csv",
    ]


def left_out(shown: int) -> str:
    """Say that a prompt is another one without its demonstrations."""
    return f"Without its {counted(shown, 'demonstration')} this is another prompt than the one that was scored."


def _changed(opened: Predictor, without_examples: bool) -> tuple[Predictor, Mapping[str, Change]]:
    """Return what is to be exported, and what it changes: module -> change.

    Raises:
        ConfigError: if nothing is changed in the model.
    """
    if opened.change is None:
        raise ConfigError(
            f"{opened.path.parent}: expected a prompt under which the model's weights are changed, found one that "
            "leaves them as they are; --to prompt exports it"
        )
    return opened.without_examples() if without_examples else opened, opened.change.changes


def _base_name(opened: Predictor, base: str | None) -> str:
    """Return what an adapter says about its base: something that means the same from anywhere."""
    name = base or opened.model.prepared.name
    place = Path(name).expanduser() if base else opened.path.parent / name
    return str(place.resolve()) if place.exists() else name


def _scores(opened: Predictor, base: str | None, other: PreparedModel | None) -> tuple[dict[str, Any], list[str]]:
    """Return the content of ``score.json``, empty where there is none, and a sentence about it or about why."""
    if base is None:
        return {}, []
    if other is None:
        return {}, [f"Not scored on {base}, which is not on this machine."]
    scores = rescored(opened, other, "base")
    if isinstance(scores, str):
        return {}, [f"Not scored on {base}: {scores}."]
    return scores, [score_sentence(scores, "base")]


def _origin(opened: Predictor, target: Path, scores: list[str]) -> Origin:
    prepared, sites = opened.model.prepared, opened.space.sites
    return Origin(
        name=target.name,
        model=prepared.name,
        fingerprint=prepared.fingerprint,
        dtype=prepared.dtype,
        encoding=opened.space.settings.encoding,
        modules=len(sites),
        layers=len({site.layer for site in sites}),
        scores=scores,
    )
