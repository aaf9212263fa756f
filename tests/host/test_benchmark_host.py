"""scripts/benchmark_host.py runs in the real host and prints what it promises."""

import os
import re
import subprocess
import sys

from environment import PACK, Environment


def test_it_measures_two_streams_beside_the_host_alone(environment: Environment):
    small = ["--model", "ltxv", "--views", "2", "--times", "3", "--rounds", "1", "--steps", "1"]
    command = [sys.executable, str(PACK / "scripts" / "benchmark_host.py"), *small]
    variables = {**os.environ, "COMFYUI_PATH": str(environment.comfyui), "CUDA_VISIBLE_DEVICES": ""}
    answer = subprocess.run(command, capture_output=True, text=True, env=variables, timeout=600)
    assert answer.returncode == 0, answer.stderr
    lines = answer.stdout.splitlines()
    assert lines[0] == "ltxv, torch.float32, cpu, 2 views x 3 times, 64 tokens per frame"
    assert re.fullmatch(r"host +\d+\.\d{3} s per step +1\.00 of ComfyUI alone ?", lines[1])
    assert [line.split()[0] for line in lines[1:]] == ["host", "hard", "sequential"]
