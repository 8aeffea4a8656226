"""What a search is charged for."""

from __future__ import annotations

from evolm.campaign.budget import FREE_READOUTS, Ledger
from evolm.evaluation.evaluator import Charge
from evolm.genomes import PROMPT, READOUT, Genome, Prompt, Readout
from evolm.individual import Individual


def scored(number: int, readout: Readout, text: str = "one") -> Individual:
    individual = Individual(number, Genome({PROMPT: Prompt(text), READOUT: readout}))
    individual.accept((0.5,), 0.5, [0.5], {})
    return individual


def charged(ledger: Ledger, *individuals: Individual) -> list[Charge]:
    return ledger.charged(individuals, [Charge(10, individual.id) for individual in individuals])


def probe(layer: int) -> Readout:
    return Readout("probe", layer, layers=(3, 4, 5, 6, 7, 8))


def test_further_readouts_of_a_scored_prompt_are_free_up_to_a_bound() -> None:
    ledger = Ledger()
    due = charged(ledger, *(scored(number, probe(number + 3)) for number in range(6)))
    assert due == [Charge(10, 0), Charge(10, FREE_READOUTS + 1)]
    assert ledger.free == FREE_READOUTS


def test_what_asks_the_model_for_something_new_is_charged() -> None:
    ledger = Ledger()
    failed = Individual(9, Genome({PROMPT: Prompt("two"), READOUT: probe(3)}))
    failed.fail("too long")
    others = [scored(1, Readout("linear")), scored(2, probe(3), "another"), failed, scored(4, probe(4), "two")]
    assert len(charged(ledger, scored(0, probe(3)), *others)) == 5
    one_layer = [Readout("probe", 3, pooling, layers=(3,)) for pooling in ("last", "mean")]
    assert len(charged(ledger, *(scored(5 + i, each, "three") for i, each in enumerate(one_layer)))) == 2


def test_the_bound_survives_a_checkpoint() -> None:
    ledger = Ledger()
    charged(ledger, scored(0, probe(3)), scored(1, probe(4)))
    again = Ledger(**ledger.to_record())
    assert again == ledger and again.readouts is not ledger.readouts
    assert charged(again, scored(2, probe(5))) == []
