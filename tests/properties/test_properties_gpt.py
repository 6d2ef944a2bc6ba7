"""The GPT's functions against plain loops; tokens and shapes that do not exist are refused."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from property_tools import (
    FLOATS,
    NOT_COUNTS,
    NOT_WHOLE,
    Covers,
    agree,
    call,
    dtypes,
    ones,
    refused,
    refuses_in_place_of,
    seeds,
    sizes,
    strange,
    tensors,
    unlike,
)

from torch_tools import seeded
from vae_course import gpt

covers = Covers(gpt)
whole_dtypes = st.sampled_from([torch.int64, torch.int32])
texts = st.text(min_size=1, max_size=30)


def zeros(*shape):
    return torch.zeros(shape, dtype=torch.int64)


# ---------------------------------------------------------------------------------- tokenizer


@covers("CharTokenizer")
@given(texts, st.randoms(use_true_random=False))
def test_tokens_and_text_are_each_others_inverse(text, random):
    tokenizer = gpt.CharTokenizer(text)
    tokens = call(tokenizer.encode, text)
    assert tokens.dtype == torch.int64 and tokens.tolist() == [
        sorted(set(text)).index(character) for character in text
    ]
    for form in (tokens, tokens.tolist(), tokens.numpy(), tuple(tokens), iter(tokens.tolist()),
                 tokens.int(), tokens[:, None].expand(-1, 2)[:, 0]):  # fmt: skip
        assert call(tokenizer.decode, form) == text
    mixed = random.sample(text, len(text))
    pieces = ["".join(mixed[:3]), "".join(mixed[3:])]  # the same characters as a list of words
    assert gpt.CharTokenizer(pieces).characters == tokenizer.characters
    assert tokenizer.decode([]) == "" and tokenizer.encode("").shape == (0,)


@given(texts, st.characters())
def test_unknown_characters_are_named(text, other):
    tokenizer = gpt.CharTokenizer(text)
    if other not in text:
        refused(tokenizer.encode, text + other, words="not among the")


def test_what_is_no_text_and_no_token_is_refused():
    tokenizer = gpt.CharTokenizer("abc")
    for wrong in (None, 5, b"abc", [1, 2], np.zeros(3), ones(3), [None]):
        refused(gpt.CharTokenizer, wrong, words="text")
        refused(tokenizer.encode, wrong, words="text")
    for wrong in (None, 5, "abc", [1.0], [True], [-1], [3], [[0]], zeros(1, 2), zeros(), ones(2),
                  ones(2, torch.bool), [None], np.ones(2), np.zeros((2, 2), int)):  # fmt: skip
        refused(tokenizer.decode, wrong, words="token")


# ------------------------------------------------------------------------------------ windows


@covers("split")
@given(st.integers(0, 200), st.floats(0, 1))
def test_split_cuts_once(count, fraction):
    for tokens in (torch.arange(count), torch.arange(count).tolist(), "x" * count):
        first, rest = call(gpt.split, tokens, fraction=fraction)
        assert len(first) == int(fraction * count)
        assert list(first) + list(rest) == list(tokens)


def test_split_refuses_other_shares_and_things():
    for wrong in (-0.1, 1.1, math.nan, math.inf, None, "0.9", [0.9]):
        refused(gpt.split, zeros(9), fraction=wrong, words="fraction")
    for wrong in (None, 5, zeros()):
        refused(gpt.split, wrong)


@covers("random_windows")
@given(st.integers(2, 40), st.data(), seeds)
def test_windows_are_pieces_of_the_text_and_their_targets(count, data, seed):
    length = data.draw(st.integers(1, count - 1))
    tokens = torch.arange(count).to(data.draw(st.sampled_from([torch.int64, torch.uint8])))
    context, target = call(gpt.random_windows, tokens, length, 5, generator=seeded(seed))
    assert context.shape == target.shape == (5, length) and context.dtype == tokens.dtype
    for seen, wanted in zip(context.tolist(), target.tolist()):
        assert seen == list(range(seen[0], seen[0] + length))
        assert wanted == [token + 1 for token in seen]


def test_windows_that_do_not_exist_are_refused():
    for wrong in (None, [1, 2, 3], "text", np.arange(9), zeros(), zeros(3, 3), ones(9),
                  ones(9, torch.bool)):  # fmt: skip
        refused(gpt.random_windows, wrong, 2, 3, words="tokens")
    for wrong in NOT_COUNTS:
        refused(gpt.random_windows, zeros(9), wrong, 3, words="length")
        refused(gpt.random_windows, zeros(9), 2, wrong, words="count")
    for count in (0, 1, 4):
        refused(gpt.random_windows, zeros(count), 4, 1, words="hold no window")
    refused(gpt.random_windows, zeros(9), 2, 3, generator="seed", words="generator")


# --------------------------------------------------------------------------------------- loss


@covers("language_model_loss")
@given(sizes, sizes, sizes, st.data(), dtypes)
def test_loss_is_the_mean_surprise(batch, time, vocabulary, data, dtype):
    logits = data.draw(tensors((batch, time, vocabulary), dtype=dtype, low=-30.0, high=30.0))
    targets = torch.randint(vocabulary, (batch, time), generator=seeded(data.draw(seeds)))
    total = 0.0
    for row, wanted in zip(logits.double(), targets.tolist()):
        for numbers, target in zip(row.tolist(), wanted):
            total -= numbers[target] - math.log(sum(map(math.exp, numbers)))
    exact = torch.tensor(total / (batch * time), dtype=torch.float64)
    agree(call(gpt.language_model_loss, logits, targets), exact, terms=exact + 60)


@given(st.data())
def test_targets_must_fit_their_logits(data):
    shape = data.draw(unlike((4, 3)))
    refused(gpt.language_model_loss, ones((4, 3, 5)), zeros(*shape), words=r"\(")
    shape = data.draw(unlike((4, 3, 5)))
    if shape[:-1] != (4, 3):
        refused(gpt.language_model_loss, ones(shape), zeros(4, 3), words="logits")


def test_targets_must_exist():
    for wrong in (-1, -100, 5):
        refused(gpt.language_model_loss, ones((2, 3, 5)), zeros(2, 3) + wrong, words=f"{wrong}")
    for wrong in (None, [[0]], "text", np.zeros((2, 3), int), ones((2, 3)), zeros(2, 3).int(),
                  zeros(2, 3).bool()):  # fmt: skip
        refused(gpt.language_model_loss, ones((2, 3, 5)), wrong, words="targets")
    for wrong in (None, [[0]], "text", np.zeros((2, 3, 5)), zeros(2, 3, 5)):
        refused(gpt.language_model_loss, wrong, zeros(2, 3), words="logits")
    refused(gpt.language_model_loss, ones((0, 3, 5)), zeros(0, 3), words="at least one")
    assert gpt.language_model_loss(ones((2, 3, 5)) / 0 * 0, zeros(2, 3)).isnan()


# ---------------------------------------------------------------------------------- attention


@covers("causal_mask")
@given(st.integers(0, 30))
def test_mask_lets_the_past_through(length):
    mask = call(gpt.causal_mask, length)
    assert mask.dtype == torch.bool
    assert mask.tolist() == [[s <= t for s in range(length)] for t in range(length)]


@pytest.mark.parametrize("wrong", NOT_WHOLE)
def test_masks_of_no_size_are_refused(wrong):
    refused(gpt.causal_mask, wrong, words="length")


@covers("attention_weights", "attention")
@given(st.lists(sizes, max_size=2), sizes, sizes, dtypes, st.data())
def test_attention_is_what_is_written_on_paper(heads, time, size, dtype, data):
    shape = (*heads, time, size)
    parts = [data.draw(tensors(shape, dtype=dtype)) for _ in range(3)]
    weights = call(gpt.attention_weights, *parts[:2])
    mixed = call(gpt.attention, *parts)
    assert weights.shape == (*shape[:-1], time)
    query, key, value = (part.detach().double().reshape(-1, time, size) for part in parts)
    for q, k, v, found, result in zip(query, key, value, weights.reshape(-1, time, time),
                                      mixed.reshape(-1, time, size)):  # fmt: skip
        for t in range(time):
            scores = [sum(q[t] * k[s]).item() / math.sqrt(size) for s in range(t + 1)]
            exact = torch.tensor(scores, dtype=torch.float64).softmax(0)
            agree(found[t, : t + 1], exact, terms=exact + 1, slack=200)
            assert not found[t, t + 1 :].any()
            agree(result[t], exact @ v[: t + 1], terms=0 * v[t] + 5, slack=200)


@given(st.data())
def test_attention_refuses_what_would_broadcast(data):
    parts = [ones((2, 4, 3)) for _ in range(3)]
    place = data.draw(st.integers(0, 2))
    parts[place] = ones(data.draw(unlike((2, 4, 3))))
    refused(gpt.attention, *parts, words="same shape")
    if place < 2:
        refused(gpt.attention_weights, *parts[:2], words="same shape")


@strange
def test_attention_names_what_is_no_tensor(wrong, words):
    refuses_in_place_of(gpt.attention, [ones((4, 3))] * 3, wrong, words)
    refuses_in_place_of(gpt.attention_weights, [ones((4, 3))] * 2, wrong, words)


def test_attention_refuses_other_dtypes_and_no_dimensions():
    for wrong in (ones((4, 3), torch.int64), ones((4, 3), torch.float64)):
        refuses_in_place_of(gpt.attention, [ones((4, 3))] * 3, wrong, str(wrong.dtype))
    for shape in ((), (3,), (4, 0)):
        refused(gpt.attention, *[ones(shape)] * 3, words="same shape")


# --------------------------------------------------------------------------------- the network


def model(vocabulary=5, **changed):
    torch.manual_seed(0)
    return gpt.CharGPT(
        vocabulary, **({"block_size": 6, "layers": 1, "heads": 2, "width": 4} | changed)
    ).eval()


@covers("CausalSelfAttention", "Block")
@given(st.integers(1, 3), st.integers(0, 3), st.integers(0, 5), st.data())
def test_parts_keep_the_shape_of_the_stream(heads, batch, time, data):
    x = data.draw(tensors((batch, time, 2 * heads)))
    for part in (gpt.CausalSelfAttention(2 * heads, heads, 0.0), gpt.Block(2 * heads, heads, 0.0)):
        found = call(part, x)
        assert found.shape == x.shape and found.isfinite().all()
        if batch:
            agree(part(x[:1])[0], found[0], terms=found[0].abs() + 1, slack=50)


@pytest.mark.parametrize("part", [gpt.CausalSelfAttention, gpt.Block])
def test_parts_refuse_other_streams_and_sizes(part):
    layer = part(4, 2, 0.0)
    for wrong in (None, [[0.0]], "text", np.zeros((1, 2, 4)), zeros(1, 2, 4), ones(()), ones(4),
                  ones((2, 4)), ones((1, 2, 3)), ones((1, 1, 2, 4))):  # fmt: skip
        refused(layer, wrong, words="x ")
    for wrong in NOT_COUNTS:
        refused(part, wrong, 1, 0.0)
        refused(part, 4, wrong, 0.0)
    refused(part, 4, 3, 0.0, words="width 4")
    for wrong in (-0.1, 1.5, math.nan, None, "0"):
        refused(part, 4, 2, wrong)


@covers("CharGPT")
@given(st.integers(0, 3), st.integers(1, 6), whole_dtypes, seeds)
def test_model_gives_logits_that_do_not_know_the_future(batch, time, dtype, seed):
    tokens = torch.randint(5, (batch, time), generator=seeded(seed)).to(dtype)
    network = model()
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.3)
    logits = call(network, tokens)
    assert logits.shape == (batch, time, 5) and logits.isfinite().all()
    for maps in call(network.attention_maps, tokens):
        assert maps.shape == (batch, 2, time, time)
        agree(maps.sum(-1), ones((batch, 2, time)))
    for place in range(1, time):
        agree(network(tokens[:, :place]), logits[:, :place], terms=logits[:, :place] + 5, slack=200)


@given(
    st.integers(1, 3),
    st.integers(1, 9),
    st.integers(0, 8),
    seeds,
    st.sampled_from([0, 0.5, 1, 1e-300, 1e300]),
    st.sampled_from([None, 1, 3, 99]),
)
def test_generation_appends_tokens_that_exist(batch, time, count, seed, temperature, top_k):
    tokens = torch.randint(5, (batch, time), generator=seeded(seed))
    options = {"temperature": temperature, "top_k": top_k}
    network = model().train()
    text = call(network.generate, tokens, count, **options, generator=seeded(seed))
    assert text.shape == (batch, time + count) and torch.equal(text[:, :time], tokens)
    assert text.min() >= 0 and text.max() < 5 and network.training
    again = network.generate(tokens, count, **options, generator=seeded(seed))
    assert torch.equal(text, again)


BAD_TOKENS = [
    None,
    [[0]],
    "text",
    np.zeros((1, 2), int),
    ones((1, 2)),
    zeros(1, 2).bool(),
    zeros(),
    zeros(3),
    zeros(1, 1, 1),
    zeros(1, 2) - 1,
    zeros(1, 2) + 5,
]


def test_model_refuses_tokens_that_do_not_exist():
    network = model().train()
    for wrong in BAD_TOKENS:
        for function in (network, network.embed, network.attention_maps):
            refused(function, wrong, words="token")
        for count in (0, 3):
            refused(network.generate, wrong, count, words="token")
    refused(network, zeros(1, 7), words="6 at most")
    refused(network.generate, zeros(2, 0), 3, words="at least one")
    for wrong in NOT_WHOLE:
        refused(network.generate, zeros(1, 2), wrong, words="count")
    for option in BAD_SAMPLING:
        refused(network.generate, zeros(1, 2), 2, **option)
    assert network.training, "left in eval mode by an error"


def test_models_of_no_size_are_refused():
    for wrong in NOT_COUNTS:
        refused(model, wrong, words="vocabulary")
        for option in ("block_size", "layers", "heads", "width"):
            refused(model, **{option: wrong}, words=option)
    refused(model, heads=3, words="width 4")
    for wrong in (-0.1, 1.5, math.nan, None, "0"):
        refused(model, dropout=wrong, words="dropout")


# ----------------------------------------------------------------------------------- sampling


def exact_probs(logits, temperature, top_k):
    """One row, in float64: probabilities of the next character."""
    kept = sorted(logits, reverse=True)[: top_k or len(logits)][-1]
    best = max(logits)
    if temperature == 0:
        return [float(index == logits.index(best)) for index in range(len(logits))]
    terms = [math.exp((x - best) / temperature) if x >= kept else 0.0 for x in logits]
    return [term / sum(terms) for term in terms]


@covers("next_probs", "sample_next")
@given(st.integers(0, 3), sizes, dtypes, st.data())
def test_probabilities_are_those_of_a_plain_loop(batch, vocabulary, dtype, data):
    logits = data.draw(tensors((batch, vocabulary), dtype=dtype, low=-20.0, high=20.0))
    temperature = data.draw(st.sampled_from([0, 1, 0.5]) | st.floats(0.1, 10))
    top_k = data.draw(st.none() | st.integers(1, 6))
    probs = call(gpt.next_probs, logits, temperature, top_k=top_k)
    for row, found in zip(logits.double().tolist(), probs):
        exact = torch.tensor(exact_probs(row, temperature, top_k), dtype=torch.float64)
        agree(found, exact, terms=exact + 1, slack=1 + 200 / max(temperature, 0.5))
    seed = data.draw(seeds)
    chosen = call(gpt.sample_next, logits, temperature, seeded(seed), top_k=top_k)
    assert chosen.shape == (batch,) and chosen.dtype == torch.int64
    assert (probs.gather(1, chosen[:, None]) > 0).all()


@given(st.floats(0, 1e-3) | st.sampled_from([1e-300, 5e-324]), st.sampled_from(FLOATS))
def test_small_temperatures_come_near_the_greedy_choice(temperature, dtype):
    logits = torch.tensor([[1.0, 90.0, -90.0]], dtype=dtype)
    assert gpt.next_probs(logits, temperature).tolist() == [[0, 1, 0]]
    assert gpt.sample_next(logits, temperature).tolist() == [1]


@given(st.floats(1e3, 1e300))
def test_large_temperatures_come_near_equal_chances(temperature):
    probs = gpt.next_probs(torch.tensor([[1.0, 2.0, -3.0, -math.inf]]), temperature)
    assert (probs - torch.tensor([1, 1, 1, 0]) / 3).abs().max() < 0.01


BAD_SAMPLING = [
    *({"temperature": t} for t in (-1, math.nan, math.inf, None, "1", [1.0], ones((1, 1)))),
    *({"top_k": k} for k in (0, -1, 2.5, "3", [1], True)),
]


@pytest.mark.parametrize("function", [gpt.next_probs, gpt.sample_next])
def test_what_nothing_can_be_drawn_from_is_refused(function):
    for option in BAD_SAMPLING:
        refused(function, ones((2, 3)), **option)
    for wrong in (None, [[0.0]], "text", np.zeros((1, 2)), zeros(1, 2), ones(()), ones(3),
                  ones((1, 2, 3)), ones((2, 0))):  # fmt: skip
        refused(function, wrong, words="logits")
    for broken in (math.nan, math.inf):
        logits = ones((2, 3))
        logits[1, 2] = broken
        for temperature in (0, 1.0):
            refused(function, logits, temperature, words="largest logit")
    refused(function, ones((2, 3)) * -math.inf, words="largest logit")
    refused(gpt.sample_next, ones((2, 3)), 1.0, "seed", words="generator")


def test_every_public_function_has_a_property_test():
    covers.check()
