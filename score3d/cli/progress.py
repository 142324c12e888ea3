"""Progress on a terminal: phase, step, speed, time left, Gaussians, gradient norm."""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

if TYPE_CHECKING:
    from score3d.loop import StepInfo

__all__ = ["Progress"]


class Progress:
    """One line that keeps itself current on a terminal; a plain line per phase and every 50
    steps where there is none (a log file)."""

    def __init__(self, steps: int, silent: bool, unit: str = "Gaussians") -> None:
        """unit: what the scene is made of."""
        self.steps, self.silent, self.unit = steps, silent, unit
        self.console = Console(stderr=True)
        self.live = Live(console=self.console, refresh_per_second=4, transient=True)
        self._first: tuple[int, float] | None = None
        self._name = ""

    def __enter__(self) -> Self:
        if not self.silent and self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.live.stop()

    def phase(self, name: str, note: str = "") -> None:
        """A new phase."""
        self._name = name
        self._show(f"{name} {note}".strip(), always=True)

    def step(self, info: "StepInfo") -> None:
        """One more step is done."""
        now = time.monotonic()
        if self._first is None:
            self._first = (info.step, now)
            return
        done, seconds = info.step - self._first[0], now - self._first[1]
        rate = done / max(seconds, 1e-9)
        left = (self.steps - info.step - 1) / max(rate, 1e-9)
        line = f"{self._name} {info.step + 1}/{self.steps}  {rate:.1f} it/s"
        if done >= 5:  # the first steps are slower and would frighten people
            line += f"  {int(left // 60)}:{int(left % 60):02d} left"
        line += f"  {info.primitives} {self.unit}  |g| {info.grad_norm:.2f}"
        if info.skipped:
            line += f"  skipped: {info.skipped} not finite"
        self._show(line, always=(info.step + 1) % 50 == 0 or bool(info.skipped))

    def _show(self, line: str, always: bool) -> None:
        if self.silent:
            return
        if self.live.is_started:
            self.live.update(Text(line))
        elif always:
            self.console.print(line, highlight=False, markup=False)
