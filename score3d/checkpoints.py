"""What a run must know of its teacher's checkpoint before it loads it."""

import torch

from score3d import build
from score3d.config import Config, ConfigError

__all__ = ["check_checkpoint", "instructs"]


def instructs(config: Config, device: torch.device) -> bool:
    """Whether the teacher follows instructions ("make it blue") about a picture it is shown."""
    if build.is_our_twin(config.teacher.name):
        return True
    found = build.find_checkpoint(config, device)
    return found is not None and "instruct" in found.kind.capabilities


def check_checkpoint(config: Config, source: bool = False) -> None:
    """Look at the checkpoint `teacher.name` stands for, if it does, without loading it: is it
    whole, does it make 3D from text, do its views fit. source: whether the run has something to
    edit. Raises ConfigError, TeacherError."""
    device, name = build.build_device(config.run.device), config.teacher.name
    if not source and instructs(config, device):
        raise ConfigError(
            f"teacher {name} edits pictures; generate starts from nothing: take a text-to-image "
            "teacher (`score3d teachers`)"
        )
    found = build.find_checkpoint(config, device)
    if found is None:
        return
    found.check()
    group = found.kind.group
    if config.views.count % group:
        raise ConfigError(
            f"teacher {name} looks at {group} views at once: views.count must be a multiple, not "
            f"{config.views.count}"
        )
    if group > 1 and config.distill.pair_angle:
        raise ConfigError(
            f"distill.pair_angle (loss {config.distill.loss}) pairs single views, and teacher "
            f"{name} looks at {group} at once; choose another --loss or --teacher"
        )
