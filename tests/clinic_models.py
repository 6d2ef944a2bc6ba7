"""VAEs as public code writes them, small; copied in structure, not in text. (B, 1, 14, 14)."""

import dataclasses
import types
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn

SIDE, PIXELS, WIDE, LATENT = 14, 196, 64, 6


class ExamplesStyle(nn.Module):
    """As in the examples of a well-known framework: fc layers, sigmoid, summed losses."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(PIXELS, WIDE)
        self.fc21, self.fc22 = nn.Linear(WIDE, LATENT), nn.Linear(WIDE, LATENT)
        self.fc3, self.fc4 = nn.Linear(LATENT, WIDE), nn.Linear(WIDE, PIXELS)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        eps = torch.randn_like(std)
        return mu + eps * std

    def decode(self, z):
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z))))

    def forward(self, x):
        mu, logvar = self.encode(x.view(-1, PIXELS))
        return self.decode(self.reparameterize(mu, logvar)), mu, logvar

    @staticmethod
    def loss(recon_x, x, mu, logvar):
        bce = F.binary_cross_entropy(recon_x, x.view(-1, PIXELS), reduction="sum")
        kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        return bce + kld


class ListStyle(nn.Module):
    """A collection of VAEs: lists, the input given back, losses in a dict, a convolution, tanh."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.LeakyReLU(),
            nn.Conv2d(8, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.LeakyReLU(),
        )  # fmt: skip
        self.fc_mu, self.fc_var = nn.Linear(16 * 16, LATENT), nn.Linear(16 * 16, LATENT)
        self.decoder_input = nn.Linear(LATENT, WIDE)
        self.decoder = nn.Sequential(nn.ReLU(), nn.Linear(WIDE, PIXELS), nn.Sigmoid())

    def encode(self, input):
        result = torch.flatten(self.encoder(input), start_dim=1)
        return [self.fc_mu(result), self.fc_var(result)]

    def decode(self, z):
        return self.decoder(self.decoder_input(z)).view(-1, 1, SIDE, SIDE)

    def reparameterize(self, mu, logvar):
        return torch.randn_like(mu) * torch.exp(0.5 * logvar) + mu

    def forward(self, input, **kwargs):
        mu, log_var = self.encode(input)
        return [self.decode(self.reparameterize(mu, log_var)), input, mu, log_var]

    def loss_function(self, *args, **kwargs):
        recons, input, mu, log_var = args
        recons_loss = F.mse_loss(recons, input)
        kld = torch.mean(-0.5 * torch.sum(1 + log_var - mu**2 - log_var.exp(), dim=1), dim=0)
        return {"loss": recons_loss + kwargs["M_N"] * kld, "KLD": -kld.detach()}

    @staticmethod
    def loss(model, image):
        return model.loss_function(*model(image), M_N=2 * 0.15**2 / PIXELS)["loss"]


class DistributionStyle(nn.Module):
    """Everything is a distribution; q and p come back as objects."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, WIDE), nn.Tanh())
        self.to_loc, self.to_scale = nn.Linear(WIDE, LATENT), nn.Linear(WIDE, LATENT)
        self.decoder = nn.Sequential(nn.Linear(LATENT, WIDE), nn.Tanh(), nn.Linear(WIDE, PIXELS))

    def forward(self, x):
        hidden = self.encoder(x)
        scale = F.softplus(self.to_scale(hidden)) + 1e-4
        q = torch.distributions.Normal(self.to_loc(hidden), scale)
        q = torch.distributions.Independent(q, 1)
        z = q.rsample()
        logits = self.decoder(z).view(-1, 1, SIDE, SIDE)
        return torch.distributions.Independent(torch.distributions.Bernoulli(logits=logits), 3), q

    @staticmethod
    def loss(model, image):
        p, q = model(image)
        prior = torch.distributions.Independent(
            torch.distributions.Normal(torch.zeros_like(q.mean), torch.ones_like(q.mean)), 1
        )
        nll = F.binary_cross_entropy_with_logits(
            p.base_dist.logits, image, reduction="none"
        ).sum(dim=(1, 2, 3))
        return (nll + torch.distributions.kl_divergence(q, prior)).mean()


class DictStyle(nn.Module):
    """A dict comes back; the latent among it; sampling stands in forward."""

    def __init__(self):
        super().__init__()
        self.enc = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, WIDE), nn.ReLU())
        self.mu_head, self.logvar_head = nn.Linear(WIDE, LATENT), nn.Linear(WIDE, LATENT)
        self.dec = nn.Sequential(nn.Linear(LATENT, WIDE), nn.ReLU(), nn.Linear(WIDE, PIXELS))

    def forward(self, batch):
        h = self.enc(batch)
        mu, logvar = self.mu_head(h), self.logvar_head(h)
        z = mu + torch.exp(logvar / 2) * torch.randn_like(mu)
        return {"z": z, "logits": self.dec(z).view_as(batch), "logvar": logvar, "mu": mu}

    @staticmethod
    def loss(model, image):
        out = model(image)
        bce = F.binary_cross_entropy_with_logits(out["logits"], image, reduction="sum")
        mu, logvar = out["mu"], out["logvar"]
        kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum()
        return {"loss": (bce + kl) / len(image), "bce": bce.item()}


class LogStdStyle(nn.Module):
    """The encoder gives log σ and not log σ², rightly used in both places."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, WIDE), nn.ReLU(),
                                     nn.Linear(WIDE, 2 * LATENT))  # fmt: skip
        self.decoder = nn.Sequential(nn.Linear(LATENT, WIDE), nn.ReLU(), nn.Linear(WIDE, PIXELS))

    def forward(self, x):
        mean, log_std = self.encoder(x).chunk(2, dim=1)
        z = mean + torch.randn_like(mean) * log_std.exp()
        return self.decoder(z).view(x.shape), mean, log_std

    @staticmethod
    def loss(model, image):
        logits, mean, log_std = model(image)
        bce = F.binary_cross_entropy_with_logits(logits, image, reduction="sum") / len(image)
        kl = (0.5 * (mean**2 + (2 * log_std).exp() - 1) - log_std).sum(dim=1).mean()
        return bce + kl


