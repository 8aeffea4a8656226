"""Regular expressions of campaign files, whose search in one text has a limited time.

``re`` has no such limit: an expression like ``(a+)+$`` takes time that doubles with every letter.
"""

from __future__ import annotations

from typing import Final

import regex

from evolm.errors import ConfigError

SECONDS: Final = 2.0  # for one text; searches that are meant take microseconds

SHOWN: Final = 40  # characters of a text in an error


class Expression:
    """A regular expression, in the syntax of ``re``.

    Args:
        key: its name in campaign.toml, for errors.
        pattern: the expression.

    Raises:
        ConfigError: if it is none.
    """

    def __init__(self, key: str, pattern: str) -> None:
        self._key = key
        try:
            self._compiled = regex.compile(pattern)
        except (regex.error, OverflowError, RecursionError, MemoryError) as error:
            raise ConfigError(f"{key}: expected a regular expression: {error or 'too large'}") from None

    @property
    def groups(self) -> list[str]:
        """The names of its groups."""
        return list(self._compiled.groupindex)

    def found_in(self, text: str) -> bool:
        """Return whether some part of a text matches.

        Raises:
            ConfigError: if that takes too long, or too much memory.
        """
        try:
            return self._compiled.search(text, timeout=SECONDS) is not None
        except TimeoutError:
            raise self._slow(text) from None
        except MemoryError:
            raise self._large(text) from None

    def parts_of(self, text: str) -> dict[str, str | None] | None:
        """Return what each named group matched, if the whole text matches; None if it does not.

        Raises:
            ConfigError: if that takes too long, or too much memory.
        """
        try:
            match = self._compiled.fullmatch(text, timeout=SECONDS)
        except TimeoutError:
            raise self._slow(text) from None
        except MemoryError:
            raise self._large(text) from None
        return None if match is None else match.groupdict()

    def _slow(self, text: str) -> ConfigError:
        return ConfigError(
            f"{self._key}: expected an expression that needs at most {SECONDS:g} seconds for a text, found one that "
            f"needs more for the text that begins with {text[:SHOWN]!r}"
        )

    def _large(self, text: str) -> ConfigError:
        return ConfigError(
            f"{self._key}: expected an expression that needs little memory for a text, found one that recurs without "
            f"end or needs more for the text that begins with {text[:SHOWN]!r}"
        )


__all__ = ["Expression"]
