r"""The last page of a run, report.html: what the model makes, how it came to it, what is wrong."""

from __future__ import annotations

import html
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from vae_course import data, losses, plots
from vae_course.data.splits import thumbnails
from vae_course.files import write_whole
from vae_course.models import VAE
from vae_course.plots.pictures import fast_png
from vae_course.runs.trained import beside, examination, grid, reconstructions, samples
from vae_course.training import History

_SAMPLES, _COPIES, _NEAREST = 48, 24, 8
_STYLE = """
:root { color-scheme: light; }
body { font: 17px/1.55 system-ui, sans-serif; color: #1b1f24; background: #fff;
  max-width: 880px; margin: 2.5em auto 5em; padding: 0 1.2em; }
h1 { font-size: 1.7em; line-height: 1.25; margin-bottom: .3em; }
h2 { font-size: 1.2em; margin: 2.2em 0 .5em; border-top: 1px solid #d9dee3; padding-top: 1em; }
h3 { font-size: 1.05em; } h4 { font-size: 1em; margin-bottom: .2em; }
img { max-width: 100%; height: auto; display: block; margin: .6em 0; }
img.pictures { width: 100%; }
table { border-collapse: collapse; font-size: .92em; }
td, th { padding: .15em 1.2em .15em 0; vertical-align: top; text-align: left; }
pre { background: #f4f6f8; padding: .7em 1em; overflow-x: auto; font-size: .88em; }
.under, .notes { color: #57606a; font-size: .93em; } summary { cursor: pointer; }
"""


def write_page(out: Path, model: VAE, card: Mapping, made, history: History | None) -> Path:
    r"""report.html in the folder of a run, its pictures beside it.

    Writes samples.png, nearest.png, reconstructions.png and loss.png (samples.csv for a table).
    Raises: OSError if they can't be written.
    """
    model = model.cpu().eval()
    title = f"{card['protocol']['model']} on {made.name}"
    parts = [f"<h1>{html.escape(title)}</h1>", *(f"<p>{line}</p>" for line in _summary(card, made))]
    if made.notes:
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in made.notes)
        parts.append(f'<ul class="notes">{notes}</ul>')
    parts += _rows(out, model, made) if isinstance(made, data.TableData) else (
        _pictures(out, model, made)
    )  # fmt: skip
    if history is not None and len(history.rows) > 1:
        write_whole(out / "loss.png", _curves(history))
        parts += ["<h2>The training</h2>", _img("loss.png", "Training and test loss by epoch", "")]
    report = examination(model, made, history)
    if report is not None:
        parts += ["<h2>The clinic</h2>", report._repr_html_()]
    folder = html.escape(str(out))
    parts += [
        "<h2>Going on</h2>",
        f"<pre>vae-course generate {folder} --count 64 --seed 1\n"
        f"vae-course reconstruct {folder} --data more-pictures/\n"
        f"vae-course examine {folder}\n\n"
        "from vae_course import pretrained\n"
        f"model, card = pretrained.load({str(out / 'model.safetensors')!r})</pre>",
        "<details><summary>The card, model.json</summary><table>",
        *(f"<tr><td>{html.escape(k)}</td><td>{html.escape(_said(v))}</td></tr>"
          for k, v in _flat(card)),
        "</table></details>",
    ]  # fmt: skip
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>"
        + "\n".join(parts)
        + "</body></html>"
    )
    write_whole(out / "report.html", page.encode())
    return out / "report.html"


def _summary(card: Mapping, made) -> list[str]:
    r"""What was trained on what, and how good it is on what it has not seen."""
    part = "rows" if isinstance(made, data.TableData) else "images"
    counts = {p: len(getattr(made, f"{p}_{part}")) for p in ("train", "validation", "test")}
    first = getattr(made, f"train_{part}")[0]
    what = f"rows of {len(first)} columns" if part == "rows" else (
        "pictures of " + " × ".join(map(str, first.shape[1:])) + " pixels, "
        + ("grey", "grey with transparency", "colour", "colour with transparency")[len(first) - 1]
    )  # fmt: skip
    measured, protocol = card["measured"], card["protocol"]
    likelihood = card["architecture"].get("likelihood", "bernoulli")
    likelihood = f", likelihood {html.escape(likelihood)}" if isinstance(likelihood, str) else ""
    trained = (
        f"Trained on {counts['train']:,} {what}; {counts['validation']:,} were set aside for "
        f"choosing and {counts['test']:,} for judging. {measured.get('epoch', protocol['epochs'])} "
        f"epochs in {_time(measured.get('seconds', 0))}, {card['parameters']:,} parameters"
        f"{likelihood}."
    )
    found, one = measured["negative_elbo"], "picture" if part == "images" else "row"
    judged = f"On the test set −ELBO is {_pm(found)} nats a {one} (“±” is one standard error)"
    bits = bits_a_value(found, card, first.numel()) if part == "images" else None
    judged += "." if bits is None else (
        f": {_pm(bits)} bits for each of the {first.numel():,} values of a picture, where an "
        "8-bit file takes 8."
    )  # fmt: skip
    if "active_units" in measured:
        judged += (
            f" {measured['active_units']} of {card['architecture']['latent_dim']} latents are "
            f"used, the code carries {measured['kl']['mean']:.1f} nats."
        )
    return [trained, judged]


