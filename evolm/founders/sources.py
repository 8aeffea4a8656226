"""Places that hold founders: JSONL files, runs, founding populations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from evolm.config import FILE_NAME, read_tables
from evolm.data_access import locate
from evolm.errors import GenomeError, PermissionNeeded, RunError, nearest
from evolm.founders.files import Placed, Record, Source, founder_record, read_lines
from evolm.founders.populations import shipped_populations
from evolm.genomes import READOUT
from evolm.readout_kinds import WORDS
from evolm.searches import MAIN
from evolm.storage import GeneStore, RunLayout, read_entries
from evolm.storage.damage import read_record
from evolm.storage.links import refuse_ways_out

FROM_A_RUN = 12  # founders that a run gives, its best
PLACES = "a file of founders, a run or a founding population"


def find_source(name: str, root: Path = Path(), admitted: Sequence[Path] = (), trusted: bool = False) -> Path:
    """Return the file, run or founding population that a name stands for.

    If nothing of that name lies below ``root``, the name may be that of a shipped population.

    Args:
        name, root, admitted, trusted: see :func:`evolm.data_access.locate`.

    Raises:
        GenomeError: if there is nothing.
        PermissionNeeded: if a campaign file names a place outside.
    """
    try:
        path = locate(name, root, admitted, trusted)
    except PermissionNeeded:
        raise PermissionNeeded(
            f"founders: {name!r}: expected a path in the campaign's folder, found one outside; "
            "allow its folder with --data-root, or name it with --warm-start"
        ) from None
    shipped = shipped_populations()
    if path.exists() or name in shipped:
        return path if path.exists() else shipped[name]
    beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    raise GenomeError(f"founders: {name}: expected {PLACES}, found none{nearest(path.name, [*beside, *shipped])}")


def read_source(path: Path, name: str) -> Source:
    """Read founders from a JSONL file, a run's directory or a founding population's.

    Raises:
        GenomeError: if it is none of them, is damaged, or holds no founders.
    """
    if RunLayout(path).journal.exists():
        source = _from_run(RunLayout(path), name)
    elif (path / FILE_NAME).exists():
        source = _from_population(path, name)
    elif path.is_file():
        source = read_lines(path, name)
    else:
        raise GenomeError(
            f"{name}: expected a file of founders, a run or a founding population, found another folder"
        )
    if not source.records:
        raise GenomeError(f"{name}: expected founders, found none")
    return source


def best_of_run(layout: RunLayout, name: str) -> Iterator[Placed]:
    """Yield every genome that a run's main search evaluated, the best first.

    These are the verdict's best individual, the members of its committee or soup, its front, then the fittest.

    The arrays of a genome are read when its turn comes.

    Raises:
        GenomeError: if the run is damaged.
    """
    damaged = f"{name}: expected a run that can be read"
    try:
        entries = list(read_entries(layout.journal))
        result = read_record(layout.result, "the run's result") if layout.result.exists() else {}
        mine = [e for e in entries if e.get("type") == "individual" and e.get("search") == MAIN]
        evaluated = {entry["id"]: entry for entry in mine if entry["fitness"]}
        winner = (result.get("best") or {}).get("id")
        several = [result.get(name) or {} for name in ("committee", "soup", "front")]
        chosen = {member["id"] for each in several for member in each.get("members", ())}
        order = sorted(
            evaluated, key=lambda id: (id != winner, id not in chosen, [-f for f in evaluated[id]["fitness"]])
        )
        if not order:
            return
        identities = dict(entries[0].get("identities") or {})
        readouts = (entries[0].get("space") or {}).get(READOUT) or {"kinds": [WORDS]}
        by_words = readouts["kinds"][0] == WORDS
    except RunError as error:
        raise GenomeError(f"{damaged}: {error}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise GenomeError(f"{damaged}: {layout.journal}: {type(error).__name__} {error}") from None
    for id in order:
        where = f"{name} #{id}"
        try:
            record = _recorded(evaluated[id], GeneStore(layout.genes), identities, by_words)
        except RunError as error:
            raise GenomeError(f"{damaged}: {error}") from None
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise GenomeError(f"{damaged}: {layout.journal}: {where}: {type(error).__name__} {error}") from None
        yield record, where


def _recorded(entry: Record, store: GeneStore, identities: Record, by_words: bool) -> Record:
    """Return the founder's record of a journal's individual.

    Args:
        entry: of the individual.
        store: of the run's arrays.
        identities: of the spaces of chromosomes with arrays.
        by_words: whether a genome of the run that names no readout is read by its words, so that none is recorded.
    """
    arrays = store.read(MAIN, entry["generation"]).get(entry["id"], {}) if identities else {}
    if identities.keys() - arrays.keys():
        raise RunError(f"{store.path(MAIN, entry['generation'])}: expected the arrays of #{entry['id']}, found none")
    genome = dict(entry["genome"])
    if by_words and genome.get(READOUT, {}).get("kind") == WORDS:
        del genome[READOUT]
    return founder_record(genome, arrays, identities)


def _from_run(layout: RunLayout, name: str) -> Source:
    refuse_ways_out(layout.directory)
    records = list(islice(best_of_run(layout, name), FROM_A_RUN))
    if not records:
        raise GenomeError(f"{name}: expected founders, found no evaluated individual in its {layout.journal.name}")
    return Source(records, frozenset(layout.read_seen()), name)


def _from_population(folder: Path, name: str) -> Source:
    named = read_tables(folder / FILE_NAME).get("founders") or []
    if not isinstance(named, list) or not all(isinstance(file, str) for file in named):
        raise GenomeError(f"{name}: expected founders to be a list of places, found {named!r:.60}")
    # A place once: populations in populations that name each other several times would multiply.
    places = list(dict.fromkeys(locate(file, folder) for file in named))
    if folder.resolve() in places:
        raise GenomeError(f"{name}: expected other places in its founders, found the population itself")
    sources = [read_source(place, place.name) for place in places]
    records = [record for source in sources for record in source.records]
    return Source(records, frozenset[str]().union(*(source.seen for source in sources)), name)
