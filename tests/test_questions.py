"""The questions with numbers of one's own: every one, for a hundred students."""

import ast
import itertools
import json
import math
from functools import cache
from pathlib import Path
from random import Random

import pytest

from vae_course.checks import graded, questions

NAMES = [question.name for question in questions.questions()]
STUDENTS = [f"student{number}" for number in range(100)]
SOURCES = Path(__file__).parents[1] / "assignments" / "source"

each = pytest.mark.parametrize("name", NAMES)


@cache
def drawn(name):
    """The question, and of each student the numbers, the answers, and what each slip leads to."""
    asked = questions.question(name)
    every = [questions.numbers(asked, student) for student in STUDENTS]
    answers = [asked.answers(mine) for mine in every]
    slips = {slip.name: [slip.wrong(mine) for mine in every] for slip in asked.slips}
    return asked, every, answers, slips


def same(value, expected, rtol):
    if isinstance(expected, int):
        return value == expected
    return math.isclose(value, expected, rel_tol=rtol, abs_tol=1e-9)


@pytest.fixture
def graded_as(monkeypatch):
    """Grade answers as nbgrader does, handed in by this student."""

    def grade(name, student, given, points=6):
        monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
        monkeypatch.setenv("VAE_COURSE_STUDENT", student)
        return graded.answers(name, student, points=points, **given)

    return grade


# --- what a question is made of ----------------------------------------------------------------


@each
def test_a_question_is_complete(name):
    asked, _, answers, slips = drawn(name)
    assert name == f"{asked.chapter:02d}-{name[3:]}" and asked.chapter in range(1, 12)
    assert set(asked.unit) == set(answers[0]), "a unit for each answer"
    assert len(slips) == len(asked.slips) >= 2, "slips have names of their own"
    assert 0 < asked.rtol <= 0.02
    for slip in asked.slips:
        assert slip.name == slip.name.lower() and " " not in slip.name
        assert len(slip.hint) > 20 and slip.hint.rstrip()[-1] in ".?!)", slip.hint


@pytest.mark.parametrize("chapter", sorted({int(name[:2]) for name in NAMES}))
def test_a_chapter_knows_at_least_four_slips_and_has_few_questions(chapter):
    asked = questions.questions(chapter)
    assert sum(len(question.slips) for question in asked) >= 4
    assert 1 <= len(asked) <= 3


@each
def test_the_text_is_complete(name):
    asked, every, _, _ = drawn(name)
    for mine in every:
        text = asked.text.format(**vars(mine))
        assert text.strip() and "{" not in text and "}" not in text


def test_unknown_questions_are_told_what_there_is():
    with pytest.raises(ValueError, match=f"Did you mean '{NAMES[0]}'"):
        questions.question(NAMES[0] + "s")


# --- numbers of one's own ----------------------------------------------------------------------


@each
def test_the_same_student_gets_the_same_numbers(name):
    asked, every, answers, _ = drawn(name)
    for student, mine, right in list(zip(STUDENTS, every, answers))[:20]:
        again = questions.numbers(asked, student)
        assert again == mine and asked.answers(again) == right


@each
def test_numbers_come_from_the_given_generator_only(name):
    draw = questions.question(name).draw
    assert draw(Random(5)) == draw(Random(5)) != draw(Random(6))


def test_numbers_are_the_same_on_every_machine():
    mine = questions.numbers(questions.question("04-kl-of-a-code"), "ada")
    assert vars(mine) == {"mean": 1.64, "std": 0.67}


@each
def test_two_students_have_different_numbers_and_answers(name):
    asked, every, answers, _ = drawn(name)
    pairs = list(itertools.pairwise(every))
    assert sum(one != other for one, other in pairs) >= 0.95 * len(pairs)
    copies = sum(
        all(same(theirs[part], mine[part], asked.rtol) for part in mine)
        for mine, theirs in itertools.pairwise(answers)
    )
    assert copies <= 0.05 * len(pairs), "a neighbour's answers pass too often"


@each
def test_answers_are_finite_numbers_of_one_kind(name):
    _, _, answers, _ = drawn(name)
    kinds = {part: type(value) for part, value in answers[0].items()}
    assert set(kinds.values()) <= {int, float}
    for right in answers:
        assert {part: type(value) for part, value in right.items()} == kinds
        assert all(math.isfinite(value) for value in right.values())