def bits_a_value(found: Mapping, card: Mapping, values: int) -> dict | None:
    r"""−ELBO in bits for each value of 8 bits; None for likelihoods that are no such thing."""
    likelihood = losses.likelihood_of(card["architecture"].get("likelihood", "bernoulli"))
    if isinstance(likelihood, losses.Gaussian):
        levels = math.log(255)  # a density, taken as constant over a level
    elif isinstance(likelihood, losses.DiscretizedLogistic) and likelihood.levels == 256:
        levels = 0.0
    else:
        return None
    scale = values * math.log(2)
    error = found["standard_error"]
    return {
        "mean": round(found["mean"] / scale + levels / math.log(2), 3),
        "standard_error": None if error is None else round(error / scale, 3),
    }


def _pm(found: Mapping) -> str:
    r"""With two digits of the error, and a minus sign that is one."""
    mean, error = found["mean"], found["standard_error"]
    if not error:
        return f"{mean:,.4g}".replace("-", "−")
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{mean:,.{digits}f} ± {error:,.{digits}f}".replace("-", "−")


def _time(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes" if seconds >= 100 else f"{seconds:.0f} seconds"


def _pictures(out: Path, model: VAE, made: data.ImageData) -> list[str]:
    drawn = samples(model, _SAMPLES)
    images, labels = made.test_images[:_COPIES], made.test_labels[:_COPIES]
    if len(made.test_images) > _COPIES:  # of all classes, and from the whole of the set
        rows = torch.linspace(0, len(made.test_images) - 1, _COPIES).long()
        images, labels = made.test_images[rows], made.test_labels[rows]
    copies = reconstructions(model, images, labels)
    few = drawn[:: _SAMPLES // _NEAREST][:_NEAREST]
    pairs = beside(few, nearest(few, made.train_images), columns=_NEAREST)
    sheets = (
        ("samples.png", "Samples from the prior", grid(drawn),
         "Pictures that the model made up: z drawn from N(0, I), and decoded. What is shown is the "
         "mean of p(x | z), without the noise of the pixels."),
        ("reconstructions.png", "Test pictures, and their reconstructions below them",
         grid(beside(images, copies)), "None of them was trained on."),
        ("nearest.png", "Samples, and the training pictures nearest to them below",
         grid(pairs, columns=_NEAREST),
         "Nearest as grey thumbnails. Alike in every detail would mean learned by heart."),
    )  # fmt: skip
    parts = []
    for name, title, picture, under in sheets:
        write_whole(out / name, fast_png(picture))
        parts += [f"<h2>{title}</h2>", _img(name, title, under, wide=True)]
    return parts


def nearest(images: Tensor, others: Tensor) -> Tensor:
    r"""Of the others the one most like each image, as thumbnails: (N, …), (M, …) → (N, …)."""
    distance = torch.cdist(thumbnails(images), thumbnails(others))
    return others[distance.argmin(dim=1)]


def _rows(out: Path, model: VAE, made: data.TableData) -> list[str]:
    import pandas as pd

    table = made.restore(samples(model, 200, noise=True))
    real = made.restore(made.train_rows)
    write_whole(out / "samples.csv", table.to_csv(index=False).encode())
    shown = table.head(8).to_html(index=False, float_format="%.4g", border=0)
    parts = ["<h2>New rows</h2>", shown,
             '<p class="under">200 of them are in samples.csv.</p>']  # fmt: skip
    numbers = [column.name for column in made.columns if column.kind != "category"]
    if numbers:
        both = {"trained on": real, "new": table}
        columns = {
            f"{how}, {name}": rows[numbers].agg(how)
            for how in ("mean", "std") for name, rows in both.items()
        }  # fmt: skip
        compared = pd.DataFrame(columns)
        parts += ["<h2>New rows beside those trained on</h2>",
                  compared.to_html(float_format="%.4g", border=0)]  # fmt: skip
    return parts


def _img(name: str, alt: str, under: str, *, wide: bool = False) -> str:
    kind = ' class="pictures"' if wide else ""
    said = f'<p class="under">{under}</p>' if under else ""
    return f'<img{kind} src="{name}" alt="{html.escape(alt)}">{said}'


def _curves(history: History) -> bytes:
    r"""Training and test loss; the axis leaves the first fall out, which would flatten the rest."""
    names = {"training": "train_loss", "test": "test_loss"}
    series = {name: history[key] for name, key in names.items() if key in history.rows[0]}
    figure = plots.curves(history["epoch"], series, xlabel="epoch", ylabel="−ELBO (nats each)")
    figure.set_size_inches(7.2, 3.2)
    late = [v for values in series.values() for v in values[len(values) // 10 :]]
    low, high = min(late), max(late)
    room = 0.06 * (high - low) or 1.0
    figure.axes[0].set_ylim(low - room, high + room)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120)
    return fast_png(Image.open(file).convert("RGB"))


def _flat(card: Mapping, prefix: str = ""):
    for name, value in card.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name} · ")
        else:
            yield f"{prefix}{name}", value


def _said(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
