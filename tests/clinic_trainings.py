"""Sick and healthy trainings for the clinic: tiny, seconds each, each trained once a session."""

import dataclasses
import functools
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import clinic_models
from clinic_models import LATENT, PIXELS, SIDE, WIDE
from vae_course import data, losses, models, training

SHAPE = (1, SIDE, SIDE)


@functools.cache
def digits() -> tuple[Tensor, Tensor]:
    """1,500 and 500 digits of 14 × 14 pixels."""
    made = data.load_images()
    small = F.avg_pool2d(torch.cat([made.train_images[:1500], made.test_images[:500]]), 2)
    return small[:1500], small[1500:]


@functools.cache
def patches() -> tuple[Tensor, Tensor]:
    """Colour patches, 16 × 16."""
    made = data.load_patches(size=16, images=1200)
    return made.train_images, made.test_images


@dataclasses.dataclass
class Trained:
    model: nn.Module
    images: Tensor
    test_images: Tensor
    loss: Callable | None
    history: object


def train(model, loss, images=None, test_images=None, *, epochs=12, rate=2e-3, batch=64, seed=0,
          optimizer=None, mode=True, clip=False):  # fmt: skip
    """The plainest loop, which lets any sickness pass. Loss: (model, image) → scalar."""
    images = digits()[0] if images is None else images
    test_images = digits()[1] if test_images is None else test_images
    torch.manual_seed(seed)
    chosen = optimizer or torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    rows = []
    for epoch in range(1, epochs + 1):
        model.train(mode)
        total = 0.0
        for image in torch.randperm(len(images)).split(batch):
            value = as_scalar(loss(model, images[image]))
            chosen.zero_grad()
            value.backward()
            chosen.step()
            total += value.item() * len(image)
        model.eval()
        with torch.no_grad():
            test = as_scalar(loss(model, test_images)).item()
        rows.append({"epoch": epoch, "train_loss": total / len(images), "test_loss": test})
    return Trained(model, images, test_images, loss, rows)


def as_scalar(value):
    return value["loss"] if isinstance(value, dict) else value


def dense(latent=LATENT, **options):
    torch.manual_seed(0)
    return models.VAE.dense(latent, hidden=WIDE, image_shape=SHAPE, **options)


def conv(latent=LATENT, image_shape=SHAPE, **options):
    torch.manual_seed(0)
    return models.VAE.conv(latent, channels=8, image_shape=image_shape, **options)


def elbo(model, image, beta=1.0):
    nll, kl = model.elbo_terms(image)
    return (nll + beta * kl).mean()


def style(name):
    torch.manual_seed(0)
    return clinic_models.STYLES[name]()


def through(loss):
    """A loss of (recon, x, mu, logvar) or of (x, recon, mu, logvar) as one of (model, image)."""
    first = loss.__code__.co_varnames[0]

    def called(model, image):
        flat = image.flatten(1)
        recon, mu, logvar = model(flat if first == "x" else image)
        return loss(flat, recon, mu, logvar) if first == "x" else loss(recon, image, mu, logvar)

    return called


def always(kept, names):
    """Parameters of a test: those in `kept` always, the others with -m strangers."""
    assert set(kept) <= set(names), set(kept) - set(names)
    return [pytest.param(n, marks=[] if n in kept else pytest.mark.strangers) for n in names]


HEALTHY, SICK = {}, {}


def healthy(function):
    HEALTHY[function.__name__.replace("_", " ")] = functools.cache(function)
    return function


def sick(*names):
    """Names of findings, one of which must be made, and severely where it says so."""

    def register(function):
        SICK[function.__name__.replace("_", " ")] = names, functools.cache(function)
        return function

    return register


# ------------------------------------------------------------------------------- healthy


@healthy
def dense_bernoulli():
    return train(dense(), elbo, epochs=20)


@healthy
def dense_two_latents():
    return train(dense(2), elbo, epochs=20)


@healthy
def dense_twenty_latents_of_which_many_sleep():
    return train(dense(20), elbo, epochs=20)


@healthy
def conv_bernoulli():
    return train(conv(), elbo)


