"""Trainings that the clinic was not tuned on: other data, sizes, widths, optimizers, models.

What each should be called was written down before the clinic saw it. Every one takes seconds.
"""

import dataclasses
import functools
import itertools
import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import nn

from clinic_trainings import Sampler, Trained, bce_logits, through, train
from vae_course import data, losses, models, training

# ------------------------------------------------------------------------------- data


@functools.cache
def large_digits():
    """3,000 and 600 digits of 28 × 28 pixels."""
    made = data.load_images()
    return made.train_images[:3000], made.test_images[:600]


@functools.cache
def tiny_digits():
    """1,500 and 297 scanned digits of 8 × 8 pixels, scikit-learn's."""
    from sklearn.datasets import load_digits

    pixels = torch.from_numpy(load_digits().images).float().div(16)[:, None]
    return pixels[:1500], pixels[1500:]


@functools.cache
def shapes():
    """Drawn discs, boxes and triangles, (3, 12, 16) each: 1,200 and 300."""
    random, made = np.random.RandomState(7), []
    for _ in range(1500):
        shades = [tuple(random.randint(0, 256, 3).tolist()) for _ in range(2)]
        picture = Image.new("RGB", (64, 48), shades[0])
        x, y, r = random.randint(14, 50), random.randint(14, 34), random.randint(6, 13)
        pen = ImageDraw.Draw(picture)
        corners = [x - r, y - r, x + r, y + r]
        kind = random.randint(3)
        if kind == 0:
            pen.ellipse(corners, fill=shades[1])
        elif kind == 1:
            pen.rectangle(corners, fill=shades[1])
        else:
            pen.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], fill=shades[1])
        made.append(np.asarray(picture.resize((16, 12), Image.Resampling.BOX)))
    pixels = torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2).float() / 255
    return pixels[:1200], pixels[1200:]


@functools.cache
def photographs():
    """Colour patches of 20 × 20 pixels."""
    made = data.load_patches(size=20, images=1000, seed=5)
    return made.train_images, made.test_images


@functools.cache
def cells():
    """569 rows of 30 measurements of cells, in their own units: from 0.001 to 4,254."""
    from sklearn.datasets import load_breast_cancer

    rows = torch.from_numpy(load_breast_cancer().data).float()
    return rows[torch.randperm(569, generator=torch.Generator().manual_seed(1))].split([469, 100])


def standardized(parts):
    first = parts[0]
    return [(rows - first.mean(dim=0)) / first.std(dim=0) for rows in parts]


# ------------------------------------------------------------------------------- ways of writing


class SlicedStyle(nn.Module):
    """As a repository for β-VAE has it: one wide output, sliced; logits; `reparametrize`."""

    def __init__(self, shape, z_dim=10, wide=120):
        super().__init__()
        pixels = math.prod(shape)
        self.z_dim = z_dim
        self.encoder = nn.Sequential(
            nn.Flatten(), nn.Linear(pixels, wide), nn.ReLU(True), nn.Linear(wide, z_dim * 2)
        )
        self.decoder = nn.Sequential(
            nn.Linear(z_dim, wide), nn.ReLU(True), nn.Linear(wide, pixels), nn.Unflatten(1, shape)
        )

    def reparametrize(self, mu, logvar):
        std = logvar.div(2).exp()
        return mu + std * std.new_empty(std.size()).normal_()

    def forward(self, x):
        distributions = self._encode(x)
        mu, logvar = distributions[:, : self.z_dim], distributions[:, self.z_dim :]
        return self._decode(self.reparametrize(mu, logvar)), mu, logvar

    def _encode(self, x):
        return self.encoder(x)

    def _decode(self, z):
        return self.decoder(z)

    @staticmethod
    def loss(model, x):
        x_recon, mu, logvar = model(x)
        recon = F.binary_cross_entropy_with_logits(x_recon, x, reduction="sum").div(len(x))
        klds = -0.5 * (1 + logvar - mu.pow(2) - logvar.exp())
        return recon + klds.sum(1).mean(0, True)


