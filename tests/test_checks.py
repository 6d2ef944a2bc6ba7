r"""The checker itself, and for every exercise: reference accepted, every mistake recognised."""

import io
import os
import random
import runpy
import time
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from check_tools import assert_passes, quiet, verdict
from right_answers import RIGHT
from vae_course import checks
from vae_course.checks import draw, sandbox

SEEDS = [11, 222]
CATALOGUE = [(e, m) for e in checks.exercises() for m in e.mistakes]
KL = checks.exercise("gaussian_kl")


@pytest.mark.parametrize("exercise", checks.exercises(), ids=lambda e: e.name)
class TestEveryExercise:
    def test_reference_passes(self, exercise):
        assert_passes(exercise.name, exercise.reference, range(12))

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
    def test_reference_passes_in_another_dtype(self, exercise, dtype):
        def other(*args, **kwargs):
            value = exercise.reference(*args, **kwargs)
            decimal = isinstance(value, Tensor) and value.is_floating_point()
            return value.to(dtype) if decimal else value

        if dtype == torch.bfloat16 and exercise.name.endswith(("gradient", "reparameterize")):
            pytest.skip("two digits are too few for what is looked at here")
        assert_passes(exercise.name, other, range(3))

    def test_stub_is_not_attempted(self, exercise):
        def raises(*args):
            raise NotImplementedError

        for stub in (lambda *args: ..., lambda *args: None, raises):
            found = quiet(exercise.name, stub)[0]
            assert found.status == "not attempted" and exercise.returns in found.hint

    def test_missing_return_is_named(self, exercise):
        def forgets(*args):
            exercise.reference(*args)

        found = verdict(exercise.name, forgets)
        assert found.status == "wrong" and "return" in found.hint

    def test_has_at_least_eight_mistakes_with_distinct_hints(self, exercise):
        assert len({m.hint for m in exercise.mistakes}) == len(exercise.mistakes) >= 8

    def test_hard_coded_answer_fails(self, exercise):
        args = exercise.inputs(draw.case(1))
        torch.manual_seed(1)
        answer = exercise.reference(*args)
        assert not quiet(exercise.name, lambda *args: answer)[0].passed

    def test_wild_return_values_are_survived(self, exercise):
        wild = [
            *("text", [], {}, object(), float("nan"), torch.tensor(float("nan")), True, 1 + 2j),
            *(torch.zeros(0), torch.zeros(3, 2, 5, dtype=torch.int64), np.zeros(3), print),
        ]
        for value in wild:
            found, text = quiet(exercise.name, lambda *args, value=value: value)
            assert found.status in ("wrong", "error"), value
            assert found.hint and "Traceback" not in text

    def test_wrong_number_of_parameters_names_the_signature(self, exercise):
        found, text = quiet(exercise.name, lambda: 1)
        unwrapped = " ".join(text.replace("│", " ").split())
        assert found.status == "error" and exercise.signature in unwrapped

    def test_solution_runs_and_solves(self, exercise):
        source = checks.solution(exercise.name)
        space = vars(__import__(exercise.reference.__module__, fromlist=["x"])).copy()
        exec(source, space)
        assert quiet(exercise.name, space[exercise.name])[0].passed


EACH_RIGHT = [
    pytest.param(name, function, id=f"{name}-{function.__name__}")
    for name, functions in RIGHT.items()
    for function in functions
]


def test_each_exercise_has_three_right_answers_in_other_styles():
    assert RIGHT.keys() >= {exercise.name for exercise in checks.exercises()}
    assert min(map(len, RIGHT.values())) >= 3


@pytest.mark.parametrize("name, function", EACH_RIGHT)
def test_right_answer_in_another_style_passes(name, function):
    assert_passes(name, function, [None, 1, 2])


@pytest.mark.many_draws
@pytest.mark.parametrize("name, function", EACH_RIGHT)
def test_right_answer_passes_two_hundred_times(name, function):
    assert_passes(name, function, range(200))


@pytest.mark.many_draws
@pytest.mark.parametrize("exercise", checks.exercises(), ids=lambda exercise: exercise.name)
def test_reference_passes_two_hundred_times(exercise):
    assert_passes(exercise.name, exercise.reference, range(200))


