"""A simulated class: what thirty-nine students hand in, and what each of them has earned.

A student here is a function from the release to the bytes of a file, with the points that nbgrader
gives for it, test by test, and words that the instructor must be able to read about it. Who cheats
gains nothing, or is flagged (`borrows`: points are never taken for that).
"""

import copy
import json
from dataclasses import dataclass

import nbformat
import tiny

from teach_tools import cell_of
from vae_course.checks import questions

ALL = {"test-gaussian_kl": 4, "test-monte_carlo_kl": 4, "test-answers": 3, "test-bonus-twice": 2}
NOTHING = dict.fromkeys(ALL, 0)
STUDENTS = {}


@dataclass
class Student:
    hand_in: object
    deserves: dict
    reads: tuple = ()
    quick: bool = False


def student(deserves, *reads, quick=False):
    def add(function):
        name = function.__name__.replace("_", "-")

        def hand_in(release, outside):
            made = function(copy.deepcopy(release), outside)
            return made if isinstance(made, bytes) else nbformat.writes(made).encode()

        STUDENTS[name] = Student(hand_in, deserves, reads, quick)
        return function

    return add


def solved(release, name):
    return tiny.fill(release, name)


def add_code(notebook, source, at=3):
    notebook.cells.insert(at, nbformat.v4.new_code_cell(source))
    return notebook


def code(notebook, name, source):
    cell_of(notebook, f"code-{name}").source = source
    return notebook


# --- in good faith ---------------------------------------------------------------------------


@student(ALL, quick=True)
def perfect(release, outside):
    return solved(release, "perfect")


@student(ALL)
def another_way(release, outside):
    notebook = solved(release, "another-way")
    add_code(notebook, "%matplotlib inline\nimport os\nimport numpy as np\n\n"
             "def half(x):\n    print('helper')\n    return x / 2")  # fmt: skip
    return code(notebook, "gaussian_kl", "def gaussian_kl(mean, log_var):\n"
                "    q = torch.distributions.Normal(mean, torch.exp(half(log_var)))\n"
                "    p = torch.distributions.Normal(0.0, 1.0)\n"
                "    return torch.distributions.kl_divergence(q, p).sum(1)")  # fmt: skip


@student(NOTHING, quick=True)
def unfilled(release, outside):
    return release


@student(NOTHING | {"test-gaussian_kl": 4, "test-answers": 3 / len(tiny.PARTS)})
def partly(release, outside):
    notebook = tiny.fill(release, "partly", exercises=("gaussian_kl",), answer=False, bonus=False)
    first = tiny.answers("partly").splitlines()[0]
    rest = [f"{part} = ..." for part in tiny.PARTS[1:]]
    return code(notebook, "answers", "\n".join([first, *rest]))


def mistaken(name, exercise, source, *hint):
    @student(ALL | {f"test-{exercise}": 0}, *hint, quick=name == "sign")
    def hand_in(release, outside):
        return code(solved(release, name), exercise, source)

    STUDENTS[name] = STUDENTS.pop("hand-in")


_KL = "def gaussian_kl(mean, log_var):\n    return {}\n"
mistaken("sign", "gaussian_kl", _KL.format(
    "-0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1)"))  # fmt: skip
mistaken("std-for-variance", "gaussian_kl", _KL.format(
    "0.5 * (mean**2 + (0.5 * log_var).exp() - 1 - log_var).sum(1)"))  # fmt: skip
mistaken("half-missing", "gaussian_kl", _KL.format(
    "(mean**2 + log_var.exp() - 1 - log_var).sum(1)"))  # fmt: skip
mistaken("raises", "gaussian_kl", _KL.format("torch.zeros(2) @ torch.zeros(3)"))
mistaken("constant", "gaussian_kl", _KL.format("torch.tensor([1.0, 2.0, 3.0])"))
mistaken("no-samples", "monte_carlo_kl", "def monte_carlo_kl(mean, log_var, noise):\n"
         "    return 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1)\n")  # fmt: skip


@student(ALL | {"test-answers": 0})
def slipped(release, outside):
    numbers = questions.numbers(tiny.QUESTION, "slipped")
    right = tiny.QUESTION.answers(numbers)
    lines = [f"{part} = {value * 7 + 1!r}" for part, value in right.items()]
    return code(solved(release, "slipped"), "answers", "\n".join(lines))


@student(ALL | {"test-gaussian_kl": 0})
def syntax_error(release, outside):
    return code(solved(release, "syntax-error"), "gaussian_kl", "def gaussian_kl(mean, log_var:\n")


@student(ALL | {"test-bonus-twice": 0}, quick=True)
def once(release, outside):
    return code(solved(release, "once"), "bonus-twice", "def twice(x):\n    return 4")


