"""Hands on a frozen explorer in a page: keys, mouse and the time to a new picture."""

from __future__ import annotations

# Written down when a picture is there, not when Python notices it.
STOPWATCH = """
window.times = [];
for (const name of ['keydown', 'pointerdown']) {
    document.addEventListener(name, () => { window.pressed = performance.now(); }, true);
}
document.addEventListener('frozen-drawn', () => window.times.push(performance.now() - window.pressed), true);
"""  # noqa: E501
RANGE = "input[type=range]"


class FrozenExplorer:
    """One explorer of an opened page. `root` is Playwright's locator of the whole of it."""

    def __init__(self, page, address: str):
        self.page = page
        self.root = page.locator(f'.frozen-explorer[data-from="{address}"]')
        self.root.scroll_into_view_if_needed()
        page.wait_for_function(
            "root => root.dataset.alive", arg=self.root.element_handle(), polling=50
        )
        self.canvas = self.root.locator("canvas").first
        self.canvas.scroll_into_view_if_needed()
        page.wait_for_timeout(200)  # the neighbouring pictures are got ready
        self.kind = self.root.get_attribute("data-alive")
        self.sliders = self.root.locator(RANGE)

    def state(self) -> tuple[str, str]:
        """The picture and the words."""
        picture = self.canvas.evaluate("canvas => canvas.toDataURL()")
        return picture, self.root.locator("[role=status]").inner_text()

    def changed_by(self, act, *, wait: float = 10) -> bool:
        """Act; whether picture and words are others then. Fails if only one of them is."""
        before, count = self.state(), self.page.evaluate("window.times.length")
        act()
        try:
            self.page.wait_for_function(
                "count => window.times.length > count", arg=count, timeout=1000 * wait
            )
        except Exception as error:
            if "Timeout" not in type(error).__name__:
                raise
        self.page.wait_for_timeout(60)  # moves may follow one another
        after = self.state()
        assert (after[0] != before[0]) <= (after[1] != before[1]), "the words stayed"
        return after != before

    def key(self, slider) -> bool:
        """Whether one of a few steps by the arrow keys, up or else down, changes something."""
        slider.focus()
        steps = ["ArrowRight"] * 3 + ["ArrowLeft"] * 6
        return any(
            self.changed_by(lambda k=key: self.page.keyboard.press(k), wait=3) for key in steps
        )

    def drag(self, slider) -> bool:
        """Pull the slider's handle to the end that is farther away."""
        slider.scroll_into_view_if_needed()
        box, mouse = slider.bounding_box(), self.page.mouse
        place, last = slider.evaluate("slider => [Number(slider.value), Number(slider.max)]")
        x, y = box["x"] + 8 + (box["width"] - 16) * place / last, box["y"] + box["height"] / 2
        end = box["x"] + (1 if place > last / 2 else box["width"] - 1)

        def pull() -> None:
            mouse.move(x, y)
            mouse.down()
            mouse.move(end, y, steps=6)
            mouse.up()

        return self.changed_by(pull)

    def others(self) -> list[tuple[str, object]]:
        """The controls that are no sliders, each with an act that moves it."""
        found = []
        for choice in self.root.locator("select").all():
            count, place = choice.evaluate("list => [list.options.length, list.selectedIndex]")
            next_one = (place + 1) % count
            found.append((_label(choice), lambda c=choice, n=next_one: c.select_option(index=n)))
        for box in self.root.locator("input[type=checkbox]").all():
            found.append((_label(box), box.click))
        for button in self.root.locator("button").all():
            found.append((button.inner_text(), button.click))
        return found

    def grips(self) -> list[dict]:
        """What can be held now: one of each kind, the largest."""
        best = {}
        for grip in self.root.evaluate("root => root.grips()"):
            key = grip["x"], grip["y"]
            area = grip["box"][2] * grip["box"][3]
            if key not in best or area > best[key][0]:
                best[key] = area, grip
        return [grip for _, grip in best.values()]

    def boxes(self, grip: dict) -> list[list[float]]:
        """All that move the same controls as this grip."""
        every = self.root.evaluate("root => root.grips()")
        return [each["box"] for each in every if all(each[axis] == grip[axis] for axis in "xy")]

    def press(self, box: list[float], *places: tuple[float, float]) -> bool:
        """Press at the first place of a box, in fractions of it, move over the others, let go."""
        self.canvas.scroll_into_view_if_needed()
        size, mouse = self.canvas.bounding_box(), self.page.mouse
        left, top, width, height = box
        points = [
            (size["x"] + size["width"] * (left + x * width),
             size["y"] + size["height"] * (top + y * height))
            for x, y in places
        ]  # fmt: skip

        def act() -> None:
            mouse.move(*points[0])
            mouse.down()
            for point in points[1:]:
                mouse.move(*point, steps=4)
            mouse.up()

        return self.changed_by(act, wait=2)

    def key_times(self, each: int = 20) -> list[float]:
        """Milliseconds from key to picture, over all sliders, to and fro."""
        times = []
        for slider in self.sliders.all():
            slider.focus()
            self.page.wait_for_timeout(150)
            for number in range(each):
                place, last = slider.evaluate("s => [Number(s.value), Number(s.max)]")
                up = place == 0 or (place < last and number % 10 < 5)
                count = self.page.evaluate("window.times.length")
                self.page.keyboard.press("ArrowRight" if up else "ArrowLeft")
                self.page.wait_for_timeout(70)  # as fast as a held key repeats, and slower
                times += self.page.evaluate("count => window.times.slice(count)", count)
        return times


def _label(control) -> str:
    return control.evaluate("control => control.labels[0].textContent")