class PairStyle(nn.Module):
    """As a benchmark of disentangling has it: pairs by unbind, the mean in eval mode, a sigmoid."""

    def __init__(self, shape, latent_dim=6, wide=90):
        super().__init__()
        self.latent_dim = latent_dim
        pixels = math.prod(shape)
        self.encoder = nn.Sequential(
            nn.Flatten(), nn.Linear(pixels, wide), nn.ReLU(), nn.Linear(wide, 2 * latent_dim),
            nn.Unflatten(1, (latent_dim, 2)),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, wide), nn.ReLU(), nn.Linear(wide, pixels), nn.Sigmoid(),
            nn.Unflatten(1, shape),
        )  # fmt: skip

    def reparameterize(self, mean, logvar):
        if self.training:
            std = torch.exp(0.5 * logvar)
            return mean + std * torch.randn_like(std)
        return mean

    def forward(self, x):
        latent_dist = self.encoder(x).unbind(-1)
        latent_sample = self.reparameterize(*latent_dist)
        return self.decoder(latent_sample), latent_dist, latent_sample

    @staticmethod
    def loss(model, x):
        reconstruct, (mean, logvar), _ = model(x)
        rec = F.binary_cross_entropy(reconstruct, x, reduction="sum") / len(x)
        latent_kl = 0.5 * (-1 - logvar + mean.pow(2) + logvar.exp()).mean(dim=0)
        return rec + latent_kl.sum()


