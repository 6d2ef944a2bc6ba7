"""Full-mark notebooks in unusual style: one solved assignment, and in each one thing that few do.

A style is a function that changes the solved notebook, or returns the bytes of a file made of it.
None may lose a point, and none may be flagged.
"""

import json

import nbformat

from teach_tools import cell_of

NAME = "04_kl_loss"
STYLES = {}
KL = "    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(dim=1)\n"
REPLY = "Two losses with other units can't be compared. No learning rate moves a minimum."


def solved(source, release, student):
    """The release with the source's solutions, as a student would have written them."""
    for cell in release.cells:
        settings = cell.metadata.get("nbgrader", {})
        if settings.get("solution"):
            text = cell_of(source, settings.grade_id).source
            lines = [line for line in text.splitlines() if "### " not in line]
            cell.source = "\n".join(lines)
            if cell.cell_type == "code":
                cell.source += f"\n# worked out by {student}"
    cell_of(release, "written-reply").source = f"{student} writes: {REPLY}"
    next(c for c in release.cells if c.source.startswith("STUDENT")).source = (
        f'STUDENT = "{student}"'
    )
    return release


def style(function):
    STYLES[function.__name__] = function
    return function


def added(name, source, at=3):
    """A style that is one more cell, behind the imports."""

    def change(notebook):
        notebook.cells.insert(at, nbformat.v4.new_code_cell(source.strip("\n")))

    STYLES[name] = change


def written_as(name, source, before="", cell="gaussian_kl"):
    """A style in which one function is written in another way, its helpers in a cell above."""

    def change(notebook):
        target = cell_of(notebook, f"code-{cell}")
        target.source = source.strip("\n")
        if before:
            at = notebook.cells.index(target)
            notebook.cells.insert(at, nbformat.v4.new_code_cell(before.strip("\n")))

    STYLES[name] = change


# --- Python that few use ---------------------------------------------------------------------

