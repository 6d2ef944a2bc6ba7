"""Identities of the GPT: the future does not leak, an untrained loss is log V, seeds repeat."""

import json
import math
from argparse import Namespace

import pytest
import torch
import torch.nn.functional as F

from vae_course import cli, gpt, pretrained
from vae_course.files import DataError, package_data
from vae_course.runs import train_gpt

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

    def test_crops_to_the_block(self):
        model = lively()
        long = torch.randint(11, (1, 30))
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
        measured = train_gpt.mean_loss(model, tokens, 8, batch_size=batch_size)
        assert measured == pytest.approx(total / 43, rel=1e-5)


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture
def options(text_file):
    return (
        f"train --model gpt --dataset {text_file} --layers 1 --heads 2 --width 16 --block-size 8 "
        "--batch-size 4 --dropout 0.1 --device cpu"
    ).split()


def train(*arguments):
    return cli.main(list(map(str, arguments)))


class TestTraining:
    def test_run_writes_model_card_log_and_loads(self, options, tmp_path, capsys):
        out = tmp_path / "run"
        assert train(*options, "--steps", 30, "--out", out, "--store", "float16") == 0
        model, tokenizer, card = pretrained.load_gpt(out / "model.safetensors")
        assert tokenizer.characters == "".join(sorted(set(TEXT)))
        assert {p.dtype for p in model.parameters()} == {torch.float32} and not model.training
        _, rest = gpt.split(tokenizer.encode(TEXT))
        measured = card["measured"]["validation_loss"]
        assert measured == pytest.approx(train_gpt.mean_loss(model, rest, 8), abs=1e-4)
        assert measured < math.log(len(tokenizer)) and str(measured) in capsys.readouterr().out
        assert card["measured"]["steps"] == 30 and card["weights"]["dtype"] == "float16"
        assert card["parameters"] == sum(p.numel() for p in model.parameters())
        log = (out / "log.csv").read_text().splitlines()
        assert log[0].startswith("step,characters") and log[-1].startswith("30,960,")
        assert not [p.name for p in out.iterdir() if p.name.endswith(".part")]

    def test_resumed_run_equals_an_uninterrupted_one(self, options, tmp_path):
        whole, halves = tmp_path / "whole", tmp_path / "halves"
        settings = {"steps": 12, "evaluate_every": 4, "layers": 1, "heads": 2, "width": 16}
        settings |= {"block_size": 8, "batch_size": 4, "dropout": 0.1, "warm_up": 3}
        chosen = train_gpt.settings_from(dataset=options[4], **settings)
        whole.mkdir()
        halves.mkdir()
        uninterrupted = train_gpt.Run(chosen)
        uninterrupted.train(whole)
        first = train_gpt.Run(chosen)
        first.model.train()
        while first.step < 4:
            first.train_step()
        first.rows = uninterrupted.rows[:1]
        first.save_checkpoint(halves)
        del first
        torch.manual_seed(99)
        resumed = train_gpt.Run.resume(halves)
        assert resumed.step == 4
        resumed.train(halves)
        for name, value in uninterrupted.model.state_dict().items():
            assert torch.equal(value, resumed.model.state_dict()[name]), name
        losses = [[row["validation_loss"] for row in r.rows] for r in (uninterrupted, resumed)]
        assert losses[0] == losses[1]

    def test_resume_from_the_command_line_and_longer(self, options, tmp_path):
        out = tmp_path / "run"
        assert train(*options, "--steps", 5, "--out", out) == 0
        assert train("train", "--model", "gpt", "--out", out, "--resume", "--steps", 9) == 0
        card = json.loads((out / "model.json").read_text())
        assert card["measured"]["steps"] == 9 and len(card["commands"]) == 2
        assert card["commands"][1].endswith("--steps 9 --resume")

    def test_learning_rate_rises_stays_and_falls_to_nothing(self):
        settings = train_gpt.Settings(steps=100, warm_up=10, decay=0.5, learning_rate=1.0)
        rates = [settings.learning_rate_at(step) for step in range(100)]
        assert rates[0] == pytest.approx(0.1) and rates[9:51] == [1.0] * 42
        assert rates[75] == pytest.approx(0.5) and rates[99] == pytest.approx(0.02)


