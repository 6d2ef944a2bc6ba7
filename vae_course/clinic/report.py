r"""Findings, worst first, and what is healthy: as a few lines, in a notebook, or as a page."""

from __future__ import annotations

import base64
import dataclasses
import html
import os
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from vae_course.files import own_path, write_whole

__all__ = ["Finding", "Report"]

SEVERE, NOTABLE, REMARK = 3, 2, 1
_LEVELS = {SEVERE: "severe", NOTABLE: "notable", REMARK: "remark"}
_COLOURS = {SEVERE: "#a63603", NOTABLE: "#7a5c00", REMARK: "#44546a"}


@dataclasses.dataclass(frozen=True, repr=False)
class Finding:
    r"""One thing that is wrong: what, how it was seen, and what to change.

    name: a short identifier, such as "no-noise"; severity: 3 severe, 2 notable, 1 a remark
    """

    name: str
    severity: int
    title: str
    evidence: str
    change: str
    draw: Callable[[], Figure] | None = None

    @property
    def level(self) -> str:
        return _LEVELS[self.severity]

    def figure(self) -> Figure | None:
        r"""The picture of the evidence, drawn when it is asked for; None if there is none."""
        return None if self.draw is None else self.draw()

    def __repr__(self) -> str:
        return f"[{self.level}] {self.title} ({self.name})\n   {self.evidence}\n   → {self.change}"

    def _html(self) -> str:
        picture = _img(self.figure(), self.evidence)
        return (
            f'<div style="border-left:4px solid {_COLOURS[self.severity]};padding:2px 12px;'
            f'margin:10px 0"><b>{_text(self.title)}</b> <span style="color:'
            f'{_COLOURS[self.severity]}">{self.level}</span> <code>{_text(self.name)}</code>'
            f"<p style='margin:4px 0'>{_text(self.evidence)}</p>"
            f"<p style='margin:4px 0'><b>Change:</b> {_text(self.change)}</p>{picture}</div>"
        )


@dataclasses.dataclass(frozen=True, repr=False)
class Report:
    r"""What `examine` found.

    findings: worst first; healthy: one sentence for each thing that was looked at and is right
    measures: the numbers behind both; unread: what could not be looked at, and why
    """

    subject: str
    findings: tuple[Finding, ...]
    healthy: tuple[str, ...]
    measures: dict[str, float]
    unread: tuple[str, ...] = ()
    draw: Callable[[], Figure] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(finding.name for finding in self.findings)

    @property
    def severe(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == SEVERE)

    def __getitem__(self, name: str) -> Finding:
        for finding in self.findings:
            if finding.name == name:
                return finding
        raise KeyError(f"no finding {name!r}; there are {', '.join(self.names) or 'none'}")

    def figure(self) -> Figure | None:
        r"""Images, their reconstructions and samples, in three rows."""
        return None if self.draw is None else self.draw()

    def _headline(self) -> str:
        counts = [
            f"{sum(f.severity == level for f in self.findings)} {name}"
            for level, name in _LEVELS.items()
            if any(f.severity == level for f in self.findings)
        ]
        return f"{self.subject}: {', '.join(counts) if counts else 'nothing is wrong'}"

    def __repr__(self) -> str:
        lines = [self._headline()]
        for place, finding in enumerate(self.findings, start=1):
            lines.append(f"{place}. {finding!r}")
        if self.healthy:
            lines.append("healthy: " + "; ".join(self.healthy))
        if self.unread:
            lines.append("not looked at: " + "; ".join(self.unread))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f'<div style="max-width:860px">{self._body()}</div>'

    def _body(self) -> str:
        parts = [f"<h3>{_text(self._headline())}</h3>"]
        parts.append(_img(self.figure(), "images, reconstructions and samples from the prior"))
        parts += [finding._html() for finding in self.findings]
        for title, lines in (("Healthy", self.healthy), ("Not looked at", self.unread)):
            if lines:
                items = "".join(f"<li>{_text(line)}</li>" for line in lines)
                parts.append(f"<h4>{title}</h4><ul>{items}</ul>")
        rows = "".join(
            f"<tr><td>{_text(name)}</td><td style='text-align:right'>{value:.4g}</td></tr>"
            for name, value in self.measures.items()
        )
        parts.append(f"<details><summary>All measures</summary><table>{rows}</table></details>")
        return "\n".join(part for part in parts if part)

    def save(self, path: str | os.PathLike[str]) -> Path:
        r"""Write the report as one HTML page, pictures inside. Raises: OSError."""
        path = own_path(path)
        page = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width">'
            f"<title>{_text(self.subject)}</title><style>body{{font:16px/1.5 system-ui,sans-serif;"
            "max-width:860px;margin:2em auto;padding:0 1em}img{max-width:100%}</style></head>"
            f"<body>{self._body()}</body></html>"
        )
        write_whole(path, page.encode())
        return path


def _text(words: str) -> str:
    return html.escape(words)


def _img(figure: Figure | None, alt: str) -> str:
    if figure is None:
        return ""
    import io

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80, bbox_inches="tight")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{_text(alt)}" src="data:image/png;base64,{data}">'
