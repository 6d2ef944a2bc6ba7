r"""The checker itself, and for every exercise: reference accepted, every mistake recognised."""

import io
import random
import runpy
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
import pytest
import torch

from check_tools import assert_passes, quiet
from vae_course import checks

SEEDS = [11, 222, 3333]
CATALOGUE = [(e, m) for e in checks.exercises() for m in e.mistakes]


@pytest.mark.parametrize("exercise", checks.exercises(), ids=lambda e: e.name)
class TestEveryExercise:
    def test_reference_passes(self, exercise):
        assert_passes(exercise.name, exercise.reference, range(12))

    def test_slipped_without_slips_is_the_reference(self, exercise):
        verdict, _ = quiet(exercise.name, exercise.with_slips(), 5)  # the values, that is
        assert verdict.passed or verdict.mistake in {p.name for p in exercise.properties}

    def test_stub_is_not_attempted(self, exercise):
        def raises(*args):
            raise NotImplementedError

        for stub in (lambda *args: ..., lambda *args: None, raises):
            assert quiet(exercise.name, stub)[0].status == "not attempted"

    def test_has_at_least_eight_mistakes_with_distinct_names_and_hints(self, exercise):
        assert len(exercise.mistakes) >= 8
        assert len({m.name for m in exercise.mistakes}) == len(exercise.mistakes)
        assert len({m.hint for m in exercise.mistakes}) == len(exercise.mistakes)

    def test_hard_coded_answer_fails(self, exercise):
        args = exercise.case(torch.Generator().manual_seed(1))
        torch.manual_seed(1)
        answer = exercise.reference(*args)
        assert not quiet(exercise.name, lambda *args: answer)[0].passed

    def test_wild_return_values_are_survived(self, exercise):
        wild = [
            "text",
            [],
            {},
            object(),
            float("nan"),
            torch.tensor(float("nan")),
            True,
            1 + 2j,
            torch.zeros(0),
            torch.zeros(3, 2, 5, dtype=torch.int64),
            np.zeros(3),
            print,
        ]
        for value in wild:
            verdict, text = quiet(exercise.name, lambda *args, value=value: value)
            assert verdict.status in ("wrong", "error"), value
            assert verdict.hint and "Traceback" not in text

    def test_wrong_number_of_parameters_names_the_signature(self, exercise):
        verdict, text = quiet(exercise.name, lambda: 1)
        unwrapped = " ".join(text.replace("│", " ").split())
        assert verdict.status == "error" and exercise.signature in unwrapped

    def test_solution_runs_and_solves(self, exercise):
        source = checks.solution(exercise.name)
        space = vars(__import__(exercise.reference.__module__, fromlist=["x"])).copy()
        exec(source, space)
        assert quiet(exercise.name, space[exercise.name])[0].passed


@pytest.mark.parametrize("exercise, mistake", CATALOGUE, ids=lambda x: x.name)
def test_mistake_is_rejected_and_recognised(exercise, mistake):
    wrong = exercise.with_slips(mistake.name)
    for seed in SEEDS:
        verdict, text = quiet(exercise.name, wrong, seed)
        assert not verdict.passed
        assert mistake.hint in verdict.hint, f"recognised as {verdict.mistake}"
        assert "".join(mistake.hint.split())[:60] in "".join(text.replace("│", "").split())


def test_pair_of_mistakes_is_recognised():
    wrong = checks.exercise("mse_per_image").with_slips("absolute", "summed")
    verdict, _ = quiet("mse_per_image", wrong)
    assert verdict.mistake == "summed+absolute"
    assert "absolute error" in verdict.hint and "averaged" in verdict.hint


