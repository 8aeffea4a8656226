"""How a delimited file was read: the keys of ``[task.read]`` that say so, and a sentence for the user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from evolm.tasks.tables.encodings import UTF_8, described
from evolm.tasks.tables.how import How
from evolm.wording import listed

SEPARATORS: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
_QUOTING: Final = {"none": "quotes as text", "backslash": "backslashes before quotes"}  # what is unusual


@dataclass(frozen=True)
class Dialect:
    """How a file was read.

    Attributes:
        separator, encoding, header, quoting: as in ``[task.read]``, with what was recognised.
        usual_separator: the separator that the file's ending promises.
        announced: whether the file begins with a ``sep=`` line.
        names: the names of the columns.
    """

    separator: str
    encoding: str
    header: bool
    quoting: str
    usual_separator: str
    announced: bool
    names: Sequence[str]

    def settings(self) -> dict[str, Any]:
        """Return the keys of ``[task.read]`` that differ from what is usual."""
        values = {"separator": self.separator, "encoding": self.encoding, "header": self.header}
        found = {key: value for key, value in values.items() if value != self._usual[key]}
        return found | ({"quoting": self.quoting} if self.quoting in _QUOTING else {})

    @property
    def _usual(self) -> dict[str, Any]:
        return {"separator": self.usual_separator, "encoding": UTF_8, "header": True}

    def sentence(self, how: How) -> str:
        """Say what differs from what is usual; ``""`` if nothing does."""
        parts = {
            "separator": f"separator {shown(self.separator)}",
            "encoding": described(self.encoding, how),
            "header": f"no header (columns {listed(self.names, 3)})",
            "quoting": _QUOTING.get(self.quoting, ""),
        }
        said = [parts[key] for key in self.settings()]
        if self.announced:
            said.append("a first line sep=, which is no row")
        return f"read with {', '.join(said)}" if said else ""

    def note(self, how: How) -> str:
        """Return the sentence about the dialect, with how the training data were read if that was otherwise."""
        set_before = how.read.model_dump(exclude_defaults=True, exclude={"quoting", *how.firm})
        said, now = self.sentence(how), self.settings()
        other = {key: value for key, value in set_before.items() if now.get(key, self._usual[key]) != value}
        if not how.new or not other:
            return said
        trained = ", ".join(f"{key} = {value!r}" for key, value in other.items())
        return f"{said or 'read as usual'}; the campaign's task.read, {trained}, does not fit this file"


def shown(separator: str) -> str:
    """Return a separator with its name, for messages."""
    name = SEPARATORS.get(separator, "")
    return name if separator == "\t" else f"{separator!r}{f' ({name})' if name else ''}"
