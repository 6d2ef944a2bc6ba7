"""Hands on a live explorer or quiz: keys and mouse on its controls, and the time to a new picture.

    for explorer in explorers(notebook):
        explorer.move_everything()
        milliseconds = explorer.key_times(40)

Each way of moving a control fails (Playwright's TimeoutError) if the picture stays the same.
"""

from __future__ import annotations

from jupyter_browser import NotebookPage

OUTPUT = ".jp-OutputArea-output:has(img.widget-image)"
FOCUSABLE = "input:visible, select:visible, button:visible, .noUi-handle:visible"


def explorers(notebook: NotebookPage) -> list[LiveExplorer]:
    """All explorers of a notebook that ran, in their order, each with its picture loaded."""
    found = notebook.page.locator(OUTPUT).filter(has=notebook.page.locator(".widget-slider"))
    return [LiveExplorer(notebook, found.nth(number)) for number in range(found.count())]


def quizzes(notebook: NotebookPage) -> list[LiveQuiz]:
    """All quizzes of a notebook that ran: pictures with buttons, without a slider."""
    found = notebook.page.locator(OUTPUT).filter(has_not=notebook.page.locator(".widget-slider"))
    return [LiveQuiz(notebook, found.nth(number)) for number in range(found.count())]


class LiveWidget:
    """A picture and what moves it. `root` is Playwright's locator of the whole output."""

    def __init__(self, notebook: NotebookPage, root):
        self.page, self.root = notebook.page, root
        self.image = root.locator("img.widget-image")
        self.image.wait_for()
        self.root.scroll_into_view_if_needed()
        self.page.wait_for_function(
            "image => image.naturalWidth > 0", arg=self.image.element_handle()
        )
        self.title = root.locator("b").first.inner_text()

    def changed_by(self, act, *, times: int = 1, seconds: float = 30) -> float:
        """Act, wait for the new picture; milliseconds from the last key press to its arrival.

        times: how many pictures must have come, for what goes on by itself
        """
        before = self.image.get_attribute("src")
        self.page.evaluate("() => { window.moves = []; }")
        act()
        self.page.wait_for_function(
            "([image, before, n]) => image.src !== before && window.moves.length >= n",
            arg=[self.image.element_handle(), before, times],
            timeout=1000 * seconds,
        )
        return self.page.evaluate("() => window.moves.at(-1)")

    def wait_for_text(self, text: str, *, seconds: float = 30) -> None:
        """Until the widget says it; the words come a moment after the picture."""
        self.root.get_by_text(text).first.wait_for(timeout=1000 * seconds)

    def stops_of_the_tab_key(self) -> tuple[int, int]:
        """How many controls the tab key reaches, one after the other, and how many there are."""
        controls = self.root.locator(FOCUSABLE)
        controls.first.focus()
        reached, count = 0, controls.count()
        for number in range(count):
            here = "(control) => control === document.activeElement"
            reached += controls.nth(number).evaluate(here)
            self.page.keyboard.press("Tab")
        return reached, count