@student(ALL)
def colab(release, outside):
    notebook = json.loads(nbformat.writes(solved(release, "colab")))
    notebook |= {"nbformat_minor": 0, "metadata": {"colab": {"provenance": []}, "kernelspec":
                 {"name": "python3", "display_name": "Python 3"}}}  # fmt: skip
    for number, cell in enumerate(notebook["cells"]):
        del cell["id"]
        cell["metadata"] |= {"id": f"x{number}", "colab": {"base_uri": "https://localhost/"},
                             "outputId": "abc"}  # fmt: skip
    return json.dumps(notebook).encode()


@student(ALL)
def windows(release, outside):
    notebook = solved(release, "windows")
    notebook.metadata.kernelspec = {"name": "my-env", "display_name": "Mine", "language": "R"}
    for cell in notebook.cells:
        cell.source = cell.source.replace("\n", "\r\n")
    return b"\xef\xbb\xbf" + nbformat.writes(notebook).replace("\n", "\r\n").encode()


# --- cells that grade, renamed, doubled, gone, edited -------------------------------------------


@student(ALL | {"test-gaussian_kl": 0}, "not part of the assignment", "was missing")
def renamed(release, outside):
    notebook = code(solved(release, "renamed"), "gaussian_kl", "gaussian_kl = None")
    cell = cell_of(notebook, "test-gaussian_kl")
    cell.metadata.nbgrader |= {"grade_id": "test-mine", "points": 100}
    cell.source = "100"
    return notebook


@student(ALL, "was there twice")
def duplicated(release, outside):
    notebook = solved(release, "duplicated")
    for name in ("test-gaussian_kl", "code-gaussian_kl", "written-why"):
        notebook.cells.append(copy.deepcopy(cell_of(notebook, name)))
    return notebook


