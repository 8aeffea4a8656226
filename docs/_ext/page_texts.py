"""What a page is about, read from its text: title and first sentence."""

from __future__ import annotations

import re


def title(text: str) -> str:
    """Return the title of a page in Markdown, or ``""``."""
    return next((line[2:] for line in text.splitlines() if line.startswith("# ")), "")


def summary(text: str) -> str:
    """Return the first sentence of the first paragraph under the title, without links."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for part in re.split(r"\n\n+", prose[prose.find("# ") :].strip())[1:]:
        if part[0] not in "#|<!->0123456789":
            sentence = re.split(r"(?<=\.)\s", " ".join(part.split()), maxsplit=1)[0]
            return re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", sentence).rstrip(":")
    return ""
