r"""What a long run of a VAE optimizes, from which start, and how: settings, loss, optimizers."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor, nn

from vae_course import losses
from vae_course.models import VAE, ConditionalVAE, build_vae


@dataclasses.dataclass(frozen=True)
class Settings:
    r"""Everything that decides the weights. Learning rate: 200 steps up, then a cosine to 0."""

    model: str = "conv-vae"
    dataset: str = "mnist"
    epochs: int = 200
    samples: int = 1  # K: 1 trains the ELBO, more the importance-weighted bound
    latent_dim: int = 20
    width: int = 32  # channels of the first convolution, or hidden units of a dense model
    batch_size: int = 128  # over all processes together
    learning_rate: float = 1e-3
    optimizer: str = "adam"  # or "muon": matrices by Muon, everything else by Adam
    binarized: bool = False  # pixels drawn anew, black or white, each time an image is used
    precision: str = "float32"  # of the network in training, or "bfloat16"
    importance_samples: int = 100  # of the bound measured at the end, on the whole test set
    seed: int = 0

    def build(self) -> VAE:
        return build_vae(self.model, latent_dim=self.latent_dim, width=self.width)

    def learning_rate_at(self, step: int, steps: int) -> float:
        r"""Of step 0, 1, …, steps − 1."""
        rising = min(1.0, (step + 1) / 200)
        return self.learning_rate * rising * 0.5 * (1 + math.cos(math.pi * step / steps))


class Objective(nn.Module):
    r"""A VAE with its loss: what is called, and wrapped by Accelerate, in each step."""

    def __init__(self, vae: VAE, settings: Settings):
        super().__init__()
        self.vae, self.samples = vae, settings.samples
        self.half = settings.precision == "bfloat16"

    def forward(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        r"""Batch averages in nats: image (B, 1, 28, 28), label (B,) → loss, reconstruction, kl."""
        count = self.samples
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.half):
            codes = self.vae.encode(image)
        mean, log_var = (part.float() for part in codes)  # (B, D)
        wide_mean, wide_log_var = (part.expand(count, *part.shape) for part in (mean, log_var))
        latent = self.vae.sampling(wide_mean, wide_log_var)  # (K, B, D)
        decoder_input = latent.flatten(end_dim=1)  # (K · B, D)
        if isinstance(self.vae, ConditionalVAE):
            decoder_input = self.vae.decoder_input(decoder_input, label.repeat(count))
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.half):
            logits = self.vae.decoder(decoder_input)  # (K · B, 1, 28, 28)
        repeated = image.repeat(count, 1, 1, 1)
        nll = losses.bernoulli_nll(logits.float(), repeated).view(count, -1)  # (K, B)
        kl = losses.gaussian_kl(mean, log_var)  # (B,)
        if count == 1:
            loss = nll[0] + kl  # −ELBO, with the KL in closed form
        else:
            zero = torch.zeros_like(wide_mean)
            prior = losses.gaussian_log_prob(latent, zero, zero)
            posterior = losses.gaussian_log_prob(latent, wide_mean, wide_log_var)
            loss = -losses.iwae_bound(prior - posterior - nll)  # (B,)
        return {"loss": loss.mean(), "reconstruction": nll.mean(), "kl": kl.mean()}


def initialize_as_published(vae: VAE, images: Tensor) -> None:
    r"""Glorot uniform weights; the output biases are the logits of the mean training pixels."""
    for layer in vae.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    last = [layer for layer in vae.decoder if isinstance(layer, nn.Linear)][-1]
    with torch.no_grad():
        last.bias.copy_(torch.logit(images.mean(dim=0).flatten(), eps=1e-3))


def make_optimizers(vae: nn.Module, settings: Settings) -> list[torch.optim.Optimizer]:
    if settings.optimizer == "adam":
        adam = torch.optim.Adam(vae.parameters(), lr=settings.learning_rate, fused=True)
        adam.param_groups[0]["share"] = 1.0
        return [adam]
    if not hasattr(torch.optim, "Muon"):
        raise ValueError(f"optimizer muon needs torch 2.9 or newer, this is {torch.__version__}")
    matrices = [p for p in vae.parameters() if p.dim() == 2]
    others = [p for p in vae.parameters() if p.dim() != 2]
    muon = torch.optim.Muon(
        matrices, lr=settings.learning_rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"
    )
    adam = torch.optim.Adam(others, lr=settings.learning_rate, fused=True)
    muon.param_groups[0]["share"], adam.param_groups[0]["share"] = 1.0, 0.2
    return [muon, adam]
