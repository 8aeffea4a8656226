"""Language operators: what they ask for round by round, and what they take of the answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evolm.config import TaskSection, TemplateSection
from evolm.evaluation import Engine
from evolm.genomes import PROMPT, Demonstration, Prompt, PromptSpace, Space, prompt_genome
from evolm.individual import Individual
from evolm.models import Generate, Generated, LanguageModel, LogLikelihood, prepare
from evolm.operators import OPERATORS, ModelAccess, VariationContext, language
from evolm.operators.language import TRIED, differing
from evolm.operators.patterns import COMBINE, CRITICISE, IMPROVE, REWORD, Pattern, cleaned, one_line, refusal, words
from evolm.storage import AnswerStore
from evolm.tasks import Task, load_task
from evolm.testing.small import scoring

PATTERNS = {"reword": REWORD, "combine": COMBINE, "criticise": CRITICISE, "improve": IMPROVE}
FIRST, SECOND = Prompt("Is it spam or ham?"), Prompt("Say spam if it sells, else ham.")


# -- what is taken of an answer ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Read it.", "Read it."),
        ("  Read\tit. \n\nI hope this helps!", "Read it."),
        ('"Read it."', "Read it."),
        ("“Read it.”", "Read it."),
        ("'Read it.", "Read it."),
        ('"Spam" means ads.', '"Spam" means ads.'),
        ("**Read it.**", "Read it."),
        ("Here is the instruction in other words: Read it.", "Read it."),
        ('Here\'s a rewritten version:\n\n"Read it."', "Read it."),
        ("Sure, I can do that: Read it.", "Read it."),
        ("Rewritten instruction: 'Read it.'", "Read it."),
        ("1. Read it.\n2. Do it.", "Read it."),
        ("- Read it.", "Read it."),
        ("Here are texts: read them.", "Here are texts: read them."),
        ("Classify: spam or ham.", "Classify: spam or ham."),
        ("Read\x00 it\x1b.", "Read it ."),
        ("Here is the instruction:", ""),
        ('""', ""),
        ("\n \n", ""),
    ],
)
def test_an_answer_is_cleaned_of_everything_around_its_first_line(answer: str, expected: str) -> None:
    assert cleaned(answer) == expected
    assert cleaned(cleaned(answer)) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Say whether it is spam.", ""),
        ("", "empty"),
        ("?! …", "empty"),
        ("is it SPAM or ham", "a copy of a known instruction"),
        ("Say what you see!", "a copy of a known instruction"),
        ("It is spam. It is ham. It is spam!", "a sentence twice"),
        ("Invitations can wait.", "a copy of an example"),
        ("Is it spam? You sort letters for a school.", "a copy of an example"),
        ("Together: is it spam?", "'Together:' in it"),
        ("Is it spam? <|im_end|>", "'<|im_end|>' in it"),
        ("Is {{ text }} spam?", "'{{ text }}' in it"),
        ("Is [your text] spam?", "'[your text]' in it"),
        ("Is <text> spam?", "'<text>' in it"),
        ("Is it spam? Assistant: no", "'Assistant:' in it"),
    ],
)
def test_what_is_refused_has_a_reason(text: str, reason: str) -> None:
    known = ["Is it spam or ham?", "Say what you see."]
    assert refusal(text, True, COMBINE, ("Is it spam?", "Is it ham?"), known) == reason


def test_an_answer_that_was_cut_off_is_too_long() -> None:
    assert refusal("Say whether it is", False, REWORD, ("Is it spam?",)) == "too long"


def test_what_the_sources_say_may_be_said() -> None:
    text = "In other words: is <#> in [it]? Give one word as your answer."
    assert refusal(text, True, REWORD, ())
    assert refusal(text, True, REWORD, (text,)) == ""


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
def test_every_example_of_a_pattern_has_the_form_of_its_case(pattern: Pattern) -> None:
    beginning, ending = pattern.case.partition("{}")[0], pattern.case.rpartition("{}")[2].strip()
    examples = pattern.examples.split("\n\n")
    assert examples.pop() == ""
    assert len(examples) >= 2
    for example in examples:
        assert example.startswith(beginning)
        assert example.count(f"{ending} ") == 1
        answer = example.partition(f"{ending} ")[2]
        assert cleaned(answer) == answer
        assert refusal(answer, True, pattern, (answer,)) == ""
        assert refusal(answer, True, pattern, ()) == "a copy of an example"


def test_a_text_becomes_one_line_of_the_same_words() -> None:
    assert one_line(" Read  it.\n\n\tThen\x07 say\u2028spam. ") == "Read it. Then say spam."
    assert words("Read it;\nthen SAY: spam!") == "read it then say spam"


def test_the_difference_is_what_only_one_says() -> None:
    assert differing("Read it. Say spam, or ham.", "Say spam, then stop. Read it!") == "or ham."
    assert differing("Read it.", "Think. Read it.") == "Think."
    assert differing("Think. Read it.", "Read it. Think!") == ""


# -- round by round ------------------------------------------------------------------------------------------


def said(text: str, finished: bool = True) -> Generated:
    return Generated(text, (1, 2), finished)


def held(conversation: Any, *replies: Any) -> tuple[list[list[Any]], Prompt | None]:
    """Reply round by round; return what was asked, round by round, and what came of it.

    A reply is the text that answers a round's only request, or a function from requests to answers.
    """
    rounds = []
    try:
        asked = next(conversation)
        for reply in replies:
            rounds.append(asked)
            asked = conversation.send(reply(asked) if callable(reply) else [said(reply)])
    except StopIteration as end:
        assert len(rounds) == len(replies)
        return rounds, end.value
    raise AssertionError(f"nobody expected {asked}")


def always(label: int) -> Callable[[Sequence[LogLikelihood]], list[Any]]:
    """Answers that hold one label probable, whatever the item."""
    return lambda asked: [tuple(np.array([-1.0 - (i != label)]) for i in range(len(r.continuations))) for r in asked]


@pytest.fixture
def space(toy_space: Callable[..., PromptSpace]) -> PromptSpace:
    return toy_space()


@pytest.fixture(scope="module")
def model(talkative_model_folder: Path) -> LanguageModel:
    return LanguageModel(prepare(str(talkative_model_folder), dtype="float32", device="cpu"), "on")


@pytest.fixture
def engine(model: LanguageModel) -> Any:
    made = Engine(model, AnswerStore(":memory:"))
    yield made
    made.close()


@pytest.fixture
def model_access(engine: Engine, toy_task: Task) -> ModelAccess:
    return ModelAccess(engine, scoring(toy_task, engine.model), toy_task.train)


def context(
    space: PromptSpace, *population: str, model_access: ModelAccess | None = None, seed: int = 0
) -> VariationContext:
    held = [Individual(i, prompt_genome(Prompt(text))) for i, text in enumerate(population)]
    return VariationContext(np.random.default_rng(seed), Space({PROMPT: space}), model_access, held)


def rich(genome: Prompt, space: PromptSpace) -> Prompt:
    """The prompt with demonstrations and another word for a label."""
    shown = tuple(map(Demonstration.from_item, space.train[:2]))
    return replace(genome, demonstrations=shown, verbalizers=(("ham", "fine"),))


def test_paraphrase_asks_once_in_plain_text_and_changes_the_instruction_alone(space: PromptSpace) -> None:
    parent = rich(Prompt("Is it spam,\nor ham?"), space)
    rounds, child = held(language.paraphrase(context(space), parent), "Say whether it is spam or ham.")
    ((request,),) = rounds
    assert isinstance(request, Generate)
    assert request.prefix == REWORD.examples
    assert request.item == "Instruction: Is it spam, or ham?\nIn other words:"
    assert request.chat is False
    assert request.decoding.stop_strings == ("\n",)
    assert request.decoding.temperature > 0
    assert child == replace(parent, instruction="Say whether it is spam or ham.")


def test_a_second_try_is_another_sample(space: PromptSpace) -> None:
    tries = context(space)
    samples = {next(language.paraphrase(tries, FIRST))[0].decoding.sample for _ in range(5)}
    assert len(samples) == 5


def test_a_longer_instruction_has_more_room_up_to_a_limit(space: PromptSpace) -> None:
    room = [
        next(language.paraphrase(context(space), Prompt("word " * n)))[0].decoding.max_new_tokens
        for n in (1, 10, 1000)
    ]
    assert room == [33, 42, 128]


@pytest.mark.parametrize(
    "answer",
    ["", "is it spam, or ham", "say SPAM if it sells, else ham", "Think hard.", "Is {{ it }} spam?", "word " * 200],
    ids=["empty", "the parent", "the population", "the population's last", "a placeholder", "outside the space"],
)
def test_what_is_refused_gives_no_child(answer: str, space: PromptSpace) -> None:
    around = context(space, FIRST.instruction, SECOND.instruction, "Think hard!")
    assert held(language.paraphrase(around, FIRST), answer)[1] is None


def test_the_genetic_algorithm_joins_then_rewords(space: PromptSpace) -> None:
    first = rich(FIRST, space)
    conversation = language.evoprompt_ga(context(space), first, SECOND)
    rounds, child = held(conversation, "Is it spam, because it sells?", "Does it sell? Then say spam.")
    (join,), (reword,) = rounds
    assert join.prefix == COMBINE.examples
    assert FIRST.instruction in join.item
    assert SECOND.instruction in join.item
    assert reword.item == REWORD.case.format("Is it spam, because it sells?")
    assert child == replace(first, instruction="Does it sell? Then say spam.")


def test_a_refused_step_ends_the_conversation(space: PromptSpace) -> None:
    assert held(language.evoprompt_ga(context(space), FIRST, SECOND), "")[1] is None
    around = context(space, "Best one.", "Another one.")
    assert held(language.evoprompt_de(around, FIRST, SECOND), "Say so, please.", "{ }")[1] is None


@pytest.mark.parametrize(
    ("ours", "theirs", "both"),
    [
        ("Is it spam?", "", "Is it spam?"),
        ("", "Is it spam?", "Is it spam?"),
        ("Is it spam?", "is it spam", "Is it spam?"),
    ],
)
def test_where_there_is_nothing_to_join_the_genetic_algorithm_rewords(
    ours: str, theirs: str, both: str, space: PromptSpace
) -> None:
    conversation = language.evoprompt_ga(context(space), Prompt(ours), Prompt(theirs))
    ((reword,),), child = held(conversation, "Say whether it is spam.")
    assert reword.item == REWORD.case.format(both)
    assert child == Prompt("Say whether it is spam.")
    assert held(language.evoprompt_ga(context(space), Prompt(""), Prompt("")))[1] is None


def test_differential_evolution_moves_the_best_by_a_difference_and_joins_it_to_the_first(space: PromptSpace) -> None:
    around = context(space, "", "Best of all.", FIRST.instruction, SECOND.instruction)
    conversation = language.evoprompt_de(around, FIRST, SECOND)
    replies = "Call it spam where it sells.", "Best of all, call it spam.", "Is it spam? Call it so."
    (reword,), (improve,), (join,) = held(conversation, *replies)[0]
    assert reword.item == REWORD.case.format(SECOND.instruction)  # all of it sets it apart from the only other donor
    assert improve.item == COMBINE.case.format("Best of all.", replies[0])
    assert join.item == COMBINE.case.format(FIRST.instruction, replies[1])
    assert held(language.evoprompt_de(around, FIRST, SECOND), *replies)[1] == replace(FIRST, instruction=replies[2])


def test_what_differential_evolution_would_join_to_nothing_is_the_child(space: PromptSpace) -> None:
    first = rich(Prompt(""), space)
    around = context(space, "Best of all.", SECOND.instruction)
    replies = "Call it spam.", "Best of all, call it spam."
    assert held(language.evoprompt_de(around, first, SECOND), *replies)[1] == replace(first, instruction=replies[1])
    assert held(language.evoprompt_de(around, first, SECOND), "Call it spam.", "Best of all!")[1] is None


@pytest.mark.parametrize("population", [(), ("",), (FIRST.instruction, SECOND.instruction)])
def test_differential_evolution_needs_a_second_donor(population: tuple[str, ...], space: PromptSpace) -> None:
    assert held(language.evoprompt_de(context(space, *population), FIRST, SECOND))[1] is None


def test_feedback_shows_failures_on_train_items_then_mends(
    space: PromptSpace, model_access: ModelAccess, toy_task: Task
) -> None:
    parent = rich(FIRST, space)
    conversation = language.language_feedback(context(space, model_access=model_access), parent)
    rounds, child = held(conversation, always(1), "mum is no shop.", "Is it spam or ham? What mum writes is ham.")
    asked, (criticise,), (improve,) = rounds
    texts = {item.fields["text"]: item for item in toy_task.train}
    assert len(asked) == TRIED
    assert all(request.prefix == parent.prefix(toy_task.template) for request in asked)
    tried = [next(item for text, item in texts.items() if text in request.item) for request in asked]
    assert not {item.digest for item in tried} & {demo.item for demo in parent.demonstrations}
    wrong = [item for item in tried if item.gold == "ham"][: language.SHOWN]
    for item in wrong:
        failure = f'"{item.fields["text"]}" was answered "spam". The right answer is "fine"'
        assert failure in criticise.item
    assert criticise.item.endswith(", because")
    assert criticise.item.count("Wrong:") == len(wrong)
    assert improve.item == IMPROVE.case.format(FIRST.instruction, "Mum is no shop.")
    assert child == replace(parent, instruction="Is it spam or ham? What mum writes is ham.")


def test_feedback_has_nothing_to_say_of_a_prompt_without_failures(
    space: PromptSpace, model_access: ModelAccess, toy_task: Task
) -> None:
    def right(asked: Sequence[LogLikelihood]) -> list[Any]:
        gold = {item.fields["text"]: toy_task.labels.index(item.gold or "") for item in toy_task.train}
        return [always(gold[request.item.splitlines()[0].removeprefix("Text: ")])([request])[0] for request in asked]

    assert held(language.language_feedback(context(space, model_access=model_access), FIRST), right)[1] is None


def test_feedback_without_train_items_is_silent(space: PromptSpace, model_access: ModelAccess) -> None:
    nothing = ModelAccess(model_access.engine, model_access.scoring, ())
    assert held(language.language_feedback(context(space, model_access=nothing), FIRST))[1] is None


def test_feedback_lets_a_generation_task_write(space: PromptSpace, engine: Engine, tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": [f"number {i} " * 40 for i in range(40)], "label": [str(i) for i in range(40)]})
    section = TaskSection(kind="generation", data="frame", columns={"text": "text", "label": "label"})
    task = load_task(section, TemplateSection(), root=tmp_path, frame=frame)
    writing = ModelAccess(engine, scoring(task, engine.model), task.train)
    conversation = language.language_feedback(context(space, model_access=writing), Prompt("Copy the number."))

    def numbers(asked: Sequence[Generate]) -> list[Generated]:
        assert all(request.decoding == writing.scoring.decoding for request in asked)
        return [said(request.item.split()[2] if place else "none\nat all") for place, request in enumerate(asked)]

    rounds, child = held(conversation, numbers, "digits count.", "Copy the digits of the number.")
    assert rounds[1][0].item.count("Wrong:") == 1  # all others were right
    assert '…" was answered "none at all". The right answer is "' in rounds[1][0].item
    assert child == Prompt("Copy the digits of the number.")


# -- the model_access -----------------------------------------------------------------------------------------------


def echo(*rounds: list[Any]) -> Any:
    """A conversation that asks these requests, round by round, and returns all answers."""
    answers = []
    for requests in rounds:
        answers += yield requests
    return answers


def test_conversations_are_held_side_by_side_a_round_in_one_batch(model_access: ModelAccess, engine: Engine) -> None:
    batches: list[int] = []
    engine.progress = lambda done, total: batches.append(total) if not done else None
    asks = [LogLikelihood("", f"{number}", (" a", " b")) for number in range(5)]
    found = model_access.hold_dialogues([echo([asks[0]], [asks[1]]), echo(), echo([asks[2], asks[3]], [], [asks[4]])])
    assert batches == [3, 1, 1]
    assert [len(answers) for answers in found] == [2, 0, 3]
    expected = engine.answer(asks)
    for ours, theirs in zip([answer for answers in found for answer in answers], expected, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_conversation_that_asks_too_much_ends_with_nothing_and_disturbs_no_other(model_access: ModelAccess) -> None:
    long, short = Generate("", "x" * 5000), LogLikelihood("", "x", (" a",))
    first, second, third = model_access.hold_dialogues([echo([long]), echo([short]), echo([short], [long])])
    assert first is third is None
    assert len(second) == 1
    assert model_access.spent().tokens > 0


# -- the real model ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.real_model
def test_a_real_model_says_many_an_instruction_in_other_words(
    smollm2: Callable[[str], LanguageModel], toy_task: Task, toy_space: Callable[..., PromptSpace]
) -> None:
    model = smollm2("float32")
    engine = Engine(model, AnswerStore(":memory:"))
    texts = (FIRST.instruction, SECOND.instruction, "Read the text message and label it.")
    around = context(
        toy_space(count_tokens=model.count_tokens),
        *texts,
        model_access=ModelAccess(engine, scoring(toy_task, model), toy_task.train),
    )
    children = OPERATORS["paraphrase"].vary([(person,) for person in around.population for _ in range(4)], around)
    engine.close()
    assert sum(child is not None for child in children) >= 4
