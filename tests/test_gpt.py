"""Identities of the GPT: the future does not leak, an untrained loss is log V, seeds repeat."""

import math

import pytest
import torch
import torch.nn.functional as F

from vae_course import gpt
from vae_course.runs.gpt import mean_loss

SIZE = {"block_size": 8, "layers": 2, "heads": 2, "width": 16}
TEXT = "to be, or not to be, that is the question.\n" * 30


def small(vocabulary=11, **changed):
    torch.manual_seed(0)
    return gpt.CharGPT(vocabulary, **(SIZE | changed))


def lively(**changed):
    """A model whose weights are not tiny, so that what should differ does."""
    model = small(**changed).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return model


class TestTokenizer:
    def test_round_trip_of_every_character(self):
        text = "Zwölf „Ümläute“ – 5 € \n\t🦆"
        tokenizer = gpt.CharTokenizer(text)
        assert tokenizer.decode(tokenizer.encode(text)) == text
        assert len(tokenizer) == len(set(text))

    def test_tokens_do_not_depend_on_the_order_of_the_text(self):
        left, right = gpt.CharTokenizer("hello"), gpt.CharTokenizer("olleh")
        assert torch.equal(left.encode("hole"), right.encode("hole"))

    def test_unknown_character_is_named_with_its_place(self):
        with pytest.raises(ValueError, match=r"'q' at 3 .* 3 known: 'abc'"):
            gpt.CharTokenizer("cab").encode("abcq")

    def test_empty_text(self):
        tokens = gpt.CharTokenizer("ab").encode("")
        assert tokens.shape == (0,) and tokens.dtype == torch.int64


class TestWindows:
    def test_target_is_the_context_one_later(self):
        tokens = torch.arange(50)
        context, target = gpt.random_windows(tokens, 7, 20)
        assert context.shape == target.shape == (20, 7)
        assert torch.equal(target, context + 1)

    def test_first_and_last_character_are_reached(self):
        context, target = gpt.random_windows(torch.arange(6), 4, 200)
        assert context.min() == 0 and target.max() == 5

    def test_same_generator_same_windows(self):
        draws = [
            gpt.random_windows(torch.arange(99), 5, 9, generator=torch.Generator().manual_seed(s))
            for s in (1, 1, 2)
        ]
        assert torch.equal(draws[0][0], draws[1][0]) and not torch.equal(draws[0][0], draws[2][0])

    def test_shortest_text(self):
        context, target = gpt.random_windows(torch.arange(5), 4, 3)
        assert torch.equal(context, torch.arange(4).expand(3, 4)) and target[0, -1] == 4
        with pytest.raises(ValueError, match="4 tokens hold no window of 4"):
            gpt.random_windows(torch.arange(4), 4, 3)

    def test_split_cuts_and_loses_nothing(self):
        train, rest = gpt.split(torch.arange(105))
        assert len(train) == 94 and torch.equal(torch.cat([train, rest]), torch.arange(105))


class TestAttention:
    def test_equals_the_fused_kernel(self):
        query, key, value = torch.randn(3, 2, 4, 9, 5)
        fused = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        torch.testing.assert_close(gpt.attention(query, key, value), fused)

    def test_future_does_not_leak(self):
        query, key, value = torch.randn(3, 2, 6, 4)
        before = gpt.attention(query, key, value)
        for tensor in (query, key, value):
            tensor[:, 4:] += 5
        after = gpt.attention(query, key, value)
        torch.testing.assert_close(before[:, :4], after[:, :4])
        assert (before[:, 4:] - after[:, 4:]).abs().min() > 1e-3

    def test_rows_of_weights_sum_to_one(self):
        weights = gpt.attention_weights(*torch.randn(2, 3, 7, 4))
        torch.testing.assert_close(weights.sum(-1), torch.ones(3, 7))
        assert (weights.triu(1) == 0).all() and (weights.tril() > 0).sum() == 3 * 28


