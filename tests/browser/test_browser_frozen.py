"""Explorers without a kernel: each one that is frozen on the website, and on a page to hand out.

    bash docs/site/build --live
    python -m pytest -n 0 -s -m browser tests/browser/test_browser_frozen.py

VAE_COURSE_SITE names another folder with the built site. A table of what moves, the bytes and the
times goes to the folder that VAE_COURSE_ARTEFACTS names, with a screenshot of each.
"""

import os
import re
from pathlib import Path

import pytest
from audit import serious, window
from frozen_page import STOPWATCH, FrozenExplorer

from vae_course.admin.notebooks import find_notebooks, html_page
from vae_course.widgets.frozen import LIMIT

pytestmark = pytest.mark.browser
SITE = Path(os.environ.get("VAE_COURSE_SITE", Path(__file__).parents[2] / "build" / "site"))
FROZEN = [
    (page.stem, address)
    for page in sorted(SITE.glob("notebooks/*.html"))
    for address in re.findall(r'data-from="([^"]+)"', page.read_text(encoding="utf-8"))
]
NAMES = [f"{page[:2]}-{Path(address).stem}" for page, address in FROZEN]
PAGES = sorted({page for page, _ in FROZEN})
site = pytest.mark.skipif(not FROZEN, reason="nothing frozen there: bash docs/site/build --live")


def watched(page):
    """Note what goes wrong in a page and what it asks of other hosts."""
    page.complaints = []

    def asked(route):
        if route.request.url.startswith(("http://127.0.0.1", "file:", "data:", "blob:")):
            route.continue_()
        else:
            page.complaints.append(f"asks another host: {route.request.url}")
            route.abort()

    page.route("**/*", asked)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on(
        "console",
        lambda line: (
            page.complaints.append(line.text) if line.type in ("error", "warning") else None
        ),
    )
    page.add_init_script(STOPWATCH)
    return page


@pytest.fixture(scope="module")
def host():
    from test_browser_site import served

    with served(SITE) as address:
        yield address


@pytest.fixture(scope="module")
def rows(artefacts):
    """Rows of the table, written at the end."""
    rows = []
    yield rows
    heading = "| page | explorer | MB | moved by | key to picture: median, 95th percentile (ms) |"
    lines = [heading, "|---" * 5 + "|", *(f"| {' | '.join(row)} |" for row in rows)]
    text = "\n".join(lines) + "\n"
    (artefacts / "frozen.md").write_text(text, encoding="utf-8")
    print(f"\n{text}in {artefacts}")


@pytest.fixture(scope="module")
def wide(host):
    with window(viewport={"width": 1280, "height": 1000}) as page:
        yield watched(page)


@site
@pytest.mark.parametrize(("page", "address"), FROZEN, ids=NAMES)
def test_it_moves_by_pointer_slider_and_key(page, address, wide, host, rows, artefacts):
    wide.goto(f"{host}/notebooks/{page}.html")
    explorer = FrozenExplorer(wide, address)
    size = (SITE / "notebooks" / address).stat().st_size
    assert size <= LIMIT
    explorer.root.screenshot(path=artefacts / f"frozen-{page[:2]}-{Path(address).stem}.png")
    row = [page[:2], Path(address).stem, f"{size / 1e6:.2f}"]
    if explorer.kind == "quiz":
        take(explorer)
        rows.append([*row, "buttons, letters", "–"])
    else:
        rows.append([*row, *move(explorer)])
    assert wide.complaints == []