@healthy
def conv_colour_learned_sigma():
    model = conv(8, image_shape=(3, 16, 16), likelihood=losses.Gaussian("learned"))
    return train(model, elbo, *patches(), epochs=15)


@healthy
def conv_colour_discretized_logistic():
    model = conv(8, image_shape=(3, 16, 16), likelihood=losses.DiscretizedLogistic())
    return train(model, elbo, *patches(), epochs=15)


@healthy
def dense_gaussian_fixed_sigma():
    return train(dense(likelihood=losses.Gaussian(0.2)), elbo, epochs=20)


@healthy
def dense_gaussian_sigma_per_pixel():
    return train(dense(likelihood=losses.Gaussian("learned", shape=SHAPE, least=0.05)), elbo,
                 epochs=20)  # fmt: skip


@healthy
def trained_by_fit():
    images, test_images = digits()
    model = dense()
    history = training.fit(
        model, elbo, images, epochs=20, test_images=test_images, progress=False,
        learning_rate=2e-3,
    )  # fmt: skip
    return Trained(model, images, test_images, elbo, history)


@healthy
def free_bits():
    def loss(model, image):
        output, mean, log_var = model(image)
        nll = losses.bernoulli_nll(output, image).mean()
        return nll + losses.free_bits_kl(mean, log_var, floor=0.2)

    return train(dense(), loss, epochs=20)


@healthy
def beta_of_two_on_purpose():
    return train(dense(), functools.partial(elbo, beta=2.0), epochs=20)


@healthy
def wine_table():
    wine = data.load_table_example()
    torch.manual_seed(0)
    model = models.VAE.table(2, ["gaussian:learned"] * 13, hidden=32)
    return train(model, elbo, wine.train_rows, wine.test_rows, epochs=60, batch=32, rate=1e-3)


@healthy
def batch_norm_and_dropout():
    torch.manual_seed(0)
    model = dense()
    model.encoder = nn.Sequential(
        nn.Flatten(), nn.Linear(PIXELS, WIDE), nn.BatchNorm1d(WIDE), nn.ReLU(), nn.Dropout(0.1),
        nn.Linear(WIDE, 2 * LATENT),
    )  # fmt: skip
    return train(model, elbo, epochs=20)


def _style(name):
    model = style(name)
    loss = model.loss if model.loss.__code__.co_varnames[0] == "model" else through(model.loss)
    rate = 1e-3 if name == "DiffusersStyle" else 2e-3
    trained = train(model, loss, epochs=12 if name == "DiffusersStyle" else 16, rate=rate)
    trained.loss = model.loss
    return trained


PUBLIC = {name: functools.partial(_style, name) for name in clinic_models.STYLES}


# ------------------------------------------------------------------------------- sick


def pixels(factor=1.0, shift=0.0):
    return tuple(image * factor + shift for image in digits())


def bce_logits(output, image):
    """Without the check of the pixels that the course's own loss has."""
    return F.binary_cross_entropy_with_logits(output, image, reduction="none").flatten(1).sum(1)


def raw(model, image, nll=bce_logits, kl=losses.gaussian_kl, beta=1.0):
    output, mean, log_var = model(image)
    return (nll(output, image) + beta * kl(mean, log_var)).mean()


@sick("pixels-255")
def pixels_to_255():
    return train(dense(), raw, *pixels(255.0), epochs=4)


@sick("pixels-normalised")
def pixels_normalised():
    return train(dense(), raw, *pixels(1 / 0.3081, -0.1307 / 0.3081), epochs=8)


@sick("pixels-dark")
def pixels_divided_twice():
    return train(dense(), raw, *pixels(1 / 255), epochs=8)


@sick("test-scale")
def test_images_not_divided():
    trained = train(dense(), elbo, epochs=12)
    return dataclasses.replace(trained, test_images=trained.test_images * 255)


@sick("probabilities-as-logits")
def probabilities_taken_for_logits():
    model = style("ExamplesStyle")

    def loss(recon_x, x, mu, logvar):
        bce = F.binary_cross_entropy_with_logits(recon_x, x.view(-1, PIXELS), reduction="sum")
        return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())

    return dataclasses.replace(train(model, through(loss)), loss=loss)


