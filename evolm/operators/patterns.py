"""Documents that make the model write an instruction, and the checks of its answer.

A *pattern* is a document of solved examples that breaks off where the answer begins. It goes to the model as plain
text, whether or not the campaign's prompts use the chat template: a small model continues a document better than it
follows orders. (In a trial of all four language operators on seven instructions, three times each,
SmolLM2-135M-Instruct wrote usable instructions for 60 of 84 children; asked through its chat template, for 47.)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from evolm.models import Decoding
from evolm.operators.model_access import Writing
from evolm.operators.prompt import SENTENCES, pieces


@dataclass(frozen=True)
class Pattern:
    """Solved examples, and the case to be continued.

    Attributes:
        examples: each ends with an empty line; shared by all requests, so the model reads them once.
        case: the text that follows them, with placeholders for texts.
    """

    examples: str
    case: str

    def request(self, texts: Sequence[str], decoding: Decoding) -> Writing:
        """Return the request to continue the case of these texts."""
        return Writing(self.examples, self.case.format(*texts), decoding, chat=False)

    @property
    def names(self) -> list[str]:
        """The beginnings of the examples' lines, such as ``Instruction:``."""
        return re.findall(r"^[A-Z][a-z ]+:", self.examples, re.MULTILINE)


REWORD = Pattern(
    """\
Instruction: Say whether the film review is positive or negative.
In other words: Read the film review and tell whether it is positive or negative.

Instruction: Letters from parents are urgent. Advertisements and invitations can wait.
In other words: A letter is urgent if it comes from a parent. If it is an advertisement or an invitation, it can wait.

Instruction: You sort questions for a bank. Answer with one word.
In other words: You work for a bank, where you sort questions. Give one word as your answer.

""",
    "Instruction: {}\nIn other words:",
)
COMBINE = Pattern(
    """\
First: Say whether the film review is positive or negative.
Second: Read the review to its end. Answer with one word.
Together: Read the film review to its end. Say with one word whether it is positive or negative.

First: Letters from parents are urgent. Advertisements can wait.
Second: You sort letters for a school. Invitations can wait.
Together: You sort letters for a school. Letters from parents are urgent. Advertisements and invitations can wait.

""",
    "First: {}\nSecond: {}\nTogether:",
)
CRITICISE = Pattern(
    """\
Instruction: Say whether the film review is positive or negative.
Wrong: "I laughed, but only at the actors." was answered "positive". The right answer is "negative".
Wrong: "Go and see something else." was answered "positive". The right answer is "negative", because the writer \
advises against the film.

Instruction: Letters from parents are urgent. Advertisements can wait.
Wrong: "The school fair is on Friday, all are welcome." was answered "urgent". The right answer is "can wait", \
because an invitation needs no answer.

""",
    "Instruction: {}\n{}, because",
)
IMPROVE = Pattern(
    """\
Instruction: Say whether the film review is positive or negative.
Problem: The writer advises against the film.
Better instruction: Say whether the film review is positive or negative. Advice against the film is negative.

Instruction: Letters from parents are urgent. Advertisements can wait.
Problem: An invitation needs no answer.
Better instruction: Letters from parents are urgent. Advertisements can wait. Invitations can wait, too.

""",
    "Instruction: {}\nProblem: {}\nBetter instruction:",
)


# -- checks of answers ------------------------------------------------------------------------------------------

PREFACE = re.compile(
    r"(?:(?:sure|certainly|okay)\b[^:]{0,80}|(?:\w+ ){0,4}instruction"
    r"|here(?:'s| is| are)\b[^:]{0,60}(?:instruction|prompt|version|words|re\w+|paraphrase\w*)\b[^:]{0,40}):\s",
    re.IGNORECASE,
)
BULLET = re.compile(r"(?:[-*•]|\d{1,2}[.)])\s+")
QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "«": "»", "`": "`", "*": "*", "_": "_"}
# Marks of chat templates, and unfilled placeholders.
LEAK = re.compile(
    r"<\|.*?\|>|</?s>|\[/?inst\]|<</?sys>>|\b(?:assistant|user|system)\s*:|\{+.*?\}+|\[.*?\]|<[a-z][^<>]*>", re.I
)


def one_line(text: str) -> str:
    """Return a text without line breaks and control characters, single spaces between its words."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def cleaned(answer: str) -> str:
    """Return an answer's first line without preface, bullet, and marks of quotation or emphasis."""
    lines = [line for line in map(one_line, answer.replace("**", "").splitlines()) if line]
    if len(lines) > 1 and PREFACE.fullmatch(f"{lines[0]} "):
        del lines[0]
    text = lines[0] if lines else ""
    for pattern in (PREFACE, BULLET):
        if found := pattern.match(f"{text} "):
            text = text[found.end() :]
    while (closing := QUOTES.get(text[:1])) and text.find(closing, 1) in (-1, len(text) - 1):
        text = text[1:].removesuffix(closing).strip()
    return text


def words(text: str) -> str:
    """Return a text's words in lower case, without punctuation; equal for copies of a text."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def refusal(text: str, finished: bool, pattern: Pattern, sources: Sequence[str], known: Sequence[str] = ()) -> str:
    """Return why a cleaned answer is refused, or ``""``.

    Args:
        text: the answer.
        finished: whether it ended before the limit on its tokens.
        pattern: the pattern that it continues.
        sources: the texts of its case; their sentences and marks may be repeated.
        known: instructions that it must not repeat.
    """
    if not words(text):
        return "empty"
    if not finished:
        return "too long"
    if words(text) in map(words, known):
        return "a copy of a known instruction"
    given = "\n".join(sources)
    sentences = [words(sentence) for sentence in pieces(text, SENTENCES)]
    if len(set(sentences)) < len(sentences):
        return "a sentence twice"
    if any(s in words(pattern.examples) and s not in words(given) for s in sentences if s.count(" ") > 1):
        return "a copy of an example"
    marks = [found.group() for found in LEAK.finditer(text)] + [name for name in pattern.names if name in text]
    return next((f"{mark!r} in it" for mark in marks if mark not in given), "")
