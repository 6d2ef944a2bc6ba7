r"""What masks, attention and next-token draws are judged by: the future is changed, the past
watched; and frequencies of many draws, with tolerances that no right answer ever exceeds.
"""

import math

import torch
import torch.nn.functional as F

from ._run import describe

_REPEATS = 6000  # draws a row: frequencies are then known to ± 0.0065 at most


def observe_mask(function, args):
    value = function(*args)
    right = (args[0], args[0])
    sees = value.bool() if isinstance(value, torch.Tensor) and value.shape == right else None
    return {
        "looks_into_the_future": sees is not None and bool(sees.triu(1).any()),
        "looks_at_itself": sees is None or bool(sees.diagonal().all()),
        "looks_at_all_the_past": sees is None or bool((sees | ~torch.ones(right).tril(-1).bool()
                                                       ).all()),
        "value": value,
    }


EXPLAIN_MASK = {
    "looks_into_the_future": "Some position may look at a later one. It would read the answer "
    "that it has to predict: the loss falls to almost nothing, and sampling gives junk.",
    "looks_at_itself": "Some position may not look at itself, the newest character it knows.",
    "looks_at_all_the_past": "Some position is blind to a part of its past.",
}


def observe_attention(function, args):
    copies = [arg.clone() for arg in args]
    later = [copy.clone() for copy in copies]
    for tensor in later:
        tensor[:, -1] += 3.0  # another last character; all earlier outputs must stay as they are
    value = function(*args)
    fields = {"second_call": "the same", "past_changes_with_the_future": False}
    fields |= {"averages_of_ones": 1.0, "value": value}
    if not isinstance(value, torch.Tensor) or value.shape != args[0].shape:
        return fields
    if not torch.allclose(function(*(copy.clone() for copy in copies)), value, equal_nan=True):
        return fields | {"second_call": "another answer"}
    after = function(*later)
    close = torch.allclose(after[:, :-1], value[:, :-1], atol=1e-4, equal_nan=True)
    ones = function(copies[0], copies[1], torch.ones_like(copies[2]))
    away = (ones - 1).abs().flatten()
    worst = ones.flatten()[away.nan_to_num(math.inf).argmax()].item()
    return fields | {"past_changes_with_the_future": not close, "averages_of_ones": worst}


EXPLAIN_ATTENTION = {
    "second_call": "The same arguments gave another answer the second time. Attention as asked "
    "for here has no dropout and no other randomness.",
    "past_changes_with_the_future": "We changed the last character, and the outputs at earlier "
    "positions changed with it: the future leaks through the mask.",
    "averages_of_ones": "With values of 1 everywhere each output must be 1, because the "
    "weights of a position sum to 1. Yours don't.",
}


def observe_next(function, args):
    logits, temperature, generator = args
    rows, (batch, vocabulary) = logits.clone(), logits.shape
    first = function(logits, temperature, generator)
    right = torch.zeros(batch, dtype=torch.long)
    if not isinstance(first, torch.Tensor) or first.shape != right.shape or (
            first.is_floating_point() or first.dtype == torch.bool):
        kind = f", {first.dtype}" if isinstance(first, torch.Tensor) else ""
        return dict.fromkeys(EXPLAIN_NEXT, False) | {"shape": describe(first) + kind,
                                                      "frequencies": rows * math.nan}

    def tokens(repeats, seed, global_seed):
        torch.manual_seed(global_seed)
        chosen = torch.Generator().manual_seed(seed)
        return function(rows.repeat(repeats, 1), temperature, chosen).long()

    one, same, other = tokens(40, 5, 1), tokens(40, 5, 2), tokens(40, 6, 1)
    again = [function(rows.repeat(40, 1), temperature, generator) for _ in range(2)]
    many = tokens(_REPEATS, 7, 3)  # (R · B,)
    inside = bool(((many >= 0) & (many < vocabulary)).all())
    table = many.clamp(0, vocabulary - 1).view(_REPEATS, batch)
    seen = F.one_hot(table, vocabulary).float().mean(dim=0)  # (B, V)
    separately = bool((seen.max(dim=1).values < 1).any())
    varies = separately or bool((one != other).any() or (again[0] != again[1]).any())
    return {
        "shape": "(B,) integers",
        "tokens_of_the_vocabulary": inside,
        "draws_differ": varies,
        "rows_draw_separately": separately or not varies,
        "generator_decides": bool((one == same).all()),
        "seeds_differ": not varies or bool((one != other).any()),
        "generator_moves_on": not varies or bool((again[0] != again[1]).any()),
        "frequencies": seen,
    }


EXPLAIN_NEXT = {
    "shape": "Not one integer token for each row: (B, V) goes in, (B,) integers come out.",
    "tokens_of_the_vocabulary": "Some tokens are not between 0 and V − 1.",
    "draws_differ": "Every draw gives the same token. The next character is drawn at random, in "
                    "proportion to its probability.",
    "rows_draw_separately": "Equal rows of a batch always got equal tokens: each row needs a draw "
                            "of its own.",
    "generator_decides": "The same seed in `generator` gave other tokens the second time: all "
                         "randomness must come from it, or no text can be made twice.",
    "seeds_differ": "Two generators with different seeds gave the same tokens: `generator` was not "
                    "used.",
    "generator_moves_on": "Two calls with one generator gave the same tokens: it was set back "
                          "inside the function. Draw from it and let it move on.",
    "frequencies": "The tokens do not come as often as softmax(logits / temperature) says (the "
                   "example shows frequencies over many draws).",
}
