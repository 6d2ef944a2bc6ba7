r"""A character-level GPT in one flat file: tokenizer, windows, attention, blocks, sampling.

Shapes stand beside each line: B sequences, T positions, C channels (the width), nh heads of
hs = C / nh channels, V characters. The model returns logits; losses are nats per character.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from vae_course import require


class CharTokenizer:
    r"""Characters to integers and back: token i is the i-th of the sorted distinct characters.

    Raises: ValueError from `encode` on a character that `text` did not hold, and from `decode`
        on a number that is no token.
    """

    def __init__(self, text: Iterable[str]):
        self.characters = "".join(sorted(set(require.text(text))))
        self._token = {character: token for token, character in enumerate(self.characters)}

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> Tensor:
        r"""A text of T characters → (T,) int64."""
        text = require.text(text)
        try:
            return torch.tensor([self._token[character] for character in text], dtype=torch.long)
        except KeyError as unknown:
            character = unknown.args[0]
            raise ValueError(
                f"the character {character!r} at {text.index(character)} is not among the "
                f"{len(self)} known: {self.characters!r}; leave it out or replace it"
            ) from None

    def decode(self, tokens: Tensor | Iterable[int]) -> str:
        r"""(T,) integers → a text of T characters."""
        return "".join(self.characters[n] for n in require.token_list(tokens, len(self)))


def split(tokens: Tensor, *, fraction: float = 0.9) -> tuple[Tensor, Tensor]:
    r"""The first part for training, the rest for validation: text is not shuffled, it is cut."""
    require.number(fraction=fraction, least=0, most=1)
    cut = int(fraction * len(tokens))
    return tokens[:cut], tokens[cut:]


def random_windows(
    tokens: Tensor, length: int, count: int, *, generator: Generator | None = None
) -> tuple[Tensor, Tensor]:
    r"""Windows from random places of a text, and the same windows one character later.

    Shapes: tokens (N,) → context (count, length), targets (count, length)
    Raises: ValueError if the text is too short, or is no single row of tokens.
    """
    require.integers(tokens=tokens, dims=1)
    require.count(length=length, count=count)
    if len(tokens) <= length:
        raise ValueError(
            f"{len(tokens)} tokens hold no window of {length} and a target: give more text"
        )
    starts = torch.randint(len(tokens) - length, (count, 1), generator=generator)  # (B, 1)
    places = starts + torch.arange(length + 1)  # (B, T + 1)
    window = tokens[places.to(tokens.device)]  # (B, T + 1)
    return window[:, :-1], window[:, 1:]  # position t is to predict what stands at t + 1


def language_model_loss(logits: Tensor, targets: Tensor) -> Tensor:
    r"""Mean negative log-probability of the characters that came, in nats per character.

    Shapes: logits (B, T, V), targets (B, T) → ()
    Raises: ValueError if the shapes do not fit, or a target is not among the V characters.
    """
    require.targets(targets, logits=logits)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def causal_mask(length: int, *, device: torch.device | None = None) -> Tensor:
    r"""Who may look where: (T, T) bool, True at [t, s] where s ≤ t, the present and the past."""
    require.count(length=length, least=0)
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()


def attention_weights(query: Tensor, key: Tensor) -> Tensor:
    r"""softmax(query · keyᵀ / √hs) over the past: row t says where position t looks.

    Shapes: query, key (…, T, hs) → (…, T, T), rows sum to 1, zero above the diagonal
    Raises: ValueError if the shapes differ.
    """
    require.heads(query=query, key=key)
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])  # (…, T, T)
    mask = causal_mask(query.shape[-2], device=query.device)  # (T, T)
    return scores.masked_fill(~mask, -math.inf).softmax(dim=-1)  # (…, T, T)


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    r"""Causal scaled dot-product attention, as it is written on paper.

    Shapes: query, key, value (…, T, hs) → (…, T, hs)
    Source: Vaswani et al. 2017, equation 1, with the decoder's mask.
    """
    require.heads(query=query, key=key, value=value)
    return attention_weights(query, key) @ value  # (…, T, T) @ (…, T, hs)


class CausalSelfAttention(nn.Module):
    r"""nh heads side by side, each with its own queries, keys and values: (B, T, C) → (B, T, C).

    `forward` calls PyTorch's fused kernel; `attention` above gives the same numbers (tested).
    Raises: ValueError if the width can't be shared out among the heads.
    """

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        require.count(width=width, heads=heads)
        require.number(dropout=dropout, least=0, most=1)
        if width % heads:
            raise ValueError(f"width {width} can't be shared out evenly among {heads} heads")
        self.heads, self.dropout = heads, dropout
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.project = nn.Linear(width, width, bias=False)

    def split_heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        r"""Queries, keys and values of every head: (B, T, C) → three of (B, nh, T, hs)."""
        require.shape(("B", "T", self.project.in_features), x=x)
        parts = self.query_key_value(x).chunk(3, dim=-1)  # three of (B, T, C)
        return tuple(part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)

    def forward(self, x: Tensor, kept: list[Tensor] | None = None) -> Tensor:
        r"""kept: empty at first; takes the keys and values, to be looked at by what comes next."""
        query, key, value = self.split_heads(x)  # (B, nh, T, hs) each
        if kept:
            key, value = (torch.cat(pair, dim=2) for pair in zip(kept, (key, value), strict=True))
        if kept is not None:
            kept[:] = key, value
        length, whole = query.shape[2], key.shape[2]  # T new positions of so many
        mask = None if length == whole else causal_mask(whole, device=x.device)[-length:]
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=mask is None
        )
        mixed = mixed.transpose(1, 2).flatten(2)  # (B, nh, T, hs) → (B, T, C)
        return F.dropout(self.project(mixed), self.dropout, self.training)


class Block(nn.Module):
    r"""Look around (attention), then think (feed-forward), each as an addition to the stream.

    The norms stand before each part, as in GPT-2: the residual stream itself is never squeezed.
    """

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        require.count(width=width)
        self.norm_1 = nn.LayerNorm(width)
        self.attention = CausalSelfAttention(width, heads, dropout)
        self.norm_2 = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, 4 * width),  # (B, T, 4C)
            nn.GELU(),
            nn.Linear(4 * width, width),  # (B, T, C)
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor, kept: list[Tensor] | None = None) -> Tensor:
        require.shape(("B", "T", self.norm_1.normalized_shape[0]), x=x)
        x = x + self.attention(self.norm_1(x), kept)  # (B, T, C)
        return x + self.feed_forward(self.norm_2(x))  # (B, T, C)


class CharGPT(nn.Module):
    r"""A decoder-only transformer: (B, T) tokens → (B, T, V) logits of each next character.

    block_size: the longest context, in characters; the model has no position beyond it
    Raises: ValueError if the width can't be shared out among the heads, or T > block_size.
    """

    def __init__(
        self, vocabulary: int, *, block_size: int = 64,
        layers: int = 4, heads: int = 4, width: int = 128, dropout: float = 0.0,
    ):  # fmt: skip
        super().__init__()
        require.count(vocabulary=vocabulary, block_size=block_size, layers=layers, width=width)
        self.block_size = block_size
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.position_embedding = nn.Embedding(block_size, width)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.to_logits = nn.Linear(width, vocabulary)
        self._init_weights(layers)

    def _init_weights(self, layers: int) -> None:
        # Small weights: the loss starts near log V. Each block adds twice to the stream; the
        # division keeps the stream's size the same at any depth.
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.dim() == 2:
                adds = name.endswith(("project.weight", "feed_forward.2.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers if adds else 1))

    def embed(self, tokens: Tensor, first: int = 0) -> Tensor:
        r"""What and where: (B, T) → (B, T, C). first: the place of the first of them."""
        require.tokens(tokens, self.token_embedding.num_embeddings)
        end = first + tokens.shape[-1]
        if end > self.block_size:
            raise ValueError(
                f"{end} tokens came, the model looks at {self.block_size} at most: "
                "crop them, tokens[:, -model.block_size:]"
            )
        place = torch.arange(first, end, device=tokens.device)  # (T,)
        return self.token_embedding(tokens) + self.position_embedding(place)  # (B, T, C)

    def forward(self, tokens: Tensor, memory: list[list[Tensor]] | None = None) -> Tensor:
        r"""memory: a list for each block, empty at first, in which its keys and values are kept.

        With it, tokens that follow those of an earlier call come alone: the past is not computed
        again.
        """
        memory = memory or [None] * len(self.blocks)
        past = memory[0][0].shape[2] if memory[0] else 0
        x = self.embed(tokens, past)  # (B, T, C)
        for block, kept in zip(self.blocks, memory, strict=True):
            x = block(x, kept)  # (B, T, C)
        return self.to_logits(self.norm(x))  # (B, T, V)

    @torch.no_grad()
    def attention_maps(self, tokens: Tensor) -> list[Tensor]:
        r"""Where every head of every layer looks: a list of (B, nh, T, T), one a layer."""
        x, maps = self.embed(tokens), []
        for block in self.blocks:
            query, key, _ = block.attention.split_heads(block.norm_1(x))
            maps.append(attention_weights(query, key))
            x = block(x)
        return maps

    @torch.no_grad()
    def generate(
        self, tokens: Tensor, count: int, *,
        temperature: float = 1.0, top_k: int | None = None, generator: Generator | None = None,
    ) -> Tensor:  # fmt: skip
        r"""Append `count` sampled characters, one after the other: (B, T) → (B, T + count).

        Each is drawn given the last block_size ones, without dropout. temperature, top_k: see
        `next_probs`. generator: the same seed, the same text.
        """
        require.count(count=count, least=0)
        require.tokens(tokens, self.token_embedding.num_embeddings, least=1)
        training = self.training
        self.eval()
        new, memory = tokens[:, -self.block_size :], [[] for _ in self.blocks]
        try:
            for _ in range(count):
                logits = self(new, memory)[:, -1]  # (B, V): what comes next
                chosen = sample_next(logits, temperature, generator, top_k=top_k)  # (B,)
                tokens, new = torch.cat([tokens, chosen[:, None]], dim=1), chosen[:, None]
                if tokens.shape[1] > self.block_size:  # every place moves by one: all anew
                    new, memory = tokens[:, -self.block_size :], [[] for _ in self.blocks]
        finally:
            self.train(training)
        return tokens


def next_probs(logits: Tensor, temperature: float = 1.0, *, top_k: int | None = None) -> Tensor:
    r"""Probabilities of the next character after temperature and top-k: (B, V) → (B, V).

    temperature: below 1 sharper, above 1 flatter; 0 puts everything on the largest logit
    top_k: keep the k most likely characters only, and any that are as likely as the k-th
    Raises: ValueError on other shapes, or if a logit is NaN or infinite.
    """
    require.next_logits(logits, temperature, top_k)
    limits = torch.finfo(logits.dtype)
    if temperature < limits.tiny:  # 0, or too small to divide by
        return F.one_hot(logits.argmax(dim=-1), logits.shape[-1]).to(logits.dtype)
    if top_k is not None and top_k < logits.shape[-1]:
        least = logits.topk(top_k, dim=-1).values[:, -1:]  # (B, 1): the k-th largest
        logits = logits.masked_fill(logits < least, -math.inf)
    logits = logits - logits.amax(dim=-1, keepdim=True)  # a small temperature can't overflow
    return (logits / min(temperature, limits.max)).softmax(dim=-1)  # (B, V)


def sample_next(
    logits: Tensor, temperature: float = 1.0, generator: Generator | None = None, *, top_k=None
) -> Tensor:
    r"""Draw the next character, which need not be the most likely one: (B, V) → (B,) int64."""
    probs = next_probs(logits, temperature, top_k=top_k)  # (B, V)
    return torch.multinomial(probs, num_samples=1, generator=generator)[:, 0]  # (B,)
