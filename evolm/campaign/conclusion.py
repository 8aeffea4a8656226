"""The end of a campaign: finals, the test split, the result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evolm.baselines.single import SINGLE
from evolm.campaign.build import Components
from evolm.campaign.finals import finals_of
from evolm.campaign.forecasts import known_headroom
from evolm.campaign.mixed_hosts import about_mixed_hosts, mixed_hosts_record
from evolm.campaign.recorder import RunRecorder
from evolm.campaign.records import guard_record, readout_record, result_record
from evolm.campaign.search import Search
from evolm.campaign.verdict import run_verdict
from evolm.errors import EvolmError
from evolm.individual import Individual
from evolm.readouts import refitted, refitted_winner
from evolm.searches import MAIN


def require_evaluated(main: Search, recorder: RunRecorder) -> None:
    """Raise EvolmError if no individual of the main search could be evaluated."""
    if main.archive.best is None:
        reasons = [individual.reason for individual in main.asked if individual.reason]
        why = f": {reasons[0]}" if reasons else ""
        raise EvolmError(
            f"expected at least one individual that can be evaluated, found none{why} (all reasons: "
            f"{recorder.layout.journal})"
        )


def conclude(
    parts: Components,
    searches: Sequence[Search],
    recorder: RunRecorder,
    openings: int,
    stopped: str,
    winner: Individual | None = None,
) -> dict[str, Any]:
    """Run the finals, open the test split, write and return the result.

    Args:
        parts: the campaign's objects.
        searches: the main search first.
        recorder: writes journal, best and result.
        openings: how often the test split has been opened, this time included.
        stopped: why an observer ended the main search; ``""`` if it was not.
        winner: of the main search, without a final; None = the best of the finalists.

    Raises:
        EvolmError: if no individual of the main search could be evaluated.
    """
    main = searches[0]
    if winner is None:
        require_evaluated(main, recorder)
    finals = finals_of(searches, parts, {} if winner is None else {MAIN: winner})
    recorder.journal.append({"type": "operators", "search": main.name, "rates": main.rates})
    for final in finals.values():
        if final.entry:
            recorder.journal.append(final.entry)
    verdict = run_verdict(parts, main, finals, openings)
    final, single = finals[MAIN], refitted(finals[MAIN].winner.genome)
    recorder.write_best(refitted_winner(final.best))
    kept = {SINGLE.name: single} if final.form else {}
    recorder.write_baselines({**(verdict.applied if verdict else {}), **kept})
    result = result_record(parts, main, final, verdict.record if verdict else None, stopped)
    if guarded := guard_record(parts, finals, refitted_winner(final.best)):
        result["guard"] = guarded
    result["readout"] = readout_record(parts, single)
    result["headroom"] = known_headroom(recorder.layout.journal)
    if parts.config.evaluation.mixed_hosts:
        result["mixed_hosts"] = mixed_hosts_record(parts)
        result["claim"] += about_mixed_hosts(result["mixed_hosts"])
    recorder.tell_others()
    recorder.journal.append({"type": "verdict", **result})
    result["budget"]["seconds"] = round(recorder.seconds, 3)
    recorder.write_result(result, verdict)
    return result
