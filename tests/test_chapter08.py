r"""Chapter 08: its exercises, what the notebook defines, and the explorer."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from check_tools import assert_both_named, assert_helped, assert_passes, verdict
from notebook_code import definitions
from vae_course import checks, data, gpt
from vae_course.pretrained import load_gpt
from vae_course.widgets import gpt_explorer

# ---------------------------------------------- the references and the package's functions


def test_references_agree_with_the_package():
    torch.manual_seed(0)
    logits, targets = torch.randn(3, 5, 7), torch.randint(7, (3, 5))
    query, key, value = torch.randn(3, 2, 6, 4)
    pairs = {
        "language_model_loss": (gpt.language_model_loss, (logits, targets)),
        "causal_mask": (gpt.causal_mask, (6,)),
        "attention": (gpt.attention, (query, key, value)),
    }
    for name, (function, arguments) in pairs.items():
        reference = checks.exercise(name).reference
        torch.testing.assert_close(reference(*arguments), function(*arguments))
    draws = [
        function(logits[0], 0.7, torch.Generator().manual_seed(3))
        for function in (checks.exercise("sample_next").reference, gpt.sample_next)
    ]
    assert torch.equal(*draws)


@pytest.mark.parametrize("name", [exercise.name for exercise in checks.exercises(8)])
def test_the_package_passes_its_own_checks(name):
    assert verdict(name, getattr(gpt, name)).passed


# ------------------------------------------------------------- right, written another way


def loss_by_loop(logits, targets):
    total = 0
    for row, wanted in zip(logits.flatten(0, 1), targets.flatten()):
        total = total + torch.logsumexp(row, 0) - row[wanted]
    return total / targets.numel()


def loss_by_transpose(logits, targets):
    return F.cross_entropy(logits.transpose(1, 2), targets)


def loss_one_hot(logits, targets):
    chosen = F.one_hot(targets, logits.shape[-1])
    return -(chosen * logits.log_softmax(-1)).sum(-1).mean()


def mask_by_loop(length):
    mask = torch.zeros(length, length, dtype=torch.bool)
    for t in range(length):
        mask[t, : t + 1] = True
    return mask


def attention_einsum(query, key, value):
    scores = torch.einsum("btc,bsc->bts", query, key) * query.shape[-1] ** -0.5
    scores = scores + torch.full(scores.shape[1:], -1e9).triu(1)
    return torch.einsum("bts,bsc->btc", F.softmax(scores, -1), value)


def attention_renormalised(query, key, value):
    scores = (query @ key.mT) / query.shape[2] ** 0.5
    past = torch.ones_like(scores).tril()
    weights = torch.exp(scores - scores.amax(-1, keepdim=True)) * past
    return weights / weights.sum(-1, keepdim=True) @ value


def next_by_gumbel(logits, temperature, generator):
    uniform = torch.rand(logits.shape, generator=generator).clamp(1e-9, 1 - 1e-7)
    return (logits / temperature - torch.log(-torch.log(uniform))).argmax(-1)


def next_by_cumulative_sum(logits, temperature, generator):
    edges = torch.softmax(logits / temperature, -1).cumsum(-1)
    draw = torch.rand(len(logits), 1, generator=generator)
    return torch.searchsorted(edges, draw).clamp(max=logits.shape[-1] - 1)[:, 0]


def next_row_by_row(logits, temperature, generator):
    probs = F.softmax(logits.div(temperature), dim=1)
    return torch.cat([torch.multinomial(row, 1, generator=generator) for row in probs])


RIGHT = [
    ("language_model_loss", loss_by_loop),
    ("language_model_loss", loss_by_transpose),
    ("language_model_loss", loss_one_hot),
    ("causal_mask", lambda length: torch.ones(length, length).tril().bool()),
    ("causal_mask", mask_by_loop),
    ("causal_mask", lambda n: ~torch.triu(torch.ones(n, n, dtype=torch.bool), diagonal=1)),
    ("attention", attention_einsum),
    ("attention", lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True)),
    ("attention", attention_renormalised),
    ("sample_next", next_by_gumbel),
    ("sample_next", next_by_cumulative_sum),
    ("sample_next", next_row_by_row),
]


@pytest.mark.parametrize(
    "name, function", RIGHT, ids=lambda value: getattr(value, "__name__", value)
)
def test_right_answers_written_another_way_pass(name, function):
    assert_passes(name, function, range(1 if function is next_row_by_row else 3))  # it is slow


# ------------------------------------------------------------ wrong, and in no catalogue


def unstable_loss(logits, targets):
    probs = logits.exp() / logits.exp().sum(-1, keepdim=True)
    return -probs.gather(-1, targets[..., None]).log().mean()


def squared_error(logits, targets):
    return F.mse_loss(logits.softmax(-1), F.one_hot(targets, logits.shape[-1]).float())


def binary_loss(logits, targets):
    chosen = F.one_hot(targets, logits.shape[-1]).float()
    return F.binary_cross_entropy_with_logits(logits, chosen)


def masked_with_minus_one(query, key, value):
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    past = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    return scores.masked_fill(~past, -1.0).softmax(-1) @ value


def sigmoid_attention(query, key, value):
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    return (scores.sigmoid() * torch.ones_like(scores).tril()) @ value


def running_mean(query, key, value):
    return value.cumsum(1) / torch.arange(1, value.shape[1] + 1)[None, :, None]


def attention_with_dropout(query, key, value):
    past = torch.ones(query.shape[1], query.shape[1], dtype=torch.bool).tril()
    scores = (query @ key.mT / math.sqrt(query.shape[-1])).masked_fill(~past, -math.inf)
    return F.dropout(scores.softmax(-1), 0.5) @ value


def counted_average(query, key, value):
    past = torch.ones(query.shape[1], query.shape[1]).tril()
    weights = (query @ key.mT / math.sqrt(query.shape[-1])).softmax(-1) * past
    return weights / past.sum(-1, keepdim=True) @ value


def numpy_draw(logits, temperature, generator):
    probs = (logits / temperature).softmax(-1).double().numpy()
    probs = probs / probs.sum(-1, keepdims=True)
    drawn = [np.random.choice(len(row), p=row) for row in probs[:400]]
    return torch.tensor(drawn + [0] * (len(probs) - len(drawn)))


def mean_token(logits, temperature, generator):
    return ((logits / temperature).softmax(-1) * torch.arange(logits.shape[-1])).sum(-1)


def top_three(logits, temperature, generator):
    best = (logits / temperature).topk(3, dim=-1)
    place = torch.multinomial(best.values.softmax(-1), 1, generator=generator)
    return best.indices.gather(-1, place)[:, 0]


def in_python(logits, temperature, generator):
    return gpt.sample_next(logits, temperature, generator).tolist()


def one_based(logits, temperature, generator):
    return gpt.sample_next(logits, temperature, generator) + 1


def warmer(logits, temperature, generator):
    return gpt.sample_next(logits, temperature + 0.8, generator)


WRONG = [
    ("language_model_loss", unstable_loss, "log_softmax"),
    ("language_model_loss", squared_error, "log V"),
    ("language_model_loss", binary_loss, "log V"),
    ("language_model_loss", lambda x, y: loss_one_hot(x, y) / 2, "half"),
    ("language_model_loss", lambda x, y: loss_one_hot(x, y).item(), "gradient"),
    ("language_model_loss", lambda x, y: (x.argmax(-1) != y).float().mean(), "log V"),
    ("language_model_loss", lambda x, y: F.cross_entropy(x, y), "shapes"),
    ("causal_mask", lambda n: mask_by_loop(n).triu(-2), "past"),
    ("causal_mask", lambda n: mask_by_loop(n) | (torch.arange(n) == n - 1), "later"),
    ("causal_mask", lambda n: mask_by_loop(n).tolist(), "list"),
    ("causal_mask", lambda n: np.tril(np.ones((n, n), dtype=bool)), "NumPy array"),
    ("causal_mask", lambda n: mask_by_loop(n).float() * 1e9 - 1e9, "decimal numbers"),
    ("causal_mask", lambda n: mask_by_loop(n) & (torch.arange(n) > 0)[:, None], "itself"),
    ("causal_mask", lambda n: mask_by_loop(9)[:n, :n], "follow `length`"),
    ("attention", masked_with_minus_one, "future"),
    ("attention", sigmoid_attention, "sum to 1"),
    ("attention", running_mean, "look up"),
    ("attention", attention_with_dropout, "dropout"),
    ("attention", counted_average, "future"),
    ("attention", lambda q, k, v: attention_einsum(q, k, v)[0], "shape"),
    ("attention", lambda q, k, v: attention_einsum(q, k, v.T), "shapes"),
    ("sample_next", numpy_draw, "seed"),
    ("sample_next", mean_token, "integer token"),
    ("sample_next", top_three, "softmax(logits / temperature)"),
    ("sample_next", in_python, "integer token"),
    ("sample_next", one_based, "between 0 and V − 1"),
    ("sample_next", warmer, "softmax(logits / temperature)"),
]


@pytest.mark.parametrize(
    ("name", "function", "words"),
    WRONG,
    ids=lambda value: getattr(value, "__name__", "").strip("<>") or str(value)[:24],
)
def test_wrong_answers_outside_the_catalogue_get_a_useful_hint(name, function, words):
    assert_helped(name, function, words)


@pytest.mark.parametrize(("name", "first", "second"), [
    ("language_model_loss", "softmax-first", "summed"),
    ("language_model_loss", "shifted-again", "bits"),
    ("causal_mask", "not-itself", "floats"),
    ("causal_mask", "one-ahead", "integers"),
    ("attention", "no-mask", "no-scale"),
    ("attention", "mask-after-softmax", "divided-by-channels"),
    ("attention", "keys-for-values", "no-scale"),
    ("sample_next", "temperature-multiplied", "generator-ignored"),
])  # fmt: skip
def test_pair_of_mistakes_is_recognised(name, first, second):
    assert_both_named(name, first, second)


def test_argmax_without_an_axis_is_recognised_too():
    found = verdict("sample_next", lambda logits, temperature, generator: logits.argmax(-1), 3)
    assert found.mistake == "argmax"


def test_no_right_sampler_fails_by_bad_luck():
    assert_passes("sample_next", next_by_gumbel, range(30))


# ------------------------------------------------------------------------ the notebook


def test_loop_and_head_of_the_notebook_equal_the_package():
    names = ("WIDTH", "attention_by_loop", "attention_without_mask", "Head")
    notebook = definitions("08_char_gpt", *names)
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 6, 4)
    torch.testing.assert_close(
        notebook.attention_by_loop(query, key, value), gpt.attention(query, key, value)
    )
    head, x = notebook.Head(4, gpt.attention), torch.randn(2, 6, notebook.WIDTH)
    expected = gpt.attention(head.query(x), head.key(x), head.value(x))
    torch.testing.assert_close(head(x), expected)
    changed = x.clone()
    changed[:, -1] += 1
    torch.testing.assert_close(head(x)[:, :-1], head(changed)[:, :-1])
    head.look = notebook.attention_without_mask
    assert not torch.allclose(head(x)[:, 0], head(changed)[:, 0])


def test_block_of_the_notebook_has_the_parameters_of_the_package():
    names = ("WIDTH", "HEADS", "Head", "Heads", "feed_forward", "Block")
    notebook = definitions("08_char_gpt", *names)
    notebook.Block.forward.__globals__["attention"] = gpt.attention  # as if the check had passed
    block = notebook.Block()
    x = torch.randn(2, 5, notebook.WIDTH)
    assert block(x).shape == x.shape
    shuffled = x[:, torch.tensor([1, 0, 2, 3, 4])]
    torch.testing.assert_close(block(x)[:, 2:], block(shuffled)[:, 2:])  # blind to order
    ours = gpt.Block(notebook.WIDTH, notebook.HEADS, 0.0)
    sizes = [sum(p.numel() for p in each.parameters()) for each in (block, ours)]
    assert sizes[0] - sizes[1] == notebook.WIDTH  # the notebook's projection has a bias
    sizes = [sum(p.numel() for p in notebook.Heads(n).parameters()) for n in (1, 4)]
    assert sizes[0] == sizes[1], "one head and four heads differ in nothing but their number"


def test_repeats_are_counted():
    longest_repeat = definitions("08_char_gpt", "longest_repeat").longest_repeat
    assert longest_repeat("abcabcabcx", 3) == 3 and longest_repeat("abcdefghijk", 3) == 1


# ----------------------------------------------------------------------- the challenge


class Table(torch.nn.Module):
    r"""Frequencies of pairs, in windows of eight; `peeks` shows it the character that comes."""

    def __init__(self, peeks=False):
        super().__init__()
        text = data.load_text("python-docs")
        tokens = gpt.CharTokenizer(text).encode(text)[:100_000]
        counts = torch.full((len(set(text)), len(set(text))), 0.1)
        counts.index_put_((tokens[:-1], tokens[1:]), torch.ones(99_999), accumulate=True)
        self.logits, self.peeks, self.block_size = counts.log(), peeks, 8

    def forward(self, tokens):
        if self.peeks:
            return 20 * F.one_hot(tokens.roll(-1, dims=1), len(self.logits)).float()
        return self.logits[tokens]


def test_challenge_measures_the_validation_part():
    found = checks.challenge("08", Table())
    assert found.status == "not yet" and 2.1 < found.score < 2.7
    assert "first quarter" in str(found)
    assert checks.challenge("08").status == "task"


def test_challenge_refuses_a_model_that_reads_the_future(capsys):
    assert checks.challenge("08", Table(peeks=True)).status == "error"
    assert "reads the future" in capsys.readouterr().out
    assert checks.challenge("08", torch.nn.Embedding(5, 5)).status == "error"


# ------------------------------------------------------------------------ the explorer


@pytest.fixture(scope="module")
def explorer():
    model, tokenizer, _ = load_gpt("gpt-shakespeare-minutes")
    return gpt_explorer(model, tokenizer, prompt="ROMEO:\nO, she")


def test_every_control_changes_the_picture(explorer):
    start = explorer.picture()
    assert start == explorer.picture()
    moves = {"prompt": "JULIET:\\nO, the", "cursor": 4, "temperature": 0.4, "top_k": 2,
             "look": (0, 1)}  # fmt: skip
    assert moves.keys() == explorer.controls.keys()
    for name, value in moves.items():
        assert explorer.picture(**{name: value}) != start, name


def test_words_are_the_models_probabilities(explorer):
    model, tokenizer, _ = load_gpt("gpt-shakespeare-minutes")
    logits = model(tokenizer.encode("ROMEO")[None])[:, -1]
    share = 100 * gpt.next_probs(logits, 0.5)[0, tokenizer.encode(":")[0]]
    words = explorer.words(cursor=5, temperature=0.5)
    assert f'After "O" (character 5 of 13) the model expects: ":" {share:.0f} %' in words
    maps = model.attention_maps(tokenizer.encode("ROMEO:\nO, she")[None])
    strongest = 100 * maps[1][0, 2, 4].max()
    assert f"({strongest:.0f} %)" in explorer.words(cursor=5, look=(1, 2))


def test_top_1_leaves_one_character(explorer):
    assert " 100 %" in explorer.words(top_k=1)


def test_prompts_of_every_kind(explorer):
    for prompt in ("", "ÄÖ€", "x", "a" * 300, "\\n\\n"):
        explorer.set(prompt=prompt)
        assert "Error" not in explorer.status.value
    explorer.set(prompt="To be")
    explorer.set(cursor=3)
    assert "After a space (character 3 of 5)" in explorer.words(prompt="To be", cursor=3)
    typed = explorer.rows["prompt"].holders[0]
    typed.value = "ROMEO:"  # as if typed, with Enter
    assert explorer.values["prompt"] == "ROMEO:" and "Error" not in explorer.status.value


def test_static_twin(explorer):
    picture = explorer.static_picture([{"cursor": 3}, {"cursor": 8}], columns=1)
    assert picture.width > 700 and picture.height > 800
