r"""How long a check takes at worst: an answer that no mistake explains goes through all of them.

    python -m benchmarks.checks      # the limit that the course sets itself is 2 s a check
"""

import contextlib
import io
import os
import statistics
import time

import torch

from vae_course import checks

REPEATS = 5


def seconds(exercise: checks.Exercise) -> float:
    r"""Median wall time of a check of an answer that is wrong in a way nobody listed."""

    def unexplained(*args):
        answer = exercise.reference(*args)
        return answer * 1.234 + 0.567 if isinstance(answer, torch.Tensor | float) else 123457

    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            checks.check(exercise.name, unexplained)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def main() -> None:
    print(f"median of {REPEATS} checks, {os.cpu_count()} cores, {torch.get_num_threads()} threads")
    for exercise in checks.exercises():
        print(f"{exercise.chapter:02d}  {exercise.name:30s} {1000 * seconds(exercise):7.0f} ms")


if __name__ == "__main__":
    main()
