"""Peers: what a person would use instead of evolm, each one file and one row here.

A peer gets a :class:`~benchmarks.peers.contract.Setting` (rows, seed, budget) and returns its answers to the test
rows. Modules of packages are imported when their peer runs.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from benchmarks.peers.contract import Found, Peer, Setting
from evolm.tasks import Form


def _late(module: str, function: str, *arguments: object) -> Callable[[Setting], Found]:
    """Return a peer's function, whose module is imported at its first call."""

    def run(setting: Setting) -> Found:
        found = getattr(import_module(f"benchmarks.peers.{module}"), function)
        return (found(*arguments) if arguments else found)(setting)

    return run


def _promptolution(name: str, optimizer: str) -> Peer:
    return Peer(name, f"{name} of promptolution", _late("with_promptolution", "peer", optimizer), ("promptolution",))


def _host(name: str, host: str, package: str) -> Peer:
    return Peer(name, f"{host} on evolm's deltas of dimension 48", _late("with_hosts", "peer", host), (package,))


EVOLM = "evolm auto"
PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer(EVOLM, "evolm's strategy auto", _late("with_evolm", "search")),
        _promptolution("EvoPrompt GA", "EvoPromptGA"),
        _promptolution("EvoPrompt DE", "EvoPromptDE"),
        _promptolution("CAPO", "CAPO"),
        _promptolution("OPRO", "OPRO"),
        Peer(
            "DSPy bootstrap",
            "BootstrapFewShotWithRandomSearch of DSPy",
            _late("with_dspy", "bootstrapped"),
            ("dspy", "litellm"),
        ),
        Peer("DSPy MIPROv2", "MIPROv2 of DSPy, light", _late("with_dspy", "mipro"), ("dspy", "litellm", "optuna")),
        Peer("GEPA", "reflective evolution", _late("with_gepa", "search"), ("gepa",)),
        Peer("LoRA", "PEFT's LoRA, rank 8, all linear modules", _late("with_peft", "search"), ("peft",)),
        Peer("ES at Scale", "evolution strategies on all weights, full noise", _late("with_es", "peer", 0)),
        Peer("EGGROLL", "evolution strategies on all weights, noise of rank 1", _late("with_es", "peer", 1)),
        _host("pycma", "pycma", "cma"),
        _host("Optuna TPE", "Optuna TPE", "optuna"),
        _host("EvoTorch SNES", "EvoTorch SNES", "evotorch"),
    )
}
FREE = ("best founder", "bag of words")  # rows that come with a run of evolm

__all__ = ["EVOLM", "FREE", "PEERS", "Form", "Found", "Peer", "Setting"]