written_as("operators", """
def gaussian_kl(mean, log_var):
    return (Cloud(mean, log_var) @ Cloud(0 * mean, 0 * log_var)).sum(dim=1)
""", """
class Cloud:
    def __init__(self, mean, log_var):
        self.mean, self.log_var = mean, log_var

    def __neg__(self):
        return Cloud(-self.mean, self.log_var)

    def __add__(self, other):
        return Cloud(self.mean + other.mean, self.log_var)

    def __eq__(self, other):
        return bool((self.mean == other.mean).all())

    def __matmul__(self, other):
        shift = (self + -other).mean
        return 0.5 * (self.log_var.exp() + shift**2 - 1 - self.log_var)
""")  # fmt: skip
written_as("class_of_an_object", """
def gaussian_kl(mean, log_var):
    kl = Kl()
    assert kl.__class__.__name__ == "Kl" and kl.__class__.__mro__[-1] is object
    return kl.__class__.of(kl, mean, log_var)
""", "class Kl:\n    def of(self, mean, log_var):\n    " + KL)  # fmt: skip
written_as("vars_", """
def gaussian_kl(mean, log_var):
    here = vars()
    box = types.SimpleNamespace(half=0.5)
    return vars(box)["half"] * (here["mean"] ** 2 + log_var.exp() - 1 - log_var).sum(1)
""", "import types")  # fmt: skip
written_as("globals_", """
globals()["half"] = 0.5

def gaussian_kl(mean, log_var):
    return globals()["half"] * (mean**2 + log_var.exp() - 1 - log_var).sum(1)
""")
written_as("locals_and_eval", """
def gaussian_kl(mean, log_var):
    terms = eval("mean**2 + log_var.exp() - 1 - log_var", {}, locals())
    scope = {}
    exec("half = 0.5", scope)
    return scope["half"] * terms.sum(1)
""")
written_as("context_manager", """
def gaussian_kl(mean, log_var):
    with Halved() as half, contextlib.suppress(ZeroDivisionError):
        return half * (mean**2 + log_var.exp() - 1 - log_var).sum(1)
""", """
import contextlib

class Halved:
    def __enter__(self):
        return 0.5

    def __exit__(self, kind, error, trace):
        return False
""")  # fmt: skip
written_as("generators", """
def terms(mean, log_var):
    yield mean**2
    yield log_var.exp()
    yield from (-1, -log_var)

def gaussian_kl(mean, log_var):
    return 0.5 * sum(terms(mean, log_var)).sum(1)
""")
written_as("match_", """
def gaussian_kl(mean, log_var):
    match (mean, mean.dim()):
        case (_, 2):
            return 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1)
        case _:
            raise ValueError("(B, D) expected")
""")
written_as("walrus", """
def gaussian_kl(mean, log_var):
    return 0.5 * ((variance := log_var.exp()) + mean**2 - 1 - variance.log()).sum(1)
""")
written_as("lambda_", "gaussian_kl = lambda mean, log_var: (\n" + KL.replace("return", "") + ")")
written_as("callable_object", """
gaussian_kl = Kl(0.5)
""", """
from dataclasses import dataclass

@dataclass(frozen=True)
class Kl:
    half: float

    def __call__(self, mean, log_var):
        return self.half * (mean**2 + log_var.exp() - 1 - log_var).sum(1)
""")  # fmt: skip
written_as("module_of_torch", """
class Kl(torch.nn.Module):
    def forward(self, mean, log_var):
        return 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1)

gaussian_kl = Kl()
""")
written_as("partial_", """
def kl(half, mean, log_var):
    return half * (mean**2 + log_var.exp() - 1 - log_var).sum(1)

gaussian_kl = functools.partial(kl, 0.5)
""", "import functools")  # fmt: skip
written_as("decorators", """
@told
def gaussian_kl(mean, log_var):
""" + KL, """
import functools

def told(function):
    @functools.wraps(function)
    def call(*args, **kwargs):
        call.count += 1
        return function(*args, **kwargs)

    call.count = 0
    return call
""")  # fmt: skip
written_as("annotations", """
def gaussian_kl(mean: Tensor, log_var: Tensor, *, half: Final[float] = 0.5) -> Tensor:
    result: Tensor = half * (mean**2 + log_var.exp() - 1 - log_var).sum(1)
    return result
""", "from typing import Final\n\nfrom torch import Tensor")  # fmt: skip
written_as("distributions", """
def gaussian_kl(mean, log_var):
    q = torch.distributions.Normal(mean, torch.exp(log_var / 2))
    return torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1)
""")
written_as("einsum_", """
def gaussian_kl(mean, log_var):
    one = torch.ones_like(mean[0])
    return 0.5 * torch.einsum("bd,d->b", mean**2 + log_var.exp() - 1 - log_var, one)
""")
written_as("vmap_", """
def gaussian_kl(mean, log_var):
    return torch.vmap(lambda m, v: 0.5 * (m**2 + v.exp() - 1 - v).sum())(mean, log_var)
""")
written_as("loop_over_images", """
def gaussian_kl(mean, log_var):
    rows = []
    for i in range(len(mean)):
        rows.append(0.5 * (mean[i] @ mean[i] + (log_var[i].exp() - 1 - log_var[i]).sum()))
    return torch.stack(rows)
""")
written_as("double_precision", """
def gaussian_kl(mean, log_var):
    mean, log_var = mean.double(), log_var.double()
    return 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1).float()
""")
written_as("greek_names", """
def gaussian_kl(mean, log_var):
    μ, σ2 = mean, log_var.exp()
    return ½ * (μ**2 + σ2 - 1 - log_var).sum(1)
""".replace("½", "0.5"))
written_as("tabs", "def gaussian_kl(mean, log_var):\n\tkl = mean**2 + log_var.exp() - 1 - log_var\n"
           "\treturn kl.sum(1) / 2\n")  # fmt: skip
written_as("slots_and_metaclass", """
def gaussian_kl(mean, log_var):
    return Kl(mean).of(log_var)
""", """
class Meta(type):
    def __new__(cls, name, bases, space):
        return super().__new__(cls, name, bases, space)

class Kl(metaclass=Meta):
    __slots__ = ("mean",)

    def __init__(self, mean):
        object.__setattr__(self, "mean", mean)

    def __getattr__(self, name):
        raise AttributeError(name)

    def of(self, log_var):
        mean = self.mean
    """ + KL)  # fmt: skip
written_as("keeps_its_inputs", """
seen = []

def gaussian_kl(mean, log_var):
    seen.append(mean.detach().clone())
""" + KL)
written_as("numbers_of_other_kinds", """
from fractions import Fraction

import numpy as np

kl = np.float64(0.5 * (code.mean**2 + code.std**2 - 1 - math.log(code.std**2)))
bits = torch.tensor(float(kl) / math.log(2), dtype=torch.float64)
""", cell="answers-code")  # fmt: skip

# --- what a function does beside its work ----------------------------------------------------

written_as("logging_", """
def gaussian_kl(mean, log_var):
    log.warning("a batch of %d", len(mean))
""" + KL, """
import logging

logging.basicConfig(level=logging.DEBUG)
log = logging.getLogger("me")
""")  # fmt: skip
written_as("warns", "import warnings\n\ndef gaussian_kl(mean, log_var):\n"
           "    warnings.warn('careful')\n" + KL)  # fmt: skip
written_as("prints", "def gaussian_kl(mean, log_var):\n    print('shape', mean.shape)\n" + KL)
written_as("bars", "from tqdm import tqdm\n\ndef gaussian_kl(mean, log_var):\n"
           "    for _ in tqdm(range(3)):\n        pass\n" + KL)  # fmt: skip
