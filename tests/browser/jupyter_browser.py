"""A real JupyterLab in a real browser: open a notebook, run it, look for complaints.

    with JupyterLab(folder) as lab, lab.open("01_autoencoders.ipynb") as notebook:
        notebook.run_all()
        assert notebook.problems() == []

Needs JupyterLab, Playwright for Python and a Chromium (CHROMIUM names another one).
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
PATIENCE = 240  # seconds, for what takes two on a quiet machine
IDLE = '.jp-Notebook-ExecutionIndicator[data-status="idle"]'
CELL_ERROR = '[data-mime-type="application/vnd.jupyter.error"]'
CELL_STDERR = '[data-mime-type="application/vnd.jupyter.stderr"]'
# Of the notebook itself: beside a folded cell JupyterLab 4.6 prints no number.
COUNTS = """() => window.jupyterapp.shell.currentWidget.content.widgets
    .filter(cell => cell.model.type === "code" && cell.model.sharedModel.source.trim())
    .map(cell => cell.model.executionCount)"""

# Written down when a picture is there, not when Python notices it.
STOPWATCH = """
window.moves = [];
for (const name of ['keydown', 'pointerdown']) {
    document.addEventListener(name, () => { window.pressed = performance.now(); }, true);
}
document.addEventListener('load', event => {
    if (event.target.matches?.('img.widget-image')) {
        window.moves.push(performance.now() - window.pressed);
    }
}, true);
"""


def chromium() -> str | None:
    """The browser's path, or None where there is none."""
    named = os.environ.get("CHROMIUM")
    return named or shutil.which("chromium") or shutil.which("chromium-browser")


class JupyterLab:
    """A server of its own for one folder; it leaves neither settings nor processes behind.

    dark: with JupyterLab's own dark theme
    """

    def __init__(self, folder: Path, *, dark: bool = False):
        self.folder, self.dark = Path(folder), dark

    def __enter__(self) -> "JupyterLab":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        self._stack = contextlib.ExitStack()
        home = Path(self._stack.enter_context(_temporary_folder()))
        news = home / "settings" / "@jupyterlab" / "apputils-extension"
        news.mkdir(parents=True)
        quiet = {"fetchNews": "false", "checkForUpdates": False}
        (news / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
        theme = {"theme": f"JupyterLab {'Dark' if self.dark else 'Light'}"}
        (news / "themes.jupyterlab-settings").write_text(json.dumps(theme))
        cells = home / "settings" / "@jupyterlab" / "notebook-extension"
        cells.mkdir()
        whole = {"windowingMode": "none"}  # cells out of sight are in the page too
        (cells / "tracker.jupyterlab-settings").write_text(json.dumps(whole))
        self._log = self._stack.enter_context((home / "log").open("w+"))
        self._server = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
                *("--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"),
                *("--IdentityProvider.token=", "--ServerApp.password="),
                "--LabApp.expose_app_in_browser=True",
                f"--ServerApp.root_dir={self.folder.resolve()}",
            ],
            env=os.environ
            | {
                "JUPYTER_CONFIG_DIR": str(home / "config"),
                "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
                "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
            },
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._stack.callback(self._stop)
        try:
            self._wait()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_exception) -> None:
        self._stack.close()

    def _stop(self) -> None:
        self._server.terminate()
        try:
            self._server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()

    def _wait(self, seconds: float = PATIENCE) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and self._server.poll() is None:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{self.address}/api/status", timeout=2).close()
                return
            time.sleep(0.2)
        self._log.seek(0)
        raise RuntimeError(f"JupyterLab did not start:\n{self._log.read()[-2000:]}")

    @contextlib.contextmanager
    def open(self, name: str, *, width: int = 1280) -> Iterator["NotebookPage"]:
        """The notebook in a browser window of its own, its kernel ready."""
        from playwright.sync_api import sync_playwright

        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
            try:
                page = browser.new_page(viewport={"width": width, "height": 1000})
                yield NotebookPage(page, f"{self.address}/lab/tree/{name}?reset")
            finally:
                browser.close()


class NotebookPage:
    """One open notebook. `page` is Playwright's, for whatever is not wrapped here."""

    def __init__(self, page, address: str):
        self.page = page
        self._console: list[str] = []
        self._answers = 0
        page.on("websocket", self._listen)
        page.on("console", self._logged)
        page.on("pageerror", lambda error: self._heard("error", str(error)))
        page.add_init_script(STOPWATCH)
        # A kernel that has not yet answered looks idle too, and drops what it is sent.
        page.set_default_timeout(1000 * PATIENCE)
        page.goto(address)
        page.wait_for_selector(IDLE)
        self._until(lambda: self._answers > 0, "the kernel's first answer", seconds=PATIENCE)
        page.wait_for_selector(IDLE)

    def _listen(self, socket) -> None:
        def count(_frame) -> None:
            self._answers += 1

        if "/channels" in socket.url:
            socket.on("framereceived", count)

    def _until(self, reached, what: str, *, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not reached():
            if time.monotonic() > until:
                raise TimeoutError(f"waited {seconds} s for {what}; the page says: {self._said()}")
            self.page.wait_for_timeout(50)

    def _said(self) -> str:
        """What a dialog in front of the page asks, or the end of the outputs."""
        dialogs = self.page.locator(".jp-Dialog").all_inner_texts()
        return " ".join(dialogs or [self.texts()[-500:]])

    def _logged(self, line) -> None:
        # A badge's picture comes from elsewhere, and without a network it does not come.
        offline = ("ERR_NAME_NOT_RESOLVED", "ERR_INTERNET_DISCONNECTED")
        if not any(reason in line.text for reason in offline):
            self._heard(line.type, line.text)

    def _heard(self, kind: str, text: str) -> None:
        if kind == "error":
            self._console.append(text)

    def run_all(self, *, seconds: float = 180) -> None:
        """Clear the stored outputs, run all cells, wait until each has its number."""
        self._menu("Edit", "Clear Outputs of All Cells")
        self._menu("Run", "Run All Cells")
        self._until(lambda: None not in self.page.evaluate(COUNTS), "all cells", seconds=seconds)
        self.page.wait_for_selector(IDLE, timeout=1000 * seconds)

    def _menu(self, menu: str, item: str) -> None:
        self.page.click(f'.lm-MenuBar-itemLabel:text-is("{menu}")')
        self.page.click(f'.lm-Menu-itemLabel:text-is("{item}")')

    def texts(self) -> str:
        """Everything that the outputs say."""
        return "\n".join(self.page.locator(".jp-OutputArea-output").all_inner_texts())

    def problems(self) -> list[str]:
        """Errors and stderr in the cells, errors on the browser's console; empty if all is well."""
        found = list(self._console)
        for selector in (CELL_ERROR, CELL_STDERR):
            found += self.page.locator(selector).all_inner_texts()
        return found


@contextlib.contextmanager
def _temporary_folder() -> Iterator[str]:
    import tempfile

    # The server may still write a last file while it stops.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield folder
