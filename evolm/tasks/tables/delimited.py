"""CSV and TSV files: separator, encoding, header and quoting are recognised unless ``[task.read]`` names them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from evolm.errors import DataError
from evolm.tasks.items import canonical
from evolm.tasks.tables.cells import text_frame
from evolm.tasks.tables.dialect import SEPARATORS, Dialect, shown
from evolm.tasks.tables.encodings import decoded
from evolm.tasks.tables.grid import Delimited, Grid
from evolm.tasks.tables.how import How, Table
from evolm.wording import counted, listed

_SEP_LINE = re.compile(r'"?sep=(?P<separator>[^"\r\n\0])"?(?P<end>\r\n|\n|\r)', re.IGNORECASE)  # Excel's first line
_NAMELESS = re.compile(r"column_[1-9]\d*")


def read_csv(source: str, data: bytes, how: How) -> Table:
    """Read comma-separated values; see :func:`_read`."""
    return _read(source, data, how, ",")


def read_tsv(source: str, data: bytes, how: How) -> Table:
    """Read tab-separated values; see :func:`_read`."""
    return _read(source, data, how, "\t")


def _read(source: str, data: bytes, how: How, usual: str) -> Table:
    """Read delimited text.

    A row may have fewer cells than the header: the others are missing. An empty cell is missing too.

    Raises:
        DataError: if the encoding is not recognised, a row has more cells than the header, the first row seems to be
            no header, or quotes are not closed.
    """
    text, encoding = decoded(source, data, how)
    announced = _SEP_LINE.match(text)
    # What is left of the sep= line is a blank line, so that lines keep their numbers.
    body = Delimited(text[announced.start("end") :] if announced else text, how.read.quoting, how.new)
    first = how.read.separator or (announced["separator"] if announced else usual)
    fixed = announced is not None or ("separator" in how.firm and bool(how.read.separator))
    chosen = body.cut(first) if fixed else _recognised(body, first, how.wanted)
    if not chosen.rows:
        raise DataError(f"{source}: expected rows, found none")
    header = _has_header(source, chosen, how)
    _check_quotes(source, chosen)
    names = chosen.rows[0] if header else [f"column_{place}" for place in range(1, chosen.width + 1)]
    rows = chosen.rows[1:] if header else chosen.rows
    starts = chosen.starts[1:] if header else chosen.starts
    names = _named(source, names, len(rows), how, header)
    columns = _columns(source, names, rows, starts, chosen.separator)
    quoting = "backslash" if chosen.escaped else how.read.quoting
    dialect = Dialect(chosen.separator, encoding, header, quoting, usual, announced is not None, names)
    notes = [*filter(None, [dialect.note(how)]), *_unsure(chosen, header), *how.unused(".csv and .tsv files")]
    return Table(text_frame(names, columns, len(rows)), notes, dialect.settings())


# -- separator -----------------------------------------------------------------------------------------------


def _recognised(body: Delimited, first: str, wanted: Sequence[str]) -> Grid:
    """Return the text cut at the separator that gives the wanted columns or, failing that, a table of even rows.

    Args:
        body: the text.
        first: the separator that is preferred, and that remains if none fits.
        wanted: names of columns.
    """
    separators = [first, *(separator for separator in SEPARATORS if separator != first and separator in body.text)]
    headers = {separator: body.header(separator) for separator in separators}
    for separator, names in headers.items():
        if _has(names, wanted):
            return body.cut(separator)
    cuts: dict[str, Grid] = {}
    for separator, names in headers.items():
        if len(names) > 1:
            cuts[separator] = body.cut(separator)
            if cuts[separator].even:
                return cuts[separator]
    return cuts.get(first) or body.cut(first)


def _has(names: Sequence[str], wanted: Sequence[str]) -> bool:
    known = {canonical(name) for name in names}
    return bool(wanted) and all(canonical(name) in known for name in wanted)


# -- header --------------------------------------------------------------------------------------------------


def _has_header(source: str, cut: Grid, how: How) -> bool:
    """Return whether the first row holds names.

    Raises:
        DataError: if neither the user nor the wanted columns say so, and a name is also a value of its column.
    """
    asked, (first, *others) = how.read.header, cut.rows
    if asked != "auto" and ("header" in how.firm or not _has(first, how.wanted)):
        return asked
    if _has(first, how.wanted):
        return True
    if how.wanted and all(_NAMELESS.fullmatch(name) for name in how.wanted):
        return False
    if first not in others:  # a header that is repeated in the middle is one nevertheless
        for place, name in enumerate(first):
            if name.strip() and any(row[place] == name for row in others if place < len(row)):
                raise DataError(
                    f"{source}: expected a header, found a first row with {name[:60]!r}, which is also a value in "
                    "another row of its column; read it as a row with --no-header (task.read.header = false), or "
                    "as names with --set task.read.header=true"
                )
    return True


def _named(source: str, names: list[str], n_rows: int, how: How, header: bool) -> list[str]:
    """Return the names of columns; the only column of a file without a header has the name of the only wanted one.

    Raises:
        DataError: if a file without a header has several columns, and columns with other names are wanted; or if the
            only column of a file has another name than the wanted one.
    """
    wanted = [name for name in how.wanted if not _NAMELESS.fullmatch(name)]
    if header and how.new and len(wanted) == len(names) == 1 and canonical(names[0]) != canonical(wanted[0]):
        raise DataError(
            f"{source}: expected a first line with the name {wanted[0]!r}, found {names[0][:60]!r}; write the name "
            "above the rows, or say --no-header if every line is a row"
        )
    if header or not how.new or not wanted:
        return names
    if len(wanted) == len(names) == 1:
        return wanted
    raise DataError(
        f"{source}: expected a first line with the names {listed(wanted)}, found none: it is read without a header "
        f"as {counted(len(names), 'column')} and {counted(n_rows, 'row')}; write the names above the rows"
    )


# -- rows ----------------------------------------------------------------------------------------------------


def _columns(
    source: str, names: Sequence[str], rows: Sequence[Sequence[str]], starts: Sequence[int], separator: str
) -> list[list[str | None]]:
    """Return the cells of each column; None for an empty one.

    Raises:
        DataError: if a row has more cells than there are names, and one of the surplus ones is not empty.
    """
    for row, line in zip(rows, starts, strict=True):
        if len(row) > len(names) and any(cell.strip() for cell in row[len(names) :]):
            raise DataError(
                f"{source}: expected {counted(len(names), 'cell')} a row as in the header, found {len(row)} in line "
                f"{line} (separator: {shown(separator)}); put a text that holds the separator in double quotes, or "
                "name another separator with task.read.separator"
            )
    if rows and all(len(row) == len(names) for row in rows):
        return [[cell or None for cell in column] for column in zip(*rows, strict=True)]
    return [[row[place] or None if place < len(row) else None for row in rows] for place in range(len(names))]


def _check_quotes(source: str, cut: Grid) -> None:
    """Raise DataError if a quote is left open and is no text, or rows differ in width: its end is unknown."""
    if cut.error:
        raise DataError(
            f"{source}: expected quotes in pairs: {cut.error}; double or remove the quote, or say "
            "task.read.quoting = 'none' to read all quotes as text"
        )
    if cut.open_quotes and not cut.even:
        raise DataError(
            f"{source}: expected quotes in pairs, found one that is left open in line "
            f"{cut.starts[cut.open_quotes[0]]}; close, double or remove it, or set task.read.quoting "
            "to 'none', which reads all quotes as text"
        )


def _unsure(cut: Grid, header: bool) -> list[str]:
    """Return sentences about quotes and blank lines."""
    n_rows, notes = len(cut.rows) - header, []
    if cut.open_quotes:
        where = f"line {cut.starts[cut.open_quotes[0]]}"
        notes.append(
            f"{counted(len(cut.open_quotes), 'row')} with a cell that begins with a quote and does not end with one "
            f"(first: {where}): its quotes are text"
        )
    if glued := cut.glued():
        notes.append(
            f"{counted(glued, 'row')} may be hidden in cells with line breaks, since a quote was left open: "
            f"{counted(n_rows, 'row')} read, {n_rows + glued} if quotes are text (task.read.quoting = 'none')"
        )
    if cut.blank:
        notes.append(f"{counted(len(cut.blank), 'blank line')} skipped (first: line {cut.blank[0]})")
    if header and cut.rows[0] in cut.rows[1:]:
        line = cut.starts[1 + cut.rows[1:].index(cut.rows[0])]
        notes.append(f"the header occurs again as a row (line {line})")
    return notes