class LiveExplorer(LiveWidget):
    @property
    def handles(self) -> list:
        return self.root.locator(".widget-slider .noUi-handle").all()

    def press(self, handle) -> float:
        """One step by the keyboard, away from the end that the handle may stand at."""
        now, low, high = _place(handle)
        handle.focus()
        away = "ArrowLeft" if now - low > high - now else "ArrowRight"
        return self.changed_by(lambda: self.page.keyboard.press(away))

    def drag(self, handle) -> None:
        """Pull the handle to the end of the track that is farther away."""
        handle.scroll_into_view_if_needed()
        box, mouse = handle.bounding_box(), self.page.mouse
        track = handle.locator("xpath=ancestor::*[contains(@class, 'noUi-target')]").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        to_the_left = x > track["x"] + track["width"] / 2

        def pull() -> None:
            mouse.move(x, y)
            mouse.down()
            mouse.move(track["x"] + (0 if to_the_left else track["width"]), y, steps=5)
            mouse.up()

        self.changed_by(pull)

    def places(self, steps: int = 24) -> list[tuple[float, float]]:
        """Where the picture can be taken hold of, in fractions: where the mouse becomes a cross."""
        return [
            tuple(place)
            for place in self.image.evaluate(
                """(image, steps) => {
                    const {left, top, width, height} = image.getBoundingClientRect(), found = [];
                    for (let row = 0.5; row < steps; row++) for (let c = 0.5; c < steps; c++) {
                        const [x, y] = [c / steps, row / steps];
                        const at = {clientX: left + x * width, clientY: top + y * height};
                        image.dispatchEvent(new PointerEvent("pointermove", at));
                        if (image.style.cursor === "crosshair") found.push([x, y]);
                    }
                    return found;
                }""",
                steps,
            )
        ]

    def drag_over(self, *places: tuple[float, float], target=None) -> None:
        """Press at the first place, in fractions of the picture, move over the others, let go."""
        target = target or self.image
        target.scroll_into_view_if_needed()
        box, mouse = target.bounding_box(), self.page.mouse
        (x, y), *others = [
            (box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places
        ]
        mouse.move(x, y)
        mouse.down()
        for x, y in others:
            mouse.move(x, y, steps=4)
        mouse.up()

    def pointer_times(self, count: int) -> list[float]:
        """Milliseconds from press to picture, left and right in turn, all over what can be held.

        A press may set what stands there already; half of them must not.
        """
        from playwright.sync_api import TimeoutError

        places, times, still = sorted(self.places()), [], 0
        half = len(places) // 2
        for number in range(count):
            place = places[number % 2 * half + number * 37 % half]
            try:
                times.append(self.changed_by(lambda p=place: self.drag_over(p), seconds=1.5))
            except TimeoutError:  # the press before has set the same
                still += 1
        assert times and len(times) >= still, f"{self.title}: {still} of {count} moved nothing"
        return times

    def type_number(self, text: str, *, box: int = 0) -> float:
        """Type into a number box and press Enter."""
        self.root.locator("input[type=number]").nth(box).focus()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.type(text)
        return self.changed_by(lambda: self.page.keyboard.press("Enter"))

    def move_everything(self) -> int:
        """Every control by mouse and by keyboard; returns how many controls there were.

        The open list of a choice is drawn by the system, out of the mouse's reach: there its part
        is the browser's own "select this option".
        """
        sliders, choices, players = self.handles, *map(self._all, ("select", ".widget-play"))
        ticks, fields = map(self._all, ("input[type=checkbox]", "input[type=text]"))
        buttons = self._all(".jupyter-button:not(.widget-play .jupyter-button, .clears-the-pad)")
        for handle in reversed(sliders):  # a later one can mute others: which number, shifted by 0
            self.drag(handle)
            self.press(handle)
        for choice in choices:
            self._choose(choice)
        for player in players:
            self._play(player)
        for switch in [*ticks, *buttons]:
            self.changed_by(switch.click)
            switch.focus()
            self.changed_by(lambda: self.page.keyboard.press("Space"))
        for field in fields:
            field.click()
            self.page.keyboard.type("!")
            self.changed_by(lambda: self.page.keyboard.press("Enter"))
        return sum(map(len, (sliders, choices, players, ticks, fields, buttons)))

    def _all(self, selector: str) -> list:
        return self.root.locator(selector).all()

    def _choose(self, choice) -> None:
        count = choice.locator("option").count()
        place = choice.evaluate("select => select.selectedIndex")
        self.changed_by(lambda: choice.select_option(index=(place + 1) % count))
        place = choice.evaluate("select => select.selectedIndex")
        choice.focus()
        # JupyterLab takes the arrow keys on a closed list for its own: open it first.
        for key in ("Space", "ArrowUp" if place else "ArrowDown"):
            self.page.keyboard.press(key)
        self.changed_by(lambda: self.page.keyboard.press("Enter"))

    def _play(self, player) -> None:
        """Let it run from its lowest value, by mouse and by keyboard; "stop" takes it back."""
        handle = player.locator("xpath=..").locator(".noUi-handle")
        start, stop = player.locator("button").all()[:2]
        for push in (start.click, lambda: start.press("Enter")):
            now, low, high = _place(handle)
            if now > low:
                handle.focus()
                self.page.keyboard.press("Home")  # "stop" may be on its way there already
                self.page.wait_for_function(
                    "handle => +handle.ariaValueNow <= +handle.ariaValueMin",
                    arg=handle.element_handle(),
                )
            self.changed_by(push, times=min(2, round(high - low)))
            self.changed_by(stop.click)

    def key_times(self, count: int) -> list[float]:
        """Milliseconds from key to picture of `count` presses or a few more, over all sliders.

        Three steps to and three fro: far from where it began, a slider may have nothing to change
        (from a top k on, the characters left out have no probability that a bar could show; a
        coordinate that is not yet shifted changes the words only). Half of the presses must move.
        """
        from playwright.sync_api import TimeoutError

        times, still = [], 0
        each = -(-count // len(self.handles))
        for handle in self.handles:
            now, low, high = _place(handle)
            to, fro = ["ArrowRight", "ArrowLeft"][:: -1 if now - low > high - now else 1]
            for number in range(each):
                now, low, high = _place(handle)
                if (number % 3 == 0 and number) or now == (high if to == "ArrowRight" else low):
                    to, fro = fro, to
                handle.focus()
                try:
                    press = self.changed_by(lambda k=to: self.page.keyboard.press(k), seconds=3)
                    times.append(press)
                except TimeoutError:
                    still += 1
        assert len(times) >= still, f"{self.title}: {still} of {still + len(times)} moved nothing"
        return times


class LiveQuiz(LiveWidget):
    @property
    def names(self) -> list[str]:
        """The possible answers: its buttons, but for the one that starts again."""
        return self.root.locator("button").all_inner_texts()[:-1]

    def count(self) -> int:
        return int(self.title.split()[0])

    def play_by_keyboard(self, name: str) -> list[float]:
        """Give the same answer to every picture by its first letter; milliseconds to the next."""
        self.root.locator("input[type=text]").focus()
        letter = name[0].lower()
        times = []
        for number in range(self.count()):
            self.wait_for_text(f"Picture {number + 1} of {self.count()}.")
            times.append(self.changed_by(lambda: self.page.keyboard.press(letter)))
        return times

    def play_by_mouse(self, name: str) -> None:
        for number in range(self.count()):
            self.wait_for_text(f"Picture {number + 1} of {self.count()}.")
            self.changed_by(self.root.get_by_role("button", name=name, exact=True).click)

    def start_again(self) -> None:
        self.changed_by(self.root.get_by_role("button", name="Start again").click)


def _place(handle) -> tuple[float, float, float]:
    """Where a slider's handle stands, and the ends of its track."""
    return tuple(float(handle.get_attribute(f"aria-value{end}")) for end in ("now", "min", "max"))
