"""Everything that needs a CUDA device, in one command: `python scripts/gpu_check.py`.

Runs the tests marked `gpu`, then generates for 50 steps on the device and prints where the time
of a step went. Exits with 1 if there is no device or anything failed.
"""

import subprocess
import sys

import torch

if __name__ == "__main__":
    if not torch.cuda.is_available():
        sys.exit("no CUDA device: torch.cuda.is_available() is False")
    print(torch.cuda.get_device_name(), torch.__version__, flush=True)
    commands = (
        [sys.executable, "-m", "pytest", "-m", "gpu", "tests"],
        [sys.executable, "-m", "score3d.cli.main", "generate", "a red mushroom", "--device", "cuda",
         "--steps", "50", "--out", "runs/gpu-check", "--overwrite"],
        [sys.executable, "scripts/benchmark_step.py", "--steps", "70", "--set", "run.device=cuda"],
    )  # fmt: skip
    failed = [c for c in commands if subprocess.run(c).returncode != 0]
    for command in failed:
        print("FAILED:", " ".join(command))
    sys.exit(1 if failed else 0)