@sick("logits-as-probabilities")
def logits_taken_for_probabilities():
    def loss(model, image):
        output, mean, log_var = model(image)
        inside = output.clamp(1e-6, 1 - 1e-6)
        nll = F.binary_cross_entropy(inside, image, reduction="none").flatten(1).sum(1)
        return (nll + losses.gaussian_kl(mean, log_var)).mean()

    return train(dense(), loss)


@sick("sigmoid-twice")
def sigmoid_in_the_model_twice():
    model = style("LayerStyle")
    model.decoder = nn.Sequential(*model.decoder, nn.Sigmoid())
    return train(model, model.loss)


@sick("sigmoid-twice")
def sigmoid_before_the_loss_with_logits():
    nll = lambda output, image: bce_logits(output.sigmoid(), image)  # noqa: E731
    return train(dense(), functools.partial(raw, nll=nll))


class Sampler(nn.Module):
    def __init__(self, rule):
        super().__init__()
        self.rule = rule

    def forward(self, mean, log_var):
        return self.rule(mean, log_var)


def with_sampler(rule, model=None):
    model = model or dense()
    model.sampling = Sampler(rule)
    return train(model, elbo)


@sick("no-noise")
def no_noise():
    return with_sampler(lambda mean, log_var: mean)


@sick("wrong-spread")
def variance_for_sigma():
    return with_sampler(lambda mean, log_var: mean + log_var.exp() * torch.randn_like(mean))


@sick("wrong-spread")
def log_variance_for_sigma():
    return with_sampler(lambda mean, log_var: mean + log_var * torch.randn_like(mean))


@sick("shared-noise")
def noise_shared_by_the_batch():
    return with_sampler(
        lambda mean, log_var: mean + (0.5 * log_var).exp() * torch.randn(1, mean.shape[1])
    )


@sick("shared-noise")
def noise_shared_by_the_dimensions():
    return with_sampler(
        lambda mean, log_var: mean + (0.5 * log_var).exp() * torch.randn(len(mean), 1)
    )


@sick("frozen-noise")
def frozen_noise():
    def rule(mean, log_var):
        fixed = torch.Generator().manual_seed(0)
        return mean + (0.5 * log_var).exp() * torch.randn(mean.shape, generator=fixed)

    return with_sampler(rule)


@sick("not-normal")
def uniform_noise():
    return with_sampler(
        lambda mean, log_var: mean
        + (0.5 * log_var).exp() * (torch.rand_like(mean) - 0.5) * 12**0.5
    )


@sick("gradient-cut")
def sampled_without_a_gradient():
    return with_sampler(
        lambda mean, log_var: torch.distributions.Normal(mean, (0.5 * log_var).exp()).sample()
    )


@sick("wrong-spread", "kl-formula")
def kl_reads_log_std_and_sampler_log_var():
    def loss(model, image):
        output, mean, log_var = model(image)
        kl = (0.5 * (mean**2 + (2 * log_var).exp() - 1) - log_var).sum(dim=1)
        return (bce_logits(output, image) + kl).mean()

    return train(dense(), loss)


@sick("kl-sign")
def kl_subtracted():
    def loss(model, image):
        output, mean, log_var = model(image)
        return (bce_logits(output, image) - 0.1 * losses.gaussian_kl(mean, log_var)).mean()

    return train(dense(), loss, epochs=3, rate=5e-4)


@sick("no-kl")
def kl_forgotten():
    return train(dense(), functools.partial(raw, beta=0.0))


@sick("kl-formula")
def kl_without_mean():
    kl = lambda mean, log_var: 0.5 * (log_var.exp() - 1 - log_var).sum(1)  # noqa: E731
    return train(dense(), functools.partial(raw, kl=kl))


@sick("kl-formula")
def kl_with_half_the_exponent():
    kl = lambda mean, s: 0.5 * (mean**2 + (0.5 * s).exp() - 1 - s).sum(1)  # noqa: E731
    return train(dense(), functools.partial(raw, kl=kl))