class WorldStyle(nn.Module):
    """As a repository of world models has it: Encoder and Decoder classes, logsigma, summed MSE."""

    class Encoder(nn.Module):
        def __init__(self, channels, latent_size):
            super().__init__()
            self.conv1 = nn.Conv2d(channels, 16, 4, stride=2, padding=1)
            self.conv2 = nn.Conv2d(16, 24, 4, stride=2, padding=1)
            self.fc_mu, self.fc_logsigma = nn.LazyLinear(latent_size), nn.LazyLinear(latent_size)

        def forward(self, x):
            x = F.relu(self.conv2(F.relu(self.conv1(x)))).flatten(1)
            return self.fc_mu(x), self.fc_logsigma(x)

    class Decoder(nn.Module):
        def __init__(self, shape, latent_size):
            super().__init__()
            self.shape = shape
            self.fc1 = nn.Linear(latent_size, 24 * (shape[1] // 4) * (shape[2] // 4))
            self.deconv1 = nn.ConvTranspose2d(24, 16, 4, stride=2, padding=1)
            self.deconv2 = nn.ConvTranspose2d(16, shape[0], 4, stride=2, padding=1)

        def forward(self, x):
            x = F.relu(self.fc1(x)).view(-1, 24, self.shape[1] // 4, self.shape[2] // 4)
            return torch.sigmoid(self.deconv2(F.relu(self.deconv1(x))))

    def __init__(self, shape, latent_size=8):
        super().__init__()
        self.encoder = self.Encoder(shape[0], latent_size)
        self.decoder = self.Decoder(shape, latent_size)
        self(torch.zeros(2, *shape))

    def forward(self, x):
        mu, logsigma = self.encoder(x)
        sigma = logsigma.exp()
        eps = torch.randn_like(sigma)
        z = eps.mul(sigma).add_(mu)
        return self.decoder(z), mu, logsigma

    @staticmethod
    def loss(recon_x, x, mu, logsigma):
        """Its authors leave the MSE as it is (σ² = 1/2); here it is divided by 2 · 0.2²."""
        bce = F.mse_loss(recon_x, x, reduction="sum") / (2 * 0.2**2)
        kld = -0.5 * torch.sum(1 + 2 * logsigma - mu.pow(2) - (2 * logsigma).exp())
        return bce + kld


class StackStyle(nn.Module):
    """As a university's course has it: view(-1, 2, d) of the encoder's output."""

    def __init__(self, shape, d=7):
        super().__init__()
        self.d, pixels = d, math.prod(shape)
        self.encoder = nn.Sequential(nn.Linear(pixels, d**2), nn.ReLU(), nn.Linear(d**2, d * 2))
        self.decoder = nn.Sequential(
            nn.Linear(d, d**2), nn.ReLU(), nn.Linear(d**2, pixels), nn.Sigmoid()
        )

    def reparameterise(self, mu, logvar):
        if self.training:
            std = logvar.mul(0.5).exp_()
            eps = std.data.new(std.size()).normal_()
            return eps.mul(std).add_(mu)
        return mu

    def forward(self, x):
        mu_logvar = self.encoder(x.flatten(1)).view(-1, 2, self.d)
        mu, logvar = mu_logvar[:, 0, :], mu_logvar[:, 1, :]
        return self.decoder(self.reparameterise(mu, logvar)), mu, logvar

    @staticmethod
    def loss(x_hat, x, mu, logvar):
        bce = F.binary_cross_entropy(x_hat, x.flatten(1), reduction="sum")
        return bce + 0.5 * torch.sum(logvar.exp() - logvar - 1 + mu.pow(2))


@dataclasses.dataclass
class VAEOutput:
    z_dist: torch.distributions.Distribution
    z_sample: torch.Tensor
    x_recon: torch.Tensor
    loss: torch.Tensor | None
    loss_recon: torch.Tensor | None
    loss_kl: torch.Tensor | None


class MultivariateStyle(nn.Module):
    """As a blog of 2024 has it: MultivariateNormal, softplus, a dataclass, the loss in forward."""

    def __init__(self, shape, latent_dim=5, hidden_dim=80):
        super().__init__()
        self.softplus, pixels = nn.Softplus(), math.prod(shape)
        self.encoder = nn.Sequential(
            nn.Flatten(), nn.Linear(pixels, hidden_dim), nn.SiLU(),
            nn.Linear(hidden_dim, 2 * latent_dim),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, hidden_dim), nn.SiLU(), nn.Linear(hidden_dim, pixels),
            nn.Sigmoid(), nn.Unflatten(1, shape),
        )  # fmt: skip

    def encode(self, x, eps=1e-8):
        mu, logvar = torch.chunk(self.encoder(x), 2, dim=-1)
        scale = self.softplus(logvar) + eps
        return torch.distributions.MultivariateNormal(mu, scale_tril=torch.diag_embed(scale))

    def reparameterize(self, dist):
        return dist.rsample()

    def decode(self, z):
        return self.decoder(z)

    def forward(self, x, compute_loss=True):
        dist = self.encode(x)
        z = self.reparameterize(dist)
        recon_x = self.decode(z)
        if not compute_loss:
            return VAEOutput(dist, z, recon_x, None, None, None)
        loss_recon = F.binary_cross_entropy(recon_x, x + 0.0, reduction="none").flatten(1).sum(-1)
        std_normal = torch.distributions.MultivariateNormal(
            torch.zeros_like(z), scale_tril=torch.eye(z.shape[-1]).expand(len(z), -1, -1)
        )
        loss_kl = torch.distributions.kl.kl_divergence(dist, std_normal).mean()
        loss = loss_recon.mean() + loss_kl
        return VAEOutput(dist, z, recon_x, loss, loss_recon.mean(), loss_kl)

    @staticmethod
    def loss(model, x):
        return model(x).loss


class HeadsStyle(nn.Module):
    """As zoos have it: lists of layers, BatchNorm, dropout, `encode` gives three."""

    def __init__(self, shape, latent=9, widths=(72, 48)):
        super().__init__()
        self.shape, pixels = shape, math.prod(shape)
        down = [pixels, *widths]
        self.encoder_layers = nn.ModuleList(
            nn.Sequential(nn.Linear(a, b), nn.BatchNorm1d(b), nn.GELU(), nn.Dropout(0.05))
            for a, b in itertools.pairwise(down)
        )
        self.mean_layer = nn.Linear(widths[-1], latent)
        self.logvar_layer = nn.Linear(widths[-1], latent)
        self.decoder_layers = nn.ModuleList(
            nn.Sequential(nn.Linear(a, b), nn.GELU())
            for a, b in zip([latent, *widths[::-1]], widths[::-1], strict=False)
        )
        self.out = nn.Linear(widths[0], pixels)

    def encode(self, x):
        h = x.flatten(1)
        for layer in self.encoder_layers:
            h = layer(h)
        mean, log_var = self.mean_layer(h), self.logvar_layer(h)
        return self.sample(mean, log_var), mean, log_var

    def sample(self, mean, log_var):
        return mean + (log_var / 2).exp() * torch.randn_like(mean)

    def decode(self, z):
        for layer in self.decoder_layers:
            z = layer(z)
        return self.out(z).view(-1, *self.shape)

    def forward(self, x):
        z, mean, log_var = self.encode(x)
        return self.decode(z), z, mean, log_var

    @staticmethod
    def loss(model, x):
        logits, _, mean, log_var = model(x)
        nll = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum((1, 2, 3))
        return (nll - 0.5 * (1 + log_var - mean**2 - log_var.exp()).sum(1)).mean()


# ------------------------------------------------------------------------------- the trainings

HEALTHY, SICK, PUBLIC = {}, {}, {}


def _named(function):
    return function.__name__.replace("_", " ")


def healthy(function):
    HEALTHY[_named(function)] = functools.cache(function)
    return function


def public(function):
    PUBLIC[_named(function)] = functools.cache(function)
    return function


def sick(*names):
    def register(function):
        SICK[_named(function)] = names, functools.cache(function)
        return function

    return register


def elbo(model, image, beta=1.0):
    nll, kl = model.elbo_terms(image)
    return (nll + beta * kl).mean()


def seeded(make, seed=3):
    torch.manual_seed(seed)
    return make()


def dense(shape, latent=8, hidden=100, **options):
    return seeded(lambda: models.VAE.dense(latent, hidden=hidden, image_shape=shape, **options))


def conv(shape, latent=8, channels=12, **options):
    return seeded(lambda: models.VAE.conv(latent, channels=channels, image_shape=shape, **options))


LARGE, TINY, DRAWN, PHOTO = (1, 28, 28), (1, 8, 8), (3, 12, 16), (3, 20, 20)


@healthy
def large_digits_dense():
    return train(dense(LARGE), elbo, *large_digits(), epochs=12, rate=1e-3, batch=100, seed=4)


@healthy
def large_digits_convolutional():
    return train(conv(LARGE, 10), elbo, *large_digits(), epochs=7, rate=2e-3, batch=50, seed=4)


@healthy
def tiny_digits_three_latents():
    return train(dense(TINY, 3, 40), elbo, *tiny_digits(), epochs=40, rate=3e-3, batch=50, seed=5)


@healthy
def tiny_digits_gaussian_by_rmsprop():
    model = dense(TINY, 5, 64, likelihood=losses.Gaussian(0.2))
    chosen = torch.optim.RMSprop(model.parameters(), lr=1e-3)
    return train(model, elbo, *tiny_digits(), epochs=40, batch=100, optimizer=chosen, seed=6)


@healthy
def drawn_shapes_learned_sigma():
    model = dense(DRAWN, 12, 128, likelihood=losses.Gaussian("learned"))
    return train(model, elbo, *shapes(), epochs=45, rate=3e-3, batch=50, seed=7)


@healthy
def drawn_shapes_logistic():
    model = conv(DRAWN, 12, 16, likelihood=losses.DiscretizedLogistic())
    return train(model, elbo, *shapes(), epochs=25, rate=2e-3, batch=50, seed=7)


@healthy
def photographs_predicted_sigma():
    model = conv(PHOTO, 12, likelihood=losses.Gaussian("predicted", least=0.02))
    return train(model, elbo, *photographs(), epochs=25, rate=1e-3, batch=40, seed=8)


@healthy
def cells_standardised():
    model = seeded(lambda: models.VAE.table(4, ["gaussian:learned"] * 30, hidden=48))
    return train(model, elbo, *standardized(cells()), epochs=60, rate=2e-3, batch=40, seed=8)


@healthy
def a_mixed_table():
    random = np.random.RandomState(3)
    kind = random.randint(0, 3, 900)
    rows = np.stack([
        random.randn(900) + kind - 1, 2 * (kind == 1) + 0.7 * random.randn(900),
        random.poisson(2 + 3 * kind), (kind + (random.rand(900) < 0.1)) % 3,
    ], axis=1)  # fmt: skip
    rows = torch.from_numpy(rows).float()
    columns = ["gaussian:learned", "gaussian:learned", "poisson", "categorical:3"]
    model = seeded(lambda: models.VAE.table(2, columns, hidden=40))
    return train(model, elbo, rows[:750], rows[750:], epochs=40, rate=2e-3, batch=50, seed=9)


@healthy
def beta_warmed_up_so_that_the_loss_rises():
    """β from 0 to 1 over ten epochs; the history holds the loss that was optimised."""
    model = dense(LARGE, 6, 80)
    step = {"n": 0}

    def warmed(model, image):
        if model.training:
            step["n"] += 1
        return elbo(model, image, min(1.0, step["n"] / 300))

    trained = train(model, warmed, *large_digits(), epochs=16, rate=1e-3, batch=100, seed=9)
    return dataclasses.replace(trained, loss=elbo)


@healthy
def momentum_and_one_cycle():
    model = dense(TINY, 4, 60)
    chosen = torch.optim.SGD(model.parameters(), lr=0.002, momentum=0.9)
    plan = torch.optim.lr_scheduler.OneCycleLR(chosen, max_lr=0.01, total_steps=30 * 30)

    def loss(model, image):
        if model.training and plan.last_epoch < 899:
            plan.step()
        return elbo(model, image)

    trained = train(model, loss, *tiny_digits(), epochs=30, batch=50, optimizer=chosen, seed=10)
    return dataclasses.replace(trained, loss=elbo)


@healthy
def fit_with_patience_and_clipping():
    images, test_images = large_digits()
    model = dense(LARGE, 5, 120)
    history = training.fit(
        model, elbo, images[:2500], validation_images=images[2500:], test_images=test_images,
        epochs=14, patience=3, clip=20.0, batch_size=64, learning_rate=1.5e-3, progress=False,
    )  # fmt: skip
    return Trained(model.eval(), images[:2500], test_images, elbo, history)


@healthy
def importance_weighted_bound():
    def loss(model, image):
        mean, log_var = (t.expand(5, *t.shape) for t in model.encode(image))
        z = model.sampling(mean, log_var)
        zero = torch.zeros_like(z)
        nll = model.likelihood.nll(model.output(z.flatten(0, 1)), image.repeat(5, 1, 1, 1))
        weights = losses.gaussian_log_prob(z, zero, zero) - nll.view(5, -1)
        return -losses.iwae_bound(weights - losses.gaussian_log_prob(z, mean, log_var)).mean()

    return train(dense(TINY, 4, 60), loss, *tiny_digits(), epochs=25, batch=50, seed=11)


@healthy
def pixels_drawn_anew_in_the_loss():
    def loss(model, image):
        return elbo(model, data.binarize(image))

    return train(dense(LARGE, 10, 100), loss, *large_digits(), epochs=12, batch=100, seed=11)


@healthy
def few_images_with_dropout_and_weight_decay():
    model = dense(TINY, 3, 48)
    model.encoder = seeded(lambda: nn.Sequential(
        nn.Flatten(), nn.Dropout(0.1), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 6)))  # fmt: skip
    chosen = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    images, test_images = tiny_digits()
    return train(model, elbo, images[:400], test_images, epochs=60, batch=25, optimizer=chosen)


@healthy
def beta_of_four_for_disentangling():
    return train(dense(DRAWN, 10, 128), functools.partial(elbo, beta=4.0), *shapes(), epochs=30,
                 rate=2e-3, batch=50, seed=12)  # fmt: skip


# ------------------------------------------------------------------------ public, and healthy


def _public(make, loss, parts, **options):
    trained = train(seeded(make), loss if _of_model(loss) else through(loss), *parts, **options)
    return dataclasses.replace(trained, loss=loss)


def _of_model(loss):
    return loss.__code__.co_varnames[0] == "model"


@public
def sliced_style():
    return _public(lambda: SlicedStyle(LARGE), SlicedStyle.loss, large_digits(), epochs=10,
                   rate=1e-3, batch=64, seed=13)  # fmt: skip


@public
def pair_style():
    return _public(lambda: PairStyle(TINY), PairStyle.loss, tiny_digits(), epochs=30, batch=64)


@public
def world_style():
    return _public(lambda: WorldStyle(DRAWN), WorldStyle.loss, shapes(), epochs=40, rate=2e-3,
                   batch=40)  # fmt: skip


@public
def stack_style():
    return _public(lambda: StackStyle(TINY), StackStyle.loss, tiny_digits(), epochs=30, batch=64)


@public
def multivariate_style():
    return _public(lambda: MultivariateStyle(TINY), MultivariateStyle.loss, tiny_digits(),
                   epochs=30, batch=64)  # fmt: skip


@public
def heads_style():
    return _public(lambda: HeadsStyle(LARGE), HeadsStyle.loss, large_digits(), epochs=10,
                   rate=2e-3, batch=100)  # fmt: skip


# ------------------------------------------------------------------------------- sick


def mse_and_kl(model, image, weight=1.0):
    """Squared error of a Gaussian with σ = 0.2, and the KL."""
    output, mean, log_var = model(image)
    error = (output - image).square().flatten(1).sum(1) / (2 * 0.2**2)
    return (error + weight * losses.gaussian_kl(mean, log_var)).mean()


def ended_in_a_sigmoid(model):
    model.decoder = nn.Sequential(*model.decoder, nn.Sigmoid())
    model.likelihood = losses.Gaussian(0.2)
    return model


def shifted(parts, factor, shift=0.0):
    return [images * factor + shift for images in parts]


@sick("pixels-255")
def photographs_to_255_under_a_squared_error():
    model = conv(PHOTO, likelihood=losses.Gaussian("learned"))
    return train(model, elbo, *shifted(photographs(), 255), epochs=8, batch=40)


@sick("pixels-normalised")
def normalised_and_a_sigmoid_under_a_squared_error():
    parts = shifted(shapes(), 1 / 0.225, -0.45 / 0.225)
    return train(ended_in_a_sigmoid(dense(DRAWN)), mse_and_kl, *parts, epochs=12, batch=50)


@sick("pixels-normalised")
def from_minus_one_to_one_and_a_sigmoid():
    parts = shifted(large_digits(), 2, -1)
    model = ended_in_a_sigmoid(conv(LARGE))
    return train(model, mse_and_kl, *parts, epochs=4, batch=100)


@sick("pixels-dark")
def divided_twice_28():
    return train(conv(LARGE), elbo, *shifted(large_digits(), 1 / 255), epochs=4, batch=100)


@sick("test-scale")
def only_the_training_images_were_normalised():
    images, test_images = photographs()
    model = conv(PHOTO, likelihood=losses.Gaussian(0.5))
    trained = train(model, elbo, *shifted(photographs(), 4, -2), epochs=8, batch=40)
    return dataclasses.replace(trained, test_images=test_images)


@sick("columns-scale")
def a_table_in_its_own_units():
    model = dense((30,), 4, 48, likelihood=losses.Gaussian(1.0))
    return train(model, elbo, *cells(), epochs=40, rate=1e-3, batch=40)


@sick("sigmoid-twice", "probabilities-as-logits")
def sigmoid_and_logits_in_colour():
    model = dense(DRAWN, 10, 128)
    model.decoder = nn.Sequential(*model.decoder, nn.Sigmoid())
    return train(model, elbo, *shapes(), epochs=15, batch=50)


@sick("logits-as-probabilities")
def clamped_logits_as_probabilities():
    def loss(model, image):
        output, mean, log_var = model(image)
        nll = F.binary_cross_entropy(output.clamp(1e-5, 1 - 1e-5), image, reduction="sum")
        return nll / len(image) + losses.gaussian_kl(mean, log_var).mean()

    return train(dense(TINY, 6, 64), loss, *tiny_digits(), epochs=20, batch=50)


class InEvalOnly(nn.Module):
    """`if self.training` the wrong way round."""

    def forward(self, mean, log_var):
        if self.training:
            return mean
        return mean + (0.5 * log_var).exp() * torch.randn_like(mean)


def sampled(rule, parts=None, model=None, **options):
    model = model or dense(TINY, 6, 64)
    model.sampling = rule if isinstance(rule, nn.Module) else Sampler(rule)
    options = {"epochs": 20, "batch": 50, "rate": 2e-3} | options
    return train(model, elbo, *(parts or tiny_digits()), **options)


@sick("no-noise")
def noise_in_eval_mode_only():
    return sampled(InEvalOnly())


@sick("wrong-spread")
def variance_as_sigma_in_colour():
    rule = lambda m, lv: torch.addcmul(m, lv.exp(), torch.randn_like(m))  # noqa: E731
    model = conv(DRAWN, 12, 16, likelihood=losses.Gaussian(0.15))
    return sampled(rule, shapes(), model, epochs=15)


@sick("wrong-spread")
def a_tenth_of_the_noise():
    return sampled(lambda m, lv: m + 0.1 * (0.5 * lv).exp() * torch.randn_like(m))


@sick("wrong-spread")
def softplus_in_the_sampler_only():
    return sampled(lambda m, lv: m + F.softplus(lv) * torch.randn_like(m))


class Kept(nn.Module):
    """Noise that was drawn once, when the model was built."""

    def __init__(self, rows, dims):
        super().__init__()
        self.register_buffer("noise", torch.randn(rows, dims))

    def forward(self, mean, log_var):
        return mean + (0.5 * log_var).exp() * self.noise[: len(mean)]


@sick("frozen-noise")
def noise_drawn_at_construction():
    return sampled(seeded(lambda: Kept(2000, 6)))


@sick("shared-noise")
def one_vector_of_noise_for_the_batch():
    rule = lambda m, lv: m + (0.5 * lv).exp() * torch.randn(m.shape[1])  # noqa: E731
    return sampled(rule, large_digits(), conv(LARGE, 10), epochs=5)


@sick("not-normal")
def noise_from_zero_to_one():
    return sampled(lambda m, lv: m + (0.5 * lv).exp() * torch.rand_like(m))


@sick("gradient-cut")
def torch_normal():
    rule = lambda m, lv: torch.normal(m.detach(), (0.5 * lv).exp().detach())  # noqa: E731
    return sampled(rule, shapes(), dense(DRAWN, 10, 128))


def with_kl(kl, parts=None, model=None, **options):
    """A loss with another KL: (mean, log_var) → per image."""

    def loss(model, image):
        output, mean, log_var = model(image)
        return (bce_logits(output, image) + kl(mean, log_var)).mean()

    options = {"epochs": 15, "batch": 50} | options
    return train(model or dense(TINY, 6, 64), loss, *(parts or tiny_digits()), **options)


@sick("kl-sign")
def kl_with_a_lost_minus():
    kl = lambda m, lv: 0.5 * (1 + lv - m**2 - lv.exp()).sum(1) * 0.2  # noqa: E731
    return with_kl(kl, large_digits(), conv(LARGE, 6), epochs=2, rate=5e-4)


@sick("kl-formula")
def mean_and_log_variance_exchanged():
    return with_kl(lambda m, lv: losses.gaussian_kl(lv, m))


@sick("kl-formula")
def kl_without_the_exponential():
    return with_kl(lambda m, lv: 0.5 * (m**2 - 1 - lv).sum(1), epochs=3)


@sick("kl-formula")
def kl_of_the_mean_only():
    return with_kl(lambda m, lv: 0.5 * m.square().sum(1))


@sick("no-kl")
def the_kl_is_never_added():
    return with_kl(lambda m, lv: 0 * m.sum(1), shapes(), dense(DRAWN, 10, 128))


@sick("beta-small")
def cross_entropy_of_the_batch_and_the_mean_of_the_kl():
    def loss(recon, x, mu, logvar):
        bce = F.binary_cross_entropy_with_logits(recon, x, reduction="sum")
        return bce + torch.mean(-0.5 * torch.sum(1 + logvar - mu**2 - logvar.exp(), dim=1))

    model = dense(LARGE, 12, 100)
    trained = train(model, through(loss), *large_digits(), epochs=8, rate=5e-4, batch=64)
    return dataclasses.replace(trained, loss=loss)


@sick("sigma-large")
def mean_squared_error_and_the_kl_of_the_batch():
    def loss(model, image):
        recon, mu, logvar = model(image)
        return F.mse_loss(recon, image) + losses.gaussian_kl(mu, logvar).sum()

    model = ended_in_a_sigmoid(conv(LARGE))
    return train(model, loss, *large_digits(), epochs=5, batch=100)


@sick("sigma-large")
def published_mse_plus_kl_on_small_pictures():
    """recon.mean over pixels, KL summed over latents, both averaged over the batch."""

    def loss(model, image):
        recon, mu, logvar = model(image)
        error = (recon - image).square().mean(dim=(1, 2, 3))
        return (error + losses.gaussian_kl(mu, logvar)).mean()

    model = dense(DRAWN, 12, 128, likelihood=losses.Gaussian())
    return train(model, loss, *shapes(), epochs=15, batch=50)


@sick("sigma-small")
def kl_weight_of_a_millionth():
    def loss(model, image):
        return mse_and_kl(model, image, weight=1e-4)

    model = conv(PHOTO, likelihood=losses.Gaussian(0.2))
    return train(model, loss, *photographs(), epochs=12, batch=40)


@sick("beta-large")
def beta_of_a_hundred_in_colour():
    return train(dense(DRAWN, 10, 128), functools.partial(elbo, beta=100.0), *shapes(), epochs=15,
                 batch=50)  # fmt: skip


@sick("decoder-ignores-code", "collapse", "no-gradient", "gradient-cut")
def the_decoder_is_given_zeros():
    class Zeros(nn.Module):
        def forward(self, z):
            return torch.zeros_like(z)

    model = dense(TINY, 6, 64)
    model.decoder = nn.Sequential(Zeros(), *model.decoder)
    return train(model, elbo, *tiny_digits(), epochs=15, batch=50)


@sick("learning-rate-high")
def adam_at_a_tenth_on_a_deep_net():
    return train(conv(LARGE, 10), elbo, *large_digits(), epochs=8, rate=0.1, batch=50)


@sick("not-finished", "underfit", "learning-rate-low")
def momentum_far_too_slow():
    model = dense(LARGE, 8, 100)
    chosen = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9)
    return train(model, elbo, *large_digits(), epochs=8, batch=100, optimizer=chosen)


