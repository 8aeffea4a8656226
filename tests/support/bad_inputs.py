"""Inputs that users get wrong: ``tests/data/bad_inputs.toml``, and the folder that each of them is tried in."""

from __future__ import annotations

import shlex
import shutil
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.command_line import evolm, refused
from tests.support.toy_campaign import toy_rows, write_campaign, write_rows

LONGEST = 450  # characters of a sentence that can still be read in a hurry
FILE = Path(__file__).parents[1] / "data" / "bad_inputs.toml"


@dataclass(frozen=True)
class BadInput:
    """A command that must be refused.

    Attributes:
        command: its arguments, as in a POSIX shell.
        expected: words of the refusal, in this order, with anything between them; ``{here}`` = the folder's name.
        files: path -> text of files that are written before.
        bytes: path -> content, each byte as the character of its number.
    """

    command: str
    expected: list[str]
    files: dict[str, str] = field(default_factory=dict)
    bytes: dict[str, str] = field(default_factory=dict)

    @property
    def arguments(self) -> list[str]:
        return shlex.split(self.command)

    def write(self, folder: Path) -> None:
        """Write its files into the folder in which the command is run."""
        for encoding, files in (("utf-8", self.files), ("latin-1", self.bytes)):
            for name, content in files.items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.encode(encoding))


def bad_inputs() -> list[BadInput]:
    """Return all of them, in the file's order."""
    return [BadInput(**table) for table in tomllib.loads(FILE.read_text(encoding="utf-8"))["input"]]


def build_base(folder: Path, model: Path) -> None:
    """Write what every bad input finds: ``model``, ``toy``, ``run``, ``rows.csv``, ``empty.gguf``."""
    (folder / "model").symlink_to(model)
    toy = write_campaign(folder / "toy", "../model", budget__evaluations=6, baselines__random_search=False)
    toy.run(folder / "run")
    write_rows(folder / "rows.csv", toy_rows())
    (folder / "empty.gguf").touch()


def copy_base(base: Path, folder: Path) -> None:
    """Copy :func:`build_base`'s folder."""
    shutil.copytree(base, folder, symlinks=True, dirs_exist_ok=True)


def content(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder, links not followed; locks are left behind on purpose."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def expect_words(sentence: str, bad: BadInput, here: Path) -> None:
    """Expect the words of an input's refusal, tried in the folder ``here``, in a sentence, in their order."""
    place, sentence = 0, sentence.replace(f"{here}/", "")
    for word in (each.replace("{here}", here.name) for each in bad.expected):
        assert word in sentence[place:], (word, sentence)
        place = sentence.index(word, place) + len(word)


def expect_refusal(bad: BadInput, here: Path) -> None:
    """Expect that a command in the working folder ``here`` refuses in one sentence and changes no file."""
    bad.write(here)
    before = content(here)
    sentence = refused(evolm(*bad.arguments), "")
    expect_words(sentence, bad, here)
    assert len(sentence.replace(f"{here}/", "")) <= LONGEST, sentence
    assert content(here) == before