@sick("beta-large")
def kl_summed_over_the_batch():
    def loss(model, image):
        output, mean, log_var = model(image)
        return bce_logits(output, image).mean() + losses.gaussian_kl(mean, log_var).sum()

    return train(dense(), loss)


@sick("beta-large")
def reconstruction_averaged_over_pixels():
    def loss(model, image):
        output, mean, log_var = model(image)
        nll = F.binary_cross_entropy_with_logits(output, image)
        return nll + losses.gaussian_kl(mean, log_var).mean()

    return train(dense(), loss)


@sick("beta-large")
def everything_averaged():
    def loss(model, image):
        output, mean, log_var = model(image)
        nll = F.binary_cross_entropy_with_logits(output, image)
        return nll + losses.gaussian_kl_per_dimension(mean, log_var).mean()

    return train(dense(), loss)


@sick("beta-small")
def kl_averaged_over_latents():
    def loss(model, image):
        output, mean, log_var = model(image)
        kl = losses.gaussian_kl_per_dimension(mean, log_var).mean()
        return bce_logits(output, image).mean() + kl

    return train(dense(16), loss)


@sick("beta-small")
def tiny_beta():
    return train(dense(), functools.partial(raw, beta=0.00025))


@sick("sigma-large")
def mse_averaged_plus_kl_summed():
    def loss(model, image):
        output, mean, log_var = model(image)
        return F.mse_loss(output, image) + losses.gaussian_kl(mean, log_var).mean()

    return train(dense(likelihood=losses.Gaussian()), loss)


@sick("sigma-small")
def sigma_far_too_small():
    return train(dense(likelihood=losses.Gaussian(0.01)), elbo)


@sick("collapse")
def collapse_by_a_large_beta():
    return train(dense(), functools.partial(elbo, beta=60.0))


@sick("collapse", "decoder-ignores-code")
def collapse_by_depth():
    torch.manual_seed(0)
    model = dense()
    layers = [nn.Linear(LATENT, WIDE)]
    for _ in range(6):
        layers += [nn.Sigmoid(), nn.Linear(WIDE, WIDE)]
    model.decoder = nn.Sequential(*layers, nn.Linear(WIDE, PIXELS), nn.Unflatten(1, SHAPE))
    return train(model, elbo, epochs=6)


@sick("decoder-ignores-code")
def code_overwritten():
    model = dense()
    model.decoder = nn.Sequential(Scaled(1e-4), *model.decoder)

    def loss(model, image):
        output, mean, log_var = model(image)
        kl = losses.gaussian_kl(mean, log_var)
        return (bce_logits(output, image) + (kl - 8).abs()).mean()

    return train(model, loss)


class Scaled(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


@sick("learning-rate-high")
def learning_rate_far_too_high():
    return train(dense(), raw, rate=0.3, epochs=10)


@sick("not-finished", "underfit", "learning-rate-low")
def learning_rate_far_too_low():
    return train(dense(), elbo, rate=2e-6, epochs=10)


@sick("memorised")
def memorised():
    images, test_images = digits()
    torch.manual_seed(0)
    model = models.VAE.dense(16, hidden=256, image_shape=SHAPE)
    return train(model, elbo, images[:60], test_images, epochs=300, batch=20)


@sick("not-finite")
def weights_are_nan():
    model = dense()
    with torch.no_grad():
        model.encoder[1].weight[0, 0] = float("nan")
    return Trained(model, *digits(), elbo, None)


@sick("not-finite")
def nan_among_the_images():
    trained = train(dense(), elbo, epochs=3)
    images = trained.images.clone()
    images[7, 0, 0, 0] = float("nan")
    return dataclasses.replace(trained, images=images[:200])


@sick("batch-norm")
def batch_norm_never_updated():
    model = style("LayerStyle")
    model.body[2].momentum = 0.0
    return train(model, model.loss)


@sick("axes")
def rows_and_columns_exchanged():
    def loss(model, image):
        output, mean, log_var = model(image)
        nll = bce_logits(output, image.transpose(2, 3))
        return (nll + losses.gaussian_kl(mean, log_var)).mean()

    return train(dense(), loss)


@sick("no-reconstruction")
def reconstruction_detached():
    def loss(model, image):
        output, mean, log_var = model(image)
        return losses.gaussian_kl(mean, log_var).mean()

    return train(dense(), loss, epochs=4)


@sick("no-gradient", "frozen")
def encoder_frozen():
    model = dense()
    encode = model.encode
    model.encode = lambda image: tuple(t.detach() for t in encode(image))
    trained = train(model, elbo)
    return trained


# ----------------------------------------------------- sick models as public code writes them


@sick("wrong-spread")
def tutorial_hands_the_variance_to_its_sampler():
    class Sick(clinic_models.TutorialStyle):
        def forward(self, x):
            mean, log_var = self.Encoder(x)
            z = self.reparameterization(mean, torch.exp(log_var))
            return self.Decoder(z), mean, log_var

    torch.manual_seed(0)
    model = Sick()
    return dataclasses.replace(train(model, through(model.loss)), loss=model.loss)


@sick("beta-large")
def examples_with_the_mean_of_the_cross_entropy():
    model = style("ExamplesStyle")

    def loss(recon_x, x, mu, logvar):
        bce = F.binary_cross_entropy(recon_x, x.view(-1, PIXELS))
        return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())

    return dataclasses.replace(train(model, through(loss)), loss=loss)


