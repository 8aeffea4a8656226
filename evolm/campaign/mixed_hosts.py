"""What a verdict says of workers with other numeric profiles, if ``evaluation.mixed_hosts`` lets them answer."""

from __future__ import annotations

from typing import Any

from evolm.campaign.build import Components


def mixed_hosts_record(parts: Components) -> dict[str, Any]:
    """Return how many numeric profiles computed answers, and the hosts of those that are not the campaign's."""
    others = parts.engine.others
    return {
        "profiles": 1 + len({other.profile for other in others}),
        "hosts": sorted({other.host for other in others}),
    }


def about_mixed_hosts(mixed: dict[str, Any]) -> str:
    """Return a sentence for the claim, after a space; ``""`` if only one numeric profile answered."""
    if mixed["profiles"] == 1:
        return ""
    return (
        f" Answers were computed with {mixed['profiles']} numeric profiles (evaluation.mixed_hosts): a repetition "
        "may differ in last bits."
    )
