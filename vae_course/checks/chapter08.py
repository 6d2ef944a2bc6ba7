r"""Exercises of notebook 08: from VAEs to GPT.

Attention is judged by changing the future and watching the past; draws by the frequencies of many,
with tolerances that no right answer ever exceeds.
"""

import math

import torch
import torch.nn.functional as F

from . import draw
from .definition import Exercise
from .values import close, describe

# --- language_model_loss ---------------------------------------------------------------------


def language_model_loss(logits, targets):
    log_probs = F.log_softmax(logits, dim=-1)  # (B, T, V): over the characters
    of_target = log_probs.gather(-1, targets.unsqueeze(-1))  # (B, T, 1): of the one that came
    return -of_target.mean()  # nats per character, over all sequences and positions


def _text(g):
    logits = draw.normal(g, "B", "T", "V", scale=2.0)
    vocabulary = logits.shape[-1]
    return logits, torch.randint(vocabulary, logits.shape[:2], generator=g)


def _large_logits(function):
    value = function(torch.tensor([[[1000.0, 0.0]]]), torch.tensor([[1]]))
    return close(value, 1000.0)


loss = Exercise(
    language_model_loss,
    inputs=_text,
    returns="one number, nats per character, averaged over all sequences and positions; "
    "differentiable",
    gradient=("logits",),
    chapter=8, minutes=5, difficulty=1,
)  # fmt: skip
loss.mistake("softmax-first", edit=("(logits, dim", "(logits.softmax(dim=-1), dim"),
             hint="A softmax was applied before cross-entropy, which applies its own. Squeezed "
                  "twice, even a perfect model cannot get near 0: give it logits.")
loss.mistake("shifted-again",
             edit=("    log_probs =",
                   "    logits, targets = logits[:, :-1], targets[:, 1:]\n    log_probs ="),
             hint="The targets were shifted by one more: they are already the next characters. "
                  "Your model would learn to predict the one after the next.")
loss.mistake("shifted-back",
             edit=("    log_probs =",
                   "    logits, targets = logits[:, 1:], targets[:, :-1]\n    log_probs ="),
             hint="The targets were shifted the wrong way: position t is compared with a "
                  "character that it has read. Here logits and targets line up already.")
loss.mistake("last-position-only",
             edit=("    log_probs =",
                   "    logits, targets = logits[:, -1:], targets[:, -1:]\n    log_probs ="),
             hint="Only the last position counts in your loss. Every position makes a prediction, "
                  "so one window gives T lessons, not one.")
loss.mistake("reshaped-for-transposed",
             edit=("    log_probs =",
                   "    batch, length, vocabulary = logits.shape\n    logits = "
                   "logits.reshape(batch, vocabulary, length).transpose(1, 2)\n    log_probs ="),
             hint="`view` or `reshape` from (B, T, V) to (B, V, T) mixes the numbers of different "
                  "positions. Swapping axes is `transpose`; flattening (B, T) together is safe.")
loss.mistake("softmax-over-positions", edit=("dim=-1", "dim=1"),
             hint="The probabilities sum to 1 over the positions (axis 1). They must sum to 1 "
                  "over the V characters.")
loss.mistake("softmax-over-batch", edit=("dim=-1", "dim=0"),
             hint="The probabilities sum to 1 over the batch (axis 0). They must sum to 1 over "
                  "the V characters.")
loss.mistake("no-log", edit=("log_softmax", "softmax"),
             hint="This is minus the mean probability, without the logarithm. A chain of "
                  "characters multiplies probabilities; the log turns that into a sum.")
loss.mistake("no-softmax", edit=("F.log_softmax(logits, dim=-1)", "logits"),
             hint="The logit of the right character was taken as its log-probability. Without the "
                  "normalisation over all characters, raising every logit would win.")
loss.mistake("log-of-the-mean", edit=("of_target.mean()", "of_target.exp().mean().log()"),
             hint="This is the log of the mean probability. Average the logarithms: one character "
                  "given probability 0 must cost infinitely much.")
loss.mistake("sign", edit=("return -", "return "),
             hint="The sign is wrong: this is the log-likelihood, and making it smaller would "
                  "make the text less likely.")
loss.mistake("bits", edit=(".mean()", ".mean() / math.log(2)"),
             hint="These are bits per character (logarithm to base 2); nats were asked for.")
loss.mistake("divided-by-vocabulary", edit=(".mean()", ".mean() / logits.shape[-1]"),
             hint="The average runs over the V characters too. Only one of them came: average "
                  "over sequences and positions.")