@sick("memorised")
def forty_photographs_by_heart():
    images, test_images = photographs()
    model = conv(PHOTO, 24, 24, likelihood=losses.Gaussian(0.1))
    return train(model, elbo, images[::20], test_images, epochs=250, rate=2e-3, batch=20)


@sick("not-finite")
def a_training_that_ended_in_nan():
    model = dense(LARGE, 8, 100)
    chosen = torch.optim.SGD(model.parameters(), lr=50.0)
    return train(model, elbo, *large_digits(), epochs=4, batch=100, optimizer=chosen)


@sick("batch-norm")
def statistics_of_another_scale():
    """BatchNorm learned on bytes; pixels from 0 to 1 were given in the last epoch and after."""
    model = seeded(lambda: HeadsStyle(LARGE))
    trained = train(model, HeadsStyle.loss, *large_digits(), epochs=6, rate=2e-3, batch=100)
    with torch.no_grad():
        for layer in model.encoder_layers:
            layer[1].running_var.fill_(1.0)
            layer[1].running_mean.zero_()
    return trained


@sick("axes")
def rows_and_columns_of_photographs_exchanged():
    model = conv(PHOTO, 12, likelihood=losses.Gaussian(0.2))

    def loss(model, image):
        output, mean, log_var = model(image)
        nll = losses.gaussian_nll(output, image.transpose(2, 3), std=0.2)
        return (nll + losses.gaussian_kl(mean, log_var)).mean()

    return train(model, loss, *photographs(), epochs=15, batch=40)


