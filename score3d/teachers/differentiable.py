"""A teacher's answer with gradients: for what is trained on top of its network.

`Teacher.eps` promises no graph. A student that shares the network (VSD's LoRA) needs one, and
must convert the network's output to noise in exactly the teacher's way: so it calls the
teacher's own method without its `torch.no_grad`, below whatever arranges the rows for it.
"""

import inspect
from typing import Any

from torch import Tensor

from score3d.teachers.base import Teacher

__all__ = ["differentiable_eps"]


class _WithGraph:
    """`teacher`, whose `eps` keeps the graph."""

    def __init__(self, teacher: Any) -> None:
        self.teacher = teacher

    def __getattr__(self, name: str) -> Any:
        return getattr(self.teacher, name)

    def eps(self, z_t: Tensor, t: Tensor, emb: Tensor, *more: Tensor | None) -> Tensor:
        return inspect.unwrap(type(self.teacher).eps)(self.teacher, z_t, t, emb, *more)


def differentiable_eps(
    teacher: Teacher, z_t: Tensor, t: Tensor, emb: Tensor, samples: int = 1
) -> Tensor:
    """As `teacher.eps`, on the graph of whatever parameters of its network require gradients.

    samples: noises per view, side by side, for a teacher that arranges views (`GridTeacher`).
    """
    inner = getattr(teacher, "teacher", None)
    if inner is None:
        return _WithGraph(teacher).eps(z_t, t, emb)
    arranged = object.__new__(type(teacher))
    vars(arranged).update(vars(teacher) | {"teacher": _WithGraph(inner), "samples": samples})
    return arranged.eps(z_t, t, emb)