@pytest.mark.parametrize("exercise, mistake", CATALOGUE, ids=lambda x: x.name)
def test_mistake_is_rejected_and_recognised(exercise, mistake):
    wrong = exercise.wrong(mistake.name)
    for seed in SEEDS:
        found, text = quiet(exercise.name, wrong, seed)
        assert not found.passed
        assert mistake.hint in found.hint, f"recognised as {found.mistake}"
        assert "".join(mistake.hint.split())[:60] in "".join(text.replace("│", "").split())


class TestWhatAnAuthorWrites:
    def exercise(self, **options):
        def twice(number):
            return 2 * number + 0  # two times

        options = {"inputs": lambda g: (draw.normal(g, "B"),), "returns": "(B,)"} | options
        return checks.Exercise(twice, **options)

    def test_an_exercise_of_three_lines_is_checked(self, capsys):
        exercise = self.exercise().mistake("thrice", edit=("2 *", "3 *"), hint="Three times.")
        assert checks.check(exercise, lambda number: number + number).passed
        assert checks.check(exercise, lambda number: 3 * number).mistake == "thrice"
        assert "Three times." in capsys.readouterr().out

    def test_edits_combine(self, capsys):
        exercise = self.exercise().mistake("thrice", edit=("2 *", "3 *"), hint="Three times.")
        exercise.mistake("one-more", edit=("+ 0", "+ 1"), hint="One more.")
        assert checks.check(exercise, lambda x: 3 * x + 1).mistake == "thrice+one-more"

    @pytest.mark.parametrize("edit, words", [
        (("4 *", "3 *"), "nowhere"), (("number", "x"), "2 times"), (("2 *", "2 * ("), "Python"),
        ((), "either"), (("", "x"), "nowhere"),
    ])  # fmt: skip
    def test_an_edit_that_does_not_fit_fails_when_it_is_defined(self, edit, words):
        with pytest.raises(ValueError, match=words):
            self.exercise().mistake("wrong", edit=edit, hint="x")

    def test_a_name_twice_and_an_empty_hint_are_refused(self):
        exercise = self.exercise().mistake("thrice", edit=("2 *", "3 *"), hint="Three times.")
        with pytest.raises(ValueError, match="already"):
            exercise.mistake("thrice", edit=("2 *", "4 *"), hint="Four times.")
        with pytest.raises(ValueError, match="hint"):
            exercise.mistake("four", edit=("2 *", "4 *"), hint=" ")
        with pytest.raises(ValueError, match="gradient names"):
            self.exercise(gradient=("nobody",))

    def test_unknown_and_overlapping_mistakes_are_refused(self):
        exercise = self.exercise().mistake("thrice", edit=("2 *", "3 *"), hint="Three times.")
        exercise.mistake("four", edit=("2 *", "4 *"), hint="Four times.")
        with pytest.raises(ValueError, match="knows no mistake"):
            exercise.wrong("no-such-mistake")
        with pytest.raises(ValueError, match="at once"):
            exercise.wrong("thrice", "four")

    def test_a_file_is_loaded_and_known_by_name(self, tmp_path, capsys):
        file = tmp_path / "mine.py"
        file.write_text(
            "from vae_course.checks import Exercise, draw\n\n"
            "def halved(number):\n    return number / 2\n\n"
            'half = Exercise(halved, inputs=lambda g: (draw.normal(g, "B"),), returns="(B,)")\n'
            'half.mistake("doubled", edit=("/", "*"), hint="Twice, not half.")\n'
        )
        assert [each.name for each in checks.load(file)] == ["halved"]
        assert checks.check("halved", lambda number: 2 * number).mistake == "doubled"
        assert "/ 2" in checks.solution("halved")
        assert "halved" not in [each.name for each in checks.exercises()]
        file.write_text("x = 1\n")
        with pytest.raises(ValueError, match="defines no Exercise"):
            checks.load(file)
        with pytest.raises(FileNotFoundError):
            checks.load(tmp_path / "nothing.py")


