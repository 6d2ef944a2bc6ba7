r"""Exercises of notebook 08: from VAEs to GPT."""

import math

import torch
import torch.nn.functional as F

from . import _draw as draw
from ._exercise import Exercise, Mistake, Property
from ._language import (
    EXPLAIN_ATTENTION,
    EXPLAIN_MASK,
    EXPLAIN_NEXT,
    observe_attention,
    observe_mask,
    observe_next,
)

# --- language_model_loss ---------------------------------------------------------------------


def language_model_loss(logits, targets):
    log_probs = F.log_softmax(logits, dim=-1)  # (B, T, V): over the characters
    of_target = log_probs.gather(-1, targets.unsqueeze(-1))  # (B, T, 1): of the one that came
    return -of_target.mean()  # nats per character, over all sequences and positions


def _loss_case(generator):
    batch, length, vocabulary = draw.sizes(generator, count=3, low=3, high=8)
    logits = draw.normal(generator, batch, length, vocabulary, scale=2.0)
    return logits, torch.randint(vocabulary, (batch, length), generator=generator)


def _loss_slipped(slips, logits, targets):
    if "shifted-again" in slips:
        logits, targets = logits[:, :-1], targets[:, 1:]
    elif "shifted-back" in slips:
        logits, targets = logits[:, 1:], targets[:, :-1]
    if "last-position-only" in slips:
        logits, targets = logits[:, -1:], targets[:, -1:]
    if "reshaped-for-transposed" in slips:
        batch, length, vocabulary = logits.shape
        logits = logits.reshape(batch, vocabulary, length).transpose(1, 2)
    if "softmax-first" in slips:
        logits = logits.softmax(dim=-1)
    axis = {"softmax-over-positions": 1, "softmax-over-batch": 0}
    axis = next((axis[slip] for slip in slips if slip in axis), -1)
    if "no-log" in slips:
        scores = logits.softmax(dim=axis)
    elif "no-softmax" in slips:
        scores = logits
    else:
        scores = logits.log_softmax(dim=axis)
    chosen = scores.gather(-1, targets.unsqueeze(-1)).squeeze(-1)  # (B, T)
    if "log-of-the-mean" in slips:
        return -chosen.exp().mean().log()
    if "sign" in slips:
        chosen = -chosen
    if "bits" in slips:
        chosen = chosen / math.log(2)
    if "divided-by-vocabulary" in slips:
        chosen = chosen / logits.shape[-1]
    if "summed" in slips:
        return -chosen.sum()
    if "summed-over-positions" in slips:
        return -chosen.sum(dim=1).mean()
    if "summed-over-batch" in slips:
        return -chosen.mean(dim=1).sum()
    if "per-sequence" in slips:
        return -chosen.mean(dim=1)
    return (-chosen.mean()).exp() if "perplexity" in slips else -chosen.mean()


def _loss_gradient(function) -> bool:
    logits = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    function(logits * 1.0, torch.tensor([[0, 1, 2], [3, 0, 1]])).backward()
    return bool(logits.grad.abs().sum() > 0)


