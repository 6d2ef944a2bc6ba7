"""Another repository's address wherever the course's own stands: for forks.

pyproject.toml names the repository once; badges, the notebooks' first cells and CITATION.cff repeat
it. `stamp` replaces it in all of them, byte for byte, and touches nothing else: no notebook is
parsed or executed, and stamping the old address again restores every file.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

_ADDRESS = re.compile(r"https://github\.com/([A-Za-z0-9-]+)/([A-Za-z0-9._-]+?)(?:\.git)?/?")
_SKIPPED = {".git", ".venv", "venv", "build", "dist", "node_modules", "__pycache__"}
# A longer name is another repository.
_END = rb"(?![A-Za-z0-9_-])(?!\.(?!git\b)[A-Za-z0-9_])"
_ALONE = rb"(?![A-Za-z0-9_@/-])(?!\.[A-Za-z0-9_])"


def add_command(commands: argparse._SubParsersAction) -> None:
    """Hook `vae-course stamp` into the command line."""
    parser = commands.add_parser(
        "stamp",
        help="write your fork's address into badges and notebooks",
        description="Write your fork's address wherever the course's stands: pyproject.toml, "
        "badges, the first cell of each notebook, CITATION.cff. Nothing else changes.",
        epilog="example:\n  vae-course stamp https://github.com/your-name/your-fork",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("address", type=_address, metavar="ADDRESS", help="https://github.com/…/…")
    parser.add_argument("--branch", metavar="NAME", type=_branch, help="that badges and Colab use "
                        "(default: the one that stands there)")  # fmt: skip
    parser.add_argument("--from", dest="old", type=_address, metavar="ADDRESS", help="the one to "
                        "replace, after merging (default: the one in pyproject.toml)")  # fmt: skip
    parser.add_argument("--folder", type=Path, help="a checkout (default: this one)")
    parser.set_defaults(work=_run)


def _address(text: str) -> str:
    if (found := _ADDRESS.fullmatch(text)) is None:
        raise argparse.ArgumentTypeError(
            f"{text} is not of the form https://github.com/OWNER/REPOSITORY (Colab opens notebooks "
            "from there)"
        )
    return f"https://github.com/{found[1]}/{found[2]}"


def _branch(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a branch")
    return text


def _run(arguments: argparse.Namespace) -> int:
    import sys

    root = arguments.folder or Path(__file__).resolve().parents[2]
    try:
        changed = stamp(root, arguments.address, branch=arguments.branch, old=arguments.old)
    except (ValueError, OSError) as error:
        print(f"vae-course: {error}", file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1
    for path in changed:
        print(path.relative_to(root).as_posix())
    if changed:
        print(f"{len(changed)} files changed. Now run: python -m pip install --no-deps -e .")
    else:
        print("Everything stands there already.")
    return 0


def stamp(
    root: Path, address: str, *, branch: str | None = None, old: str | None = None
) -> list[Path]:
    r"""Replace the repository's address in all text files of a checkout; returns what changed.

    branch: that badges and the first cells name; None leaves it as it is
    old: the address to replace; default the one in pyproject.toml
    Raises: ValueError if `root` is no checkout of the course, or if the new address stands in it
        already beside the old one: stamping back would then change more than it should.
    """
    current, was = read_address(root)
    replacing = old or current
    branches = {was} if old is None else {was, "main"}  # a merge brings main of the other one
    changes: dict[Path, bytes] = {}
    beside: list[str] = []
    for path in text_files(root):
        content = path.read_bytes()
        if replacing != address and old is None and _stands(address, content):
            beside.append(path.relative_to(root).as_posix())
        new = _restamped(content, replacing, address, branches, branch or was)
        if new != content:
            changes[path] = new
    if beside:
        raise ValueError(
            f"{address} stands already in {', '.join(beside[:5])}, beside {replacing}; if a merge "
            f"brought {replacing} back, add --from {replacing}"
        )
    from vae_course.files import write_whole

    for path, new in sorted(changes.items()):
        mode = path.stat().st_mode
        write_whole(path, new)
        path.chmod(mode)
    return sorted(changes)


def read_address(root: Path) -> tuple[str, str]:
    r"""The repository's address and its branch, as pyproject.toml of a checkout names them.

    Raises: ValueError if there is no such file, or if it is not the course's.
    """
    import tomllib

    try:
        text = (root / "pyproject.toml").read_text(encoding="utf-8")
        urls = tomllib.loads(text)["project"]["urls"]
        address, notebooks = urls["Repository"], urls["Notebooks"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(
            f"{root} is no checkout of the course: its pyproject.toml is missing or names no "
            "Repository and Notebooks under [project.urls]; run this in a clone, or give --folder"
        ) from None
    return address, notebooks.removeprefix(f"{address}/tree/").removesuffix("/notebooks")


def text_files(root: Path) -> Iterator[Path]:
    """The files that git tracks or would track, without git all; those with a zero byte not."""
    import subprocess

    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, check=True)
        names = [name for name in done.stdout.decode().split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        found = (path.relative_to(root) for path in root.rglob("*"))
        names = [path.as_posix() for path in found if not _SKIPPED & set(path.parts)]
    for name in sorted(set(names)):
        path = root / name
        if path.is_file() and not path.is_symlink() and b"\0" not in path.read_bytes():
            yield path


def _places(address: str) -> re.Pattern[bytes]:
    """Where an address stands: on GitHub, in links of Colab, Binder, viewers, on a site."""
    owner, name = (re.escape(part).encode() for part in address.split("/")[-2:])
    hosts = rb"github(?:usercontent)?(?:\.com)?|mybinder\.org/v2/gh"
    github = rb"(?P<before>\b(?:" + hosts + rb")/)" + owner + rb"/" + name
    site = rb"(?P<site>\b" + owner + rb"\.github\.io/)" + name
    return re.compile(rb"(?:" + github + rb"|" + site + rb")" + _END)


def _stands(address: str, content: bytes) -> bool:
    # The plain search first: it is a hundred times faster in megabytes of pictures.
    return address.split("/")[-2].encode() in content and bool(_places(address).search(content))


def _restamped(content: bytes, old: str, new: str, was: set[str], branch: str) -> bytes:
    (old_owner, _), (owner, name) = old.split("/")[-2:], new.split("/")[-2:]
    place = f"{owner}/{name}".encode()

    def moved(found: re.Match[bytes]) -> bytes:
        if found["site"]:
            return found["site"].replace(old_owner.encode(), owner.encode(), 1) + name.encode()
        return found["before"] + place

    if _stands(old, content):
        content = _places(old).sub(moved, content)
    if place not in content:
        return content
    # The branch stands behind the new address: …/blob/main/…, …/tree/main/…, git+…@term-2
    here = rb"(github(?:\.com)?/" + re.escape(place)
    for before in sorted(was - {branch}):
        link = here + rb"/(?:blob|tree)/)" + re.escape(before.encode()) + rb"(?=/)"
        content = re.sub(link, lambda found: found[1] + branch.encode(), content)
        binder = rb"(mybinder\.org/v2/gh/" + re.escape(place) + rb"/)" + re.escape(before.encode())
        content = re.sub(binder + rb"(?=[?/])", lambda m: m[1] + branch.encode(), content)
        install = rb"(?<=git\+https://)" + here + rb")" + re.escape(_at(before)) + _ALONE
        content = re.sub(install, lambda found: found[1] + _at(branch), content)
    return content


def _at(branch: str) -> bytes:
    """What pip needs to take a branch; nothing for main, which is what it takes by itself."""
    return b"" if branch == "main" else f"@{branch}".encode()
