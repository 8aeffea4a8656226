"""Exporting a delta as an adapter of PEFT, with its prompt, a README and scores on the base that it is for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from evolm import models
from evolm.artifacts import to_json
from evolm.export.folder import write_folder
from evolm.export.model_cards import README, Origin, adapter_card
from evolm.export.peft import adapter_files, adapter_kind, refuse_norms
from evolm.export.predictor import Predictor, saved_prompt
from evolm.export.prompt import left_out_sentence
from evolm.export.transfer import SCORE_FILE, base_at_hand, refuse_other_structure, rescored, score_sentence
from evolm.models.specs import is_hub_id
from evolm.wording import counted

if TYPE_CHECKING:
    from evolm.models import PreparedModel


def export_adapter(
    path: Path, target: Path, without_examples: bool, base: str | None, model: str | None = None
) -> list[str]:
    """Write an adapter, and what evolm needs to apply it, into a new folder; return sentences about it.

    Args:
        path: a ``prompt.json`` with a delta beside it.
        target: the folder.
        without_examples: leave the prompt's demonstrations out.
        base: another copy of the run's model, a folder or a hub id, that the adapter names and is scored on.
        model: the place of the run's model, if it has moved.

    Raises:
        ConfigError: if the prompt has no delta, or the delta changes a norm.
        ModelError: if the base has other modules, or cannot be loaded.
    """
    with saved_prompt(path, model=model) as saved:
        changes = saved.require_changes()
        opened = saved.without_examples() if without_examples else saved
        refuse_norms(opened.space.sites)
        other = None if base is None else base_at_hand(base, opened.model.prepared.dtype)
        structure = opened.model.structure
        if base is not None and other is not None:
            structure = models.LanguageModel(other).structure
            refuse_other_structure(opened.space.sites, structure, base)
        name = base_name(opened, base)
        revision = "" if base else opened.config.model.revision
        files = adapter_files(changes, opened.space.sites, structure.layers, name, revision)
        scores, said = _scores(opened, base, other)
        files |= opened.files() | ({SCORE_FILE: to_json(scores)} if scores else {})
        kind, loadable = adapter_kind(changes), is_hub_id(name) or Path(name).is_dir()
        files[README] = adapter_card(Origin.of(opened, target.name, said if scores else []), kind, name, loadable)
        write_folder(target, files)
    if not loadable:
        said.append(f"transformers cannot load {name!r} by that name; name another copy of the base with --base.")
    return [
        f"Written: {target}, a {kind} adapter of {counted(len(changes), 'module')} for {name}.",
        *said,
        *([left_out_sentence(opened.left_out)] if opened.left_out else []),
        f"Next: peft.PeftModel.from_pretrained(model, {str(target)!r}), or evolm score {target} ROWS",
    ]


def base_name(opened: Predictor, base: str | None) -> str:
    """Return the adapter's name for its base: an absolute path, or a name that does not depend on the folder."""
    name = base or opened.model.prepared.name
    place = Path(name).expanduser() if base else opened.path.parent / name
    return str(place.resolve()) if place.exists() else name


def _scores(opened: Predictor, base: str | None, other: PreparedModel | None) -> tuple[dict[str, Any], list[str]]:
    """Return the content of ``score.json``, empty if the base cannot be scored, and a sentence about it or why."""
    if base is None:
        return {}, []
    if other is None:
        return {}, [f"Not scored on {base}, which is not on this machine."]
    scores = rescored(opened, other, "base")
    if isinstance(scores, str):
        return {}, [f"Not scored on {base}: {scores}."]
    return scores, [score_sentence(scores, "base")]
