"""Exporting a prompt or a committee, with its deltas and readouts, for ``evolm predict`` and ``evolm score``."""

from __future__ import annotations

from pathlib import Path

from evolm.artifacts import COMMITTEE_FILE, FILES, PROMPT_FILE, PromptRecord, read_members
from evolm.export.folder import write_folder
from evolm.export.saved_prompt import read_records
from evolm.genomes import Prompt
from evolm.models.moved import moved_model
from evolm.wording import counted, shell_word

HERE = "."  # name of the model in a merged model's prompt: the folder of both


def export_prompt(path: Path, target: Path, without_examples: bool, model: str | None = None) -> list[str]:
    """Write a prompt or a committee into a new folder; return sentences about it.

    Args:
        path: a ``prompt.json`` or ``committee.json``.
        target: the folder.
        without_examples: leave the demonstrations out.
        model: the place of the prompt's model, if it has moved; the new folder names this place.

    Raises:
        RunError: if a committee's member is missing or damaged.
        ModelError: if another model is there.
    """
    said = [
        f"Written: {target}",
        f"Next: evolm score {shell_word(target)} ROWS, or evolm predict {shell_word(target)} ROWS --out FILE.csv",
    ]
    paths = [member for member, _ in read_members(path)]
    records = read_records(paths)
    if model is not None:
        first = records[0].model
        name = moved_model(model, first.fingerprint, first.dtype).name
        records = [record.with_model_name(name) for record in records]
    shown = sum(len(Prompt.from_record(record.genome).demonstrations) for record in records)
    if not (without_examples and shown):
        write_folder(target, _files(path, paths, records, changed=model is not None))
        return said
    from evolm.export.predictor import saved_prompt  # brings the model, which the text without demonstrations needs

    with saved_prompt(path, model=model) as opened:
        write_folder(target, opened.without_examples().files())
    return [*said, left_out_sentence(shown)]


def _files(
    path: Path, paths: list[Path], records: list[PromptRecord], changed: bool
) -> dict[str, Path | str | bytes]:
    """Return the files of the new folder: name -> file to copy, or content that differs from the original."""
    if path.name != COMMITTEE_FILE:
        return _prompt_files(path, records[0], changed)
    files: dict[str, Path | str | bytes] = {}
    for member, record in zip(paths, records, strict=True):
        folder = member.parent.relative_to(path.parent).as_posix()
        files |= {f"{folder}/{name}": each for name, each in _prompt_files(member, record, changed).items()}
    return {**files, COMMITTEE_FILE: path}


def _prompt_files(path: Path, record: PromptRecord, changed: bool) -> dict[str, Path | str | bytes]:
    others = [name for name in FILES if name != PROMPT_FILE and path.name == PROMPT_FILE]
    beside = {name: path.with_name(name) for name in others if path.with_name(name).exists()}
    if record.model.name == HERE:  # of a merged model, which stays in its folder
        return {PROMPT_FILE: record.with_model_name(str(path.parent.resolve())).to_json(), **beside}
    return {PROMPT_FILE: record.to_json() if changed else path, **beside}


def left_out_sentence(shown: int) -> str:
    """Return a sentence on a prompt that was exported without its demonstrations."""
    return f"Without its {counted(shown, 'demonstration')} this is another prompt than the one that was scored."
