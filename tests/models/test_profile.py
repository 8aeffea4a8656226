"""The numeric profile differs wherever bits may, and is the same wherever they may not."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
import torch

from evolm.models import NumericProfile
from evolm.models import profile as profiles
from evolm.models.profile import INSTRUCTIONS, _instructions, best_dtype, multiplied_dtypes


def test_the_profile_names_the_processor_and_the_instructions_that_decide_bits() -> None:
    record = NumericProfile("bfloat16").to_record()
    assert json.loads(json.dumps(record)) == record
    assert set(record["instructions"].split()) <= set(INSTRUCTIONS)
    assert isinstance(record["chip"], str)
    assert best_dtype("cpu") == multiplied_dtypes("cpu")[0]


@pytest.mark.parametrize(
    ("instructions", "chip", "expected"),
    [
        ("avx512_bf16 amx_tile", "GenuineIntel Xeon", ["bfloat16", "float32"]),
        ("avx512_bf16", "GenuineIntel Xeon", ["float32", "bfloat16"]),
        ("avx512_bf16", "AuthenticAMD EPYC", ["bfloat16", "float32"]),
        ("avx512_vnni", "GenuineIntel Xeon", ["float32"]),
        ("", "", ["float32"]),
    ],
)
def test_the_fastest_dtype_follows_from_the_processor(
    instructions: str, chip: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiles, "_instructions", lambda: instructions)
    monkeypatch.setattr(profiles, "_processor", lambda: chip)
    assert multiplied_dtypes("cpu") == expected


def test_the_digest_is_the_same_here_and_differs_with_every_field() -> None:
    profile = NumericProfile("bfloat16")
    assert profile.digest == NumericProfile("bfloat16").digest
    for each in fields(profile):
        value = getattr(profile, each.name)
        other = {str: "other", int: 7, dict: {"torch": "0"}}[type(value)]
        assert replace(profile, **{each.name: other}).digest != profile.digest, each.name


@pytest.mark.parametrize("asks", INSTRUCTIONS.values())
def test_a_torch_that_lacks_a_question_lacks_its_answer(asks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(_instructions().split())
    monkeypatch.delattr(torch.cpu, asks)
    missing = {name for name, question in INSTRUCTIONS.items() if question == asks}
    assert set(_instructions.__wrapped__().split()) == before - missing