written_as("to_stderr", "import sys\n\ndef gaussian_kl(mean, log_var):\n"
           "    print('here', file=sys.stderr)\n" + KL)  # fmt: skip
written_as("times_itself", "import time\nfrom datetime import datetime\n\n"
           "def gaussian_kl(mean, log_var):\n    start = datetime.now(), time.perf_counter()\n"
           + KL)  # fmt: skip
written_as("threads", """
from concurrent.futures import ThreadPoolExecutor

def gaussian_kl(mean, log_var):
    with ThreadPoolExecutor(2) as pool:
        work = [lambda: mean**2 - 1, lambda: log_var.exp() - log_var]
        parts = list(pool.map(lambda f: f(), work))
    return 0.5 * sum(parts).sum(1)
""")

# --- cells that stand beside -----------------------------------------------------------------

added("files", """
with open("notes.txt", "w") as file:
    file.write("0.5")
half = float(open("notes.txt").read())
""")
added("os_", """
import os, pathlib, shutil
os.makedirs("out/pictures", exist_ok=True)
os.environ["MY_SETTING"] = "1"
print(os.getcwd(), os.listdir("."), pathlib.Path.home())
shutil.rmtree("out")
""")
added("sys_", "import sys, gc, inspect\nsys.path.append('.')\nsys.setrecursionlimit(5000)\n"
      "gc.collect()\nprint(inspect.getsource(plots.show)[:20], sys.modules.keys())")  # fmt: skip
added("subprocess_", "import subprocess\nprint(subprocess.run(['echo', 'hello'], check=True))")
added("datetime_", "import datetime as dt\nprint('run at', dt.datetime.now(dt.timezone.utc))")
added("pip_in_a_cell", "!pip install -q einops\nimport math as m")
added("pip_magic", "%pip install -q tqdm")
added("shell_lines", "!ls -la\nfiles = !ls\n!nvidia-smi")
added("bash_cell", "%%bash\necho hello\nls")
added("autoreload", "%load_ext autoreload\n%autoreload 2\n%matplotlib inline\n"
      "%config InlineBackend.figure_format = 'retina'")  # fmt: skip
added("await_", "import asyncio\n\nasync def one():\n    await asyncio.sleep(0)\n    return 1\n\n"
      "assert await one() == 1")  # fmt: skip
added("other_libraries", "import numpy as np, scipy.stats, sklearn.decomposition\n"
      "import pandas as pd, seaborn as sns\nnp.random.seed(1)\nsns.set_theme()")  # fmt: skip
added("any_part_of_the_course", """
import vae_course
from vae_course import checks, gan, gpt, latent, losses, metrics, widgets
from vae_course.checks import exercises
from vae_course.training import fit
print(len(exercises()), losses.gaussian_kl(torch.zeros(2, 3), torch.zeros(2, 3)))
""")
added("explorer", "import ipywidgets\nfrom IPython.display import HTML, display\n"
      "display(HTML('<b>hello</b>'), ipywidgets.IntSlider())")  # fmt: skip
added("settings_of_torch", """
import random, warnings
warnings.filterwarnings("error")
warnings.filterwarnings("ignore")
random.seed(0), torch.set_printoptions(precision=2), torch.set_num_threads(2)
torch.use_deterministic_algorithms(True)
torch.set_float32_matmul_precision("high")
""")
added("attributes_for_convenience", """
torch.Tensor.flat_sum = lambda self: self.flatten(1).sum(1)
torch.Tensor.__repr__ = lambda self: f"Tensor{tuple(self.shape)}"
plt.show_all = plt.show
""")
added("names_of_ones_own", "sum_ = sum\nmax = max\nlosses = [3, 2, 1]\nchecks = {'done': True}\n"
      "type = type\nid = 3")  # fmt: skip
added("main_guard", "def main():\n    print('hello')\n\nif __name__ == '__main__':\n    main()")
added("an_error_left_over", "print(1 / 0)")
added("a_question_that_nobody_answers", "answer = input('Go on? ')")
added("much_output", "for i in range(9000):\n    print('step', i, 'loss', 1 / (i + 1))")
added("colab_drive", """
from google.colab import drive
drive.mount("/content/drive")
import os
os.chdir("/content/drive/MyDrive/vae")
%cd /content/drive/MyDrive/vae
""")
added("colab_guarded", """
try:
    import google.colab
    IN_COLAB = True
except ImportError:
    IN_COLAB = False
if IN_COLAB:
    raise RuntimeError("not here")
""")
added("colab_upload", "from google.colab import files\nuploaded = files.upload()")


@style
def time_cell(notebook):
    for name in ("gaussian_kl", "monte_carlo_kl"):
        cell = cell_of(notebook, f"code-{name}")
        cell.source = "%%time\n" + cell.source


