r"""Discrete codes: an autoencoder whose code is letters, and a transformer that writes them.

Shapes stand beside each line: B images, C numbers a code, K codes in the book, h × w places (7 × 7
for a digit), T = h · w. A code's index is its letter; indices are int64. Losses are nats or squared
latent units, as each docstring says.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from vae_course.gpt import CharGPT
from vae_course.losses import bernoulli_nll


def nearest_code(vectors: Tensor, codebook: Tensor) -> Tensor:
    r"""Which code lies nearest to each vector (squared distance; of two equal ones the first).

    Shapes: vectors (N, C), codebook (K, C) → (N,) int64
    Source: van den Oord, Vinyals & Kavukcuoglu 2017, equation 1.
    """
    # ‖v − e‖² = ‖v‖² − 2 v·e + ‖e‖², and ‖v‖² is the same for every code
    distance = codebook.square().sum(dim=1) - 2 * vectors @ codebook.T  # (N, K)
    return distance.argmin(dim=1)  # (N,)


def straight_through(latent: Tensor, quantized: Tensor) -> Tensor:
    r"""The value of `quantized`; a gradient passes to `latent` as if nothing had been rounded.

    Shapes: the same for both → the same
    Source: Bengio, Léonard & Courville 2013; van den Oord et al. 2017, section 3.2.
    """
    return latent + (quantized - latent).detach()


def commitment_loss(latent: Tensor, quantized: Tensor) -> Tensor:
    r"""Mean squared distance from each number of the latent to its code; pulls the latent only.

    Shapes: the same for both → ()
    Source: van den Oord et al. 2017, equation 3, third term.
    """
    return F.mse_loss(latent, quantized.detach())


def codebook_loss(latent: Tensor, quantized: Tensor) -> Tensor:
    r"""The same distance, pulling the codes only: the codebook learned by gradient. → ()

    Source: van den Oord et al. 2017, equation 3, second term.
    """
    return F.mse_loss(quantized, latent.detach())


def codebook_perplexity(indices: Tensor, size: int) -> float:
    r"""How many codes are in use, effectively: exp of the entropy of their frequencies, 1 to K.

    Shapes: indices of any shape, whole numbers from 0 to size − 1
    """
    share = torch.bincount(indices.flatten(), minlength=size).double() / indices.numel()  # (K,)
    return torch.special.entr(share).sum().exp().item()


class Quantized(NamedTuple):
    r"""What a codebook makes of latents."""

    latent: Tensor  # (B, C, h, w): the codes, with the gradient passed straight through
    indices: Tensor  # (B, h, w) int64
    loss: Tensor  # (): commitment, and the codebook's own loss where it learns by gradient

    def __repr__(self) -> str:
        sizes = f"latent {tuple(self.latent.shape)}, indices {tuple(self.indices.shape)}"
        return f"Quantized({sizes}, loss {self.loss.item():.4g})"


class Codebook(nn.Module):
    r"""K codes of C numbers; rounds every place of a latent picture to its nearest code.

    average: the codes follow running averages of the vectors that choose them, of which this
        share stays at each step (0.99); 0 learns them by gradient instead.
    revive: a code chosen less than this often a step, on average, is put where a vector of the
        present batch lies (0 never; needs average).
    commitment: weight of the loss that keeps the encoder near its codes.
    Shapes: latent (B, C, h, w) → `Quantized`
    Source: van den Oord et al. 2017, appendix A.1 (averages); Dhariwal et al. 2020 (revival).
    """

    def __init__(
        self, size: int, width: int, *,
        average: float = 0.99, revive: float = 0.0, commitment: float = 0.25,
    ):  # fmt: skip
        super().__init__()
        self.size, self.average, self.revive = size, average, revive
        self.commitment = commitment
        codes = torch.randn(size, width) / math.sqrt(width)
        if average:
            self.register_buffer("codes", codes)  # (K, C)
            self.register_buffer("counts", torch.ones(size))  # (K,) choices a step, averaged
            self.register_buffer("sums", codes.clone())  # (K, C) of the vectors that chose them
        else:
            self.codes = nn.Parameter(codes)

    @torch.no_grad()
    def start_from(self, vectors: Tensor, *, rounds: int = 10, seed: int = 0) -> None:
        r"""Put the codes where vectors lie: k-means centres; with rounds=0 vectors themselves."""
        if rounds:
            from sklearn.cluster import KMeans

            means = KMeans(self.size, n_init=1, max_iter=rounds, random_state=seed)
            codes = torch.from_numpy(means.fit(vectors.cpu().numpy()).cluster_centers_)
        else:
            chosen = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(seed))
            codes = vectors[chosen[: self.size]]
        self.codes.copy_(codes)
        if self.average:
            self.counts.fill_(1.0)
            self.sums.copy_(codes)

    def look_up(self, indices: Tensor) -> Tensor:
        r"""Indices (B, h, w) → codes (B, C, h, w)."""
        return F.embedding(indices, self.codes).permute(0, 3, 1, 2)

    def forward(self, latent: Tensor) -> Quantized:
        vectors = latent.permute(0, 2, 3, 1).flatten(end_dim=2)  # (B·h·w, C)
        chosen = nearest_code(vectors.detach(), self.codes.detach())  # (B·h·w,)
        indices = chosen.unflatten(0, (len(latent), *latent.shape[2:]))  # (B, h, w)
        quantized = self.look_up(indices)  # (B, C, h, w)
        loss = self.commitment * commitment_loss(latent, quantized)
        if not self.average:
            loss = loss + codebook_loss(latent, quantized)
        elif self.training:
            self._follow(vectors.detach(), chosen)
        return Quantized(straight_through(latent, quantized), indices, loss)

    @torch.no_grad()
    def _follow(self, vectors: Tensor, chosen: Tensor) -> None:
        counts = torch.bincount(chosen, minlength=self.size).to(self.counts)  # (K,)
        sums = torch.zeros_like(self.sums).index_add_(0, chosen, vectors.to(self.sums))
        self.counts.lerp_(counts, 1 - self.average)
        self.sums.lerp_(sums, 1 - self.average)
        if self.revive:
            idle = self.counts < self.revive  # (K,)
            drawn = torch.randint(len(vectors), (int(idle.sum()),), device=vectors.device)
            self.counts[idle] = 1.0
            self.sums[idle] = vectors[drawn].to(self.sums)
        self.codes.copy_(self.sums / self.counts.clamp(min=1e-5)[:, None])


class Residual(nn.Module):
    r"""Two convolutions that add to what came: (B, C, H, W) → the same."""

    def __init__(self, channels: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(), nn.Conv2d(channels, channels, kernel_size=3, padding=1),
            nn.ReLU(), nn.Conv2d(channels, channels, kernel_size=1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class VQVAE(nn.Module):
    r"""Pictures to letters and back: two halvings, so 28 × 28 pixels become 7 × 7 codes.

    Shapes: image (B, colours, H, W), H and W multiples of 4 → (logits, `Quantized`)
    Source: van den Oord et al. 2017, section 4.1, smaller.
    """

    def __init__(
        self, *, codes: int = 64, code_width: int = 16, channels: int = 32, residuals: int = 1,
        image_shape: tuple[int, int, int] = (1, 28, 28), **codebook: float,
    ):  # fmt: skip
        super().__init__()
        colours, height, width = image_shape
        if height % 4 or width % 4:
            raise ValueError(
                f"pictures of {height} × {width} pixels came; two halvings need multiples of 4: "
                "pad or crop them"
            )
        self.image_shape, self.grid = tuple(image_shape), (height // 4, width // 4)
        wide = 2 * channels
        self.encoder = nn.Sequential(
            nn.Conv2d(colours, channels, kernel_size=4, stride=2, padding=1),  # (B, C′, H/2, W/2)
            nn.ReLU(),
            nn.Conv2d(channels, wide, kernel_size=4, stride=2, padding=1),  # (B, 2C′, h, w)
            *(Residual(wide) for _ in range(residuals)),
            nn.Conv2d(wide, code_width, kernel_size=1),  # (B, C, h, w)
        )
        self.codebook = Codebook(codes, code_width, **codebook)
        self.decoder = nn.Sequential(
            nn.Conv2d(code_width, wide, kernel_size=3, padding=1),  # (B, 2C′, h, w)
            *(Residual(wide) for _ in range(residuals)),
            nn.ReLU(),
            nn.ConvTranspose2d(wide, channels, kernel_size=4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(channels, colours, kernel_size=4, stride=2, padding=1),  # logits
        )

    def encode(self, image: Tensor) -> Tensor:
        r"""The letters of each picture: (B, colours, H, W) → (B, h, w) int64."""
        return self.codebook(self.encoder(image)).indices

    def decode(self, indices: Tensor) -> Tensor:
        r"""The picture that letters spell: (B, h, w) → pixels in [0, 1], (B, colours, H, W)."""
        return torch.sigmoid(self.decoder(self.codebook.look_up(indices)))

    def reconstruct(self, image: Tensor) -> Tensor:
        return self.decode(self.encode(image))

    def forward(self, image: Tensor) -> tuple[Tensor, Quantized]:
        quantized = self.codebook(self.encoder(image))
        return self.decoder(quantized.latent), quantized


def vq_loss(model: VQVAE, image: Tensor, label: Tensor | None = None) -> dict[str, Tensor]:
    r"""Bernoulli reconstruction in nats plus the codebook's loss, batch averages, for `fit`.

    The codebook's loss is multiplied by the number of latent values, so that both terms are sums
    over a picture.
    """
    logits, quantized = model(image)
    nll = bernoulli_nll(logits, image).mean()
    values = quantized.latent[0].numel()
    return {
        "loss": nll + values * quantized.loss,
        "reconstruction": nll,
        "codebook": quantized.loss,
    }


# ------------------------------------------------------------------ a language model for the codes


def prior_network(codes: int, places: int, *, classes: int = 10, **sizes: int) -> CharGPT:
    r"""A `CharGPT` over K letters and a token for each class: tokens K, K + 1, … are the classes.

    The sequence is a class token, then the codes row by row: T + 1 tokens, of which the model
    reads T and predicts T.
    """
    return CharGPT(codes + classes, block_size=places, **sizes)


def as_sequence(indices: Tensor, label: Tensor, codes: int) -> Tensor:
    r"""Class token first, then the codes row by row: (B, h, w), (B,) → (B, 1 + h · w)."""
    return torch.cat([codes + label[:, None], indices.flatten(start_dim=1)], dim=1)


def code_nll(prior: CharGPT, sequence: Tensor) -> Tensor:
    r"""−log p(codes | class) of each picture, in nats: (B, 1 + T) → (B,)."""
    logits = prior(sequence[:, :-1]).float()  # (B, T, V)
    return F.cross_entropy(logits.transpose(1, 2), sequence[:, 1:], reduction="none").sum(dim=1)


@torch.no_grad()
def write_codes(
    prior: CharGPT, label: Tensor, grid: tuple[int, int], codes: int, *,
    temperature: float = 1.0, start: Tensor | None = None, generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    r"""Codes written by the transformer, one after the other, for the classes asked for.

    start: (B, n) codes that stand already, in reading order; the rest is written after them.
    Shapes: label (B,) → (B, h, w) int64
    """
    tokens = codes + label[:, None]  # (B, 1)
    if start is not None:
        tokens = torch.cat([tokens, start], dim=1)
    missing = math.prod(grid) + 1 - tokens.shape[1]
    written = prior.generate(tokens, missing, temperature=temperature, generator=generator)
    # A class token has never stood inside a picture, so it is not drawn; were it, any code will do.
    return written[:, 1:].clamp(max=codes - 1).unflatten(1, grid)


@torch.no_grad()
def log_likelihood_bound(model: VQVAE, prior: CharGPT, image: Tensor, label: Tensor) -> Tensor:
    r"""An upper bound on −log p(image | class) in nats: bits of the codes plus bits of the pixels.

    p(x | y) ≥ p(x | c) · p(c | y) for any codes c, so also for those that the encoder chooses.
    Shapes: image (B, …), label (B,) → (B,)
    """
    indices = model.encode(image)
    codes = code_nll(prior, as_sequence(indices, label, model.codebook.size))  # (B,)
    return codes + bernoulli_nll(model.decoder(model.codebook.look_up(indices)), image)  # (B,)
