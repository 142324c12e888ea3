"""Run folders: where a run writes, its lock, its metrics and its checkpoints."""
