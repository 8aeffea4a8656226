"""From requests to tokens: the chat template's frame, the split of continuations, the shared prefix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evolm.errors import ContextExceeded, ModelError
from evolm.models import LanguageModel, LogLikelihood, prepare
from evolm.models.language_model import describe_tokens

Model = Callable[..., LanguageModel]
DEFAULT_SYSTEM = "helpful AI assistant"


def decoded(model: LanguageModel, request: LogLikelihood) -> tuple[str, list[str]]:
    tokens = model.tokenize([request])[0]
    return model.tokenizer.decode(tokens.context), [model.tokenizer.decode(c) for c in tokens.continuations]


def harness_split(model: LanguageModel, context: str, continuation: str) -> tuple[list[int], list[int]]:
    """lm-evaluation-harness 0.4, ``lm_eval.api.model.TemplateLM._encode_pair``, word for word but for self."""

    def tok_encode(text: str) -> list[int]:
        return model.tokenizer(text, add_special_tokens=False).input_ids

    n_spaces = len(context) - len(context.rstrip())
    if n_spaces > 0:
        continuation = context[-n_spaces:] + continuation
        context = context[:-n_spaces]
    whole_enc = tok_encode(context + continuation)
    context_enc = tok_encode(context)
    return context_enc, whole_enc[len(context_enc) :]


# -- chat templates ------------------------------------------------------------------------------------------


def test_without_a_system_message_the_templates_default_one_is_left_out(tiny_model: Model) -> None:
    model = tiny_model()
    default = model.tokenizer.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False)
    assert DEFAULT_SYSTEM in default
    context, _ = decoded(model, LogLikelihood("Spam?\n", "Text: hi", (" spam",)))
    assert context == "<|im_start|>user\nSpam?\nText: hi<|im_end|>\n<|im_start|>assistant\n"


def test_a_given_system_message_stands_in_the_templates_place_for_it(tiny_model: Model) -> None:
    context, _ = decoded(tiny_model(), LogLikelihood("Spam?\n", "Text: hi", (" spam",), system="Be brief."))
    assert context == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\nSpam?\nText: hi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_assistants_answer_has_no_leading_space(tiny_model: Model) -> None:
    assert decoded(tiny_model(), LogLikelihood("a", "b", (" spam", "\n ham")))[1] == ["spam", "ham"]


def test_a_template_that_refuses_system_messages_still_works(
    tiny_prepared: Callable[..., Any],
) -> None:
    model = LanguageModel(tiny_prepared(), "on")
    model.tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system here') }}{% endif %}"
        "{% for message in messages %}[{{ message['content'] }}]{% endfor %}>"
    )
    assert decoded(model, LogLikelihood("a", "b", ("c",)))[0] == "[ab]>"


def test_a_template_that_hides_the_users_message_is_refused(tiny_prepared: Callable[..., Any]) -> None:
    model = LanguageModel(tiny_prepared(), "on")
    model.tokenizer.chat_template = "hello"
    with pytest.raises(ModelError, match="expected a chat template that shows the user's message"):
        model.tokenize([LogLikelihood("a", "b", ("c",))])


def test_text_that_looks_like_a_row_of_the_template_is_not_rendered(tiny_model: Model) -> None:
    context, _ = decoded(tiny_model(), LogLikelihood("", "{{ 7*7 }} {% if %}", ("x",)))
    assert "{{ 7*7 }} {% if %}" in context


def test_chat_template_off_leaves_the_text_alone(tiny_model: Model) -> None:
    model = tiny_model("float32", "off")
    assert decoded(model, LogLikelihood("Spam?\n", "Text:", (" ham",))) == ("Spam?\nText:", [" ham"])
    assert decoded(model, LogLikelihood("Spam?\n", "Text:", (" ham",), "Sys"))[0] == "Sys\n\nSpam?\nText:"


def test_chat_template_on_needs_one(tiny_model_folder: Path, tmp_path: Path) -> None:
    for source in tiny_model_folder.iterdir():
        if source.name != "chat_template.jinja":
            (tmp_path / source.name).write_bytes(source.read_bytes())
    prepared = prepare(str(tmp_path), dtype="float32", device="cpu")
    assert not LanguageModel(prepared, "auto").chat
    with pytest.raises(ModelError, match="found none in its tokenizer"):
        LanguageModel(prepared, "on").tokenize([LogLikelihood("a", "b", ("c",))])


# -- splitting -----------------------------------------------------------------------------------------------

PAIRS = [
    ("Label:", " spam"),
    ("Label: ", "spam"),
    ("Label:  ", "spam"),
    ("Label:", " ham"),
    ("Label", ": ham"),
    ("ünï", "cödé"),
]


@pytest.mark.parametrize(("context", "continuation"), PAIRS)
def test_continuations_are_split_as_the_harness_does(context: str, continuation: str, tiny_model: Model) -> None:
    model = tiny_model("float32", "off")
    tokens = model.tokenize([LogLikelihood("Spam?\n", context, (continuation,))])[0]
    theirs = harness_split(model, "Spam?\n" + context, continuation)
    assert (list(tokens.context), list(tokens.continuations[0])) == theirs


def test_a_label_behind_a_trailing_space_is_the_same_token(tiny_model: Model) -> None:
    model = tiny_model("float32", "off")
    spaced, joined = model.tokenize(
        [LogLikelihood("", "Label: ", ("spam",)), LogLikelihood("", "Label:", (" spam",))]
    )
    assert spaced == joined
    assert len(spaced.continuations[0]) == 1


def test_labels_may_have_any_number_of_tokens(tiny_model: Model) -> None:
    tokens = tiny_model("float32", "off").tokenize([LogLikelihood("", "Label:", (" spam", " ham"))])[0]
    assert [len(c) for c in tokens.continuations] == [1, 4]
    assert tokens.tokens == len(tokens.context) + 5


def test_the_shared_prefix_is_the_common_token_prefix(tiny_model: Model) -> None:
    model = tiny_model("float32", "off")
    whole, torn = model.tokenize([LogLikelihood("Spam?\n", "Text", ("x",)), LogLikelihood("Spam?\nTe", "xt", ("x",))])
    assert whole.context == torn.context  # the joined string is the same ...
    assert (
        whole.prefix_length == torn.prefix_length == 6
    )  # ... and "Te" alone is another token than "Text" starts with


def test_requests_are_tokenised_in_order_and_alone_as_in_company(tiny_model: Model) -> None:
    model = tiny_model()
    requests = [LogLikelihood("p" * (i % 3), f"item {i}", (" spam", " ham")) for i in range(9)]
    assert model.tokenize(requests) == [model.tokenize([request])[0] for request in requests]
    assert model.tokenize([]) == []


def test_a_label_that_tokenises_to_nothing_is_refused(tiny_model: Model) -> None:
    for model in (tiny_model("float32", "on"), tiny_model("float32", "off")):
        with pytest.raises(ModelError, match="answer '': expected at least one token, found none"):
            model.tokenize([LogLikelihood("a", "b", (" spam", ""))])


def test_a_label_of_blanks_is_refused_where_the_template_strips_it(tiny_model: Model) -> None:
    with pytest.raises(ModelError, match="answer '  '"):
        tiny_model("float32", "on").tokenize([LogLikelihood("a", "b", ("  ",))])


def test_a_prompt_without_any_token_is_refused(tiny_model: Model) -> None:
    with pytest.raises(ModelError, match="at least one token before the answer"):
        tiny_model("float32", "off").tokenize([LogLikelihood("", "", ("x",))])


def test_a_prompt_that_is_too_long_says_by_how_many_tokens(tiny_model: Model) -> None:
    model = tiny_model("float32", "off")
    fits = LogLikelihood("", "x" * 508, (" spam", " ham"))
    assert model.tokenize([fits])[0].tokens == 508 + 5
    with pytest.raises(
        ContextExceeded, match=r"a prompt of 519 tokens is 7 longer than the context .*\(512 tokens\)"
    ):
        model.tokenize([LogLikelihood("", "x" * 515, (" spam", " ham"))])


def test_a_beginning_of_text_token_stands_in_front_and_only_once(
    tiny_model_folder: Path, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    for source in tiny_model_folder.iterdir():
        if source.name != "chat_template.jinja":
            (tmp_path / source.name).write_bytes(source.read_bytes())
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    bos = tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", bos)]
    )
    tokenizer.save_pretrained(tmp_path)
    model = LanguageModel(prepare(str(tmp_path), dtype="float32", device="cpu"))
    tokens = model.tokenize([LogLikelihood("Spam?\n", "Text:", (" ham",))])[0]
    assert tokens.context[0] == bos
    assert tokens.context.count(bos) == 1
    assert bos not in tokens.continuations[0]
    assert tokens.prefix_length == 7


def test_people_can_read_what_is_scored(tiny_model: Model) -> None:
    pieces = describe_tokens(tiny_model("float32", "off"), LogLikelihood("", "Text:", (" spam", " h")))
    assert pieces == [("Text", False), (":", False), (" spam", True), (" | ", False), (" ", True), ("h", True)]