LANGUAGE_MODEL_LOSS = Exercise(
    name="language_model_loss",
    chapter=8,
    minutes=5,
    difficulty=1,
    returns="one number, nats per character, averaged over all sequences and positions",
    reference=language_model_loss,
    case=_loss_case,
    slipped=_loss_slipped,
    mistakes=(
        Mistake("softmax-first", "A softmax was applied before cross-entropy, which applies its "
                "own. Squeezed twice, even a perfect model cannot get near 0: give it logits."),
        Mistake("shifted-again", "The targets were shifted by one more: they are already the next "
                "characters. Your model would learn to predict the one after the next."),
        Mistake("shifted-back", "The targets were shifted the wrong way: position t is compared "
                "with a character that it has read. Here logits and targets line up already."),
        Mistake("last-position-only", "Only the last position counts in your loss. Every position "
                "makes a prediction, so one window gives T lessons, not one."),
        Mistake("reshaped-for-transposed", "`view` or `reshape` from (B, T, V) to (B, V, T) mixes "
                "the numbers of different positions. Swapping axes is `transpose`; flattening "
                "(B, T) together is safe."),
        Mistake("softmax-over-positions", "The probabilities sum to 1 over the positions (axis 1). "
                "They must sum to 1 over the V characters."),
        Mistake("softmax-over-batch", "The probabilities sum to 1 over the batch (axis 0). "
                "They must sum to 1 over the V characters."),
        Mistake("no-log", "This is minus the mean probability, without the logarithm. A chain of "
                "characters multiplies probabilities; the log turns that into a sum."),
        Mistake("no-softmax", "The logit of the right character was taken as its log-probability. "
                "Without the normalisation over all characters, raising every logit would win."),
        Mistake("log-of-the-mean", "This is the log of the mean probability. Average the "
                "logarithms: one character given probability 0 must cost infinitely much."),
        Mistake("sign", "The sign is wrong: this is the log-likelihood, and making it smaller "
                "would make the text less likely."),
        Mistake("bits", "These are bits per character (logarithm to base 2); nats were asked for."),
        Mistake("divided-by-vocabulary", "The average runs over the V characters too. Only one of "
                "them came: average over sequences and positions."),
        Mistake("summed", "The losses are summed over the whole batch; the mean per character is "
                "asked for, so that it does not depend on B and T."),
        Mistake("summed-over-positions", "The losses are summed over the T positions of each "
                "window: nats per window. Nats per character are asked for."),
        Mistake("summed-over-batch", "The losses are averaged over positions, but summed over the "
                "batch. Average over both."),
        Mistake("per-sequence", "One number per sequence came back; a training step needs one "
                "number: average over the batch too."),
        Mistake("perplexity", "This is the perplexity, the exponential of the loss. Return the "
                "loss in nats."),
    ),
    properties=(
        Property("know-nothing", lambda f: abs(float(f(torch.zeros(2, 5, 65), torch.ones(2, 5).long(
                 ))) - math.log(65)) < 1e-4, "With all logits equal the loss must be log V, the "
                 "price of knowing nothing: 4.17 nats for 65 characters."),
        Property("large-logits", lambda f: abs(float(f(torch.tensor([[[1000.0, 0.0]]]),
                 torch.tensor([[1]]))) - 1000) < 1, "For logits of 1000 and 0 and the second as "
                 "target the loss is 1000, not infinite or NaN: exp overflowed, or log(0). "
                 "`log_softmax` and `cross_entropy` avoid both."),
        Property("gradient-cut", _loss_gradient, "No gradient reaches the logits: `.item()`, "
                 "`.detach()` or `no_grad` cut the graph. The weights would never change."),
    ),
)

# --- causal_mask -----------------------------------------------------------------------------


def causal_mask(length):
    position = torch.arange(length)  # (T,)
    return position[None, :] <= position[:, None]  # (T, T): column s is not later than row t


def _mask_slipped(slips, length):
    ones = torch.ones(length, length, dtype=torch.bool)
    if "upside-down" in slips:
        mask = ones.triu()
    elif "one-ahead" in slips:
        mask = ones.tril(1)
    elif "not-itself" in slips:
        mask = ones.tril(-1)
    elif "itself-only" in slips:
        mask = ones.tril().triu()
    elif "one-step-back" in slips:
        mask = ones.tril().triu(-1)
    elif "mirrored" in slips:
        mask = ones.tril().flip(1)
    elif "no-mask" in slips:
        mask = ones
    else:
        mask = ones.tril()
    mask = ~mask if "inverted" in slips else mask
    if "one-short" in slips:
        mask = mask[:-1, :-1]
    if "batch-axis" in slips:
        mask = mask[None]
    if "additive" in slips:
        return torch.zeros(mask.shape).masked_fill(~mask, -math.inf)
    return mask.float() if "floats" in slips else mask.int() if "integers" in slips else mask


CAUSAL_MASK = Exercise(
    name="causal_mask",
    chapter=8,
    minutes=5,
    difficulty=1,
    returns="(T, T) bool, True at [t, s] where position t may look at position s",
    reference=causal_mask,
    case=lambda generator: (draw.integer(generator, 3, 9),),
    slipped=_mask_slipped,
    observe=observe_mask,
    explain=EXPLAIN_MASK,
    mistakes=(
        Mistake("upside-down", "The mask is upside down: position t sees itself and the future, "
                "and nothing of the past. Rows are the positions that look (t), columns the ones "
                "looked at (s)."),
        Mistake("inverted", "True stands where looking is forbidden. Some libraries want it so; "
                "here True means: may look."),
        Mistake("one-ahead", "Each position may also see the next one, which is exactly the "
                "character that it has to predict."),
        Mistake("not-itself", "No position sees itself, and the first one sees nothing at all: its "
                "softmax would be 0 / 0. Position t has read character t; it predicts t + 1."),
        Mistake("itself-only", "Each position sees only itself: that is a bigram model. The whole "
                "past is allowed."),
        Mistake("one-step-back", "Each position sees itself and the one before. The whole past is "
                "allowed, however far back."),
        Mistake("mirrored", "The triangle fills the wrong corner: left and right are exchanged, as "
                "if time ran backwards in the columns."),
        Mistake("no-mask", "Everything is True: nothing is hidden, also not the future."),
        Mistake("floats", "The mask holds 1.0 and 0.0. A truth value is asked for (dtype bool), so "
                "that `~mask` and masked_fill work."),
        Mistake("integers", "The mask holds the integers 1 and 0. A truth value is asked for "
                "(dtype bool): `~` of an integer 1 is −2."),
        Mistake("additive", "This is a mask to be added to the scores (0 and −∞). Truth values are "
                "asked for: True where looking is allowed."),
        Mistake("one-short", "The mask has T − 1 rows and columns: one position is missing."),
        Mistake("batch-axis", "There is an axis of length 1 in front. One (T, T) mask serves "
                "every sequence; broadcasting adds that axis by itself."),
    ),
    properties=(
        Property("length-1", lambda f: f(1).tolist() == [[True]], "With one position the mask is "
                 "[[True]]: it sees itself."),
        Property("long", lambda f: int(f(40).sum()) == 820, "With 40 positions, position 1 sees "
                 "1, position 40 sees 40: 820 True in all. The mask has to follow `length`, and "
                 "the past has no end."),
    ),
)

