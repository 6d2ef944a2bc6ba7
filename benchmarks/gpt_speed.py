r"""What a GPT costs: characters a second in training and in writing, plain against fast.

    python benchmarks/gpt_speed.py                  # about two minutes on one core
    python benchmarks/gpt_speed.py --threads 2 --seconds 5

Training: attention with a loop over the heads (as notebook 08 writes it), with all heads in one
product (`gpt.attention`), PyTorch's fused `scaled_dot_product_attention` (what CharGPT calls),
and the fused one with bfloat16 matrix products. Writing: the whole window anew for each character
(`CharGPT.generate`), and with a cache of keys and values. All variants compute the same: the
losses, and the two texts' logits, are compared before anything is timed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import contextmanager, nullcontext
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_course import gpt

SIZES = {  # as trained: the published CPU configuration, and the preset "hour"
    "4 layers, 4 heads, width 128, block 64, batch 12": (4, 4, 128, 64, 12),
    "4 layers, 6 heads, width 192, block 128, batch 8": (4, 6, 192, 128, 8),
}
VOCABULARY = 65


def loop_over_heads(query: Tensor, key: Tensor, value: Tensor, **_options) -> Tensor:
    heads = zip(query.unbind(1), key.unbind(1), value.unbind(1), strict=True)  # (B, T, hs) each
    return torch.stack([gpt.attention(*each) for each in heads], dim=1)


def all_heads_at_once(query: Tensor, key: Tensor, value: Tensor, **_options) -> Tensor:
    return gpt.attention(query, key, value)


VARIANTS = {
    "plain, a loop over heads": (loop_over_heads, False),
    "plain, all heads at once": (all_heads_at_once, False),
    "fused attention": (None, False),
    "fused attention, bfloat16": (None, True),
}


@contextmanager
def variant(name: str):
    r"""CharGPT with this attention, and autocast where the variant has it."""
    attention, half = VARIANTS[name]
    replaced = mock.patch.object(F, "scaled_dot_product_attention", attention)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=half)
    with replaced if attention else nullcontext(), autocast:
        yield


def trainings(size: tuple[int, ...], seconds: float) -> dict[str, float]:
    r"""Characters a second of every variant; the variants take turns, the median counts."""
    layers, heads, width, block, batch = size
    torch.manual_seed(0)
    model = gpt.CharGPT(VOCABULARY, block_size=block, layers=layers, heads=heads, width=width)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    window = torch.randint(VOCABULARY, (batch, block + 1))  # (B, T + 1)

    def step(name: str) -> float:
        with variant(name):
            loss = gpt.language_model_loss(model(window[:, :-1]), window[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    losses = {}
    for name, (_, half) in VARIANTS.items():
        with torch.no_grad(), variant(name):
            losses[name] = gpt.language_model_loss(model(window[:, :-1]), window[:, 1:]).item()
        if abs(losses[name] - losses["plain, a loop over heads"]) > (0.02 if half else 1e-4):
            raise SystemExit(f"the variants do not compute the same: {losses}")
    times: dict[str, list[float]] = {name: [] for name in VARIANTS}
    end = time.perf_counter() + seconds * len(VARIANTS)
    while time.perf_counter() < end or len(times[name]) < 4:
        for name in VARIANTS:
            start = time.perf_counter()
            step(name)
            times[name].append(time.perf_counter() - start)
    return {name: batch * block / statistics.median(each[1:]) for name, each in times.items()}


@torch.no_grad()
def cached_logits(model: gpt.CharGPT, tokens: Tensor, cache: list, place: int) -> Tensor:
    r"""Logits after one more character, (B, 1) → (B, V); keys and values of the past are kept.

    Only up to block_size characters: beyond it every position embedding changes, and the cached
    keys with them.
    """
    x = model.token_embedding(tokens) + model.position_embedding.weight[place]  # (B, 1, C)
    for number, block in enumerate(model.blocks):
        query, key, value = block.attention.split_heads(block.norm_1(x))  # (B, nh, 1, hs) each
        if place:
            past = cache[number]
            key, value = (torch.cat(pair, 2) for pair in zip(past, (key, value), strict=True))
        cache[number] = (key, value)  # (B, nh, place + 1, hs)
        mixed = F.scaled_dot_product_attention(query, key, value)  # all of it is past: no mask
        x = x + block.attention.project(mixed.transpose(1, 2).flatten(2))
        x = x + block.feed_forward(block.norm_2(x))
    return model.to_logits(model.norm(x))[:, -1]  # (B, V)


@torch.no_grad()
def write_with_cache(model: gpt.CharGPT, tokens: Tensor, count: int, generator) -> Tensor:
    cache: list = [None] * len(model.blocks)
    for place in range(tokens.shape[1]):
        logits = cached_logits(model, tokens[:, place : place + 1], cache, place)
    for _ in range(count):
        following = gpt.sample_next(logits, 1.0, generator)[:, None]  # (B, 1)
        tokens = torch.cat([tokens, following], dim=1)
        if tokens.shape[1] < model.block_size:
            logits = cached_logits(model, following, cache, tokens.shape[1] - 1)
    return tokens


def writings(size: tuple[int, ...]) -> dict[str, float]:
    r"""Characters a second, from one character up to a full window of 256."""
    layers, heads, width, _, _ = size
    torch.manual_seed(0)
    model = gpt.CharGPT(VOCABULARY, block_size=256, layers=layers, heads=heads, width=width).eval()
    start, texts, speed = torch.zeros(1, 1, dtype=torch.long), {}, {}
    ways = {
        "whole window anew": lambda g: model.generate(start, 255, generator=g),
        "key–value cache": lambda g: write_with_cache(model, start, 255, g),
    }
    for name, way in ways.items():
        times = []
        for _ in range(3):
            begin = time.perf_counter()
            texts[name] = way(torch.Generator().manual_seed(0))
            times.append(time.perf_counter() - begin)
        speed[name] = 255 / statistics.median(times)
    cache: list = [None] * layers
    text = texts["whole window anew"]
    last = [cached_logits(model, text[:, p : p + 1], cache, p) for p in range(256)][-1]
    with torch.no_grad():
        torch.testing.assert_close(last, model(text)[:, -1], rtol=1e-3, atol=1e-4)
    return speed


def table(title: str, speed: dict[str, float]) -> None:
    slowest = next(iter(speed.values()))
    print(f"\n{title}")
    for name, value in speed.items():
        print(f"  {name:28s} {value:9,.0f} characters / s   × {value / slowest:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0, help="per variant and size")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {arguments.threads} thread(s)")
    for name, size in SIZES.items():
        table(f"Training, {name}", trainings(size, arguments.seconds))
    for name, size in SIZES.items():
        table(f"Writing 255 characters, {name.split(', block')[0]}, block 256", writings(size))


if __name__ == "__main__":
    main()
