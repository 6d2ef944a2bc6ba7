"""Every notebook in a real JupyterLab: run all, move every control by keyboard and by mouse.

Slow, as it runs the notebooks:
    python -m pytest -n 0 -s -m browser tests/browser/test_browser_notebooks.py

Screenshots and a table of latencies go to the folder that VAE_COURSE_ARTEFACTS names (made if need
be), else into pytest's temporary folder; the table is printed at the end.
"""

import base64
import statistics
from pathlib import Path

import pytest
from jupyter_browser import JupyterLab
from live_widgets import explorers, quizzes

from vae_course.admin.notebooks import find_notebooks, read_notebook

pytestmark = pytest.mark.browser
SECONDS = 1200  # for a whole notebook on a busy machine
PRESSES = 60  # of each explorer, for the table


@pytest.fixture(scope="session")
def latencies(artefacts):
    """Rows (notebook, what, milliseconds); as a table in the artefacts' folder at the end."""
    rows = []
    yield rows
    heading = "| notebook | explorer | presses | median (ms) | 95th percentile (ms) |"
    lines = [heading, "|---" * 5 + "|"]
    for notebook, title, times in rows:
        high = statistics.quantiles(times, n=20, method="inclusive")[-1]
        cells = notebook[:2], title, len(times), f"{statistics.median(times):.0f}", f"{high:.0f}"
        lines.append(f"| {' | '.join(map(str, cells))} |")
    text = "\n".join(lines) + "\n"
    (artefacts / "explorer-latency.md").write_text(text, encoding="utf-8")
    print(f"\n{text}in {artefacts}")


@pytest.mark.parametrize("path", find_notebooks(), ids=lambda path: path.stem)
def test_everything_moves_and_nothing_complains(path, tmp_path, artefacts, latencies):
    (tmp_path / path.name).write_bytes(path.read_bytes())
    sentences, animations = _stored(path)
    with JupyterLab(tmp_path) as lab, lab.open(path.name) as notebook:
        notebook.run_all(seconds=SECONDS)
        assert notebook.problems() == []
        found = explorers(notebook)
        companion = path.stem.split("_")[0].endswith("b")  # may have none
        assert len(found) == sentences["explorer"] and (found or companion)
        for number, explorer in enumerate(found):
            reached, count = explorer.stops_of_the_tab_key()
            assert reached == count, f"{explorer.title}: tab reaches {reached} of {count} controls"
            assert explorer.move_everything() > 0
            latencies.append((path.stem, explorer.title, explorer.key_times(PRESSES)))
            if explorer.places():
                title = f"{explorer.title} (pointer)"
                latencies.append((path.stem, title, explorer.pointer_times(PRESSES)))
            explorer.root.screenshot(path=artefacts / f"{path.stem}_{number}.png")
        found = quizzes(notebook)
        assert len(found) == sentences["quiz"]
        for quiz in found:
            latencies.append((path.stem, quiz.title, _play(quiz, artefacts / path.stem)))
        moving = notebook.page.locator(".jp-RenderedImage img")
        played = [_plays(image) for image in moving.all() if _is_animation(image)]
        assert played == [True] * animations
        assert notebook.problems() == []


def _play(quiz, stem: Path) -> list[float]:
    """Take the quiz by keyboard and by mouse, always with one answer; its score is then known."""
    count, kinds = quiz.count(), len(quiz.names)
    quiz.root.screenshot(path=f"{stem}_quiz.png")
    times = quiz.play_by_keyboard(quiz.names[0])
    quiz.wait_for_text(f"{-(-count // kinds)} of {count} right")
    quiz.root.screenshot(path=f"{stem}_quiz_score.png")
    quiz.start_again()
    quiz.play_by_mouse(quiz.names[-1])
    quiz.wait_for_text(f"{count // kinds} of {count} right")
    return times


def _stored(path: Path) -> tuple[dict[str, int], int]:
    """How many explorers, quizzes and animations the stored notebook announces."""
    sentences, animations = {"explorer": 0, "quiz": 0}, 0
    for cell in read_notebook(path)["cells"]:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            for kind in sentences:
                sentences[kind] += data.get("text/plain", "").startswith(f"Interactive {kind}")
            animations += b"acTL" in base64.b64decode(data.get("image/png", ""))[:100]
    return sentences, animations


def _is_animation(image) -> bool:
    _, _, content = image.get_attribute("src").partition("base64,")
    return b"acTL" in base64.b64decode(content)[:100]


def _plays(image) -> bool:
    """Whether its looks change within ten seconds."""
    image.scroll_into_view_if_needed()
    first = image.screenshot()
    for _ in range(50):
        image.page.wait_for_timeout(200)
        if image.screenshot() != first:
            return True
    return False