# --- right answers, known slips ----------------------------------------------------------------


@each
def test_right_answers_get_all_points(name, graded_as):
    _, _, answers, _ = drawn(name)
    for student, right in list(zip(STUDENTS, answers))[:10]:
        assert graded_as(name, student, right) == 6


@each
def test_each_right_answer_earns_its_part(name, graded_as):
    _, _, answers, _ = drawn(name)
    right = answers[0]
    for part in right:
        given = {other: right[other] if other == part else ... for other in right}
        assert graded_as(name, STUDENTS[0], given) == pytest.approx(6 / len(right), abs=1e-3)


@each
def test_a_hand_rounded_answer_passes(name, graded_as):
    asked, _, answers, _ = drawn(name)
    right = answers[0]
    rounded = {
        part: value if isinstance(value, int) else value * (1 + 0.9 * asked.rtol)
        for part, value in right.items()
    }
    assert graded_as(name, STUDENTS[0], rounded) == 6
    off = {
        part: value + 1 if isinstance(value, int) else value * (1 + 1.5 * asked.rtol) + 1e-8
        for part, value in right.items()
    }
    assert graded_as(name, STUDENTS[0], off) == 0


@each
def test_no_slip_passes_for_right(name):
    asked, _, answers, slips = drawn(name)
    for slip, wrongs in slips.items():
        parts = {part for wrong in wrongs for part in wrong}
        assert parts and parts <= set(answers[0]), f"{slip} gives {parts}"
        for part in parts:
            met = [(w[part], right[part]) for w, right in zip(wrongs, answers) if part in w]
            assert len(met) >= 0.1 * len(STUDENTS), f"{slip} · {part} hardly ever happens"
            passing = sum(same(wrong, right, asked.rtol) for wrong, right in met)
            assert passing <= 0.01 * len(met), f"{slip} · {part} passes {passing} times"


@each
def test_each_slip_gets_its_hint(name, graded_as, capsys):
    asked, _, answers, slips = drawn(name)
    for slip in asked.slips:
        shows = [
            (student, right | wrong)
            for student, right, wrong in zip(STUDENTS, answers, slips[slip.name])
            if wrong and not any(same(wrong[p], right[p], asked.rtol) for p in wrong)
        ]
        assert graded_as(name, *shows[0]) < 6
        printed = " ".join(capsys.readouterr().out.replace("│", " ").split())
        assert " ".join(slip.hint.split()) in printed, slip.name


# --- the assignments ask them ------------------------------------------------------------------


def calls(chapter, function):
    """Question name → the call `graded.function(…)` in the chapter's assignment, and its cell."""
    found = {}
    for path in SOURCES.glob(f"{chapter:02d}_*/*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] != "code" or f"graded.{function}(" not in source:
                continue
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == f"graded.{function}":
                    found[ast.literal_eval(node.args[0])] = node, cell
    return found


@each
def test_the_chapters_assignment_asks_it(name):
    asked, _, answers, _ = drawn(name)
    assert name in calls(asked.chapter, "numbers"), "no cell shows the student's numbers"
    node, cell = calls(asked.chapter, "answers")[name]
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    assert given.keys() - {"points"} == answers[0].keys()
    points = ast.literal_eval(given["points"])
    assert points == cell["metadata"]["nbgrader"]["points"], "the call and the cell disagree"
    last = ast.parse("".join(cell["source"])).body[-1]
    assert isinstance(last, ast.Expr) and last.value is not None
    assert ast.unparse(last.value) == ast.unparse(node), "points are read off the last line"


@pytest.mark.parametrize(
    "body, told",
    [
        ("pass  # your code here", "not attempted yet: fill in twice first"),
        ('"""Twice x."""\n    ...', "not attempted yet: fill in twice first"),
        ("x = 2 * x", "not there yet: in twice, or the line that uses it, TypeError"),
    ],
)
def test_a_line_that_goes_on_with_a_stub_tells_no_mistake(body, told, capsys):
    cell = {}
    exec(f"def twice(x):\n    {body}\nmake = lambda: float(twice(2))", cell)
    assert graded.attempt(cell["make"], needs="twice") is None
    assert capsys.readouterr().out.startswith(told)
