"""What a model's folder must hold: float weights of a whole causal language model, in safetensors, and its settings.

Everything is read from the files themselves, before transformers sees the folder: it would apply an adapter that lies
beside a model, or ask for a package that unpacks quantised weights.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import transformers
from safetensors import SafetensorError, safe_open
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from evolm.errors import ModelError, nearest

CONFIG = "config.json"
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
# Files that decide a text's tokens: of fast tokenizers, of slow ones that are converted, and chat templates.
TOKENIZER_FILES = (
    "tokenizer.json",
    "chat_template.jinja",
    "additional_chat_templates/*.jinja",
    "chat_template.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tekken.json",
    "*.model",
)
_LAYERS = re.compile(r"^(?!max_).*((^|_)(n_?)?layers?$|num_layers|n_layer)")  # max_window_layers builds none
MOST_EXPERTS = 4096
SAFETENSORS_NAMES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
# Ends of transformers' names of models whose head does not predict the next token.
OTHER_HEADS = re.compile(
    r"For(MaskedLM|SequenceClassification|TokenClassification|QuestionAnswering|MultipleChoice|PreTraining|"
    r"NextSentencePrediction)$"
)


def model_files(folder: Path) -> list[Path]:
    """Return all files of a model's folder that decide its answers, in a fixed order.

    Raises:
        ModelError: if the folder does not hold a whole causal language model.
    """
    adapters = [name for name in ADAPTER_FILES if (folder / name).exists()]
    config = folder / CONFIG
    if adapters and not config.exists():
        raise ModelError(
            f"model {str(folder)!r}: expected a whole model, found an adapter ({adapters[0]}); merge it into its "
            "model first (PEFT's merge_and_unload, or evolm export --to merged)"
        )
    if adapters:
        raise ModelError(
            f"model {str(folder)!r}: expected a model alone, found an adapter beside it ({adapters[0]}); move the "
            "adapter to another folder, or merge it into the model"
        )
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        others = sorted(
            path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.gguf") for path in folder.glob(pattern)
        )
        ignored = f" ({others[0]} is not loaded)" if others else ""
        raise ModelError(f"model {str(folder)!r}: expected .safetensors files, found none{ignored}")
    if not config.exists():
        raise ModelError(f"model {str(folder)!r}: expected {CONFIG}, found none")
    found = _read_config(config)
    _check_config(folder, found)
    _check_counts(folder, found, len(_shapes(folder)))
    tokenizer = [path for pattern in TOKENIZER_FILES for path in sorted(folder.glob(pattern))]
    return [config, *tokenizer, *weights]


def stored_dtype(folder: Path) -> str:
    """Return the dtype of the stored weights, ``"mixed"`` if there are several, ``"other"`` if it is unknown.

    Raises:
        ModelError: if a file of weights is damaged.
    """
    kinds = {dtype for dtype, _ in _shapes(folder)}
    return SAFETENSORS_NAMES.get(kinds.pop(), "other") if len(kinds) == 1 else "mixed"


def stored_numbers(folder: Path) -> int:
    """Return how many numbers the stored weights hold; errors as for :func:`stored_dtype`."""
    return sum(math.prod(shape) for _, shape in _shapes(folder))


def _shapes(folder: Path) -> list[tuple[str, tuple[int, ...]]]:
    """Return dtype and shape of every tensor in a folder's files."""
    found = []
    for path in folder.glob("*.safetensors"):
        try:
            with safe_open(path, framework="pt") as tensors:
                slices = [tensors.get_slice(key) for key in tensors.keys()]  # noqa: SIM118
                found += [(each.get_dtype(), tuple(each.get_shape())) for each in slices]
        except (OSError, SafetensorError) as error:
            raise ModelError(f"model file {str(path)!r}: expected safetensors: {error}") from None
    return found


def is_whole(folder: Path) -> bool:
    """Return whether a folder holds settings and undamaged weights."""
    try:
        return (folder / CONFIG).exists() and any(folder.glob("*.safetensors")) and bool(stored_dtype(folder))
    except ModelError:
        return False


def _read_config(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"model {str(path.parent)!r}: its {path.name} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise ModelError(f"model {str(path.parent)!r}: its {path.name} cannot be read: expected an object")
    return found


def _check_counts(folder: Path, config: Any, tensors: int, where: str = "") -> None:
    """Refuse settings with more layers than tensors, or too many experts: each is an object, with weights or not.

    Code from elsewhere is refused too: transformers may download a kernel that ``attn_implementation`` names.
    """
    for key, value in config.items() if isinstance(config, dict) else ():
        name = f"{where}{key}"
        most = tensors if _LAYERS.search(key) else MOST_EXPERTS if "expert" in key else None
        if most is not None and isinstance(value, int | float) and value > most:
            raise ModelError(
                f"model {str(folder)!r}: expected a {name} of at most {most} in its {CONFIG}, found {value:g}"
            )
        if key.endswith("_implementation") and isinstance(value, str) and "/" in value:
            raise ModelError(
                f"model {str(folder)!r}: expected no code from elsewhere in its {CONFIG}, found {name} = {value!r}"
            )
        if isinstance(value, dict):
            _check_counts(folder, value, tensors, f"{name}.")


def _check_config(folder: Path, config: dict[str, Any]) -> None:
    kind, named = config.get("model_type"), config.get("architectures")
    architectures = [str(name) for name in named] if isinstance(named, list) else []
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING_NAMES:
        raise ModelError(
            f"model {str(folder)!r}: expected a model_type that transformers {transformers.__version__} knows in its "
            f"{CONFIG}, found {repr(kind) + nearest(str(kind), CONFIG_MAPPING_NAMES) if kind else 'none'}"
        )
    heads = [name for name in architectures if OTHER_HEADS.search(name)]
    if config.get("is_encoder_decoder") or kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or heads:
        found = (heads or architectures or [kind])[0]
        raise ModelError(
            f"model {str(folder)!r}: expected a causal language model, which predicts the next token, found {found!r}"
        )
    quantised = config.get("quantization_config")
    if quantised:
        method = quantised.get("quant_method") if isinstance(quantised, dict) else None
        raise ModelError(
            f"model {str(folder)!r}: expected weights of a float type, found quantised ones "
            f"({method or 'of an unknown method'}); name the unquantised model, or a .gguf file of it"
        )