class LightningStyle(nn.Module):
    """As trainers' zoos have it: forward gives the picture alone, sample gives p, q and z."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, WIDE), nn.ReLU())
        self.fc_mu, self.fc_var = nn.Linear(WIDE, LATENT), nn.Linear(WIDE, LATENT)
        self.decoder = nn.Sequential(
            nn.Linear(LATENT, WIDE), nn.ReLU(), nn.Linear(WIDE, PIXELS),
            nn.Unflatten(1, (1, SIDE, SIDE)),
        )  # fmt: skip

    def forward(self, x):
        x = self.encoder(x)
        mu, log_var = self.fc_mu(x), self.fc_var(x)
        _, _, z = self.sample(mu, log_var)
        return self.decoder(z)

    def _run_step(self, x):
        x = self.encoder(x)
        mu, log_var = self.fc_mu(x), self.fc_var(x)
        p, q, z = self.sample(mu, log_var)
        return z, self.decoder(z), p, q

    def sample(self, mu, log_var):
        std = torch.exp(log_var / 2)
        p = torch.distributions.Normal(torch.zeros_like(mu), torch.ones_like(std))
        q = torch.distributions.Normal(mu, std)
        return p, q, q.rsample()

    @staticmethod
    def loss(model, image):
        _, x_hat, p, q = model._run_step(image)
        recon_loss = 0.5 * F.mse_loss(x_hat, image, reduction="sum") / len(image) / 0.15**2
        kl = torch.distributions.kl_divergence(q, p).sum(dim=1).mean()
        return recon_loss + kl


class DiagonalGaussian:
    def __init__(self, parameters):
        self.parameters = parameters
        self.mean, self.logvar = torch.chunk(parameters, 2, dim=1)
        self.logvar = torch.clamp(self.logvar, -30.0, 20.0)
        self.std, self.var = torch.exp(0.5 * self.logvar), torch.exp(self.logvar)

    def sample(self, generator=None):
        return self.mean + self.std * torch.randn(self.mean.shape, generator=generator)

    def mode(self):
        return self.mean

    def kl(self):
        return 0.5 * torch.sum(self.mean**2 + self.var - 1.0 - self.logvar, dim=[1, 2, 3])


@dataclasses.dataclass
class EncoderOutput:
    latent_dist: DiagonalGaussian


@dataclasses.dataclass
class DecoderOutput:
    sample: torch.Tensor


class DiffusersStyle(nn.Module):
    """As in pipelines for latent diffusion: spatial latents, objects, the mode by default."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 16, 4, 2, 1), nn.SiLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.SiLU()
        )
        self.quant_conv = nn.Conv2d(16, 4, 1)  # 2 + 2 channels of 4 × 4
        self.post_quant_conv = nn.Conv2d(2, 16, 1)
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(16, 16, 4, 2, 2), nn.SiLU(), nn.Conv2d(16, 16, 3, 1, 2), nn.SiLU(),
            nn.Upsample(scale_factor=2), nn.Conv2d(16, 1, 3, 1, 0),
        )  # fmt: skip

    def encode(self, x, return_dict=True):
        posterior = DiagonalGaussian(self.quant_conv(self.encoder(x)))
        return EncoderOutput(latent_dist=posterior) if return_dict else (posterior,)

    def decode(self, z, return_dict=True):
        decoded = self.decoder(self.post_quant_conv(z))
        return DecoderOutput(sample=decoded) if return_dict else (decoded,)

    def forward(self, sample, sample_posterior=False, return_dict=True):
        posterior = self.encode(sample).latent_dist
        z = posterior.sample() if sample_posterior else posterior.mode()
        return self.decode(z)

    @staticmethod
    def loss(model, image):
        posterior = model.encode(image).latent_dist
        recon = model.decode(posterior.sample()).sample
        rec_loss = (0.5 * (recon - image) ** 2 / 0.2**2).sum(dim=(1, 2, 3))
        return (rec_loss + posterior.kl()).mean()


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.FC_input = nn.Linear(PIXELS, WIDE)
        self.FC_mean, self.FC_var = nn.Linear(WIDE, LATENT), nn.Linear(WIDE, LATENT)
        self.LeakyReLU = nn.LeakyReLU(0.2)

    def forward(self, x):
        h_ = self.LeakyReLU(self.FC_input(x))
        return self.FC_mean(h_), self.FC_var(h_)


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.FC_hidden, self.FC_output = nn.Linear(LATENT, WIDE), nn.Linear(WIDE, PIXELS)
        self.LeakyReLU = nn.LeakyReLU(0.2)

    def forward(self, x):
        return torch.sigmoid(self.FC_output(self.LeakyReLU(self.FC_hidden(x))))


