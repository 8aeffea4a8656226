"""Export: predictions and scores with a saved prompt; prompts, adapters, merged models and populations as folders."""
