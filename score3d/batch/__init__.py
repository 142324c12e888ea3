"""Many prompts: one run folder each, whatever becomes of the others."""
