r"""What two threads cost while another program wants a core: a training step, by how threads wait.

    python -m benchmarks.waiting              # about six minutes; measure on a quiet machine
    python -m benchmarks.waiting --rounds 1

The threads that share an operation meet at its end. By default the first to arrive turns in a
circle until the last is there, which costs nothing as long as each has a core to itself. When
another program takes one (a browser, a second notebook), the thread that turns keeps the core from
the one that is late. GOMP_SPINCOUNT=3000 lets it sleep after 3,000 turns, which costs time where
nobody else wants the core; after 30,000 it costs hardly any. `vae-course` sets the latter.

Each line is measured in a process of its own, in turn with the others: medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

from benchmarks.machine import cores

SETTINGS = {
    "one thread": {"OMP_NUM_THREADS": "1"},
    "two threads, as they come": {"OMP_NUM_THREADS": "2"},
    "two threads, 3,000 turns": {"OMP_NUM_THREADS": "2", "GOMP_SPINCOUNT": "3000"},
    "two threads, 30,000 turns": {"OMP_NUM_THREADS": "2", "GOMP_SPINCOUNT": "30000"},
}
BESIDE = (0, 1)  # programs that never wait, each on a core of its own if it can
SECONDS = 3.0  # of each network in one process; steps stall now and then, so their mean counts


def steps() -> dict[str, float]:
    r"""Milliseconds of one training step of two VAEs and of a small GPT, in this process."""
    import torch
    from torch.nn import functional

    from vae_course import data
    from vae_course.gpt import CharGPT
    from vae_course.models import VAE

    images = data.load_images("mnist-5k").train_images
    dense, conv = VAE.dense(20, hidden=400), VAE.conv(16)
    gpt = CharGPT(65, block_size=64, layers=3, heads=4, width=64)  # that of notebook 08
    text = torch.randint(65, (32, 65))

    def gpt_loss():
        logits = gpt(text[:, :-1])
        return functional.cross_entropy(logits.flatten(0, 1), text[:, 1:].flatten())

    networks = {
        "784-400-20, batch 128": (dense, lambda: sum(dense.elbo_terms(images[:128])).mean()),
        "convolutional, batch 32": (conv, lambda: sum(conv.elbo_terms(images[:32])).mean()),
        "small GPT, 32 windows": (gpt, gpt_loss),
    }
    found = {}
    for name, (model, loss_of) in networks.items():
        optimizer = torch.optim.Adam(model.parameters(), fused=True)
        start, count = time.perf_counter(), -2  # the first two set things up
        while count < 1 or time.perf_counter() - start < SECONDS:
            loss = loss_of()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            count += 1
            if count == 0:
                start = time.perf_counter()
        found[name] = 1e3 * (time.perf_counter() - start) / count
    return found


def alone(setting: dict[str, str]) -> dict[str, float]:
    r"""`steps` in a new process, whose libraries read `setting` when they are loaded."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_", "KMP_"))}
    command = [sys.executable, "-m", "benchmarks.waiting", "--steps"]
    done = subprocess.run(command, env=clean | setting, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--steps", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds starts at 1")
    if options.steps:
        print(json.dumps(steps()))
        return
    found: dict[tuple[str, int, str], list[float]] = {}
    for _ in range(options.rounds):
        for beside in BESIDE:
            busy = [sys.executable, "-c", "while True: pass"]
            others = [subprocess.Popen(busy, start_new_session=True) for _ in range(beside)]
            try:
                for name, setting in SETTINGS.items():
                    for network, milliseconds in alone(setting).items():
                        found.setdefault((network, beside, name), []).append(milliseconds)
            finally:
                for other in others:
                    other.kill()
                    other.wait()
    print(f"milliseconds a training step, median of {options.rounds} rounds, {cores()}")
    print(f"{'beside so many busy programs:':52s}" + "".join(f"{n:9d}" for n in BESIDE))
    for network in dict.fromkeys(key[0] for key in found):
        for name in SETTINGS:
            each = [statistics.median(found[network, beside, name]) for beside in BESIDE]
            print(f"{network:25s} {name:26s}" + "".join(f"{ms:9.1f}" for ms in each))


if __name__ == "__main__":
    main()