# --- attention -------------------------------------------------------------------------------


def attention(query, key, value):
    length, channels = query.shape[-2:]
    scores = query @ key.transpose(-2, -1) / math.sqrt(channels)  # (B, T, T): row t looks at s
    allowed = torch.ones(length, length, dtype=torch.bool).tril()  # (T, T): the past, itself
    weights = scores.masked_fill(~allowed, -math.inf).softmax(dim=-1)  # (B, T, T): rows sum to 1
    return weights @ value  # (B, T, C)


def _attention_case(generator):
    batch, length, channels = draw.sizes(generator, count=3, low=3, high=7)
    return tuple(draw.normal(generator, batch, length, channels, scale=1.5) for _ in range(3))


def _attention_slipped(slips, query, key, value):
    batch, length, channels = query.shape
    if "query-and-key-swapped" in slips:
        query, key = key, query
    scores = query @ key.transpose(-2, -1)
    size = {"divided-by-channels": channels, "scaled-by-length": math.sqrt(length), "no-scale": 1,
            "scaled-by-batch": math.sqrt(batch), "multiplied-by-scale": 1 / math.sqrt(channels)}
    named = [size[slip] for slip in size if slip in slips]
    scores = scores / (named[0] if named else math.sqrt(channels))
    ones = torch.ones(length, length, dtype=torch.bool)
    if "mask-upside-down" in slips:
        allowed = ones.triu()
    elif "mask-inverted" in slips:
        allowed = ones.triu(1)
    elif "one-ahead" in slips:
        allowed = ones.tril(1)
    elif "not-itself" in slips:
        allowed = ones.tril(-1)
    else:
        allowed = ones.tril()
    axis = -2 if "softmax-over-queries" in slips else 0 if "softmax-over-batch" in slips else -1
    if "no-mask" in slips:
        weights = scores.softmax(dim=axis)
    elif "mask-after-softmax" in slips:
        weights = scores.softmax(dim=axis) * allowed
    elif "masked-with-zero" in slips:
        weights = (scores * allowed).softmax(dim=axis)
    elif "no-softmax" in slips:
        weights = scores * allowed
    else:
        weights = scores.masked_fill(~allowed, -math.inf).softmax(dim=axis)
    if "keys-for-values" in slips:
        value = key
    elif "queries-for-values" in slips:
        value = query
    if "weights-transposed" in slips:
        weights = weights.transpose(-2, -1)
    if "weights-returned" in slips:
        return weights
    mixed = weights @ value
    return value + mixed if "residual-inside" in slips else mixed


def _attention_gradient(function) -> bool:
    generator = torch.Generator().manual_seed(1)
    leaves = [torch.randn(2, 4, 3, generator=generator).requires_grad_() for _ in range(3)]
    function(*(leaf * 1.0 for leaf in leaves)).square().sum().backward()
    return all(leaf.grad is not None and bool(leaf.grad.abs().sum() > 0) for leaf in leaves)


