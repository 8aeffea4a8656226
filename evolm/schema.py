"""The JSON Schema (draft 2020-12) of campaign.toml, for editors and other programs.

Pydantic writes what the sections of :mod:`evolm.config` say by themselves. What depends on names is written here
from the catalogues: the keys of each strategy and scorer, the operators, the metrics of each kind of task. Names of
outside code (``package.module:attribute``) are accepted as such; which keys they take is not looked at.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from evolm.baselines import BASELINES
from evolm.config import CampaignConfig, TaskSection
from evolm.operators import OPERATORS
from evolm.scorers import SCORERS
from evolm.strategies import STRATEGIES
from evolm.tasks import KINDS, METRICS
from evolm.wording import headline

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
OUTSIDE: Final = r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$"  # package.module:attribute

Schema = dict[str, Any]


class _Untitled(GenerateJsonSchema):
    """Pydantic's generator without the titles that only repeat a key."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never."""
        return False


def campaign_schema() -> Schema:
    """Return the schema of a whole campaign file as JSON values.

    It refuses unknown keys and values of a wrong type, also where the program is lenient (a number written as
    text). A scorer that was given from Python under a name of its own has no place in a file, so the resolved
    file of such a run does not fit.
    """
    strategies = {name: strategy.Params for name, strategy in STRATEGIES.items()}
    scorers = {name: scorer.Params for name, scorer in SCORERS.items()}
    sections = dict.fromkeys([CampaignConfig, TaskSection, *strategies.values(), *scorers.values()])
    references, shared = models_json_schema([(s, "validation") for s in sections], schema_generator=_Untitled)
    definitions: Schema = shared["$defs"]

    def reference(section: type[BaseModel]) -> Schema:
        return dict(references[section, "validation"])

    def definition(section: type[BaseModel]) -> Schema:
        return definitions[_target(reference(section))]

    campaign = definition(CampaignConfig)
    properties = campaign["properties"]
    properties["strategy"] |= _strategies({name: definition(params) for name, params in strategies.items()})
    properties["scorers"] |= _scorers({name: reference(params) for name, params in scorers.items()})
    properties["operators"] |= _operators(properties["operators"]["additionalProperties"])
    properties["baselines"] |= _baselines(properties["baselines"]["additionalProperties"])
    task = definition(TaskSection)
    task["properties"]["kind"]["enum"] = list(KINDS)
    task["properties"]["metric"]["enum"] = ["", *METRICS]
    task |= _metrics(task["properties"]["kind"]["default"])
    for key in ("founders", "strategy", "scorers"):
        properties[key]["default"] = CampaignConfig.model_fields[key].get_default(call_default_factory=True)
    whole = {"$schema": DIALECT, **campaign, "title": "campaign.toml of evolm"}
    return whole | {"$defs": _reachable(whole, definitions)}


def _target(reference: Mapping[str, str]) -> str:
    return reference["$ref"].rpartition("/")[2]


def _strategies(params: Mapping[str, Schema]) -> Schema:
    """``[strategy]``: one branch per name with its own keys, and one for outside code."""
    default = CampaignConfig.model_fields["strategy"].get_default(call_default_factory=True)["name"]
    branches = []
    for name, schema in params.items():
        keys = {"name": {"const": name, "type": "string"}, **schema["properties"]}
        required = [*([] if name == default else ["name"]), *schema.get("required", [])]
        about = {"title": name, "description": headline(sys.modules[STRATEGIES[name].__module__].__doc__)}
        branches.append({**schema, **about, "properties": keys, "required": required})
    outside = {
        "title": "package.module:attribute",
        "description": "code outside evolm, admitted with --allow PACKAGE",
        "type": "object",
        "properties": {"name": {"type": "string", "pattern": OUTSIDE}},
        "required": ["name"],
    }
    return {"oneOf": [*branches, outside]}


def _scorers(params: Mapping[str, Schema]) -> Schema:
    """``[scorers]``: a weight, or a table with that scorer's keys; any table for outside code."""
    weight = {"type": "number"}
    return {
        "properties": {
            name: {"description": headline(SCORERS[name].__doc__), "anyOf": [weight, keys]}
            for name, keys in params.items()
        },
        "patternProperties": {OUTSIDE: {"anyOf": [weight, {"type": "object"}]}},
        "additionalProperties": False,
    }


def _operators(value: Schema) -> Schema:
    """``[operators]``: a property per operator, its default weight beside it."""
    return {
        "properties": {
            operator.name: {**value, "minimum": 0, "default": operator.weight, "description": operator.summary}
            for operator in OPERATORS.values()
        },
        "additionalProperties": False,
    }


def _baselines(value: Schema) -> Schema:
    """``[baselines]``: a property per baseline that can be switched, its default beside it."""
    return {
        "properties": {
            name: {**value, "default": baseline.default, "description": baseline.summary}
            for name, baseline in BASELINES.items()
            if baseline.switchable
        },
        "additionalProperties": False,
    }


def _metrics(default: str) -> Schema:
    """Conditions that give each kind of task its own metrics; ``default`` is the kind where none is named."""
    conditions = []
    for name, kind in KINDS.items():
        named: Schema = {"properties": {"kind": {"const": name}}}
        known = ["", *(metric.name for metric in METRICS.values() if kind.form in metric.forms)]
        conditions.append(
            {
                "if": named if name == default else {**named, "required": ["kind"]},
                "then": {"properties": {"metric": {"enum": known}}},
            }
        )
    return {"allOf": conditions}


def _reachable(schema: Schema, definitions: Schema) -> Schema:
    """Return the definitions that ``schema`` refers to, directly or through each other."""
    wanted = _references(schema)
    seen: set[str] = set()
    while wanted - seen:
        name = (wanted - seen).pop()
        seen.add(name)
        wanted |= _references(definitions[name])
    return {name: definition for name, definition in definitions.items() if name in seen}


def _references(value: Any) -> set[str]:
    if isinstance(value, Mapping):
        own = {_target(value)} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(_references, value.values()))
    return set().union(*map(_references, value)) if isinstance(value, list) else set()