@sick("sigma-large")
def collection_without_its_small_weight():
    def loss(model, image):
        return model.loss_function(*model(image), M_N=1.0)["loss"]

    return train(style("ListStyle"), loss)


@sick("gradient-cut")
def distribution_drawn_without_a_gradient():
    model = style("DistributionStyle")

    class Sick(clinic_models.DistributionStyle):
        def forward(self, x):
            hidden = self.encoder(x)
            scale = F.softplus(self.to_scale(hidden)) + 1e-4
            q = torch.distributions.Independent(
                torch.distributions.Normal(self.to_loc(hidden), scale), 1
            )
            logits = self.decoder(q.sample()).view(-1, 1, SIDE, SIDE)
            p = torch.distributions.Bernoulli(logits=logits)
            return torch.distributions.Independent(p, 3), q

    model.__class__ = Sick
    return train(model, model.loss)


@sick("wrong-spread")
def dict_with_the_variance_for_sigma():
    class Sick(clinic_models.DictStyle):
        def forward(self, batch):
            h = self.enc(batch)
            mu, logvar = self.mu_head(h), self.logvar_head(h)
            z = mu + torch.exp(logvar) * torch.randn_like(mu)
            return {"z": z, "logits": self.dec(z).view_as(batch), "logvar": logvar, "mu": mu}

    torch.manual_seed(0)
    return train(Sick(), Sick.loss)


@sick("sigmoid-twice", "probabilities-as-logits")
def layers_with_a_sigmoid_and_a_loss_with_logits():
    def loss(model, image):
        recon, z_mean, z_log_var = model(image)
        return (bce_logits(recon, image) + losses.gaussian_kl(z_mean, z_log_var)).mean()

    return train(style("LayerStyle"), loss)


@sick("kl-sign")
def lightning_with_the_kl_subtracted():
    def loss(model, image):
        _, x_hat, p, q = model._run_step(image)
        nll = 0.5 * F.mse_loss(x_hat, image, reduction="sum") / len(image) / 0.15**2
        return nll - 0.01 * torch.distributions.kl_divergence(q, p).sum(dim=1).mean()

    return train(style("LightningStyle"), loss, epochs=4)


@sick("no-noise")
def diffusers_trained_on_the_mode():
    class Mode(clinic_models.DiagonalGaussian):
        def sample(self, generator=None):
            return self.mean

    class Sick(clinic_models.DiffusersStyle):
        def encode(self, x, return_dict=True):
            posterior = Mode(self.quant_conv(self.encoder(x)))
            return clinic_models.EncoderOutput(latent_dist=posterior)

    torch.manual_seed(0)
    return train(Sick(), Sick.loss, epochs=5, rate=1e-3)