class TestBadArguments:
    @pytest.mark.parametrize(
        "extra, words",
        [
            (["--steps", "0"], "whole number of 1 or more"),
            (["--steps", "many"], "invalid whole number"),
            (["--heads", "3"], "width 16 can't be shared among 3 heads"),
            (["--dropout", "1.5"], "dropout must be"),
            (["--learning-rate", "-1"], "learning_rate must be positive"),
            (["--device", "toaster"], "device 'toaster'"),
            (["--resume"], "leave out batch_size"),
            (["--dataset", "shakespere"], "Did you mean 'shakespeare'?"),
            (["--model", "cnn"], "invalid choice"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_one_line_and_code_2(self, options, tmp_path, capsys, extra, words):
        try:
            code = train(*options, "--out", tmp_path / "out", *extra)
        except SystemExit as left:
            code = left.code
        message = capsys.readouterr().err
        assert code == 2 and words in message and message.count("\n") == 1
        assert not (tmp_path / "out" / "model.json").exists()

    def test_text_shorter_than_a_window(self, options, text_file, tmp_path, capsys):
        text_file.write_text("short")
        assert train(*options, "--out", tmp_path / "out") == 2
        assert "too short" in capsys.readouterr().err

    def test_nothing_to_resume_and_run_in_the_way(self, options, tmp_path, capsys):
        common = ["train", "--model", "gpt", "--out", tmp_path / "out"]
        assert train(*common, "--resume") == 2
        assert "no checkpoint" in capsys.readouterr().err
        assert train(*options, "--steps", 1, "--out", tmp_path / "out") == 0
        assert train(*options, "--steps", 1, "--out", tmp_path / "out") == 2
        assert "add --resume" in capsys.readouterr().err

    def test_damaged_checkpoint(self, tmp_path, capsys):
        (tmp_path / "checkpoint.safetensors").write_bytes(b"rubbish")
        assert train("train", "--model", "gpt", "--out", tmp_path, "--resume") == 2
        assert "is no checkpoint" in capsys.readouterr().err

    def test_other_text_than_before(self, options, text_file, tmp_path, capsys):
        assert train(*options, "--steps", 1, "--out", tmp_path / "out") == 0
        text_file.write_text(TEXT + "and more")
        assert train("train", "--model", "gpt", "--out", tmp_path / "out", "--resume") == 2
        assert "not the one" in capsys.readouterr().err

    def test_unknown_preset(self):
        with pytest.raises(ValueError, match="choose from minutes, hour"):
            train_gpt.settings_from("day")

    def test_namespace_of_a_program(self, text_file, tmp_path):
        """`train_and_save` needs nothing of the command line but its names."""
        given = Namespace(dataset=str(text_file), out=tmp_path / "o", device="cpu", resume=False)
        given.preset, given.steps, given.block_size, given.width, given.layers = None, 1, 8, 8, 1
        assert "validation loss" in train_gpt.train_and_save(given)


class TestPretrained:
    @pytest.mark.parametrize(
        "name, bound", [("gpt-shakespeare-minutes", 1.88), ("gpt-shakespeare-hour", 1.60)]
    )
    def test_shipped_models(self, name, bound):
        model, tokenizer, card = pretrained.load_gpt(name)
        assert len(tokenizer) == 65 == card["architecture"]["vocabulary"]
        assert card["measured"]["validation_loss"] <= bound and card["weights"]["bytes"] < 4e6
        assert sum(p.numel() for p in model.parameters()) == card["parameters"]
        log = package_data(f"runs/{name}.csv").read_text().splitlines()
        assert log[-1].startswith(f"{card['measured']['steps']},")
        line = "First Citizen:\nBefore we proceed any further, hear me speak.\n"
        tokens = tokenizer.encode(line)
        assert train_gpt.mean_loss(model, tokens, 61) < 2.0  # far below log 65 = 4.17
        text = tokenizer.decode(model.generate(tokenizer.encode("ROMEO:")[None], 1)[0])
        assert text == "ROMEO:\n"

    def test_missing_and_mismatched_files(self, tmp_path):
        with pytest.raises(DataError, match="no file"):
            pretrained.load_gpt("gpt-of-nobody")
        with pytest.raises(DataError, match="no file"):
            pretrained.load_gpt(tmp_path / "model.safetensors")
        (tmp_path / "model.safetensors").write_bytes(b"rubbish")
        (tmp_path / "model.json").write_text('{"architecture": {"vocabulary": 3}}')
        with pytest.raises(DataError, match="damaged"):
            pretrained.load_gpt(tmp_path / "model.safetensors")
