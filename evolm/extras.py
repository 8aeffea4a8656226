"""Optional packages: those that one of evolm's extras installs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from evolm.errors import MissingPackage


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Context for imports of optional packages, at the top of a module that needs them.

    Args:
        name: the extra that installs them, as in ``pip install 'evolm[optuna]'``.

    Raises:
        MissingPackage: if one of them is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise MissingPackage(f"the package {package} is not installed; try: pip install 'evolm[{name}]'") from None
