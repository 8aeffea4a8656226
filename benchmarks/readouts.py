"""What readouts, committees and stages are worth: five public tasks, the same evaluations for all variants.

    python -m benchmarks.readouts              seeds 0 to 4
    python -m benchmarks.readouts --tune 2     dev and validation only, seeds 100 and up

*words* reads labels by their words alone, calibrated or not; *genetic* evolves the readout with the prompt,
*random_search* draws both; *auto* learns a change of the weights behind the best prompts, too. The rivals of each run
(a probe behind the best founder, a bag of words, few-shot, fine-tuning) are part of its result. Cells are runs below
``runs/``; finished ones are kept. ``results/readouts.json`` has the numbers, the picture beside it the figure.
"""

from __future__ import annotations

from typing import Any

from benchmarks.field import Field

KINDS = {
    "trec-questions": ["probe", "linear", "contextual", "words"],
    "sms-spam": ["probe", "linear", "contextual", "words"],
    "privacy-questions": ["probe", "linear", "contextual", "words"],
    "commonsense-choice": ["linear", "contextual", "words"],
    "physical-choice": ["linear", "contextual", "words"],
}
SETTINGS: dict[str, Any] = {
    "budget": {"evaluations": 36},
    "baselines": {"random_search": False},  # a variant of its own
    "task": {"split": {"train": 200, "dev": 96, "validation": 120, "test": 400}},
}
GENETIC = {"name": "genetic", "population_size": 8, "offspring": 6}
VARIANTS: dict[str, dict[str, Any]] = {
    "random_search": {"strategy": {"name": "random_search"}},
    "genetic": {"strategy": GENETIC},
    "auto": {"strategy": {"name": "auto"}},
    "words": {"strategy": GENETIC, "space": {"readout": {"kinds": ["contextual", "words"]}}},
}
FIELD = Field(
    "readouts",
    VARIANTS,
    {name: {**SETTINGS, "space": {"readout": {"kinds": kinds}}} for name, kinds in KINDS.items()},
    pairs=[("genetic", "words"), ("auto", "genetic")],
)

if __name__ == "__main__":
    FIELD.main(__doc__ or "")
