"""Items: what their digests and keys say, and what they must never forget."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evolm.tasks import Item


def test_the_digest_of_a_classification_item_never_changes_from_version_to_version() -> None:
    """Journals, founders and splits of older runs name items by it."""
    assert Item.of("classification", {"text": "win"}, "spam").digest == "209f8695d980e670"


def test_options_and_their_order_are_in_the_digest() -> None:
    digests = {
        Item.of("choice", {"q": "?"}, "a", options).digest for options in ((), ("a", "b"), ("b", "a"), ("a", "c"))
    }
    assert len(digests) == 4


def test_the_content_key_knows_the_same_row_in_another_task() -> None:
    item = Item.of("choice", {"question": "Who  is it?", "hint": "a Cat"}, "Tom", ("Tom", "Jerry"))
    assert (
        item.content_key
        == Item.of("choice", {"hint": "A cat", "q": "who is it?"}, None, ("jerry", "tom")).content_key
    )
    assert item.content_key != Item.of("classification", {"q": "who is it?", "hint": "a cat"}, "Tom").content_key
    assert len(item.content_key) == 16 and int(item.content_key, 16) >= 0


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"fields": {"a": "X ", "b": "y"}}, True),
        ({"gold": "2"}, True),
        ({"options": ("2", "1")}, True),
        ({"fields": {"a": "y", "b": "x"}}, False),
        ({"options": ("1", "3")}, False),
    ],
)
def test_two_items_say_the_same_in_the_same_fields_with_the_same_options(changes: dict, same: bool) -> None:
    item = Item.of("choice", {"a": "x", "b": "y"}, "1", ("1", "2"))
    assert (item.text_key == replace(item, **changes).text_key) is same