@style
def capture_cell(notebook):
    cell = cell_of(notebook, "code-gaussian_kl_between")
    cell.source = "%%capture\n" + cell.source


@style
def own_file(notebook):
    at = notebook.cells.index(cell_of(notebook, "code-gaussian_kl"))
    source = "%%writefile mine.py\ndef gaussian_kl(mean, log_var):\n" + KL
    notebook.cells.insert(at, nbformat.v4.new_code_cell(source))
    cell_of(notebook, "code-gaussian_kl").source = "from mine import gaussian_kl"


# --- cells in another order, in other cells, in another form ---------------------------------


@style
def many_cells(notebook):
    for at in range(len(notebook.cells), 0, -1):
        notebook.cells.insert(at, nbformat.v4.new_code_cell(f"# try {at}\nx{at} = {at}"))
    notebook.cells.insert(5, nbformat.v4.new_markdown_cell("# My own notes"))


@style
def split(notebook):
    cell = cell_of(notebook, "code-gaussian_kl")
    at = notebook.cells.index(cell)
    first = nbformat.from_dict(json.loads(json.dumps(cell)))  # a split keeps the metadata in both
    first.source = "def per_dimension(m, v):\n    return 0.5 * (m**2 + v.exp() - 1 - v)"
    cell.source = "def gaussian_kl(mean, log_var):\n    return per_dimension(mean, log_var).sum(1)"
    notebook.cells.insert(at, first)


@style
def below_its_test(notebook):
    cells = notebook.cells
    at = cells.index(cell_of(notebook, "code-effective_beta"))
    cells[at], cells[at + 1] = cells[at + 1], cells[at]


@style
def all_functions_at_the_top(notebook):
    names = ("gaussian_kl", "monte_carlo_kl", "gaussian_kl_between", "effective_beta")
    cells = [cell_of(notebook, f"code-{name}") for name in names]
    for cell in cells:
        notebook.cells.remove(cell)
    notebook.cells[3:3] = cells


@style
def in_one_cell(notebook):
    names = ("gaussian_kl", "monte_carlo_kl", "gaussian_kl_between")
    cells = [cell_of(notebook, f"code-{name}") for name in names]
    cells[0].source = "\n\n\n".join(cell.source for cell in cells)
    for cell in cells[1:]:
        notebook.cells.remove(cell)


@style
def tests_in_another_form(notebook):
    cell = cell_of(notebook, "test-gaussian_kl")
    cell.source = "# run this one often\ngraded.check(\n    'gaussian_kl',\n    gaussian_kl,\n)\n"


@style
def no_metadata(notebook):
    notebook.metadata = {}
    for cell in notebook.cells:
        cell.metadata = {}


@style
def no_ids(notebook):
    plain = json.loads(nbformat.writes(notebook)) | {"nbformat_minor": 4}
    for cell in plain["cells"]:
        del cell["id"]
    return json.dumps(plain).encode()


@style
def byte_order_mark(notebook):
    return b"\xef\xbb\xbf" + nbformat.writes(notebook).encode()


@style
def line_ends_of_windows(notebook):
    for cell in notebook.cells:
        cell.source = cell.source.replace("\n", "\r\n")
    return nbformat.writes(notebook).replace("\n", "\r\n").encode()


@style
def from_vs_code(notebook):
    notebook.metadata = {"kernelspec": {"name": ".venv", "display_name": ".venv (3.12)"},
                         "language_info": {"name": "python", "version": "3.12.1"}}  # fmt: skip
    for cell in notebook.cells:
        cell.metadata["vscode"] = {"languageId": "python"}


@style
def from_colab(notebook):
    plain = json.loads(nbformat.writes(notebook))
    plain |= {"nbformat_minor": 0, "metadata": {"colab": {"provenance": []}, "accelerator": "GPU"}}
    for number, cell in enumerate(plain["cells"]):
        del cell["id"]
        cell["metadata"] |= {"id": f"x{number}", "colab": {"base_uri": "https://localhost/"}}
        if cell["cell_type"] == "code":
            cell["execution_count"] = None
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["seen\n"]}]
    return json.dumps(plain).encode()


@style
def written_in_a_new_cell(notebook):
    cell = cell_of(notebook, "written-reply")
    at = notebook.cells.index(cell)
    notebook.cells.insert(at + 1, nbformat.v4.new_markdown_cell(cell.source))
    cell.source = "*Your answer here.*"


@style
def written_with_a_picture(notebook):
    cell = cell_of(notebook, "written-reply")
    cell.source += "\n\n![](attachment:a.png)\n\n<b>Grey</b> | table\n---|---\n1 | 2"
    cell["attachments"] = {"a.png": {"image/png": "iVBORw0KGgo="}}


@style
def older_form(notebook):
    return nbformat.writes(nbformat.convert(notebook, 3), version=3).encode()