ATTENTION = Exercise(
    name="attention",
    chapter=8,
    minutes=15,
    difficulty=3,
    returns="(B, T, C), at each position a weighted average of the values up to that position",
    reference=attention,
    case=_attention_case,
    slipped=_attention_slipped,
    observe=observe_attention,
    explain=EXPLAIN_ATTENTION,
    mistakes=(
        Mistake("no-mask", "There is no mask: we changed the last character and the outputs before "
                "it changed. Every position reads the answer that it has to predict."),
        Mistake("mask-upside-down", "The mask is upside down: each position looks at the future "
                "and at nothing before itself."),
        Mistake("mask-inverted", "The scores of the past were hidden instead of those of the "
                "future (`masked_fill` fills where its mask is True), so the last position has "
                "nowhere to look: NaN."),
        Mistake("one-ahead", "Each position may also look one step ahead, at exactly the character "
                "that it has to predict."),
        Mistake("not-itself", "Position t may not look at itself, so the first one has nowhere to "
                "look: softmax of nothing is NaN. The diagonal is allowed."),
        Mistake("mask-after-softmax", "The mask came after the softmax: the weights that are left "
                "no longer sum to 1, and the future has already been counted in the denominator. "
                "Mask the scores first."),
        Mistake("masked-with-zero", "Forbidden scores were set to 0. But exp(0) = 1: they still "
                "get weight. Which score has the exponential 0?"),
        Mistake("no-scale", "The scores are not scaled. A sum of C products has a spread of √C, "
                "so the softmax saturates and its gradient dies as C grows."),
        Mistake("divided-by-channels", "The scores were divided by C. The spread of a sum of C "
                "products grows as √C: divided by C, wide models look everywhere alike."),
        Mistake("scaled-by-length", "The scores were scaled by √T, the length. What is summed in "
                "a score are the C channels."),
        Mistake("scaled-by-batch", "The scores were scaled by √B, the number of sequences "
                "(`shape[0]`). What is summed in a score are the C channels, the last axis."),
        Mistake("multiplied-by-scale", "The scores were multiplied by √C; they should be divided "
                "by it."),
        Mistake("softmax-over-queries", "The softmax runs over the positions that look (axis −2). "
                "Each *row* is one position's attention: it has to sum to 1 over the positions "
                "that are looked at."),
        Mistake("softmax-over-batch", "The softmax runs over the batch (axis 0): sequences that "
                "have nothing to do with each other compete."),
        Mistake("no-softmax", "There is no softmax: the weights are raw scores, negative ones too, "
                "and do not sum to 1."),
        Mistake("query-and-key-swapped", "Queries and keys changed places: row t then holds how "
                "much the others look at t. The queries are the rows of the scores."),
        Mistake("keys-for-values", "The keys were averaged. Keys say what can be found where; what "
                "is handed over are the values."),
        Mistake("queries-for-values", "The queries were averaged; what is handed over are the "
                "values."),
        Mistake("weights-transposed", "The weights were transposed before they met the values: "
                "each position sends to the future instead of collecting from the past."),
        Mistake("weights-returned", "These are the weights, (B, T, T). Attention returns what they "
                "collect: the weighted averages of the values."),
        Mistake("residual-inside", "The values were added to the result. The residual connection "
                "belongs to the block around the attention, not in here."),
    ),
    properties=(
        Property("large-scores", lambda f: bool(f(*[torch.full((1, 3, 2), 100.0)] * 3).isfinite(
                 ).all()), "For scores of about 14,000 the result must stay finite: exp "
                 "overflowed. `softmax` subtracts the largest score first."),
        Property("gradient-cut", _attention_gradient, "No gradient reaches query, key and value "
                 "alike: `.detach()`, NumPy or no_grad cut the graph."),
    ),
)

# --- sample_next -----------------------------------------------------------------------------

def sample_next(logits, temperature, generator):
    probs = (logits / temperature).softmax(dim=-1)  # (B, V): sharper if temperature < 1
    drawn = torch.multinomial(probs, num_samples=1, generator=generator)  # (B, 1)
    return drawn.squeeze(1)  # (B,)


def _next_case(generator):
    batch, vocabulary = draw.integer(generator, 3, 4), draw.integer(generator, 5, 6)
    hot = draw.integer(generator, 0, 1)
    temperature = 0.4 + 0.2 * float(torch.rand((), generator=generator)) if hot == 0 else 2.0
    logits = draw.normal(generator, batch, vocabulary, scale=0.6)
    logits += 1.5 * torch.eye(batch, vocabulary) - 0.5  # a likely character in each row …
    logits += torch.linspace(0, 2, vocabulary)  # … and some that are likelier in all rows
    logits *= torch.linspace(0.25, 1, batch)[:, None]  # the first row is nearly undecided
    return logits, temperature, torch.Generator().manual_seed(draw.integer(generator, 0, 10**6))


