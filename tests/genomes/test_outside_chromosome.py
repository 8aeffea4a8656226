"""A chromosome that is defined outside evolm: a campaign with it runs, is killed, and goes on byte for byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evolm.campaign import Permissions, Run, build, start_run
from evolm.errors import ConfigError, GenomeError, PermissionNeeded
from evolm.genomes import Prompt, from_record
from evolm.objective.codec import Codec
from tests.support.row_switches import NAME, RowSwitches
from tests.support.tiers import slow
from tests.support.toy_campaign import ToyCampaign, bytes_of, entries, quick, result_of, without_clock, write_campaign
from tests.support.warm_evolm import KILLED

SPACE = {"prompt": {"demonstrations": [0, 2], "max_tokens": 240}, NAME: {"share": 0.5}}
PACKAGE = NAME.partition(".")[0]
ADMITTED = Permissions(packages=(PACKAGE,))


@pytest.fixture(scope="module")
def campaign(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> ToyCampaign:
    return write_campaign(tmp_path_factory.mktemp("switches") / "toy", tiny_model_folder, space=SPACE)


@pytest.fixture(scope="module")
def run(campaign: ToyCampaign, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run; changed by no test."""
    with quick():
        return campaign.run(tmp_path_factory.mktemp("runs") / "run", permissions=ADMITTED)


def test_a_campaign_evolves_it_beside_the_prompt(run: Run) -> None:
    individuals = entries(run.directory, "individual", "main")
    assert all(entry["genome"].keys() == {"prompt", "readout", NAME} for entry in individuals)
    assert len({tuple(entry["genome"][NAME]["on"]) for entry in individuals}) > 3
    tried = {name for entry in individuals for name in entry["operators"]}
    assert tried & {"flip_switch", "mix_switches"}
    (head,) = entries(run.directory, "run")
    assert head["operators"].keys() >= {"flip_switch", "mix_switches", "demonstrations_add", "chromosome_exchange"}
    assert head["space"][NAME] == {"rows": 10, "share": 0.5}


def test_it_changes_what_an_earlier_chromosome_expressed(campaign: ToyCampaign, run: Run) -> None:
    parts = build(campaign.config, campaign.folder, permissions=ADMITTED)
    parts.engine.close()
    evaluated = entries(run.directory, "individual", "main")
    genomes = [from_record(entry["genome"]) for entry in evaluated]
    for entry, genome in zip(evaluated, genomes, strict=True):
        assert entry["measures"]["prefix_tokens"] == parts.space.tokens(genome)
    rng = np.random.default_rng(0)
    hidden = 0
    for genome in [*genomes, *(parts.space.random(rng) for _ in range(20))]:
        shown = parts.space.express(genome).prompt.demonstrations
        off = {item for item, on in zip(parts.space[NAME].items, genome[NAME].on, strict=True) if not on}
        assert not {demo.item for demo in shown} & off
        assert {demo.item for demo in genome.prompt.demonstrations} - {demo.item for demo in shown} <= off
        hidden += len(genome.prompt.demonstrations) - len(shown)
    assert hidden > 0
    saved = Prompt.from_record(
        json.loads((run.directory / "best" / "prompt.json").read_text(encoding="utf-8"))["genome"]
    )
    assert saved == parts.space.express(from_record(result_of(run.directory)["best"]["genome"])).prompt


@pytest.mark.parametrize(("call", "at"), [("append", 9), slow("replace", 12), slow("put", 2)])
def test_killed_and_resumed_it_equals_the_undisturbed_run(
    call: str, at: int, evolm: Any, campaign: ToyCampaign, run: Run, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    told = evolm("run", campaign.folder, "--out", out, "--allow", PACKAGE, call=call, at=at)
    assert told["exit"] == KILLED, told["log"]
    told = evolm("resume", out, "--allow", PACKAGE)
    assert told["exit"] == 0, told["log"]
    assert bytes_of(out) == bytes_of(run.directory)
    assert without_clock(result_of(out)) == without_clock(result_of(run.directory))


def test_a_campaign_file_alone_runs_no_code(campaign: ToyCampaign) -> None:
    with pytest.raises(PermissionNeeded, match=f"admit it with --allow {PACKAGE}"):
        build(campaign.config, campaign.folder)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({NAME: {"shares": 1}}, r"\[space\..*unknown key 'shares'; did you mean 'share'"),
        ({"tests.support.row_switches:Switches": {}}, "expected a subclass of evolm.genomes.ChromosomeSpace"),
        ({"tests.support.row_switches:Nothing": {}}, "cannot be imported"),
        ({"promt": {}}, "space: 'promt' is unknown, .*did you mean 'prompt'"),
    ],
)
def test_a_wrong_table_is_one_sentence(
    space: dict[str, Any], message: str, tiny_model_folder: Path, tmp_path: Path
) -> None:
    toy = write_campaign(tmp_path, tiny_model_folder, space=space)
    with pytest.raises(ConfigError, match=message):
        build(toy.config, toy.folder, permissions=ADMITTED)


def test_without_the_prompt_s_table_all_genomes_have_the_founder_s_prompt(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    toy = write_campaign(tmp_path / "toy", tiny_model_folder, space={NAME: {}}, founders=[], budget__evaluations=6)
    with quick():
        run = toy.run(tmp_path / "run", permissions=ADMITTED)
    individuals = entries(run.directory, "individual", "main")
    assert len({json.dumps(entry["genome"]["prompt"]) for entry in individuals}) == 1
    assert len({json.dumps(entry["genome"][NAME]) for entry in individuals}) > 1


def test_a_run_gives_it_to_another_campaign_and_one_without_it_refuses(
    campaign: ToyCampaign, run: Run, tiny_model_folder: Path, tmp_path: Path
) -> None:
    best = result_of(run.directory)["best"]["digest"]
    for start in (run.directory, run.directory / "founders.jsonl"):
        parts = build(campaign.config, campaign.folder, permissions=ADMITTED, warm_starts=[start])
        parts.engine.close()
        own = [genome for genome in parts.founders.genomes if genome[NAME] != parts.space[NAME].neutral()]
        assert bool(own) is (start == run.directory)
        assert (parts.founders.genomes[0].digest == best) is (start == run.directory)
    again = start_run(
        campaign.config, campaign.folder, tmp_path / "again", permissions=ADMITTED, warm_starts=[run.directory]
    )
    parts = build(
        campaign.config, campaign.folder, permissions=ADMITTED, warm_starts=[again.directory / "founders.jsonl"]
    )
    parts.engine.close()
    assert parts.founders.genomes[0].digest == best
    plain = write_campaign(tmp_path / "plain", tiny_model_folder)
    with pytest.raises(
        GenomeError, match="expected a founder with 'prompt', 'readout' alone, found one with .*RowSwitches"
    ):
        build(plain.config, plain.folder, warm_starts=[run.directory])


@pytest.fixture
def codec(campaign: ToyCampaign) -> Iterator[Codec]:
    parts = build(campaign.config, campaign.folder, permissions=ADMITTED)
    yield Codec(parts.space, parts.founders.genomes)
    parts.engine.close()


def test_other_optimizers_see_it_as_variables_of_its_own(codec: Codec) -> None:
    assert [variable.name for variable in codec.variables][-10:] == [f"row_{number}" for number in range(10)]
    for draw in np.random.default_rng(0).uniform(*codec.bounds.T, (20, codec.dimension)):
        genome = codec.decode(draw)
        assert codec.decode(codec.encode(genome)).digest == genome.digest
        assert codec.genome(codec.values(genome)).digest == genome.digest
    assert isinstance(codec.space[NAME], RowSwitches)
