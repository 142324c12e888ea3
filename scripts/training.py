"""What the training scripts of several networks share: a step, its rate, and resuming.

Each script draws its batches and computes its loss.
"""

import argparse
import json
import math
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from muon import muon_and_adam
from torch import Tensor, nn

__all__ = ["Training", "add_arguments", "processes"]

WARM_UP = 100  # steps
LINES = 50  # steps from one line of the log to the next


def processes() -> tuple[int, int]:
    """This process's number and how many share each step (`torchrun --nproc-per-node N`)."""
    rank, ranks = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if ranks > 1:
        dist.init_process_group("gloo")
    return rank, ranks


def add_arguments(
    parser: argparse.ArgumentParser, steps: int, batch: int, lr: float, decay: float, save: int
) -> None:
    """What every such script is told, with its defaults."""
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--batch", type=int, default=batch, help="samples of a process and step")
    parser.add_argument("--lr", type=float, default=lr)
    parser.add_argument("--decay", type=float, default=decay, help="last share, with falling lr")
    parser.add_argument("--save-every", type=int, default=save)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bfloat16", action="store_true", help="autocast (AVX512-BF16 or AMX)")


def float_attention(attention: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Attention in float32 under autocast: its bfloat16 backward is three times as slow."""

    def attend(query: Tensor, key: Tensor, value: Tensor, *args, **kwargs) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return attention(query.float(), key.float(), value.float(), *args, **kwargs)

    return attend


class Training:
    """`net` is stepped by Muon (`matrices`) and AdamW, `mean` is its average over steps, no more
    than `keep` of it kept by each. Goes on from args.out/last.pt, if there is one.
    Under several processes a step takes the mean of their gradients; `forward` is the network to
    call, within `autocast`. SIGTERM ends it after the step."""

    def __init__(
        self,
        net: nn.Module,
        mean: nn.Module,
        matrices: list[nn.Parameter],
        args: argparse.Namespace,
        keep: float,
    ) -> None:
        # Many gradients of a trained network are so small that a CPU takes much longer over them.
        torch.set_flush_denormal(True)
        self.net, self.mean, self.args, self.keep = net, mean, args, keep
        self.ranks = dist.get_world_size() if dist.is_initialized() else 1
        self.first = self.ranks == 1 or dist.get_rank() == 0
        self.optimizers = muon_and_adam(net, args.lr, matrices)
        self.last, self.step = args.out / "last.pt", 0
        mean.load_state_dict(net.state_dict())
        if self.last.exists():
            state = torch.load(self.last, weights_only=True)
            net.load_state_dict(state["net"])
            mean.load_state_dict(state["ema"])
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
            self.step = state["step"]
        self.forward = nn.parallel.DistributedDataParallel(net) if self.ranks > 1 else net
        self.autocast = torch.autocast("cpu", torch.bfloat16, enabled=args.bfloat16)
        if args.bfloat16:
            functional = nn.functional
            functional.scaled_dot_product_attention = float_attention(
                functional.scaled_dot_product_attention
            )
        self._losses: list[float] = []
        self._clock, self._stop = time.time(), torch.zeros(())
        signal.signal(signal.SIGTERM, lambda *_: self._stop.fill_(1))

    @property
    def rate(self) -> float:
        """Of the step to come: rising, constant, then a cosine to zero, so that the end can be
        moved while running."""
        args, step = self.args, self.step
        lr = args.lr * min(1.0, (step + 1) / WARM_UP)
        decay_from = int(args.steps * (1 - args.decay))
        if step > decay_from:
            lr *= 0.5 + 0.5 * math.cos(math.pi * (step - decay_from) / (args.steps - decay_from))
        return lr

    def learn(self, loss: Tensor) -> dict[str, Any] | None:
        """A step down the gradient of `loss`. Every LINES steps what the log says of them."""
        lr = self.rate
        for optimizer in self.optimizers:
            optimizer.param_groups[0]["lr"] = lr
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        keep = min(self.keep, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            means, now = list(self.mean.parameters()), list(self.net.parameters())
            torch._foreach_lerp_(means, now, 1 - keep)
        self.step += 1
        self._losses.append(loss.item())
        if self.step % LINES:
            return None
        samples = len(self._losses) * self.args.batch * self.ranks
        line = {
            "step": self.step,
            "loss": sum(self._losses) / len(self._losses),
            "lr": lr,
            "views_per_s": samples / (time.time() - self._clock),
        }
        self._losses, self._clock = [], time.time()
        return line

    def log(self, line: dict[str, Any]) -> None:
        """One line of args.out/log.jsonl, printed too."""
        if self.first:
            with (self.args.out / "log.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)

    def finished(self) -> bool:
        """Asked by every process after every step. Once it is true signals end the process again:
        what the script then does has no checkpoint to wait for."""
        stop = self._stop.clone()
        if self.ranks > 1:
            dist.all_reduce(stop)
        done = self.step >= self.args.steps or bool(stop)
        if done:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        return done

    def save(self, **more: Any) -> None:
        """The checkpoint, with what else the script wants to find in it."""
        state = {
            "net": self.net.state_dict(),
            "ema": self.mean.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
            "step": self.step,
            "views": self.step * self.args.batch * self.ranks,
        }
        temporary = self.last.with_suffix(".tmp")
        torch.save(state | more, temporary)
        temporary.replace(self.last)
        self._clock = time.time()