def _next_slipped(slips, logits, temperature, generator):
    if "seeded-inside" in slips:
        generator = torch.Generator().manual_seed(0)
    elif "generator-ignored" in slips:
        generator = None
    if "temperature-multiplied" in slips:
        scores = logits * temperature
    elif "temperature-ignored" in slips:
        scores = logits
    elif "temperature-squared" in slips:
        scores = logits / temperature**2
    elif "temperature-subtracted" in slips:
        scores = logits - temperature
    else:
        scores = logits / temperature
    scores = -scores if "least-likely" in slips else scores
    if "argmax" in slips:
        return scores.argmax(dim=-1)
    if "sigmoid" in slips:
        probs = scores.sigmoid()
    elif "no-softmax" in slips:
        probs = scores
    elif "softmax-twice" in slips:
        probs = scores.softmax(dim=-1).softmax(dim=-1)
    elif "softmax-over-batch" in slips:
        probs = scores.softmax(dim=0)
    elif "uniform" in slips:
        probs = torch.ones_like(scores)
    else:
        probs = scores.softmax(dim=-1)
    if "probabilities-returned" in slips:
        return probs
    if "one-draw-for-all" in slips:
        share = torch.rand(1, 1, generator=generator)
        return (probs.cumsum(dim=-1) < share * probs.sum(dim=-1, keepdim=True)).sum(dim=-1)
    drawn = torch.multinomial(probs, num_samples=1, generator=generator)
    return drawn if "keeps-an-axis" in slips else drawn.squeeze(1)


SAMPLE_NEXT = Exercise(
    name="sample_next",
    chapter=8,
    minutes=8,
    difficulty=2,
    returns="(B,) integers, one token a row, drawn from softmax(logits / temperature)",
    reference=sample_next,
    case=_next_case,
    slipped=_next_slipped,
    observe=observe_next,
    explain=EXPLAIN_NEXT,
    cases=3,
    rtol=0.0,
    atol=0.055,  # 6 standard errors of a difference of two frequencies
    mistakes=(
        Mistake("argmax", "You always take the most likely character. A GPT samples: greedy text "
                "runs into loops, and no seed would change it. Draw in proportion to the "
                "probabilities."),
        Mistake("temperature-multiplied", "The logits were multiplied by the temperature: a high "
                "one then makes the text colder. (A power of the probabilities, p^temperature, is "
                "the same slip.)"),
        Mistake("temperature-ignored", "The temperature changes nothing. Either it is not used, or "
                "the probabilities were divided by it, after the softmax, and the division "
                "cancels when they are normalised: the logits are what it divides."),
        Mistake("temperature-squared", "The temperature was applied twice: the logits are divided "
                "by its square."),
        Mistake("temperature-subtracted", "The temperature was subtracted (or added). A softmax "
                "does not change when all logits move together; it has to divide them."),
        Mistake("least-likely", "Unlikely characters come most often: the sign of the logits was "
                "turned around."),
        Mistake("no-softmax", "The logits went into the draw as if they were probabilities: they "
                "can be negative and do not sum to 1. (Log-probabilities are the same slip.)"),
        Mistake("softmax-twice", "The softmax was applied twice: the second one makes all "
                "probabilities nearly equal."),
        Mistake("softmax-over-batch", "The softmax runs over the batch (axis 0): sequences compete "
                "with each other instead of characters."),
        Mistake("sigmoid", "A sigmoid judges each character by itself. One of V has to be chosen: "
                "that is a softmax."),
        Mistake("uniform", "All characters come equally often: the logits are not used."),
        Mistake("generator-ignored", "The draw does not use `generator` but the global random "
                "numbers: nobody can make your text again."),
        Mistake("seeded-inside", "A seed is set inside the function, so every call makes the same "
                "draw. Seed once, outside; draw from the generator that came."),
        Mistake("one-draw-for-all", "One random number serves the whole batch: equal rows always "
                "get equal characters. Each row needs a draw of its own."),
        Mistake("keeps-an-axis", "The shape is (B, 1), an axis of length 1 was kept; (B,) is asked "
                "for."),
        Mistake("probabilities-returned", "These are the probabilities, (B, V). One token a row is "
                "asked for, drawn with them."),
    ),
    properties=(
        Property("cold", lambda f: f(torch.tensor([[1.0, 3.0, 2.0]]), 1e-3,
                 torch.Generator().manual_seed(0)).tolist() == [1], "Near temperature 0 the most "
                 "likely character must come: exp overflowed, or the temperature is not used as "
                 "a divisor of the logits."),
    ),
)

EXERCISES = [LANGUAGE_MODEL_LOSS, CAUSAL_MASK, ATTENTION, SAMPLE_NEXT]
