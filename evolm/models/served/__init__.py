"""Models behind an OpenAI-compatible server: prompts are sent as text, log-probabilities and texts come back."""
