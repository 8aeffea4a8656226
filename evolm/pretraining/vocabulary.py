"""A byte-level byte-pair tokenizer, trained on a corpus with Hugging Face's ``tokenizers``.

Sennrich 2016, "Neural Machine Translation of Rare Words with Subword Units", https://arxiv.org/abs/1508.07909, over
bytes as in GPT-2 (Radford 2019), so that every text has tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from evolm.errors import ConfigError

END = "<|endoftext|>"  # before and after every document


def train_tokenizer(documents: Iterable[str], size: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer of exactly ``size`` tokens.

    Raises:
        ConfigError: if the documents do not hold as many different pairs.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        min_frequency=2,  # a pair that occurs once is no pattern
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    if (found := tokenizer.get_vocab_size()) < size:
        raise ConfigError(f"vocabulary: expected at most {found}, which the corpus supports, found {size}")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END,
        eos_token=END,
        pad_token=END,
        clean_up_tokenization_spaces=False,
    )


def encode(tokenizer: PreTrainedTokenizerFast, documents: Sequence[str]) -> np.ndarray:
    """Return ``(n,)`` int32 tokens of all documents, an end before each and behind the last."""
    end = tokenizer.eos_token_id
    encoded = tokenizer(list(documents), add_special_tokens=False, return_attention_mask=False).input_ids
    return np.array([*(token for ids in encoded for token in (end, *ids)), end], dtype=np.int32)
