"""The model of a run or of a saved prompt: at the place that it names, or at another one, where it was moved to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evolm import models  # torch comes with the first use of prepare
from evolm.config import ModelSection
from evolm.data_access import model_place
from evolm.errors import ModelError
from evolm.models.served.model import ServedModel, open_served
from evolm.models.served.names import is_served
from evolm.models.specs import PreparedModel
from evolm.typed import at_home


def moved_model(place: str, fingerprint: str, dtype: str) -> PreparedModel:
    """Prepare a model at a place that the user names; its name becomes one that does not depend on a folder.

    Args:
        place: folder, hub id, ``.gguf`` file or ``package:DIST/FILE``.
        fingerprint: of the model that is expected there.
        dtype: see :func:`evolm.models.prepare`.

    Raises:
        ModelError: if there is no model, or another one.
    """
    prepared = models.prepare(model_place(place, Path()), dtype=dtype)
    if prepared.fingerprint != fingerprint:
        raise ModelError(
            f"--model {place}: expected the model with the fingerprint {fingerprint[:16]}, found another one, "
            f"{prepared.fingerprint[:16]}"
        )
    return prepared


def moved_section(section: ModelSection, place: str, fingerprint: str) -> ModelSection:
    """Return a campaign's ``[model]`` with the place that its model was moved to.

    Args:
        section: the campaign's.
        place, fingerprint: see :func:`moved_model`, also for errors.
    """
    if is_served(place):
        return served_again(section.model_copy(update={"name": place}), fingerprint).section
    prepared = moved_model(place, fingerprint, section.dtype)
    return section.model_copy(update={"name": prepared.name, "revision": ""})


def recorded_model(name: str, fingerprint: str, dtype: str, *, revision: str, root: Path) -> PreparedModel:
    """Prepare a model at the place that a record names.

    Args:
        name, fingerprint, dtype, revision: of the record.
        root: folder to which relative names are relative.

    Raises:
        ModelError: if there is no model, or another one.
    """
    with move_hint(name, root):
        prepared = models.prepare(name, revision=revision, dtype=dtype, root=root)
    if prepared.fingerprint != fingerprint:
        raise ModelError(
            f"model {name!r}: it changed since the run: expected {fingerprint[:16]}, found "
            f"{prepared.fingerprint[:16]}; if the run's own model is elsewhere, name its place with --model"
        )
    return prepared


def served_again(section: ModelSection, fingerprint: str, generates: bool = False) -> ServedModel:
    """Return the model behind a server that a record or the user names.

    Args:
        section, generates: see :func:`open_served`.
        fingerprint: of the model that is expected there.

    Raises:
        ModelError: if the server cannot be reached, or says that it has another model.
    """
    model = open_served(section, generates)
    if model.prepared.fingerprint != fingerprint:
        raise ModelError(
            f"model {section.name!r}: expected a server that describes {model.abilities.served!r} as it did when the "
            f"run began ({fingerprint[:16]}), found another description ({model.prepared.fingerprint[:16]})"
        )
    return model


@contextmanager
def move_hint(name: str, root: Path = Path()) -> Iterator[None]:
    """Add to errors of models, if nothing is at a recorded place, that ``--model`` names another one."""
    try:
        yield
    except ModelError as error:
        if (root / at_home(name)).exists():
            raise
        raise ModelError(f"{error}; if it has moved, name its new place with --model") from None