class TestCheck:
    def test_global_random_states_are_untouched(self):
        def noisy(image, reconstruction):
            torch.rand(3), np.random.rand(3), random.random()
            return ((image - reconstruction) ** 2).flatten(1).mean(1)

        for make in (
            lambda: torch.rand(4).tolist(),
            lambda: np.random.rand(4).tolist(),
            random.random,
        ):
            torch.manual_seed(3), np.random.seed(3), random.seed(3)
            expected = make()
            torch.manual_seed(3), np.random.seed(3), random.seed(3)
            quiet("mse_per_image", noisy)
            assert make() == expected

    def test_the_same_function_gets_the_same_verdict_every_time(self):
        for name in ("pca_reconstruct", "reparameterize"):
            wrong = checks.exercise(name).wrong(checks.exercise(name).mistakes[0].name)
            assert len({str(verdict(name, wrong)) for _ in range(5)}) == 1

    def test_editing_the_input_is_named(self):
        def edits(image, reconstruction):
            image -= reconstruction
            return image.square().flatten(1).mean(1)

        found = verdict("mse_per_image", edits)
        assert found.mistake == "edits-its-input" and "image" in found.hint

    def test_a_loss_that_sends_its_gradient_back_is_named(self):
        def trains(model, clean, noisy):
            loss = (model(noisy) - clean).square().mean()
            loss.backward(retain_graph=True)
            return loss

        assert verdict("denoising_loss", trains).mistake == "calls-backward"

    def test_endless_loop_ends(self, monkeypatch):
        monkeypatch.setattr(sandbox.limits.__wrapped__, "__defaults__", (0.2,))

        def endless(image, reconstruction):
            while True:
                try:
                    pass
                except Exception:
                    continue

        found = verdict("mse_per_image", endless)
        assert found.status == "error" and "never ends" in found.hint

    def test_a_sleeping_function_ends_too(self, monkeypatch):
        monkeypatch.setattr(sandbox.limits.__wrapped__, "__defaults__", (0.3,))
        monkeypatch.setattr(sandbox.os, "getloadavg", lambda: (0.0, 0.0, 0.0))
        start = time.monotonic()
        assert verdict("mse_per_image", lambda *args: time.sleep(30)).mistake == "too-slow"
        assert time.monotonic() - start < 15

    @pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="counted on Linux only")
    def test_memory_has_an_end(self, monkeypatch):
        monkeypatch.setattr(sandbox, "MEMORY", 2**30)
        found = verdict("mse_per_image", lambda *args: torch.zeros(2**31))
        assert found.status == "error" and "More memory" in found.hint

    def test_megabytes_of_print_are_cut(self):
        def talks(image, reconstruction):
            print("x" * 1_000_000)
            return image.mean()

        _, text = quiet("mse_per_image", talks)
        assert len(text) < 5000 and "more characters" in text

    def test_stretched_views_are_looked_at_by_shape(self):
        huge = torch.ones(1).expand(10**6, 10**6)
        found = verdict("mse_per_image", lambda *args: huge)
        assert found.mistake == "shape" and "1000000" in found.hint

    def test_nothing_on_stderr_and_prints_once(self):
        def talks(image, reconstruction):
            print("here")
            import warnings

            warnings.warn("look out", stacklevel=1)
            return image.mean()

        errors = io.StringIO()
        with redirect_stderr(errors):
            _, text = quiet("mse_per_image", talks)
        assert errors.getvalue() == "" and text.count("here") == 1

    def test_nbgrader_raises_unless_passed(self, monkeypatch):
        monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
        with pytest.raises(checks.CheckFailed, match="not right yet"):
            quiet("mse_per_image", lambda image, reconstruction: image.mean())
        assert quiet("mse_per_image", checks.exercise("mse_per_image").reference)[0].passed

    def test_the_lesson_goes_on_with_the_own_function_or_the_reference(self):
        reference = checks.exercise("compression_ratio").reference

        def own(image_shape, latent_dim):
            return reference(image_shape, latent_dim)

        assert quiet("compression_ratio", own)[0].function is own
        for other in (None, lambda *args: 1.0, 5):
            assert quiet("compression_ratio", other)[0].function is reference

    def test_value_instead_of_function(self):
        found = verdict("mse_per_image", torch.zeros(3))
        assert found.status == "error" and "without calling it" in found.hint

    def test_unknown_name_lists_the_known(self):
        with pytest.raises(ValueError, match=r"mse_per_imag'.*Did you mean 'mse_per_image'"):
            checks.check("mse_per_imag", len)