@sick("no-reconstruction", "no-gradient")
def the_reconstruction_is_detached():
    def loss(model, image):
        output, mean, log_var = model(image)
        nll = bce_logits(output.detach(), image)
        return (nll + losses.gaussian_kl(mean, log_var)).mean()

    return train(dense(TINY, 6, 64), loss, *tiny_digits(), epochs=6, batch=50)


@sick("no-gradient", "frozen")
def the_encoder_runs_without_gradients():
    model = dense(LARGE, 8, 100)
    inner = model.encoder

    class Frozen(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            with torch.no_grad():
                return self.inner(x)

    model.encoder = Frozen()
    return train(model, elbo, *large_digits(), epochs=6, batch=100)


@sick("no-gradient", "kl-gradient", "prior-mismatch")
def the_kl_is_detached():
    """Its value is right, and nothing follows from it."""

    def loss(model, image):
        output, mean, log_var = model(image)
        kl = losses.gaussian_kl(mean.detach(), log_var.detach())
        return (bce_logits(output, image) + kl).mean()

    return train(dense(TINY, 6, 64), loss, *tiny_digits(), epochs=30, batch=50)


# ------------------------------------------------------------------------ public, and sick


@sick("beta-small")
def sliced_style_with_the_mean_over_latents():
    def loss(model, x):
        x_recon, mu, logvar = model(x)
        recon = F.binary_cross_entropy_with_logits(x_recon, x, reduction="sum").div(len(x))
        return recon - 0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).mean()

    return train(seeded(lambda: SlicedStyle(LARGE)), loss, *large_digits(), epochs=8, batch=64)


