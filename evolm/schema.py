"""The JSON Schema (draft 2020-12) of campaign.toml, for editors and other programs.

Pydantic writes it from :class:`evolm.named_tables.CampaignFile`; only the kinds of tasks and their metrics are added
here. Names of outside code (``package.module:attribute``) are accepted as such; their keys are not checked.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema

from evolm.config import CampaignConfig
from evolm.named_tables import CampaignFile
from evolm.tasks import KINDS, METRICS

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]


class _Untitled(GenerateJsonSchema):
    """Pydantic's generator without the titles that only repeat a key."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Return False for every key."""
        return False


def campaign_schema() -> Schema:
    """Return the schema of a whole campaign file as JSON values.

    It refuses unknown keys and values of a wrong type, even if the program is lenient (a number written as text).
    The campaign.toml of a run with a scorer function from Python does not fit: its name is unknown to the schema.
    """
    schema = CampaignFile.model_json_schema(schema_generator=_Untitled)
    task = schema["$defs"]["TaskSection"]
    task["properties"]["kind"]["enum"] = list(KINDS)
    task["properties"]["metric"]["enum"] = ["", *METRICS]
    task |= _metrics(task["properties"]["kind"]["default"])
    for key in ("founders", "strategy", "scorers"):
        default = CampaignConfig.model_fields[key].get_default(call_default_factory=True)
        schema["properties"][key]["default"] = default
    return {"$schema": DIALECT, **schema, "title": "campaign.toml of evolm"}


def _metrics(default: str) -> Schema:
    """Return conditions that give each kind of task its own metrics; ``default`` is the kind if none is named."""
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
