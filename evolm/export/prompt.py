"""Exporting a prompt, with the delta beside it, for ``evolm predict`` and ``evolm score``."""

from __future__ import annotations

from pathlib import Path

from evolm.artifacts import FILES, PROMPT_FILE, PromptRecord
from evolm.export.folder import write_folder
from evolm.genomes import Prompt
from evolm.models.moved import moved_model
from evolm.wording import counted

HERE = "."  # name of the model in a merged model's prompt: the folder of both


def export_prompt(path: Path, target: Path, without_examples: bool, model: str | None = None) -> list[str]:
    """Write a prompt into a new folder; return sentences about it.

    Args:
        path: a ``prompt.json``.
        target: the folder.
        without_examples: leave the prompt's demonstrations out.
        model: the place of the prompt's model, if it has moved; the new folder names this place.

    Raises:
        ModelError: if another model is there.
    """
    said = [f"Written: {target}", f"Next: evolm score {target} ROWS, or evolm predict {target} ROWS --out FILE.csv"]
    record = PromptRecord.read(path)
    if model is not None:
        record = record.with_model_name(moved_model(model, record.model.fingerprint, record.model.dtype).name)
    shown = len(Prompt.from_record(record.genome).demonstrations)
    if not (without_examples and shown):
        write_folder(target, _files(path, record, changed=model is not None))
        return said
    from evolm.export.predictor import saved_prompt  # brings the model, which the text without demonstrations needs

    with saved_prompt(path, model=model) as opened:
        write_folder(target, opened.without_examples().files())
    return [*said, left_out_sentence(shown)]


def _files(path: Path, record: PromptRecord, changed: bool) -> dict[str, Path | str | bytes]:
    """Return the files of a prompt's folder: name -> file to copy, or content that differs from the original."""
    others = [name for name in FILES if name != PROMPT_FILE and path.name == PROMPT_FILE]
    beside = {name: path.with_name(name) for name in others if path.with_name(name).exists()}
    if record.model.name == HERE:  # of a merged model, which stays in its folder
        return {PROMPT_FILE: record.with_model_name(str(path.parent.resolve())).to_json(), **beside}
    return {PROMPT_FILE: record.to_json() if changed else path, **beside}


def left_out_sentence(shown: int) -> str:
    """Return a sentence on a prompt that was exported without its demonstrations."""
    return f"Without its {counted(shown, 'demonstration')} this is another prompt than the one that was scored."