loss.mistake("summed", edit=(".mean()", ".sum()"),
             hint="The losses are summed over the whole batch; the mean per character is asked "
                  "for, so that it does not depend on B and T.")
loss.mistake("summed-over-positions", edit=(".mean()", ".sum(dim=1).mean()"),
             hint="The losses are summed over the T positions of each window: nats per window. "
                  "Nats per character are asked for.")
loss.mistake("summed-over-batch", edit=(".mean()", ".mean(dim=1).sum()"),
             hint="The losses are averaged over positions, but summed over the batch. Average "
                  "over both.")
loss.mistake("per-sequence", edit=(".mean()", ".mean(dim=(1, 2))"),
             hint="One number per sequence came back; a training step needs one number: average "
                  "over the batch too.")
loss.mistake("perplexity", edit=("-of_target.mean()", "(-of_target.mean()).exp()"),
             hint="This is the perplexity, the exponential of the loss. Return the loss in nats.")
loss.must("know-nothing",
          lambda f: close(f(torch.zeros(2, 5, 65), torch.ones(2, 5).long()), math.log(65)),
          hint="With all logits equal the loss must be log V, the price of knowing nothing: 4.17 "
               "nats for 65 characters.")
loss.must("large-logits", _large_logits,
          hint="For logits of 1000 and 0 and the second as target the loss is 1000, not infinite "
               "or NaN: exp overflowed, or log(0). `log_softmax` and `cross_entropy` avoid both.")

# --- causal_mask -----------------------------------------------------------------------------


def causal_mask(length):
    position = torch.arange(length)  # (T,)
    mask = position[None, :] <= position[:, None]  # (T, T): column s is not later than row t
    return mask


def _observe_mask(function, args):
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


_EXPLAIN_MASK = {
    "looks_into_the_future": "Some position may look at a later one. It would read the answer "
    "that it has to predict: the loss falls to almost nothing, and sampling gives junk.",
    "looks_at_itself": "Some position may not look at itself, the newest character it knows.",
    "looks_at_all_the_past": "Some position is blind to a part of its past.",
}


looking = Exercise(
    causal_mask,
    inputs=lambda g: (draw.integer(g, 3, 9),),
    returns="(T, T) bool, True at [t, s] where position t may look at position s",
    observe=_observe_mask,
    explain=_EXPLAIN_MASK,
    chapter=8, minutes=5, difficulty=1,
)  # fmt: skip
looking.mistake("upside-down", edit=("<=", ">="),
                hint="The mask is upside down: position t sees itself and the future, and nothing "
                     "of the past. Rows are the positions that look (t), columns the ones looked "
                     "at (s).")
looking.mistake("inverted", edit=("return mask", "return ~mask"),
                hint="True stands where looking is forbidden. Some libraries want it so; here "
                     "True means: may look.")
looking.mistake("one-ahead", edit=("position[:, None]", "position[:, None] + 1"),
                hint="Each position may also see the next one, which is exactly the character "
                     "that it has to predict.")
looking.mistake("not-itself", edit=("<=", "<"),
                hint="No position sees itself, and the first one sees nothing at all: its softmax "
                     "would be 0 / 0. Position t has read character t; it predicts t + 1.")
looking.mistake("itself-only", edit=("<=", "=="),
                hint="Each position sees only itself: that is a bigram model. The whole past is "
                     "allowed.")
looking.mistake("one-step-back", edit=("return mask", "return mask & mask.triu(-1)"),
                hint="Each position sees itself and the one before. The whole past is allowed, "
                     "however far back.")
looking.mistake("mirrored", edit=("return mask", "return mask.flip(1)"),
                hint="The triangle fills the wrong corner: left and right are exchanged, as if "
                     "time ran backwards in the columns.")
looking.mistake("no-mask",
                edit=("position[None, :] <= position[:, None]",
                      "torch.ones(length, length, dtype=torch.bool)"),
                hint="Everything is True: nothing is hidden, also not the future.")
looking.mistake("floats", edit=("return mask", "return mask.float()"),
                hint="The mask holds 1.0 and 0.0. A truth value is asked for (dtype bool), so "
                     "that `~mask` and masked_fill work.")
looking.mistake("integers", edit=("return mask", "return mask.int()"),
                hint="The mask holds the integers 1 and 0. A truth value is asked for (dtype "
                     "bool): `~` of an integer 1 is −2.")
looking.mistake("additive",
                edit=("return mask",
                      "return torch.zeros(mask.shape).masked_fill(~mask, -math.inf)"),
                hint="This is a mask to be added to the scores (0 and −∞). Truth values are asked "
                     "for: True where looking is allowed.")