class TestCheck:
    def test_global_random_states_are_untouched(self):
        def noisy(image, reconstruction):
            torch.rand(3), np.random.rand(3), random.random()
            return ((image - reconstruction) ** 2).flatten(1).mean(1)

        for draw in (
            lambda: torch.rand(4).tolist(),
            lambda: np.random.rand(4).tolist(),
            random.random,
        ):
            torch.manual_seed(3), np.random.seed(3), random.seed(3)
            expected = draw()
            torch.manual_seed(3), np.random.seed(3), random.seed(3)
            quiet("mse_per_image", noisy)
            assert draw() == expected

    def test_editing_the_input_is_named(self):
        def edits(image, reconstruction):
            image -= reconstruction
            return image.square().flatten(1).mean(1)

        verdict, _ = quiet("mse_per_image", edits)
        assert verdict.mistake == "edits-its-input" and "image" in verdict.hint

    def test_error_names_exception_line_and_cause(self):
        def broken(image, reconstruction):
            return image @ reconstruction.flatten()

        verdict, text = quiet("mse_per_image", broken)
        assert verdict.status == "error"
        assert "RuntimeError" in text and "return image @" in text and "image (" in text

    def test_endless_loop_ends(self, monkeypatch):
        monkeypatch.setattr("vae_course.checks._run.time_limit.__wrapped__.__defaults__", (0.2,))

        def endless(image, reconstruction):
            while True:
                try:
                    pass
                except Exception:
                    continue

        verdict, _ = quiet("mse_per_image", endless)
        assert verdict.status == "error" and "never ends" in verdict.hint

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

    def test_same_seed_same_verdict(self):
        wrong = checks.exercise("pca_reconstruct").with_slips("not-centred")
        assert quiet("pca_reconstruct", wrong, 4) == quiet("pca_reconstruct", wrong, 4)

    def test_the_lesson_goes_on_with_the_own_function_or_the_reference(self):
        reference = checks.exercise("compression_ratio").reference

        def own(image_shape, latent_dim):
            return reference(image_shape, latent_dim)

        assert quiet("compression_ratio", own)[0].function is own
        for other in (None, lambda *args: 1.0, 5):
            assert quiet("compression_ratio", other)[0].function is reference

    def test_value_instead_of_function(self):
        verdict, text = quiet("mse_per_image", torch.zeros(3))
        assert verdict.status == "error" and "without calling it" in verdict.hint

    def test_unknown_name_lists_the_known(self):
        with pytest.raises(ValueError, match=r"mse_per_imag'.*Did you mean 'mse_per_image'"):
            checks.check("mse_per_imag", len)


UNLISTED = {
    "factor": (lambda x, y: 1.7 * ((x - y) ** 2).flatten(1).mean(1), "1.7 times"),
    "offset": (lambda x, y: 0.3 + ((x - y) ** 2).flatten(1).mean(1), r"off by +0.3"),
    "sign": (lambda x, y: -((x - y) ** 2).flatten(1).mean(1), "negative of"),
    "order": (lambda x, y: ((x - y) ** 2).flatten(1).mean(1).flip(0), "wrong order"),
    "shape": (lambda x, y: (x - y) ** 2, "tensor of shape"),
    "integers": (lambda x, y: ((x - y) ** 2).flatten(1).mean(1).long(), "integers"),
    "numpy": (lambda x, y: ((x - y) ** 2).flatten(1).mean(1).numpy(), "ndarray"),
    "nan": (lambda x, y: ((x - y) ** 2).flatten(1).mean(1) * float("nan"), "NaN"),
    "size": (lambda x, y: ((x - y) ** 2).flatten(1).mean(1) * x.shape[2], "image.shape[2]"),
}


@pytest.mark.parametrize("wrong, words", UNLISTED.values(), ids=UNLISTED.keys())
def test_slip_nobody_listed_gets_a_useful_hint(wrong, words):
    verdict, _ = quiet("mse_per_image", wrong)
    assert verdict.status == "wrong" and verdict.mistake is None
    assert words in verdict.hint, verdict.hint


def test_the_printed_catalogue_is_in_step():
    docs = Path(__file__).parents[1] / "docs"
    maker = runpy.run_path(str(docs / "make_mistakes.py"))
    printed = (docs / "mistakes.md").read_text(encoding="utf-8")
    assert printed == maker["text"](), "run python docs/make_mistakes.py"
