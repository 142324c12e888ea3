"""A teacher's answer with gradients: for what is trained on top of its network.

`Teacher.eps` promises no graph. A student that shares the network (VSD's LoRA) needs one, and
must convert the network's output to noise in exactly the teacher's way: so it calls the
teacher's own method without its `torch.no_grad`.
"""

import inspect

from torch import Tensor

from score3d.teachers.base import Teacher

__all__ = ["differentiable_eps"]


def differentiable_eps(teacher: Teacher, z_t: Tensor, t: Tensor, emb: Tensor) -> Tensor:
    """As `teacher.eps`, on the graph of whatever parameters of its network require gradients."""
    return inspect.unwrap(type(teacher).eps)(teacher, z_t, t, emb)