looking.mistake("one-short", edit=("arange(length)", "arange(length - 1)"),
                hint="The mask has T − 1 rows and columns: one position is missing.")
looking.mistake("batch-axis", edit=("return mask", "return mask[None]"),
                hint="There is an axis of length 1 in front. One (T, T) mask serves every "
                     "sequence; broadcasting adds that axis by itself.")
looking.must("length-1", lambda f: f(1).tolist() == [[True]],
             hint="With one position the mask is [[True]]: it sees itself.")
looking.must("long", lambda f: int(f(40).sum()) == 820,
             hint="With 40 positions, position 1 sees 1, position 40 sees 40: 820 True in all. "
                  "The mask has to follow `length`, and the past has no end.")

# --- attention -------------------------------------------------------------------------------


def attention(query, key, value):
    length, channels = query.shape[-2:]
    scores = query @ key.transpose(-2, -1) / math.sqrt(channels)  # (B, T, T): row t looks at s
    allowed = torch.ones(length, length, dtype=torch.bool).tril()  # (T, T): the past, itself
    weights = scores.masked_fill(~allowed, -math.inf).softmax(dim=-1)  # (B, T, T): rows sum to 1
    return weights @ value  # (B, T, C)


def _observe_attention(function, args):
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


_EXPLAIN_ATTENTION = {
    "second_call": "The same arguments gave another answer the second time. Attention as asked "
    "for here has no dropout and no other randomness.",
    "past_changes_with_the_future": "We changed the last character, and the outputs at earlier "
    "positions changed with it: the future leaks through the mask.",
    "averages_of_ones": "With values of 1 everywhere each output must be 1, because the "
    "weights of a position sum to 1. Yours don't.",
}


def _large_scores(function):
    return bool(function(*[torch.full((1, 3, 2), 100.0)] * 3).isfinite().all())


def _looks_up(function):
    key = 30 * torch.eye(3)[None]  # each position has a key of its own …
    query = key[:, [0, 0, 1]]  # … and the last two ask for an earlier one
    value = torch.tensor([[[1.0, 5, 2], [2, 6, 3], [9, 9, 9]]])
    return close(function(query, key, value), value[:, [0, 0, 1]])


attending = Exercise(
    attention,
    inputs=lambda g: tuple(draw.normal(g, "B", "T", "C", scale=1.5) for _ in range(3)),
    returns="(B, T, C), at each position a weighted average of the values up to that position; "
    "differentiable",
    observe=_observe_attention,
    explain=_EXPLAIN_ATTENTION,
    gradient=("query", "key", "value"),
    chapter=8, minutes=15, difficulty=3,
)  # fmt: skip
attending.mistake("no-mask", edit=(".masked_fill(~allowed, -math.inf)", ""),
                  hint="There is no mask: we changed the last character and the outputs before it "
                       "changed. Every position reads the answer that it has to predict.")
attending.mistake("mask-upside-down", edit=("tril()", "triu()"),
                  hint="The mask is upside down: each position looks at the future and at nothing "
                       "before itself.")
attending.mistake("mask-inverted", edit=("~allowed", "allowed"),
                  hint="The scores of the past were hidden instead of those of the future "
                       "(`masked_fill` fills where its mask is True), so the last position has "
                       "nowhere to look: NaN.")
attending.mistake("one-ahead", edit=("tril()", "tril(1)"),
                  hint="Each position may also look one step ahead, at exactly the character that "
                       "it has to predict.")
attending.mistake("not-itself", edit=("tril()", "tril(-1)"),
                  hint="Position t may not look at itself, so the first one has nowhere to look: "
                       "softmax of nothing is NaN. The diagonal is allowed.")
attending.mistake("mask-after-softmax",
                  edit=("scores.masked_fill(~allowed, -math.inf).softmax(dim=-1)",
                        "scores.softmax(dim=-1) * allowed"),
                  hint="The mask came after the softmax: the weights that are left no longer sum "
                       "to 1, and the future has already been counted in the denominator. Mask "
                       "the scores first.")
attending.mistake("masked-with-zero", edit=("-math.inf", "0.0"),
                  hint="Forbidden scores were set to 0. But exp(0) = 1: they still get weight. "
                       "Which score has the exponential 0?")
attending.mistake("no-scale", edit=(" / math.sqrt(channels)", ""),
                  hint="The scores are not scaled. A sum of C products has a spread of √C, so the "
                       "softmax saturates and its gradient dies as C grows.")
attending.mistake("divided-by-channels", edit=("math.sqrt(channels)", "channels"),
                  hint="The scores were divided by C. The spread of a sum of C products grows as "
                       "√C: divided by C, wide models look everywhere alike.")
