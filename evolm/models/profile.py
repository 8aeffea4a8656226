"""The numeric profile: everything besides model and request that decides the bits of an answer.

In bfloat16 a logit changes by 0.25 to 0.8 if the shape of a matrix product, the cut of a prefix or the number of
threads changes. The profile fixes these once per run; it is stored in the run and is part of every cache key.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers

from evolm.errors import ModelError

ARITHMETIC = 4  # raised whenever evolm's own forward pass changes a bit


def _versions() -> dict[str, str]:
    return {
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
        "arithmetic": str(ARITHMETIC),
    }


# torch's functions that report instruction sets, which decide the bfloat16 kernels; some versions lack some of them.
INSTRUCTIONS = {
    "avx512_bf16": "_is_avx512_bf16_supported",
    "avx512_vnni": "_is_vnni_supported",
    "amx_tile": "_is_amx_tile_supported",
    "amx_fp16": "_is_amx_fp16_supported",
}


@cache
def _instructions() -> str:
    """Return the instruction sets that torch finds beyond the processor's capability level, separated by spaces."""
    return " ".join(name for name, asks in INSTRUCTIONS.items() if getattr(torch.cpu, asks, bool)())


# Environment variables that choose other kernels than the processor would get.
KERNEL_CHOICES = (
    "MKL_CBWR",
    "MKL_DEBUG_CPU_TYPE",
    "MKL_ENABLE_INSTRUCTIONS",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_DEFAULT_FPMATH_MODE",
    "NVIDIA_TF32_OVERRIDE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)


def _environment() -> dict[str, str]:
    return {name: value for name in KERNEL_CHOICES if (value := os.environ.get(name))}


@cache
def _processor() -> str:
    """Return vendor and name of the processor as the system reports them, or ``""``."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in reversed(lines))}
    found = [fields[key] for key in ("vendor_id", "model name") if fields.get(key)]
    return " ".join(found) or platform.processor()


@cache
def _chip(device: str) -> str:
    """Return the name of the processor, or the GPU's name and compute capability."""
    if device != "cuda":
        return _processor()
    if not torch.cuda.is_available():
        return ""
    return f"{torch.cuda.get_device_name()} {'.'.join(map(str, torch.cuda.get_device_capability()))}"


@dataclass(frozen=True)
class NumericProfile:
    """Canonical shapes and environment of all arithmetic.

    Attributes:
        dtype: ``"float32"`` or ``"bfloat16"``.
        device: torch's name of the device type.
        slab_tokens: tokens in each pass of the linear layers.
        block_tokens: longest segment; prefixes and items are cut at its multiples from their start.
        head_rows: scored positions in each pass of the output head.
        decode_rows: texts in each decode pass, which adds one token to each.
        delta_columns: columns of a block of low-rank factors, which several deltas share.
        threads: torch threads of every computing process.
        cpu: torch's name of the processor's capability level; it does not tell AMX.
        versions: of the libraries, and of evolm's own arithmetic.
        instructions: instruction sets beyond ``cpu`` that torch finds.
        chip: vendor and name of the processor or GPU; ``""`` if the system reports none.
        environment: environment variables that choose kernels, as far as they are set.
    """

    dtype: str
    device: str = "cpu"
    slab_tokens: int = 512
    block_tokens: int = 64
    head_rows: int = 32
    decode_rows: int = 64
    delta_columns: int = 32
    threads: int = 1
    cpu: str = field(default_factory=torch.backends.cpu.get_cpu_capability)
    versions: dict[str, str] = field(default_factory=_versions)
    instructions: str = field(default_factory=_instructions)
    chip: str = ""
    environment: dict[str, str] = field(default_factory=_environment)

    def __post_init__(self) -> None:
        if not self.chip:
            object.__setattr__(self, "chip", _chip(self.device))

    def to_record(self) -> dict[str, Any]:
        """Return plain JSON values; an empty environment is left out."""
        record = asdict(self)
        if not record["environment"]:
            del record["environment"]
        return record

    @property
    def text(self) -> str:
        """The record as JSON."""
        return json.dumps(self.to_record(), sort_keys=True)

    @property
    def digest(self) -> str:
        """16 hexadecimal digits; answers of two profiles with the same digest have the same bits."""
        return digest_of(self.text)


def digest_of(text: str) -> str:
    """Return the digest of a profile that is given as JSON."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differences(expected: str, found: str) -> str:
    """Return what differs between two profiles that are given as JSON, such as ``"cpu 'AVX2', found 'AVX512'"``."""
    before, now = json.loads(expected), json.loads(found)
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return "; ".join(f"{name} {before.get(name)!r}, found {now.get(name)!r}" for name in names)


def multiplied_dtypes(device: str) -> list[str]:
    """Return the dtypes that the hardware multiplies, the one that is expected to be faster first.

    Without AMX, Intel's cores issue as many products of bfloat16 as of float32, and their kernels are slower, so
    float32 is first there; ``evolm tune`` measures both.
    """
    if device.startswith("cuda"):
        return ["bfloat16", "float32"] if torch.cuda.is_bf16_supported() else ["float32"]
    found = set(_instructions().split())
    if "amx_tile" in found:
        return ["bfloat16", "float32"]
    if "avx512_bf16" not in found:
        return ["float32"]
    return ["float32", "bfloat16"] if _processor().startswith("GenuineIntel") else ["bfloat16", "float32"]


def best_dtype(device: str) -> str:
    """Return the dtype that the hardware is expected to multiply fastest."""
    return multiplied_dtypes(device)[0]


def known_device(name: str) -> str:
    """Return the name of a device of this machine.

    Raises:
        ModelError: if torch knows no such device, or the machine has none.
    """
    try:
        torch.empty(1, device=torch.device(name)).item()  # only this shows that a driver answers
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise ModelError(
            f"model.device: expected 'auto', 'cpu' or a device of this machine, found {name!r}: {reason}"
        ) from None
    return name


def best_device() -> str:
    """Return ``"cuda"`` if it is available, else ``"cpu"``."""
    return "cuda" if torch.cuda.is_available() else "cpu"