# ----------------------------------------------------------- what the notebook or the function set


def _set_folder(folder):
    os.chdir(folder)


STATES = {
    "no gradients": (lambda _: torch.set_grad_enabled(False), torch.is_grad_enabled),
    "float64": (lambda _: torch.set_default_dtype(torch.float64), torch.get_default_dtype),
    "meta device": (lambda _: torch.set_default_device("meta"), torch.get_default_device),
    "deterministic": (
        lambda _: torch.use_deterministic_algorithms(True),
        torch.are_deterministic_algorithms_enabled,
    ),
    "anomaly": (lambda _: torch.autograd.set_detect_anomaly(True), torch.is_anomaly_enabled),
    "folder": (_set_folder, os.getcwd),
    "numpy errors": (lambda _: np.seterr(all="raise"), np.geterr),
}


@pytest.fixture
def restored():
    with sandbox.sheltered():
        yield


@pytest.mark.parametrize("change, read", STATES.values(), ids=STATES)
def test_state_before_the_check_neither_matters_nor_changes(change, read, restored, tmp_path):
    with np.errstate():
        change(tmp_path)
        before = read()
        found = [checks.judge(e, e.reference).passed for e in checks.exercises()]
        assert all(found) and read() == before


@pytest.mark.parametrize("change, read", STATES.values(), ids=STATES)
def test_state_that_a_function_changes_is_put_back(change, read, restored, tmp_path):
    def changes(mean, log_var):
        change(tmp_path)
        return KL.reference(mean, log_var)

    before = read()
    verdict("gaussian_kl", changes)
    assert read() == before and verdict("gaussian_kl", KL.reference).passed


def test_a_check_inside_no_grad_and_inference_mode_is_an_ordinary_one():
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            assert verdict("gaussian_kl", KL.reference).passed


# ------------------------------------------------------------------------------- errors explained


def _none_in_a_helper(image, reconstruction):
    def difference(a, b):
        a - b

    return difference(image, reconstruction) ** 2


def _own_key_error(image, reconstruction):
    return {"a": 1}["batch_size"]


def _wrong_view(image, reconstruction):
    return image.view(7, 11)


def _python_domain(image, reconstruction):
    import math

    return math.log(-float(image.sum()))


async def _waits(image, reconstruction):
    return image


ERRORS = {
    "none": (_none_in_a_helper, "Something is None"),
    "key": (_own_key_error, "That key is not in the dictionary"),
    "product": (lambda x, y: x.flatten(1) @ y.flatten(1), "matrix product"),
    "broadcast": (lambda x, y: x.flatten(1) - y.flatten(1)[:, :2], "do not fit together"),
    "view": (_wrong_view, "does not have room"),
    "axis": (lambda x, y: x.mean(dim=9), "no axis 9"),
    "scalar": (lambda x, y: float(x), "want one number"),
    "truth": (lambda x, y: 1 if x else 0, "one truth value"),
    "name": (lambda x, y: reconstructoin, "not defined"),  # noqa: F821
    "zero": (lambda x, y: 1 / 0, "divided by 0"),
    "domain": (_python_domain, "domain"),
    "tuple": (lambda x, y: (x - y, 1), "comma"),
    "coroutine": (_waits, "async def"),
    "numpy": (lambda x, y: ((x - y) ** 2).flatten(1).mean(1).numpy(), "torch.from_numpy"),
}


@pytest.mark.filterwarnings("ignore:coroutine")
@pytest.mark.parametrize("wrong, words", ERRORS.values(), ids=ERRORS)
def test_an_error_is_explained_as_what_it_is(wrong, words):
    found = verdict("mse_per_image", wrong)
    assert found.status in ("error", "wrong") and words in found.hint, found
    shapes = words in ("matrix product", "do not fit together")
    assert ("do not fit" in found.hint or "matrix product" in found.hint) == shapes, found


def test_error_names_exception_line_and_cause():
    def broken(image, reconstruction):
        return image @ reconstruction.flatten()

    found, text = quiet("mse_per_image", broken)
    assert found.status == "error"
    assert "RuntimeError" in text and "return image @" in text and "image (" in text