def move(explorer) -> tuple[str, str]:
    """Everything once; what there was, and the times."""
    for slider in explorer.sliders.all():
        name = slider.evaluate("slider => slider.labels[0].textContent")
        assert explorer.key(slider), f"{name}: no key moves the picture"
        assert explorer.drag(slider), f"{name}: dragging it leaves the picture"
    others = explorer.others()
    for name, act in others:
        assert explorer.changed_by(act, wait=3), f"{name} leaves the picture as it was"
        if name == "Play":
            for button in explorer.root.get_by_role("button", name="Stop").all():
                button.click()  # unless it has come to its end by itself
    grips = explorer.grips()
    for grip in grips:
        held = f"held by {grip['x']}, {grip['y']}"
        box = grip["box"]
        at = [(0.2, 0.3), (0.8, 0.75), (0.45, 0.5)]
        same = explorer.boxes(grip)  # of several the largest may be what is chosen already
        assert any(explorer.press(one, place) for one in same for place in at), (
            f"{held}: no press moves it"
        )
        if any(grip[axis] and len(set(grip[f"{axis}_ends"])) > 1 for axis in "xy"):
            explorer.press(box, (0.1, 0.1))
            assert explorer.press(box, (0.15, 0.15), (0.85, 0.9)), f"{held}: no drag moves it"
    times = sorted(explorer.key_times())
    late = times[int(0.95 * len(times))] if times else 0.0
    if times and (os.getloadavg()[0] if hasattr(os, "getloadavg") else 0) < 2:
        assert late <= 30  # a busy machine says nothing
    kinds = {"pointer": grips, "slider": times, "key": times, "lists and buttons": others}
    said = ", ".join(name for name, there in kinds.items() if there)
    return said, f"{times[len(times) // 2]:.1f}, {late:.1f}" if times else "–"


def take(quiz) -> None:
    """Answer all by letter and button in turn, read the score, start again."""
    buttons = quiz.root.locator("button")
    names = buttons.all_inner_texts()[:-1]
    total = int(re.search(r"of (\d+)", quiz.state()[1])[1])
    for number in range(total):
        assert quiz.state()[1] == f"Picture {number + 1} of {total}."
        name = names[number % len(names)]
        if number % 2:
            buttons.nth(0).focus()
            quiz.page.keyboard.press(name[0])
        else:
            quiz.root.get_by_role("button", name=name, exact=True).click()
    right = int(re.match(rf"(\d+) of {total} right; pure guessing gives", quiz.state()[1])[1])
    wrong = [text for text in quiz.root.locator("figcaption").all_inner_texts() if "×" in text]
    assert len(wrong) == total - right
    quiz.page.keyboard.press("Enter")  # the focus is on "Start again"
    assert quiz.state()[1] == f"Picture 1 of {total}."


@site
@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (1280, "dark"), (800, "light"), (390, "light")]
)
@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_seriously_wrong_and_all_fits(name, width, scheme, host, artefacts):
    options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    with window(**options) as page:
        watched(page).goto(f"{host}/notebooks/{name}.html")
        for address in [address for where, address in FROZEN if where == name]:
            explorer = FrozenExplorer(page, address)
            assert explorer.root.evaluate("root => root.scrollWidth - root.clientWidth") <= 0
            for control in explorer.root.locator("input, select").all():
                assert control.evaluate("control => control.labels.length") == 1
            picture = f"frozen-{name[:2]}-{Path(address).stem}-{width}-{scheme}.png"
            explorer.root.screenshot(path=artefacts / picture)
        assert serious(page) == []
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
        assert page.complaints == []


@pytest.fixture(scope="module")
def handed_out(tmp_path_factory):
    """Notebook 03 as a page; it takes a while, so once."""
    file = tmp_path_factory.mktemp("page") / "03.html"
    assert html_page(find_notebooks(["03"])[0], file, live=True) == 1
    return file


def test_a_page_to_hand_out_moves_and_asks_nobody(handed_out, artefacts):
    with window(viewport={"width": 1280, "height": 900}) as page:
        watched(page).goto(handed_out.as_uri())
        explorer = FrozenExplorer(page, page.locator(".frozen-explorer").get_attribute("data-from"))
        move(explorer)
        assert page.locator("math").count() > 20 and "$" not in page.locator("h2").all_inner_texts()
        assert page.locator("math").first.bounding_box()["width"] > 5
        page.locator("math[display=block]").first.screenshot(path=artefacts / "formula.png")
        assert serious(page) == []
        assert page.complaints == []


def test_the_last_of_many_moves_wins(handed_out):
    with window(viewport={"width": 1280, "height": 900}) as page:
        watched(page).goto(handed_out.as_uri())
        explorer = FrozenExplorer(page, page.locator(".frozen-explorer").get_attribute("data-from"))
        slider = explorer.sliders.first
        slider.focus()
        for key in ("Home", *["ArrowRight"] * 7, *["ArrowLeft"] * 3):
            page.keyboard.press(key)
        assert int(slider.input_value()) == 4
        said = explorer.root.locator("output").first.inner_text()
        page.wait_for_function(
            "([root, said]) => root.querySelector('[role=status]').textContent.includes(said)",
            arg=[explorer.root.element_handle(), said],
        )
