"""Marks on what changed between two prompts."""

from __future__ import annotations

from typing import Any

from evolm.report.differences import Piece, Side, compare, word_diff


def prompts(old: dict[str, Any], new: dict[str, Any]) -> tuple[Side, Side]:
    """Compare two genomes that have nothing but these prompts."""
    return compare({"prompt": old}, {"prompt": new})


def test_words_that_were_won_and_lost_are_marked_and_the_texts_stay_whole() -> None:
    old, new = "Decide if the text is spam or ham.", "Decide whether the message is spam or ham. One word."
    before, after = word_diff(old, new)
    assert "".join(p.text for p in before) == old
    assert "".join(p.text for p in after) == new
    assert [p.text for p in before if p.mark == "del"] == ["if", "text"]
    assert [p.text for p in after if p.mark == "ins"] == ["whether", "message", " One word."]


def test_equal_texts_carry_no_marks() -> None:
    before, after = word_diff("the same words", "the same words")
    assert before == after == [Piece("the same words")]


def test_unrelated_texts_are_marked_as_a_whole() -> None:
    before, after = word_diff("alpha beta gamma", "one two three four")
    assert before == [Piece("alpha beta gamma", "del")]
    assert after == [Piece("one two three four", "ins")]


def test_an_empty_side_gives_no_pieces() -> None:
    assert word_diff("", "words") == ([], [Piece("words", "ins")])
    assert word_diff("", "") == ([], [])


def shown(item: str, label: str = "spam") -> dict[str, object]:
    return {"item": item, "fields": {"text": f"text of {item}"}, "label": label}


def test_demonstrations_are_matched_by_item_whatever_their_order() -> None:
    old = {"demonstrations": [shown("a"), shown("b")]}
    new = {"demonstrations": [shown("c"), shown("a")]}
    before, after = prompts(old, new)
    assert [d.mark for d in before.demonstrations] == ["", "del"]
    assert [d.mark for d in after.demonstrations] == ["ins", ""]


def test_a_label_without_a_verbalizer_stands_for_itself() -> None:
    before, after = prompts({"verbalizers": {}}, {"verbalizers": {"spam": "junk"}})
    assert before.verbalizers == [("spam", Piece("spam", "del"))]
    assert after.verbalizers == [("spam", Piece("junk", "ins"))]


def test_a_readout_is_marked_where_it_was_won_or_lost() -> None:
    plain, calibrated = {"readout": {"kind": "words"}}, {"readout": {"kind": "contextual"}}
    won, lost, kept = compare(plain, calibrated), compare(calibrated, plain), compare(calibrated, calibrated)
    said = "read by: contextual calibration"
    assert [side.readout for side in won] == [Piece(""), Piece(said, "ins")]
    assert [side.readout for side in lost] == [Piece(said, "del"), Piece("")]
    assert [side.readout for side in kept] == [Piece(said)] * 2


def test_a_strength_that_one_side_leaves_to_its_fit_is_no_difference() -> None:
    genes = {"kind": "probe", "layer": 0, "pooling": "auto", "layers": [3, 5], "strength": 0.0}
    fitted, other = {**genes, "strength": 3.0}, {**genes, "strength": 1.0}
    before, after = compare({"readout": genes}, {"readout": fitted})
    assert (before.readout.mark, after.readout.mark) == ("", "")
    assert after.readout.text == before.readout.text + ", strength 3"
    assert [side.readout.mark for side in compare({"readout": other}, {"readout": fitted})] == ["del", "ins"]


def test_demonstrations_of_a_choice_show_their_options() -> None:
    demonstration = {**shown("a"), "options": ["spam", "ham"]}
    before, _ = prompts({"demonstrations": [demonstration]}, {})
    assert before.demonstrations[0].options == ["spam", "ham"]


def test_a_changed_template_is_marked() -> None:
    before, after = prompts({"template": "default"}, {"template": "terse"})
    assert (before.template, after.template) == (Piece("default", "del"), Piece("terse", "ins"))


def test_genomes_with_a_delta_say_what_was_done_to_the_weights() -> None:
    nothing = {"norm": 0.0, "sigma": 0.0, "learning": None}
    learning = {"rate": 0.0123, "decay": 0.01, "steps": 3, "count": 12}
    changed = {"norm": 10.077, "sigma": 0.25, "learning": learning}
    prompt = {"instruction": "Say."}
    before, after = compare({"prompt": prompt, "delta": nothing}, {"prompt": prompt, "delta": changed})
    assert before.weights == "The model as it is."
    assert after.weights == (
        "The model's weights are changed: genes of length 10.1, mutated in steps of 0.25; learnt in 12 gradient "
        "steps, at last 3 at a time with rate 0.012 and decay 0.01."
    )
    assert prompts({"instruction": "Say."}, {"instruction": "Say."})[0].weights == ""
