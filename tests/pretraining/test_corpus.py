"""Documents of a corpus: where they come from, and how they are held out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evolm.errors import ConfigError, DataError
from evolm.pretraining.corpus import read_corpus
from evolm.pretraining.vocabulary import END, encode, train_tokenizer
from tests.pretraining.conftest import sentences


def everything(corpus) -> set[str]:
    return {*corpus.train, *corpus.validation, *corpus.test}


def test_every_document_is_in_one_split_and_equal_ones_are_one(tmp_path: Path) -> None:
    path = tmp_path / "twice.txt"
    path.write_text("\n".join(sentences() * 2), encoding="utf-8")
    corpus = read_corpus([str(path)])
    assert everything(corpus) == set(sentences())
    assert len(corpus.train) + len(corpus.validation) + len(corpus.test) == len(sentences())
    assert 5 < len(corpus.validation) < 50 and 5 < len(corpus.test) < 50


def test_more_documents_move_none_to_another_split(tmp_path: Path) -> None:
    first, both = tmp_path / "first.txt", tmp_path / "both.txt"
    first.write_text("\n".join(sentences()[:500]), encoding="utf-8")
    both.write_text("\n".join(sentences()), encoding="utf-8")
    fewer, more = read_corpus([str(first)]), read_corpus([str(both)])
    assert set(fewer.test) <= set(more.test) and set(fewer.train) <= set(more.train)
    assert fewer.digest != more.digest


def test_lines_paragraphs_tables_and_folders_are_documents(tmp_path: Path) -> None:
    texts = sentences(400)
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("\n\n".join(texts[:200]), encoding="utf-8")
    (folder / "b.md").write_text("\n".join(texts[200:]), encoding="utf-8")
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"id": 1, "said": text}) + "\n" for text in texts), encoding="utf-8")
    cells = tmp_path / "cells.tsv"
    cells.write_text("".join(f"{text}\tx\n" for text in texts), encoding="utf-8")
    assert everything(read_corpus([str(folder)])) == set(texts)
    assert everything(read_corpus([str(rows)], "said")) == set(texts)
    assert everything(read_corpus([str(cells)], "column_1", {"header": False})) == set(texts)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("none.txt", b"", "expected text, found none"),
        ("blank.txt", b"  \n\n \n", "expected text, found none"),
        ("bytes.txt", bytes(range(256)), "found bytes that are no text"),
        ("zeros.txt", b"a\0b", "found bytes that are no text"),
        ("few.txt", b"one line\nand another", "expected enough different documents"),
        ("rows.csv", b"a,b\n1,2\n3,4\n", "expected --column to name one of 'a'.*'b'"),
    ],
)
def test_a_corpus_that_cannot_be_used_is_refused(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=expected):
        read_corpus([str(tmp_path / name)])


def test_a_missing_file_is_named_with_one_that_is_alike(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").touch()
    with pytest.raises(DataError, match=r"expected a file, found none; did you mean 'texts.txt'"):
        read_corpus([str(tmp_path / "text.txt")])


def test_the_tokenizer_has_the_size_asked_for_and_gives_back_every_text() -> None:
    tokenizer = train_tokenizer(sentences(), 320)
    assert len(tokenizer) == 320
    texts = ["the cat sees", "naïve ☃\n\t«quoted»"]
    tokens = encode(tokenizer, texts)
    assert tokens[0] == tokens[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(tokens.tolist()) == f"{END}{texts[0]}{END}{texts[1]}{END}"


def test_a_vocabulary_that_the_corpus_does_not_support_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"vocabulary: expected at most \d+, which the corpus supports, found 9000"):
        train_tokenizer(sentences(), 9000)
