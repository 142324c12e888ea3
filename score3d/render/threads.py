"""Running independent kernel calls on several cores.

Numba's own ``parallel=True`` is not used: its OpenMP layer spins at the end of every region, which
starves whatever else runs on the machine, and its workqueue layer may not be entered from two
Python threads at once, which a viewer beside a training loop does. Kernels release the GIL, so a
plain persistent pool of Python threads is enough, sleeps when idle, and may be entered from
anywhere. Tasks are handed out one at a time; every task owns what it writes, so the order in which
threads take them does not reach the result.
"""

import itertools
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

import torch

Task = Callable[[], None]

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_pool_size = 0


def _forget_pool() -> None:
    """A forked child inherits the pool object but none of its threads."""
    global _pool, _pool_size
    _pool, _pool_size = None, 0


os.register_at_fork(after_in_child=_forget_pool)


def _helpers(size: int) -> ThreadPoolExecutor:
    global _pool, _pool_size
    with _lock:
        if _pool is None or _pool_size < size:
            _pool, _pool_size = ThreadPoolExecutor(size, "score3d-render"), size
        return _pool


def run(tasks: Sequence[Task], threads: int | None = None) -> None:
    """Run every task once on ``threads`` threads (default ``torch.get_num_threads()``).

    The calling thread works too. Returns when all tasks are done; the first exception is raised.
    """
    workers = min(len(tasks), torch.get_num_threads() if threads is None else threads)
    if workers <= 1:
        for task in tasks:
            task()
        return
    turn = itertools.count()  # next() on it is atomic under the GIL

    def work() -> None:
        while (i := next(turn)) < len(tasks):
            tasks[i]()

    futures = [_helpers(workers - 1).submit(work) for _ in range(workers - 1)]
    try:
        work()
    finally:
        wait(futures)
    for future in futures:
        future.result()


def split(total: int, work: float, grain: float, align: int = 1) -> list[tuple[int, int]]:
    """Ranges that cover ``0 .. total`` and start at multiples of ``align``: about four per thread,
    but none with less than ``grain`` of the ``work``, because waking a thread costs as much as a
    small task (milliseconds when the other cores are busy). One range for a single thread."""
    threads = torch.get_num_threads()
    parts = 1 if threads == 1 else max(1, min(4 * threads, int(work / grain)))
    size = -(-total // parts)
    size = max(1, -(-size // align) * align)
    return [(start, min(start + size, total)) for start in range(0, total, size)]
