"""What pydantic found wrong with a table, as one sentence: the key, what was found, what was expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from evolm.errors import nearest

EXPECTED = {  # type of pydantic's error -> what was expected
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "a table",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller number",
    "int_type": "a whole number",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "at most {le:g}",
    "list_type": "a list",
    "literal_error": "{expected}",
    "model_type": "a table",
    "multiple_of": "a multiple of {multiple_of:g}",
    "string_too_short": "a text that is not empty",
    "string_type": "text in quotes",
    "too_long": "at most {max_length} values",
    "too_short": "at least {min_length} values",
    "tuple_type": "a list",
}


def sentence(model: type[BaseModel], error: ValidationError, values: Mapping[str, Any], where: str) -> str:
    """Return a sentence about the most telling of the errors: an unknown key, else the one that lies deepest.

    Args:
        model: the table's model.
        error: of its validation.
        values: the table.
        where: the place that the sentence names.
    """
    problems = error.errors()
    unknown = [problem for problem in problems if problem["type"] == "extra_forbidden"]
    keys = {id(problem): _keys(problem, values) for problem in problems}
    first = unknown[0] if unknown else problems[0]
    deepest = max((each for each in problems if _top(each) == _top(first)), key=lambda each: len(keys[id(each)]))
    problem = first if unknown else deepest
    path = ".".join(map(str, keys[id(problem)]))
    if not path and problem["type"] == "value_error":  # of keys that do not go together, which it names
        return f"{where}: {problem['ctx']['error']}"
    if problem["type"] == "extra_forbidden":
        known = _known_keys(model, problem["loc"][:-1])
        return f"{where}: unknown key '{path}'{nearest(str(problem['loc'][-1]), known)}"
    if problem["type"] == "missing":
        return f"{where}: '{path}' is required and missing"
    same = [each for each in problems if keys[id(each)] == keys[id(problem)]]
    expected = " or ".join(dict.fromkeys(map(_expected, same)))
    return f"{where}: '{path}' is {problem['input']!r:.80}: expected {expected}"


def _top(problem: ErrorDetails) -> Any:
    return problem["loc"][:1]


def _keys(problem: ErrorDetails, values: Any) -> tuple[Any, ...]:
    """Return where a problem lies without the branches of unions that pydantic puts between the keys."""
    keys = []
    for part in problem["loc"]:
        if isinstance(values, Mapping) and part in values:
            values = values[part]
        elif isinstance(values, Sequence) and not isinstance(values, str) and isinstance(part, int):
            values = values[part] if part < len(values) else None
        elif not (part == problem["loc"][-1] and problem["type"] == "missing"):
            continue
        keys.append(part)
    return tuple(keys)


def _expected(problem: ErrorDetails) -> str:
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"]).removeprefix("expected ")
    known = EXPECTED.get(problem["type"])
    return known.format(**problem.get("ctx", {})) if known else problem["msg"][0].lower() + problem["msg"][1:]


def _known_keys(model: type[BaseModel], path: Sequence[Any]) -> list[str]:
    """Return the keys of the model that ``path`` leads to."""
    current: Any = model
    for part in path:
        fields = getattr(current, "model_fields", {})
        field = next((f for name, f in fields.items() if part in (name, f.alias)), None)
        if field is None:
            continue  # pydantic puts the branch of a union into the path; it is not a key
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())]
        current = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
    return [field.alias or name for name, field in getattr(current, "model_fields", {}).items()]


__all__ = ["sentence"]
