"""Explorers without a kernel: on a page to hand out, and on the website where they are frozen.

bash docs/site/build --live 04
python -m pytest -n 0 -m browser tests/browser/test_browser_frozen.py
"""

import os
from pathlib import Path

import pytest
from audit import serious, window

from vae_course.admin.notebooks import find_notebooks, html_page

pytestmark = pytest.mark.browser
SITE = Path(os.environ.get("VAE_COURSE_SITE", Path(__file__).parents[2] / "build" / "site"))
ARTEFACTS = os.environ.get("VAE_COURSE_ARTEFACTS")
STOPWATCH = """
window.times = [];
document.addEventListener('keydown', () => { window.pressed = performance.now(); }, true);
const note = () => window.times.push(performance.now() - window.pressed);
document.addEventListener('frozen-drawn', note, true);
"""


@pytest.fixture(scope="session")
def handed_out(tmp_path_factory):
    """Notebook 03 as a page; it takes minutes, so once."""
    file = tmp_path_factory.mktemp("page") / "03.html"
    assert html_page(find_notebooks(["03"])[0], file, live=True) == 1
    return file.as_uri()


@pytest.fixture(scope="module", params=["page", "site"])
def address(request):
    if request.param == "page":
        yield request.getfixturevalue("handed_out")
        return
    file = SITE / "notebooks" / "04_kl_loss.html"
    if not file.is_file() or "data-from" not in file.read_text(encoding="utf-8"):
        pytest.skip("no frozen explorers in build/site: bash docs/site/build --live 04")
    from test_browser_site import served

    with served(SITE) as host:
        yield f"{host}/notebooks/04_kl_loss.html"


@pytest.fixture(scope="module", params=[(1280, "light"), (1280, "dark"), (390, "light")],
                ids=["light", "dark", "phone"])  # fmt: skip
def page(request, address):
    width, scheme = request.param
    with window(viewport={"width": width, "height": 900}, color_scheme=scheme) as opened:
        complaints = []

        def asked(route):
            url = route.request.url
            if url.startswith(("http://127.0.0.1", "file:", "data:", "blob:")):
                route.continue_()
            else:
                if "mathjax" not in url.lower() or address.startswith("http"):
                    complaints.append(f"asks another host: {url}")
                route.abort()

        def heard(line):
            if line.type in ("error", "warning") and "ERR_FAILED" not in line.text:
                complaints.append(line.text)

        opened.route("**/*", asked)
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("console", heard)
        opened.add_init_script(STOPWATCH)
        opened.goto(address)
        root = opened.locator(".frozen-explorer").first
        root.scroll_into_view_if_needed()
        opened.wait_for_selector('.frozen-explorer[data-alive="yes"]')
        root.locator("canvas").scroll_into_view_if_needed()
        opened.explorer = root
        yield opened
        if ARTEFACTS:
            Path(ARTEFACTS).mkdir(exist_ok=True)
            kind = "site" if address.startswith("http") else "page"
            opened.screenshot(path=f"{ARTEFACTS}/frozen-{kind}-{width}-{scheme}.png")
        assert complaints == []


def state(page) -> tuple[str, str]:
    """The picture and the words."""
    return (
        page.explorer.locator("canvas").evaluate("canvas => canvas.toDataURL()"),
        page.explorer.locator("[role=status]").inner_text(),
    )


def changed_by(page, act) -> None:
    before, count = state(page), page.evaluate("window.times.length")
    act()
    page.wait_for_function("count => window.times.length > count", arg=count)
    after = state(page)
    assert after[0] != before[0], "the picture stayed"
    assert after[1] != before[1], "the words stayed"


def test_keys_slider_and_pointer_change_picture_and_words(page):
    sliders = page.explorer.locator("input[type=range]")
    sliders.first.focus()
    changed_by(page, lambda: page.keyboard.press("ArrowLeft"))
    changed_by(page, lambda: page.keyboard.press("ArrowRight"))
    box = sliders.nth(1).bounding_box()
    there = {"x": box["width"] * 0.9, "y": box["height"] / 2}
    changed_by(page, lambda: sliders.nth(1).click(position=there))
    size = page.explorer.locator("canvas").bounding_box()
    # What can be held: the first grip that moves along x; then drag to its left.
    left, top, width, height = page.explorer.evaluate(
        "root => root.grips().find((grip) => new Set(grip.x_ends).size > 1).box"
    )
    x = size["x"] + size["width"] * (left + 0.8 * width)
    y = size["y"] + size["height"] * (top + 0.5 * height)
    page.mouse.move(x, y)
    changed_by(page, lambda: page.mouse.down())
    changed_by(page, lambda: page.mouse.move(x - 0.5 * width * size["width"], y, steps=4))
    page.mouse.up()


def test_every_control_has_a_name_and_nothing_is_seriously_wrong(page):
    for control in page.explorer.locator("input, select").all():
        assert control.evaluate("control => control.labels.length") == 1
    found = [line for line in serious(page) if "frozen" in line]
    assert found == []
    wide = page.explorer.evaluate("root => root.scrollWidth - root.clientWidth")
    assert wide <= 0


def test_a_key_is_answered_within_thirty_milliseconds(page):
    slider = page.explorer.locator("input[type=range]").first
    slider.focus()
    page.keyboard.press("Home")
    page.wait_for_timeout(300)
    page.evaluate("window.times.length = 0")
    steps = min(10, int(slider.evaluate("slider => slider.max")))
    for direction in ("ArrowRight", "ArrowLeft") * 3:
        for _ in range(steps):
            count = page.evaluate("window.times.length")
            page.keyboard.press(direction)
            page.wait_for_function("count => window.times.length > count", arg=count)
    times = sorted(page.evaluate("window.times"))
    late = times[int(0.95 * len(times))]
    print(
        f"\nkey to picture: median {times[len(times) // 2]:.1f} ms, 95th percentile {late:.1f} ms"
    )
    if (os.getloadavg()[0] if hasattr(os, "getloadavg") else 0) < 2:  # a busy machine says nothing
        assert late <= 30


def test_the_last_of_many_moves_wins(page):
    slider = page.explorer.locator("input[type=range]").first
    slider.focus()
    for key in ("Home", *["ArrowRight"] * 7, *["ArrowLeft"] * 3):
        page.keyboard.press(key)
    place = int(slider.input_value())
    assert place == 4
    said = page.explorer.locator("output").first.inner_text()
    page.wait_for_function(
        "([root, said]) => root.querySelector('[role=status]').textContent.includes(said)",
        arg=[page.explorer.element_handle(), said],
    )