@student(ALL | {"test-gaussian_kl": 0}, "was missing")
def deleted(release, outside):
    notebook = code(solved(release, "deleted"), "gaussian_kl", "gaussian_kl = lambda m, v: m")
    gone = (*tiny.TESTS, "code-monte_carlo_kl")
    kept = [c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") not in gone]
    notebook.cells = kept
    return add_code(notebook, tiny.checks.solution("monte_carlo_kl"))


@student(NOTHING, "was changed")
def edited(release, outside):
    for name in tiny.TESTS:
        cell = cell_of(release, name)
        cell.source, cell.metadata.nbgrader.points = "99.0", 99
    cell_of(release, "written-why").metadata.nbgrader.grade = False
    return release


# --- that do not end, or end everything ------------------------------------------------------


@student(ALL, "took longer")
def endless(release, outside):
    return add_code(solved(release, "endless"), "while True:\n    pass")


@student(NOTHING, "longer than")
def stubborn(release, outside):
    loop = "while True:\n    try:\n        while True:\n            pass\n"
    return add_code(solved(release, "stubborn"), loop + "    except BaseException:\n        pass")


@student(NOTHING, "Python ended")
def exits(release, outside):
    return add_code(solved(release, "exits"), "import os\nos._exit(0)")


@student(ALL)
def leaves(release, outside):
    return add_code(solved(release, "leaves"), "import sys\nsys.exit(0)")


@student(ALL)
def kills(release, outside):
    source = "import os, signal\nfor victim in (os.getppid(), -1):\n    try:\n"
    source += "        os.kill(victim, signal.SIGKILL)\n    except OSError:\n        pass"
    notebook = add_code(solved(release, "kills"), source)
    return notebook


@student(ALL)
def hog(release, outside):
    return add_code(solved(release, "hog"), "x = bytearray(60 * 10**9)\ny = torch.ones(10**10)")


@student(ALL)
def loud(release, outside):
    source = "for _ in range(100):\n    print('x' * 10**6)"
    return add_code(solved(release, "loud"), source)


# --- that reach out --------------------------------------------------------------------------


@student(ALL, quick=True)
def writer(release, outside):
    source = f"""
import os, pathlib, shutil
outside = pathlib.Path({str(outside)!r})
def do(action):
    try:
        print(action())
    except OSError as error:
        print("refused:", type(error).__name__)
do(lambda: pathlib.Path("here.txt").write_text("fine"))
do(lambda: (pathlib.Path.home() / "home.txt").write_text("fine"))
do(lambda: (outside / "new.txt").write_text("bad"))
do(lambda: (outside / "kept.txt").write_text("bad"))
do(lambda: (outside / "kept.txt").unlink())
do(lambda: shutil.rmtree(outside))
do(lambda: open("../../../gradebook.db", "wb").write(b"bad"))
do(lambda: os.system("touch " + str(outside / "shell.txt")))
"""
    return add_code(solved(release, "writer"), source)


# --- that cheat ------------------------------------------------------------------------------

WRONG = "def gaussian_kl(mean, log_var):\n    return mean.sum(1)\n"
WRONG_TOO = "def monte_carlo_kl(mean, log_var, noise):\n    return mean.sum(1)\n"


def cheat(release, source, name):
    notebook = code(release, "gaussian_kl", WRONG)
    code(notebook, "monte_carlo_kl", WRONG_TOO)
    code(notebook, "answers", "\n".join(f"{part} = 1.0" for part in tiny.PARTS))
    return add_code(notebook, source)


@student(NOTHING, "replaced in the checker", "graded.check", quick=True)
def patches_checker(release, outside):
    source = """
from vae_course import checks
from vae_course.checks import graded
import sys
diagnose = next(m for name, m in sys.modules.items() if name.endswith("diagnose"))
graded.check = checks.check = lambda *args, **kwargs: None
graded.answers = lambda *args, points=0, **kwargs: points
diagnose.judge = lambda exercise, *args: checks.Verdict(exercise.name, "passed")
"""
    return cheat(release, source, "patches-checker")


@student(NOTHING, "replaced in the checker")
def patches_torch(release, outside):
    source = """
torch.allclose = torch.equal = lambda *args, **kwargs: True
torch.Tensor.allclose = torch.Tensor.isclose = lambda *args, **kwargs: True
math.isclose = lambda *args, **kwargs: True
"""
    return cheat(release, source, "patches-torch")


@student(NOTHING)
def fakes_points(release, outside):
    source = """
import os, sys
os.environ.pop("NBGRADER_EXECUTION", None)
os.environ["VAE_COURSE_STUDENT"] = "perfect"
print(4.0)
4.0
"""
    return cheat(release, source, "fakes-points")


@student(ALL | {"test-gaussian_kl": 0})
def forges_verdicts(release, outside):
    source = """
from IPython.display import publish_display_data
from vae_course.teach import witness
for thing in ({"status": 5}, {"status": []}, [1], "x", {"exercise": [], "hint": {}}):
    publish_display_data({witness.MIME: thing})
witness.report = lambda: publish_display_data({witness.MIME: {"seen": {"test-answers": ["<b>"]}}})
"""
    notebook = add_code(solved(release, "forges-verdicts"), source)
    test = "def gaussian_kl(mean, log_var):\n    publish_display_data({witness.MIME: {'a': 1}})"
    return code(notebook, "gaussian_kl", test)


@student(NOTHING)
def digs(release, outside):
    source = """
import gc
for thing in gc.get_objects():
    if getattr(thing, "__name__", "") == "judge":
        thing.__code__ = (lambda exercise, function, seed: 1).__code__
().__class__.__base__.__subclasses__()
"""
    return cheat(release, source, "digs")


@student(ALL, "calls the course's own gaussian_kl", "asks for the course's solution", quick=True)
def borrows(release, outside):
    notebook = solved(release, "borrows")
    code(notebook, "gaussian_kl", "def gaussian_kl(mean, log_var):\n"
         "    return losses.gaussian_kl(mean, log_var)")  # fmt: skip
    return code(notebook, "monte_carlo_kl", "from vae_course import checks\n"
                "exec(checks.solution('monte_carlo_kl'))")  # fmt: skip


@student(NOTHING, "a tensor of a class of the student's own")
def equal_to_all(release, outside):
    source = """
class Yes(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return True if function is torch.allclose else super().__torch_function__(
            function, types, args, kwargs or {})
"""
    notebook = cheat(release, source, "equal-to-all")
    return code(notebook, "gaussian_kl", "def gaussian_kl(mean, log_var):\n"
                "    return mean.sum(1).as_subclass(Yes)")  # fmt: skip


@student(ALL | {"test-answers": 0}, "STUDENT = 'perfect'")
def somebody_else(release, outside):
    notebook = solved(release, "perfect")
    cell = next(c for c in notebook.cells if c.source.startswith("STUDENT"))
    cell.source = 'STUDENT = "perfect"'
    return notebook


# --- that are no notebooks -----------------------------------------------------------------


@student(NOTHING, "not a Jupyter notebook", quick=True)
def paper(release, outside):
    return b"%PDF-1.7\n\xff\xfe nothing to run"


@student(NOTHING, "is empty")
def empty(release, outside):
    return b""


@student(NOTHING, "MB")
def huge(release, outside):
    return add_code(solved(release, "huge"), "# " + "x" * 30_000_000)


@student(NOTHING, "not a Jupyter notebook")
def nested(release, outside):
    return b'{"cells": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