attending.mistake("scaled-by-length", edit=("sqrt(channels)", "sqrt(length)"),
                  hint="The scores were scaled by √T, the length. What is summed in a score are "
                       "the C channels.")
attending.mistake("scaled-by-batch", edit=("sqrt(channels)", "sqrt(len(query))"),
                  hint="The scores were scaled by √B, the number of sequences (`shape[0]`). What "
                       "is summed in a score are the C channels, the last axis.")
attending.mistake("multiplied-by-scale", edit=("/ math", "* math"),
                  hint="The scores were multiplied by √C; they should be divided by it.")
attending.mistake("softmax-over-queries", edit=("dim=-1", "dim=-2"),
                  hint="The softmax runs over the positions that look (axis −2). Each *row* is "
                       "one position's attention: it has to sum to 1 over the positions that are "
                       "looked at.")
attending.mistake("softmax-over-batch", edit=("dim=-1", "dim=0"),
                  hint="The softmax runs over the batch (axis 0): sequences that have nothing to "
                       "do with each other compete.")
attending.mistake("no-softmax",
                  edit=("scores.masked_fill(~allowed, -math.inf).softmax(dim=-1)",
                        "scores * allowed"),
                  hint="There is no softmax: the weights are raw scores, negative ones too, and "
                       "do not sum to 1.")
attending.mistake("query-and-key-swapped", edit=("query @ key.t", "key @ query.t"),
                  hint="Queries and keys changed places: row t then holds how much the others "
                       "look at t. The queries are the rows of the scores.")
attending.mistake("reshaped-for-transposed",
                  edit=("key.transpose(-2, -1)", "key.reshape(len(key), channels, length)"),
                  hint="`view` or `reshape` of the keys from (B, T, C) to (B, C, T) mixes the "
                       "numbers of different positions. Swapping axes is `transpose`.")
attending.mistake("keys-for-values", edit=("@ value", "@ key"),
                  hint="The keys were averaged. Keys say what can be found where; what is handed "
                       "over are the values.")
attending.mistake("queries-for-values", edit=("@ value", "@ query"),
                  hint="The queries were averaged; what is handed over are the values.")
attending.mistake("weights-transposed", edit=("weights @", "weights.transpose(-2, -1) @"),
                  hint="The weights were transposed before they met the values: each position "
                       "sends to the future instead of collecting from the past.")
attending.mistake("weights-returned", edit=(" @ value", ""),
                  hint="These are the weights, (B, T, T). Attention returns what they collect: "
                       "the weighted averages of the values.")
attending.mistake("residual-inside", edit=("return weights", "return value + weights"),
                  hint="The values were added to the result. The residual connection belongs to "
                       "the block around the attention, not in here.")
attending.must("looks-it-up", _looks_up,
               hint="Three positions with keys of their own; the second asks for the first, the "
                    "third for the second. Each should look up the value there; yours mixes in "
                    "others. Query and key have to decide where to look.")
attending.must("large-scores", _large_scores,
               hint="For scores of about 14,000 the result must stay finite: exp overflowed. "
                    "`softmax` subtracts the largest score first.")

# --- sample_next -----------------------------------------------------------------------------


def sample_next(logits, temperature, generator):
    probs = (logits / temperature).softmax(dim=-1)  # (B, V): sharper if temperature < 1
    drawn = torch.multinomial(probs, num_samples=1, generator=generator)  # (B, 1)
    return drawn.squeeze(1)  # (B,)


def _undecided_rows(g):
    batch, vocabulary = draw.integer(g, 3, 4), draw.integer(g, 5, 6)
    temperature = draw.number(g, 0.4, 0.6) if draw.integer(g, 0, 1) == 0 else 2.0
    logits = draw.normal(g, batch, vocabulary, scale=0.6)
    logits += 1.5 * torch.eye(batch, vocabulary) - 0.5  # a likely character in each row …
    logits += torch.linspace(0, 2, vocabulary)  # … and some that are likelier in all rows
    logits *= torch.linspace(0.25, 1, batch)[:, None]  # the first row is nearly undecided
    return logits, temperature, torch.Generator().manual_seed(draw.integer(g, 0, 10**6))


_REPEATS = 6000  # draws a row: frequencies are then known to ± 0.0065 at most