def _in_place(mean, log_var):
    variance = log_var.exp()
    kl = 0.5 * (mean.square() + variance - 1 - log_var)
    variance.mul_(2)  # the backward pass of exp needs it
    return kl.sum(1)


def test_an_operation_in_place_that_breaks_the_way_back_is_named():
    found = verdict("gaussian_kl", _in_place)
    assert not found.passed and "changed in place" in found.hint


NAN = {
    "log": (lambda m, v: (m + torch.log(v)).sum(1), "the logarithm of -"),
    "root": (lambda m, v: (m + torch.sqrt(v)).sum(1), "root"),
    "zero by zero": (lambda m, v: ((m - m) / (v - v)).sum(1), "0 / 0"),
    "infinities": (lambda m, v: ((1e30 * m.abs() + 1).exp() - (1e30 * m.abs() + 1).exp()).sum(1),
                   "∞ − ∞"),
}  # fmt: skip


@pytest.mark.parametrize("wrong, words", NAN.values(), ids=NAN)
def test_nan_is_explained_where_it_arises(wrong, words):
    found = verdict("gaussian_kl", wrong)
    assert found.mistake == "nan" and words in found.hint and "line" in found.hint, found


UNLISTED = {
    "factor": (lambda x, y: 1.7 * ((x - y) ** 2).flatten(1).mean(1), "1.7 times"),
    "offset": (lambda x, y: 0.3 + ((x - y) ** 2).flatten(1).mean(1), r"off by +0.3"),
    "sign": (lambda x, y: -((x - y) ** 2).flatten(1).mean(1), "negative of"),
    "order": (lambda x, y: ((x - y) ** 2).flatten(1).mean(1).flip(0), "wrong order"),
    "shape": (lambda x, y: (x - y) ** 2, "tensor of shape"),
    "integers": (lambda x, y: ((x - y) ** 2).flatten(1).mean(1).long(), "integers"),
    "nan": (lambda x, y: ((x - y) ** 2).flatten(1).mean(1) * float("nan"), "NaN"),
    "size": (lambda x, y: ((x - y) ** 2).flatten(1).mean(1) * x.shape[2], "image.shape[2]"),
}


@pytest.mark.parametrize("wrong, words", UNLISTED.values(), ids=UNLISTED.keys())
def test_slip_nobody_listed_gets_a_useful_hint(wrong, words):
    found = verdict("mse_per_image", wrong)
    assert found.status == "wrong" and words in found.hint, found.hint


def test_an_answer_that_is_drawn_is_told_so_and_not_given_a_pattern():
    def sampled(mean, log_var):
        std = (0.5 * log_var).exp()
        noise = torch.randn_like(std)
        return 0.5 * ((mean + std * noise).square() - noise.square() - log_var).sum(dim=1)

    def counted(mean, log_var, calls=[]):  # noqa: B006
        calls.append(0)
        return KL.reference(mean, log_var) + len(calls)

    for wrong in (sampled, counted):
        found = verdict("gaussian_kl", wrong)
        assert found.mistake == "differs-between-calls" and "Two calls" in found.hint, found


def test_a_model_left_in_another_mode_is_told():
    def switches(model, clean, noisy):
        model.eval()
        return (model(noisy) - clean).square().mean()

    found = verdict("denoising_loss", switches)
    assert found.mistake == "switches-the-mode" and "model" in found.hint, found


def test_a_nan_of_the_observer_is_not_taken_for_one_of_the_function(monkeypatch):
    exercise = checks.exercise("reparameterize")
    name = "noise-with-gradient-only"  # a fixed point elsewhere: no spread to divide by
    wrong = exercise.wrong(name)
    monkeypatch.setattr(exercise, "mistakes", [m for m in exercise.mistakes if m.name != name])
    found = checks.judge(exercise, wrong)
    assert found.mistake == "noise-differs-between-images", found


def test_the_printed_catalogue_is_in_step():
    docs = Path(__file__).parents[1] / "docs"
    maker = runpy.run_path(str(docs / "make_mistakes.py"))
    printed = (docs / "mistakes.md").read_text(encoding="utf-8")
    assert printed == maker["text"](), "run python docs/make_mistakes.py"