@sick("wrong-spread")
def pair_style_with_the_variance():
    class Sick(PairStyle):
        def reparameterize(self, mean, logvar):
            if self.training:
                return mean + torch.exp(logvar) * torch.randn_like(mean)
            return mean

    return train(seeded(lambda: Sick(TINY)), PairStyle.loss, *tiny_digits(), epochs=20, batch=64)


@sick("wrong-spread", "kl-formula")
def world_style_whose_kl_reads_a_log_variance():
    def loss(recon_x, x, mu, logsigma):
        bce = F.mse_loss(recon_x, x, reduction="sum") / (2 * 0.2**2)
        return bce - 0.5 * torch.sum(1 + logsigma - mu.pow(2) - logsigma.exp())

    return _public(lambda: WorldStyle(DRAWN), loss, shapes(), epochs=20, rate=2e-3, batch=40)


@sick("beta-large")
def stack_style_with_the_mean_of_the_cross_entropy():
    def loss(x_hat, x, mu, logvar):
        bce = F.binary_cross_entropy(x_hat, x.flatten(1))
        return bce + 0.5 * torch.sum(logvar.exp() - logvar - 1 + mu.pow(2))

    return _public(lambda: StackStyle(TINY), loss, tiny_digits(), epochs=15, batch=64)


@sick("gradient-cut")
def multivariate_style_with_sample():
    class Sick(MultivariateStyle):
        def reparameterize(self, dist):
            return dist.sample()

    return train(seeded(lambda: Sick(TINY)), MultivariateStyle.loss, *tiny_digits(), epochs=15,
                 batch=64)  # fmt: skip


@sick("frozen-noise")
def heads_style_with_a_seed_in_its_sampler():
    class Sick(HeadsStyle):
        def sample(self, mean, log_var):
            torch.manual_seed(42)
            return mean + (log_var / 2).exp() * torch.randn_like(mean)

    return train(seeded(lambda: Sick(LARGE)), HeadsStyle.loss, *large_digits(), epochs=5,
                 batch=100)  # fmt: skip