def _observe_next(function, args):
    logits, temperature, generator = args
    rows, (batch, vocabulary) = logits.clone(), logits.shape
    first = function(logits, temperature, generator)
    right = torch.zeros(batch, dtype=torch.long)
    if not isinstance(first, torch.Tensor) or first.shape != right.shape or (
            first.is_floating_point() or first.dtype == torch.bool):
        kind = f", {first.dtype}" if isinstance(first, torch.Tensor) else ""
        return dict.fromkeys(_EXPLAIN_NEXT, False) | {"shape": describe(first) + kind,
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


_EXPLAIN_NEXT = {
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


def _cold(function):
    logits = torch.tensor([[1.0, 3.0, 2.0]])
    return function(logits, 1e-3, torch.Generator().manual_seed(0)).tolist() == [1]


drawing = Exercise(
    sample_next,
    inputs=_undecided_rows,
    returns="(B,) integers, one token a row, drawn from softmax(logits / temperature) with "
    "`generator`",
    observe=_observe_next,
    explain=_EXPLAIN_NEXT,
    chapter=8, minutes=8, difficulty=2, cases=3,
    rtol=0.0, atol=0.055,  # 6 standard errors of a difference of two frequencies
)  # fmt: skip
drawing.mistake("argmax",
                edit=("torch.multinomial(probs, num_samples=1, generator=generator)",
                      "probs.argmax(dim=-1, keepdim=True)"),
                hint="You always take the most likely character. A GPT samples: greedy text runs "
                     "into loops, and no seed would change it. Draw in proportion to the "
                     "probabilities.")
drawing.mistake("temperature-multiplied", edit=("/ temp", "* temp"),
                hint="The logits were multiplied by the temperature: a high one then makes the "
                     "text colder. (A power of the probabilities, p^temperature, is the same "
                     "slip.)")
drawing.mistake("temperature-ignored", edit=(" / temperature", ""),
                hint="The temperature changes nothing. Either it is not used, or the "
                     "probabilities were divided by it, after the softmax, and the division "
                     "cancels when they are normalised: the logits are what it divides.")
drawing.mistake("temperature-squared", edit=("/ temperature", "/ temperature**2"),
                hint="The temperature was applied twice: the logits are divided by its square.")
drawing.mistake("temperature-subtracted", edit=("/ temp", "- temp"),
                hint="The temperature was subtracted (or added). A softmax does not change when "
                     "all logits move together; it has to divide them.")
drawing.mistake("least-likely", edit=("(logits /", "(-logits /"),
                hint="Unlikely characters come most often: the sign of the logits was turned "
                     "around.")
drawing.mistake("no-softmax", edit=(".softmax(dim=-1)", ""),
                hint="The logits went into the draw as if they were probabilities: they can be "
                     "negative and do not sum to 1. (Log-probabilities are the same slip.)")
drawing.mistake("softmax-twice", edit=(".softmax(dim=-1)", ".softmax(dim=-1).softmax(dim=-1)"),
                hint="The softmax was applied twice: the second one makes all probabilities "
                     "nearly equal.")
drawing.mistake("softmax-over-batch", edit=("dim=-1", "dim=0"),
                hint="The softmax runs over the batch (axis 0): sequences compete with each other "
                     "instead of characters.")
drawing.mistake("sigmoid", edit=(".softmax(dim=-1)", ".sigmoid()"),
                hint="A sigmoid judges each character by itself. One of V has to be chosen: that "
                     "is a softmax.")
drawing.mistake("uniform", edit=("(logits / temperature)", "torch.zeros_like(logits)"),
                hint="All characters come equally often: the logits are not used.")
drawing.mistake("generator-ignored", edit=("generator=generator", "generator=None"),
                hint="The draw does not use `generator` but the global random numbers: nobody can "
                     "make your text again.")
drawing.mistake("seeded-inside",
                edit=("generator=generator", "generator=torch.Generator().manual_seed(0)"),
                hint="A seed is set inside the function, so every call makes the same draw. Seed "
                     "once, outside; draw from the generator that came.")
drawing.mistake("one-draw-for-all",
                edit=("torch.multinomial(probs, num_samples=1, generator=generator)",
                      "(\n        probs.cumsum(dim=-1) < torch.rand(1, 1, "
                      "generator=generator)).sum(dim=-1, keepdim=True)"),
                hint="One random number serves the whole batch: equal rows always get equal "
                     "characters. Each row needs a draw of its own.")
drawing.mistake("keeps-an-axis", edit=(".squeeze(1)", ""),
                hint="The shape is (B, 1), an axis of length 1 was kept; (B,) is asked for.")
drawing.mistake("probabilities-returned", edit=("drawn.squeeze(1)", "probs"),
                hint="These are the probabilities, (B, V). One token a row is asked for, drawn "
                     "with them.")
drawing.must("cold", _cold,
             hint="Near temperature 0 the most likely character must come: exp overflowed, or the "
                  "temperature is not used as a divisor of the logits.")
