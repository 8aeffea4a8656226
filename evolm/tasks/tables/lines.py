"""Lines of text, cut into columns by the named groups of a regular expression."""

from __future__ import annotations

from evolm.errors import ConfigError, DataError
from evolm.tasks.expressions import Expression
from evolm.tasks.tables.cells import frame_of
from evolm.tasks.tables.encodings import UTF_8, decoded, described
from evolm.tasks.tables.grid import line_end
from evolm.tasks.tables.how import How, Table
from evolm.wording import counted


def read_lines(source: str, data: bytes, how: How) -> Table:
    """Read lines that ``how.pattern`` matches as a whole; blank lines are no rows unless every row is to be kept.

    Raises:
        ConfigError: if the pattern is wrong, or takes too long.
        DataError: if no line matches.
    """
    expression = _expression(how.pattern)
    text, encoding = decoded(source, data, how)
    lines = [line.removesuffix("\r") for line in text.split(line_end(text))]
    if not lines[-1]:
        lines.pop()
    matches = [(number, expression.parts_of(line)) for number, line in enumerate(lines, 1) if line.strip()]
    unmatched = [number for number, match in matches if match is None]
    if len(unmatched) == len(matches):
        raise DataError(f"{source}: expected lines that match task.pattern, found none of {len(matches)}")
    rows: list[dict[str, str | None] | None] = [match for _, match in matches if match is not None]
    if how.new:
        found = dict(matches)
        rows = [found.get(number) for number in range(1, len(lines) + 1)]
    columns = {name: [row and row[name] for row in rows] for name in expression.groups}
    frame = frame_of(columns, len(rows))
    unusual = {} if encoding == UTF_8 else {"encoding": encoding}
    notes = [f"read with {described(encoding, how)}"] if unusual else []
    if unmatched and not how.new:
        notes.append(
            f"{counted(len(unmatched), 'line')} dropped: no match for `pattern` (first: line {unmatched[0]})"
        )
    return Table(frame, notes, unusual)


def _expression(pattern: str) -> Expression:
    expression = Expression("task.pattern", pattern)
    if not expression.groups:
        raise ConfigError(f"task.pattern: expected named groups like (?P<text>.+), found none in {pattern!r}")
    return expression
