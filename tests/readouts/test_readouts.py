"""Every readout: what its fit sees, what its fit costs, and that an item is read alike in any company."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save

from evolm.artifacts.readout import read_readout, readout_files
from evolm.errors import ConfigError, DataError, GenomeError, RunError
from evolm.evaluation import Engine
from evolm.evaluation.dialogue import hold
from evolm.genomes import Demonstration, Phenotype, Prompt, Readout, ReadoutSpace
from evolm.models import Dialogue, LanguageModel
from evolm.readout_kinds import KINDS_OF_READOUTS
from evolm.readouts import READOUTS, FittedReader, calibrated
from evolm.scorers import LabelProbabilities
from evolm.scorers.labels import CONTENT_FREE
from evolm.storage import AnswerStore
from evolm.tasks import Item, Task
from tests.support.tasks import write_toy_task

PROMPT = Prompt("Spam, or ham?")
FITTED = [name for name, kind in READOUTS.items() if issubclass(kind, FittedReader)]


def told(dialogue: Dialogue[np.ndarray], engine: Engine) -> np.ndarray:
    """Hold a dialogue to its end, and return or raise what it ends with."""
    [outcome] = hold([dialogue], engine)
    if outcome.error is not None:
        raise outcome.error
    assert outcome.result is not None
    return outcome.result


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return write_toy_task(tmp_path_factory.mktemp("task"))


@pytest.fixture(scope="module")
def engine(tiny_model: Callable[..., LanguageModel]) -> Iterator[Engine]:
    engine = Engine(tiny_model("float32"), AnswerStore(":memory:"))
    yield engine
    engine.close()


@pytest.fixture
def labels(task: Task, engine: Engine) -> LabelProbabilities:
    return LabelProbabilities(task, engine.model, "auto", {})


@pytest.fixture
def space(task: Task, engine: Engine) -> ReadoutSpace:
    return ReadoutSpace.build(ReadoutSpace.Params(), task, engine.model)


def test_the_table_of_kinds_says_what_the_readers_are() -> None:
    assert KINDS_OF_READOUTS.keys() == READOUTS.keys()
    for name, kind in KINDS_OF_READOUTS.items():
        assert issubclass(READOUTS[name], FittedReader) == kind.fitted
        assert kind.fitted or not (kind.strength or kind.states or kind.gold)


@pytest.mark.parametrize("kind", READOUTS)
def test_an_item_is_read_alike_in_any_company(
    kind: str, task: Task, labels: LabelProbabilities, engine: Engine, space: ReadoutSpace
) -> None:
    shown = Phenotype(PROMPT, readout=space.readout(kind))
    together = told(labels.ask(shown, task.dev), engine)
    np.testing.assert_allclose(np.exp(together).sum(1), 1)
    alone = LabelProbabilities(task, engine.model, "auto", {})
    for index, item in enumerate(task.dev[:4]):
        assert np.array_equal(told(alone.ask(shown, [item]), engine)[0], together[index])


@pytest.mark.parametrize("kind", FITTED)
def test_a_fit_sees_no_demonstration_and_no_more_rows_than_allowed(
    kind: str, task: Task, labels: LabelProbabilities, space: ReadoutSpace
) -> None:
    shown = tuple(Demonstration.from_item(item) for item in task.train[:3])
    genes = replace(space.readout(kind), rows=20)
    most = len(task.train) if kind == "bag_of_words" else 23
    reader = labels.reader(Phenotype(replace(PROMPT, demonstrations=shown), readout=genes))
    assert isinstance(reader, FittedReader)
    assert reader.rows() == list(task.train[3:most])


@pytest.mark.parametrize("kind", FITTED)
def test_a_saved_readout_reads_what_it_read_before_and_asks_about_no_train_row(
    kind: str, task: Task, labels: LabelProbabilities, engine: Engine, space: ReadoutSpace, tmp_path: Path
) -> None:
    shown = Phenotype(PROMPT, readout=space.readout(kind))
    expected = told(labels.ask(shown, task.test), engine)
    ((name, content),) = readout_files(shown, labels, engine).items()
    (tmp_path / name).write_bytes(content)
    fit = read_readout(tmp_path / name, task.labels, 32)
    again = LabelProbabilities(replace(task, train=()), engine.model, "auto", {}, fit)
    before = engine.usage.requests
    assert np.array_equal(told(again.ask(replace(shown, readout=fit.genes), task.test), engine), expected)
    assert readout_files(replace(shown, readout=fit.genes), again, engine) == {name: content}
    assert engine.usage.requests - before == (0 if kind == "bag_of_words" else len(task.test))
    with pytest.raises(RunError, match="expected a readout of the labels"):
        read_readout(tmp_path / name, ["spam", "ham"], 32)
    (tmp_path / name).write_bytes(content[:-40])
    with pytest.raises(RunError, match="expected a readout saved by evolm"):
        read_readout(tmp_path / name, task.labels, 32)


def test_batch_calibration_divides_by_the_mean_over_train_rows(
    task: Task, labels: LabelProbabilities, engine: Engine, space: ReadoutSpace
) -> None:
    words = told(labels.ask(Phenotype(PROMPT), [*task.train, *task.dev]), engine)
    prior = np.log(np.exp(words[: len(task.train)]).mean(0)).astype(np.float32)
    found = told(labels.ask(Phenotype(PROMPT, readout=space.readout("batch")), task.dev), engine)
    np.testing.assert_allclose(found, calibrated(words[len(task.train) :], prior[None].astype(float)), atol=1e-6)


def test_a_contextual_readout_divides_by_what_content_free_inputs_say(
    task: Task, labels: LabelProbabilities, engine: Engine, space: ReadoutSpace
) -> None:
    def read(items: Sequence[Item]) -> np.ndarray:
        return labels.read(PROMPT, engine.answer(labels.requests(PROMPT, items)), items)

    blanks = [Item.of(task.kind, {"text": text}, None) for text in CONTENT_FREE]
    prior = np.logaddexp.reduce(read(blanks), axis=0) - np.log(len(blanks))
    shifted = read(task.dev) - prior
    expected = shifted - np.logaddexp.reduce(shifted, axis=1, keepdims=True)
    found = told(labels.ask(Phenotype(PROMPT, readout=space.readout("contextual")), task.dev), engine)
    assert np.array_equal(found, expected)
    assert not np.array_equal(found, read(task.dev))


def test_a_hard_penalty_leaves_the_words_alone_and_a_soft_one_fits_the_train_rows_better(
    task: Task, labels: LabelProbabilities, engine: Engine, space: ReadoutSpace
) -> None:
    def read(readout: Readout | None) -> np.ndarray:
        return told(labels.ask(Phenotype(PROMPT, readout=readout), task.train), engine)

    words, hard, soft = (
        read(None),
        *(read(replace(space.readout("linear"), strength=strength)) for strength in (1e7, 0.1)),
    )
    np.testing.assert_allclose(hard, words, atol=1e-3)
    gold = task.gold_indices(task.train)
    rows = np.arange(len(gold))
    assert soft[rows, gold].mean() > words[rows, gold].mean() + 0.1


def test_readouts_of_one_prompt_share_one_pass(
    task: Task, tiny_model: Callable[..., LanguageModel], space: ReadoutSpace
) -> None:
    engine = Engine(tiny_model("float32"), AnswerStore(":memory:"))
    labels = LabelProbabilities(task, engine.model, "auto", {})
    passed = []
    for readout in (
        space.readout("probe"),
        space.readout("probe", 2, "mean"),
        space.readout("probe", 1, "last", 1.0),
    ):
        before = engine.usage.tokens_forwarded
        told(labels.ask(Phenotype(PROMPT, readout=readout), task.dev), engine)
        passed.append(engine.usage.tokens_forwarded - before)
    assert passed[0] > 0 == passed[1] == passed[2]
    engine.close()


def test_what_cannot_be_fitted_is_refused(
    task: Task, engine: Engine, space: ReadoutSpace, tiny_model: Callable[..., LanguageModel]
) -> None:
    one_label = replace(task, train=tuple(item for item in task.train if item.gold == "ham"))
    labels = LabelProbabilities(one_label, engine.model, "auto", {})
    with pytest.raises(DataError, match=r"readout 'probe': expected train rows of at least two labels .* of 1"):
        told(labels.ask(Phenotype(PROMPT, readout=space.readout("probe")), task.dev), engine)
    for table, changed, message in (
        ({"kinds": ["probes"]}, task, "found 'probes'; did you mean 'probe'"),
        ({"kinds": ["probe"]}, one_label, "at least two labels, found 1; raise task.split.train"),
        ({"kinds": ["linear"]}, replace(task, has_gold=False), "expected train rows with gold labels"),
        ({"kinds": ["linear"]}, replace(task, train=()), "expected train rows with gold labels"),
        ({"kinds": ["batch"]}, replace(task, labels=()), "expected a task with labels"),
        ({"kinds": ["probe"]}, replace(task, labels=(), kind="choice"), "a task with labels, found a choice task"),
        ({"kinds": ["words"]}, replace(task, kind="generation"), "a task with labels or options, found a generation"),
        ({"layers": [1, 9]}, task, "expected layers from 1 to 2, found 9"),
        ({"layers": []}, task, "from 1 to 2, found none"),
        ({"strengths": [0.0]}, task, "expected numbers above 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            ReadoutSpace.build(ReadoutSpace.Params(**table), changed, engine.model)
    for record, message in (
        ({"kind": "probes"}, "expected a readout among"),
        ({"kind": "probe", "layer": 7}, "layer 7, expected one of"),
        ({"kind": "probe", "level": 1}, "expected keys of a readout .*found 'level'"),
        ({"kind": "probe", "strength": []}, "damaged"),
    ):
        with pytest.raises(GenomeError, match=message):
            space.founder(record, np.random.default_rng(0), "a founder")


@pytest.mark.parametrize("kind", FITTED)
def test_fewer_rows_than_labels_are_fitted(kind: str, task: Task, engine: Engine, space: ReadoutSpace) -> None:
    two = tuple(next(item for item in task.train if item.gold == label) for label in task.labels)
    few = replace(task, train=two, labels=(*task.labels, "other", "none", "both"))
    labels = LabelProbabilities(few, engine.model, "auto", {})
    found = told(labels.ask(Phenotype(PROMPT, readout=space.readout(kind)), task.dev), engine)
    assert found.shape == (len(task.dev), 5) and not np.isnan(found).any()
    np.testing.assert_allclose(np.exp(found).sum(1), 1)


def test_a_refit_sees_all_rows_but_test(task: Task, labels: LabelProbabilities, space: ReadoutSpace) -> None:
    reader = labels.reader(Phenotype(PROMPT, readout=replace(space.readout("probe"), refit=True)))
    assert isinstance(reader, FittedReader)
    assert reader.rows() == [*task.train, *task.dev, *task.validation]
    assert "fitted on all rows" in space.outside(reader.genes)


def test_a_bag_of_words_learns_from_words_and_knows_labels_without_a_row(
    task: Task, engine: Engine, space: ReadoutSpace
) -> None:
    shown = Phenotype(PROMPT, readout=space.readout("bag_of_words"))
    wider = replace(task, labels=(*task.labels, "other"))
    found = told(LabelProbabilities(wider, engine.model, "auto", {}).ask(shown, task.test), engine)
    gold = task.gold_indices(task.test)
    assert np.mean(found.argmax(1) == gold) > 0.9
    assert np.isneginf(found[:, 2]).all()
    np.testing.assert_allclose(np.exp(found).sum(1), 1)
    marks = replace(task, train=tuple(replace(item, fields={"text": "!?"}) for item in task.train))
    told(LabelProbabilities(marks, engine.model, "auto", {}).ask(shown, task.test), engine)


@pytest.mark.parametrize("kind", FITTED)
def test_a_saved_readout_with_other_arrays_is_refused(
    kind: str, task: Task, labels: LabelProbabilities, engine: Engine, space: ReadoutSpace, tmp_path: Path
) -> None:
    ((name, content),) = readout_files(Phenotype(PROMPT, readout=space.readout(kind)), labels, engine).items()
    path = tmp_path / name
    path.write_bytes(content)
    with safe_open(path, "numpy") as stored:
        metadata, arrays = stored.metadata(), {key: stored.get_tensor(key) for key in list(stored.keys())}
    for key, array in arrays.items():
        nan = np.full_like(array, np.nan) if array.dtype == np.float32 else array[:-1]
        for changed in (None, np.concatenate([array, array[:1]]), array[None], nan):
            others = {k: v for k, v in arrays.items() if k != key}
            path.write_bytes(save(others if changed is None else {**others, key: changed}, metadata))
            with pytest.raises(RunError, match=rf"expected the arrays of a '{kind}' readout, found a damaged file"):
                read_readout(path, task.labels, 32)
    if kind == "probe":
        path.write_bytes(content)
        with pytest.raises(RunError, match=r"weights of the shape \(2, 2, 2, 32\)"):
            read_readout(path, task.labels, 64)
