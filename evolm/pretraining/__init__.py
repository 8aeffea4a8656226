"""Models from scratch: a tokenizer and a small Llama, trained on a corpus of the user's."""
