"""A small assignment, made by code, and what students might make of it."""

import nbformat

from teach_tools import cell_of
from vae_course import checks
from vae_course.checks import questions

NAME = "04_tiny"
QUESTION = questions.questions(4)[0]
PARTS = list(QUESTION.answers(questions.numbers(QUESTION, "anyone")))
EXERCISES = ("gaussian_kl", "monte_carlo_kl")
TESTS = ("test-gaussian_kl", "test-monte_carlo_kl", "test-answers", "test-bonus-twice")


def _code(source, grade_id=None, *, points=None):
    cell = nbformat.v4.new_code_cell(source.strip())
    if grade_id:
        cell.metadata.nbgrader = _settings(grade_id, points, solution=points is None)
    return cell


def _settings(grade_id, points, *, solution):
    settings = {"grade_id": grade_id, "grade": points is not None, "solution": solution,
                "locked": not solution, "schema_version": 3, "task": False}  # fmt: skip
    return nbformat.from_dict(settings | ({} if points is None else {"points": points}))


def _solved(name):
    first, *body = checks.solution(name).split("\n")
    return "\n".join([first, "    ### BEGIN SOLUTION", *body, "    ### END SOLUTION"])


def answers(student):
    """The right answers of a student, as the lines of a cell."""
    right = QUESTION.answers(questions.numbers(QUESTION, student))
    return "\n".join(f"{part} = {value!r}" for part, value in right.items())


def source():
    """The assignment with solutions."""
    written = nbformat.v4.new_markdown_cell("### BEGIN SOLUTION\nModel answer.\n### END SOLUTION")
    written.metadata.nbgrader = _settings("written-why", 5, solution=True)
    parts = ", ".join(f"{part}={part}" for part in PARTS)
    unset = "\n".join(f"{part} = ..." for part in PARTS)
    cells = [
        nbformat.v4.new_markdown_cell("# A tiny assignment"),
        _code("import math\n\nimport torch\n\nfrom vae_course import losses\n"
              "from vae_course.checks import graded"),
        _code('STUDENT = "your-id"  # the identifier under which you hand in'),
        _code(_solved("gaussian_kl"), "code-gaussian_kl"),
        _code('graded.check("gaussian_kl", gaussian_kl)', "test-gaussian_kl", points=4),
        _code(
            "kl = graded.attempt(lambda: gaussian_kl(torch.ones(3, 2), torch.zeros(3, 2)), "
            'needs="gaussian_kl")\nif kl is not None:\n    print(f"{kl.mean():.2f} nats")'
        ),
        _code(_solved("monte_carlo_kl"), "code-monte_carlo_kl"),
        _code('graded.check("monte_carlo_kl", monte_carlo_kl)', "test-monte_carlo_kl", points=4),
        _code(f"numbers = graded.numbers({QUESTION.name!r}, STUDENT)"),
        _code(f"{unset}\n### BEGIN SOLUTION\n{answers('perfect')}\n### END SOLUTION",
              "code-answers"),
        _code(f"graded.answers({QUESTION.name!r}, STUDENT, points=3, {parts})", "test-answers",
              points=3),
        written,
        _code("def twice(x):\n    ### BEGIN SOLUTION\n    return x + x\n    ### END SOLUTION",
              "code-bonus-twice"),
        _code(
            'value = graded.attempt(lambda: twice(2), needs="twice")\n'
            'if value is not None:\n    print("twice 2 is", value)\n'
            "### BEGIN HIDDEN TESTS\nassert value == 4 and twice(3) == 6, 'twice 3 is 6'\n"
            "### END HIDDEN TESTS",
            "test-bonus-twice", points=2,
        ),
    ]  # fmt: skip
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {
        "display_name": "Python 3", "language": "python", "name": "python3"
    }  # fmt: skip
    notebook.metadata.language_info = {"name": "python"}
    for index, cell in enumerate(cells):
        cell["id"] = cell.metadata.get("nbgrader", {}).get("grade_id", f"tiny-{index}")
    return notebook


def fill(notebook, student, *, exercises=EXERCISES, answer=True, written=True, bonus=True):
    """Fill a release in the way of a student who gets it right."""
    for name in exercises:
        cell_of(notebook, f"code-{name}").source = f"{checks.solution(name)}  # by {student}"
    if answer:
        cell_of(notebook, "code-answers").source = answers(student)
    if written:
        reply = f"{student}: because the prior is where samples come from."
        cell_of(notebook, "written-why").source = reply
    if bonus:
        cell_of(notebook, "code-bonus-twice").source = "def twice(x):\n    return 2 * x"
    return notebook
