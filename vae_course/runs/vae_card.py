r"""The end of a long run: weights as safetensors, and the model card with what they measure."""

from __future__ import annotations

import dataclasses
import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save

from vae_course import metrics
from vae_course.data import binarize
from vae_course.files import write_whole
from vae_course.models import ConditionalVAE
from vae_course.training import count_parameters

if TYPE_CHECKING:
    from vae_course.runs.vae_run import Run


def save_model(run: Run, out: Path) -> dict:
    r"""Write model.safetensors and model.json into `out`; returns the card."""
    settings, vae = run.settings, run.vae
    weights = {name: value.cpu().contiguous() for name, value in vae.state_dict().items()}
    content = save(weights)
    card = {
        "model": f"{type(vae).__name__}, {settings.model} (vae_course.models)",
        "architecture": {
            "kind": settings.model, "latent_dim": vae.latent_dim, "width": settings.width,
        },
        "parameters": count_parameters(vae),
        "weights": {"dtype": "float32", "bytes": len(content)},
        "data": {
            "name": settings.dataset, "source": run.data.source, "fingerprint": run.data_digest,
            "training_images": len(run.data.train_images),
            "test_images": len(run.data.test_images),
        },
        "protocol": dataclasses.asdict(settings),
        "commands": run.commands,
        "measured": _measured(run) | {
            "epochs": len(run.history.rows), "seconds": round(run.seconds),
            "threads": torch.get_num_threads(), "processes": run.accelerator.num_processes,
            "device": str(run.accelerator.device),
        },
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "licence": "MIT",
    }  # fmt: skip
    write_whole(out / "model.safetensors", content)
    write_whole(out / "model.json", (json.dumps(card, indent=1) + "\n").encode())
    return card


def _measured(run: Run) -> dict[str, object]:
    settings, vae, data = run.settings, run.vae, run.data
    images, labels = data.test_images, None
    if settings.binarized:
        generator = torch.Generator(device=images.device).manual_seed(settings.seed)
        images = binarize(images, generator=generator)
    if isinstance(vae, ConditionalVAE):
        labels = data.test_labels
    found = metrics.elbo(vae, images, labels=labels)
    samples = settings.importance_samples
    bound = metrics.importance_bound(vae, images, samples=samples, labels=labels)
    active = metrics.active_units(metrics.latent_codes(vae, images)[0])
    numbers = {
        "negative_elbo": found.total, "reconstruction": found.reconstruction, "kl": found.kl,
        f"negative_importance_bound_{samples}": -bound,
    }  # fmt: skip
    measured: dict[str, object] = {
        name: dict(
            zip(
                ("mean", "standard_error"),
                (round(number, 4) for number in metrics.mean_with_error(values.cpu())),
                strict=True,
            )
        )
        for name, values in numbers.items()
    }
    measured["unit"] = "nats per image"
    measured["how"] = f"all {len(images):,} test images, " + (
        "pixels drawn once with the run's seed"
        if settings.binarized
        else "grey pixels read as probabilities"
    )
    measured["active_units"] = int(active.sum())
    return measured