class TutorialStyle(nn.Module):
    """A tutorial: Encoder and Decoder as classes; a sampler that is handed σ and calls it var."""

    def __init__(self):
        super().__init__()
        self.Encoder, self.Decoder = Encoder(), Decoder()

    def reparameterization(self, mean, var):
        epsilon = torch.randn_like(var)
        return mean + var * epsilon

    def forward(self, x):
        mean, log_var = self.Encoder(x)
        z = self.reparameterization(mean, torch.exp(0.5 * log_var))
        return self.Decoder(z), mean, log_var

    @staticmethod
    def loss(x, x_hat, mean, log_var):
        reproduction = F.binary_cross_entropy(x_hat, x, reduction="sum")
        kld = -0.5 * torch.sum(1 + log_var - mean.pow(2) - log_var.exp())
        return reproduction + kld


class Sampling(nn.Module):
    def forward(self, z_mean, z_log_var):
        return z_mean + torch.exp(0.5 * z_log_var) * torch.randn_like(z_mean)


class LayerStyle(nn.Module):
    """A port from another framework: a sampling layer; the encoder gives z too; BatchNorm."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Flatten(), nn.Linear(PIXELS, WIDE), nn.BatchNorm1d(WIDE), nn.ReLU()
        )
        self.z_mean, self.z_log_var = nn.Linear(WIDE, LATENT), nn.Linear(WIDE, LATENT)
        self.sampling = Sampling()
        self.decoder = nn.Sequential(
            nn.Linear(LATENT, WIDE), nn.ReLU(), nn.Linear(WIDE, PIXELS), nn.Sigmoid(),
            nn.Unflatten(1, (1, SIDE, SIDE)),
        )  # fmt: skip

    def encoder(self, x):
        h = self.body(x)
        z_mean, z_log_var = self.z_mean(h), self.z_log_var(h)
        return z_mean, z_log_var, self.sampling(z_mean, z_log_var)

    def forward(self, x):
        z_mean, z_log_var, z = self.encoder(x)
        return self.decoder(z), z_mean, z_log_var

    @staticmethod
    def loss(model, image):
        recon, z_mean, z_log_var = model(image)
        bce = F.binary_cross_entropy(recon, image, reduction="none").sum(dim=(1, 2, 3))
        kl = -0.5 * (1 + z_log_var - z_mean.square() - z_log_var.exp()).sum(dim=1)
        return (bce + kl).mean()


class ModelOutput(OrderedDict):
    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class LibraryStyle(nn.Module):
    """A library of VAEs: encoder and decoder give ModelOutput, the loss comes with forward."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, WIDE), nn.ReLU())
        self.embedding, self.log_var = nn.Linear(WIDE, LATENT), nn.Linear(WIDE, LATENT)
        self.decoder = nn.Sequential(
            nn.Linear(LATENT, WIDE), nn.ReLU(), nn.Linear(WIDE, PIXELS), nn.Sigmoid(),
            nn.Unflatten(1, (1, SIDE, SIDE)),
        )  # fmt: skip

    def encoder(self, x):
        h = self.layers(x)
        return ModelOutput(embedding=self.embedding(h), log_covariance=self.log_var(h))

    def forward(self, x, **kwargs):
        out = self.encoder(x)
        mu, log_var = out.embedding, out.log_covariance
        z, eps = self._sample_gauss(mu, torch.exp(0.5 * log_var))
        recon_x = self.decoder(z)
        loss, recon_loss, kld = self.loss_function(recon_x, x, mu, log_var, z)
        return ModelOutput(recon_loss=recon_loss, reg_loss=kld, loss=loss, recon_x=recon_x, z=z)

    def _sample_gauss(self, mu, std):
        eps = torch.randn_like(std)
        return mu + eps * std, eps

    def loss_function(self, recon_x, x, mu, log_var, z):
        recon_loss = F.binary_cross_entropy(
            recon_x.reshape(len(x), -1), x.reshape(len(x), -1), reduction="none"
        ).sum(dim=-1)
        kld = -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp(), dim=-1)
        return (recon_loss + kld).mean(dim=0), recon_loss.mean(dim=0), kld.mean(dim=0)

    @staticmethod
    def loss(model, image):
        return model(image).loss


STYLES = {
    style.__name__: style
    for style in (
        *(ExamplesStyle, ListStyle, DistributionStyle, DictStyle, LogStdStyle, LightningStyle),
        *(DiffusersStyle, TutorialStyle, LayerStyle, LibraryStyle),
    )
}
namespace = types.SimpleNamespace