class TestCharGPT:
    def test_future_does_not_leak(self):
        model, tokens = lively(), torch.randint(11, (3, 8))
        before = model(tokens)
        for place in range(1, 8):
            changed = tokens.clone()
            changed[:, place:] = (changed[:, place:] + 1) % 11
            after = model(changed)
            torch.testing.assert_close(before[:, :place], after[:, :place])
            assert (before[:, place] - after[:, place]).abs().max() > 1e-3

    def test_untrained_loss_is_log_v(self):
        model = small(65, width=64)
        tokens = torch.randint(65, (16, 9))
        loss = gpt.language_model_loss(model(tokens[:, :-1]), tokens[:, 1:])
        assert abs(loss.item() - math.log(65)) < 0.05

    def test_what_adds_to_the_stream_starts_smaller_the_deeper_the_model(self):
        model = small(width=64, layers=8)
        for name, weight in model.named_parameters():
            if name.endswith("bias"):
                assert not weight.any(), name
            elif weight.dim() == 2:
                adds = "project" in name or "feed_forward.2" in name
                expected = 0.02 / 4 if adds else 0.02  # 4 is √(2 · 8)
                assert weight.std().item() == pytest.approx(expected, rel=0.2), name

    def test_sequences_of_a_batch_do_not_meet(self):
        model, tokens = lively(), torch.randint(11, (3, 8))
        torch.testing.assert_close(model(tokens)[1:2], model(tokens[1:2]))

    def test_order_matters(self):
        model = lively()
        assert not torch.allclose(
            model(torch.tensor([[1, 2, 3]]))[0, -1], model(torch.tensor([[2, 1, 3]]))[0, -1]
        )

    def test_a_place_adds_its_own_vector(self):
        model = lively()
        first, second = model.embed(torch.tensor([[1, 1]]))[0]
        places = model.position_embedding.weight
        torch.testing.assert_close(second - first, places[1] - places[0])
        assert (second - first).abs().max() > 1e-3

    def test_each_norm_stands_before_its_own_part(self):
        block, x = lively().blocks[0], torch.randn(2, 6, 16)
        with torch.no_grad():
            block.norm_2.weight.mul_(3)  # the two norms differ
        after = x + block.attention(block.norm_1(x))
        after = after + block.feed_forward(block.norm_2(after))
        torch.testing.assert_close(block(x), after)

    def test_logits_are_read_off_the_normed_stream(self):
        model, tokens = lively(), torch.randint(11, (2, 6))
        x = model.embed(tokens)
        for block in model.blocks:
            x = block(x)
        torch.testing.assert_close(model(tokens), model.to_logits(model.norm(x)))
        assert not torch.allclose(model(tokens), model.to_logits(x))

    def test_attention_maps_are_those_that_forward_uses(self):
        model, tokens = lively(), torch.randint(11, (2, 6))
        maps = model.attention_maps(tokens)
        assert [tuple(each.shape) for each in maps] == [(2, 2, 6, 6)] * 2
        block = model.blocks[0]
        inside = block.norm_1(model.embed(tokens))
        value = block.attention.split_heads(inside)[2]
        mixed = (maps[0] @ value).transpose(1, 2).flatten(2)
        torch.testing.assert_close(block.attention.project(mixed), block.attention(inside))

    def test_learns_a_text_by_heart(self):
        line = "jackdaws love my big sphinx of quartz.\n"
        tokenizer = gpt.CharTokenizer(line)
        model = small(len(tokenizer), block_size=16, width=32)
        tokens = tokenizer.encode(20 * line)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        generator = torch.Generator().manual_seed(0)
        for _ in range(150):
            context, target = gpt.random_windows(tokens, 16, 8, generator=generator)
            loss = gpt.language_model_loss(model(context), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert loss.item() < 0.5
        text = model.generate(tokenizer.encode(line[:14])[None], 30, temperature=0)
        assert tokenizer.decode(text[0]) == (2 * line)[:44]

    def test_too_long_and_uneven_are_explained(self):
        with pytest.raises(ValueError, match=r"9 tokens came.*8 at most.*crop"):
            small()(torch.zeros(1, 9, dtype=torch.long))
        with pytest.raises(ValueError, match=r"width 16 .* 3 heads"):
            small(heads=3)

    def test_dropout_only_in_training(self):
        model, tokens = lively(dropout=0.5), torch.randint(11, (1, 8))
        assert torch.equal(model(tokens), model(tokens))
        model.train()
        assert not torch.equal(model(tokens), model(tokens))


class TestGenerate:
    start = torch.tensor([[1, 2], [3, 4]])

    def test_same_seed_same_text_whatever_the_global_state(self):
        model, texts = lively(), []
        for seed in (5, 5, 6):
            torch.manual_seed(len(texts))
            generator = torch.Generator().manual_seed(seed)
            texts.append(model.generate(self.start, 20, generator=generator))
        assert torch.equal(texts[0], texts[1]) and not torch.equal(texts[0], texts[2])
        assert texts[0].shape == (2, 22) and torch.equal(texts[0][:, :2], self.start)

    @pytest.mark.parametrize("length", [1, 3, 8, 12])
    def test_what_is_kept_of_the_past_changes_nothing(self, length):
        """Below, at and beyond the block's eight places, against the whole context every time."""
        model, tokens = lively(), torch.randint(11, (3, length))
        generators = [torch.Generator().manual_seed(4) for _ in range(2)]
        text = model.generate(tokens, 12, generator=generators[0])
        with torch.no_grad():
            for _ in range(12):
                logits = model(tokens[:, -8:])[:, -1]
                chosen = gpt.sample_next(logits, generator=generators[1])
                tokens = torch.cat([tokens, chosen[:, None]], dim=1)
        assert torch.equal(text, tokens)

    def test_parts_that_come_one_after_the_other_give_the_logits_of_the_whole(self):
        model, tokens = lively(), torch.randint(11, (3, 8))
        memory, parts = [[], []], []
        for part in tokens.split([3, 1, 4], dim=1):
            parts.append(model(part, memory))
        torch.testing.assert_close(torch.cat(parts, dim=1), model(tokens))
        with pytest.raises(ValueError, match="9 tokens came, the model looks at 8 at most"):
            model(tokens[:, :1], memory)

    def test_crops_to_the_block(self):
        model = lively()
        long = torch.randint(11, (64, 30))  # 64, as a single draw may come out alike by chance
        texts = [
            model.generate(given, 5, generator=torch.Generator().manual_seed(0))[:, -5:]
            for given in (long, long[:, -8:])
        ]
        assert torch.equal(*texts)

    def test_no_graph_and_mode_kept(self):
        model = lively(dropout=0.5).train()
        text = model.generate(self.start, 3, temperature=0)
        assert model.training and not text.requires_grad
        assert torch.equal(text, model.generate(self.start, 3, temperature=0)), "dropout was on"

    def test_nothing_to_add(self):
        assert torch.equal(lively().generate(self.start, 0), self.start)


class TestNextProbs:
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0], [0.0, 0.0, 5.0, 0.0]])

    def test_temperature_is_a_power_of_the_probabilities(self):
        probs = self.logits.softmax(-1)
        for temperature in (0.5, 2.0):
            power = probs ** (1 / temperature)
            torch.testing.assert_close(
                gpt.next_probs(self.logits, temperature), power / power.sum(-1, keepdim=True)
            )

    def test_zero_is_greedy_and_the_limit(self):
        greedy = gpt.next_probs(self.logits, 0)
        assert greedy.tolist() == [[1, 0, 0, 0], [0, 0, 1, 0]]
        torch.testing.assert_close(gpt.next_probs(self.logits, 0.01), greedy)

    def test_top_k_keeps_k_and_their_ratios(self):
        probs = gpt.next_probs(self.logits, top_k=2)
        assert (probs[0] > 0).tolist() == [True, True, False, False]
        assert probs[0, 0] / probs[0, 1] == pytest.approx(math.e)
        assert torch.equal(
            gpt.next_probs(self.logits, top_k=99), gpt.next_probs(self.logits, top_k=None)
        )

    def test_bad_arguments(self):
        for wrong in ({"temperature": -1}, {"temperature": math.nan}, {"top_k": 0}):
            with pytest.raises(ValueError, match="expected temperature ≥ 0 and top_k ≥ 1"):
                gpt.next_probs(self.logits, **wrong)

    def test_draws_follow_the_probabilities(self):
        generator = torch.Generator().manual_seed(0)
        drawn = gpt.sample_next(self.logits[:1].expand(20_000, -1), 1.5, generator)
        often = torch.bincount(drawn, minlength=4) / 20_000
        assert (often - gpt.next_probs(self.logits[:1], 1.5)[0]).abs().max() < 0.02


def test_mean_loss_predicts_every_character_once():
    model, tokens = lively(), torch.randint(11, (8 * 5 + 4,))  # 5 windows and one of 3
    total = 0.0
    for start in range(0, 43, 8):
        piece = tokens[start : min(start + 8, 43) + 1]
        logits = model(piece[None, :-1])[0]
        total += F.cross_entropy(logits, piece[1:], reduction="sum").item()
    for batch_size in (1, 2, 5, 64):
        measured = mean_loss(model, tokens, 8, batch_size=batch_size)
        assert measured == pytest.approx(total / 43, rel=1e-5)
