"""Right answers in styles that are not ours: NumPy in double precision, loops, distributions."""

import itertools
import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy import special, stats
from torch import distributions as D

from vae_course import diffusion, gan, vq

array = lambda t: t.detach().double().numpy()  # noqa: E731
back = torch.from_numpy


def each(*columns):
    return zip(*columns, strict=True)


# --- chapter 01


def mse_numpy(image, reconstruction):
    return back(((array(image) - array(reconstruction)) ** 2).reshape(len(image), -1).mean(axis=1))


def mse_loops(image, reconstruction):
    errors = []
    for a, b in each(image, reconstruction):
        pairs = list(each(a.flatten().tolist(), b.flatten().tolist()))
        errors.append(sum((p - q) ** 2 for p, q in pairs) / len(pairs))
    return torch.tensor(errors, dtype=torch.float64)


def mse_from_gaussians(image, reconstruction):
    log_density = D.Normal(reconstruction, 1.0).log_prob(image).flatten(1).mean(1)
    return -2 * log_density - math.log(2 * math.pi)


def pca_numpy(images, k):
    x = array(images)
    values, vectors = np.linalg.eigh(np.cov(x.T))
    top = vectors[:, np.argsort(values)[::-1][:k]]
    return back((x - x.mean(0)) @ top @ top.T + x.mean(0))


def pca_sklearn(images, k):
    from sklearn.decomposition import PCA

    model = PCA(k, svd_solver="full").fit(array(images))
    return back(model.inverse_transform(model.transform(array(images))))


def pca_power_iteration(images, k):
    mean, rest = images.double().mean(0), images.double() - images.double().mean(0)
    found = torch.zeros_like(rest)
    for _ in range(k):
        direction = torch.ones(rest.shape[1], dtype=torch.float64)
        for _ in range(3000):
            direction = rest.T @ (rest @ direction)
            direction = direction / direction.norm()
        part = (rest @ direction)[:, None] * direction
        found, rest = found + part, rest - part
    return found + mean


def denoising_mse_loss(model, clean, noisy):
    return torch.nn.MSELoss()(model(noisy), clean)


def denoising_by_image(model, clean, noisy):
    total = 0.0
    for a, b in each(model(noisy), clean):
        total = total + (a - b).pow(2).sum()
    return total / clean.numel()


def denoising_double(model, clean, noisy):
    return (model(noisy).double() - clean.double()).pow(2).mean()


def denoising_clamped(model, clean, noisy):
    return F.mse_loss(model(noisy).clamp(0, 1), clean)


def ratio_loop(image_shape, latent_dim):
    count = 1
    for side in image_shape:
        count *= side
    return count / latent_dim


# --- chapter 02


def size_numpy(size, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    return np.int64(
        stride * (size - 1) + dilation * (kernel - 1) + output_padding + 1 - 2 * padding
    )


def size_asked(size, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    long = F.conv_transpose1d(torch.zeros(1, 1, size), torch.zeros(1, 1, kernel), stride=stride,
                              dilation=dilation).shape[-1]  # fmt: skip
    return long - 2 * padding + output_padding


def size_last_cell(size, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    cells = {s * stride + k * dilation for s in range(size) for k in range(kernel)}
    return max(cells) + 1 - padding - padding + output_padding


def stamping_double(image, kernel, stride=1, padding=0):
    out = F.conv_transpose2d(image[None, None].double(), kernel[None, None].double(), stride=stride)
    return out[0, 0, padding : out.shape[2] - padding or None, padding : out.shape[3] - padding]


def stamping_by_placing(image, kernel, stride=1, padding=0):
    (height, width), k = image.shape, kernel.shape[0]
    high, wide = (height - 1) * stride + k, (width - 1) * stride + k
    total = torch.zeros(high, wide)
    for r, c in itertools.product(range(height), range(width)):
        top, left = r * stride, c * stride
        total = total + F.pad(image[r, c] * kernel, (left, wide - left - k, top, high - top - k))
    return total[padding : high - padding, padding : wide - padding]


def stamping_by_matrix(image, kernel, stride=1, padding=0):
    (height, width), k = image.shape, len(kernel)
    rows = torch.zeros(height, k, (height - 1) * stride + k)
    columns = torch.zeros(width, k, (width - 1) * stride + k)
    for table in (rows, columns):
        for i, j in itertools.product(range(len(table)), range(k)):
            table[i, j, i * stride + j] = 1
    out = torch.einsum("hw,ij,hir,wjc->rc", image, kernel, rows, columns)
    return out[padding : len(out) - padding, padding : out.shape[1] - padding]


def count_numpy(size, kernel, stride):
    stuffed = np.zeros((size - 1) * stride + 1)
    stuffed[::stride] = 1
    return back(np.convolve(stuffed, np.ones(kernel)).round().astype(np.int32))


def count_loops(size, kernel, stride):
    cells = range((size - 1) * stride + kernel)
    stamps = range(size)
    return torch.tensor([sum(s * stride <= c < s * stride + kernel for s in stamps) for c in cells])


def count_scattered(size, kernel, stride):
    where = (stride * torch.arange(size)[:, None] + torch.arange(kernel)).flatten()
    return torch.bincount(where)


# --- chapter 03


def sampled_rsample(mean, log_var):
    return D.Normal(mean, (log_var / 2).exp()).rsample()


def sampled_row_by_row(mean, log_var):
    rows = [m + v.exp().sqrt() * torch.empty_like(m).normal_() for m, v in each(mean, log_var)]
    return torch.stack(rows)


def sampled_double(mean, log_var):
    noise = torch.randn(mean.shape, dtype=torch.float64)
    return mean.double() + torch.exp(0.5 * log_var.double()) * noise


def pathwise_sum_backward(f, mean, std, noise):
    leaf = mean.detach().clone().requires_grad_(True)
    (sum(f(leaf + std * n) for n in noise) / len(noise)).backward()
    return leaf.grad


def pathwise_slopes(f, mean, std, noise):
    z = (mean + std * noise).detach().requires_grad_()
    return torch.autograd.grad(f(z).sum(), z)[0].mean()


def pathwise_rsample_like(f, mean, std, noise):
    return torch.func.grad(lambda m: torch.stack([f(m + std * n) for n in noise]).mean())(mean)


def score_by_distribution(f, mean, std, noise):
    z = (mean + std * noise).detach()
    m = mean.clone().requires_grad_()
    (f(z) * D.Normal(m, std).log_prob(z)).mean().backward()
    return m.grad


def score_numpy(f, mean, std, noise):
    m, s, n = array(mean), array(std), array(noise)
    values = f(back(np.asarray(m + s * n))).numpy()
    return float(np.mean(values * n / s))


def score_loop(f, mean, std, noise):
    total = 0.0
    for n in noise:
        z = mean + std * n
        total += float(f(z)) * float((z - mean) / std.square())
    return total / len(noise)


# --- chapter 04


def kl_distributions(mean, log_var):
    q, p = D.Normal(mean, log_var.mul(0.5).exp()), D.Normal(torch.zeros_like(mean), 1.0)
    return D.kl_divergence(q, p).sum(-1)


def kl_double(mean, log_var):
    m, v = mean.double(), log_var.double()
    return -0.5 * torch.sum(1 + v - m.pow(2) - torch.exp(v), dim=-1)


def kl_loops(mean, log_var):
    rows = []
    for m_row, v_row in each(mean, log_var):
        rows.append(sum((m * m + v.exp() - v - 1) / 2 for m, v in each(m_row, v_row)))
    return torch.stack(rows)


def between_distributions(mean_q, log_var_q, mean_p, log_var_p):
    q, p = D.Normal(mean_q, (log_var_q / 2).exp()), D.Normal(mean_p, (log_var_p / 2).exp())
    return D.kl_divergence(D.Independent(q, 1), D.Independent(p, 1))


def between_double(mean_q, log_var_q, mean_p, log_var_p):
    a, b, c, d = (x.double() for x in (mean_q, log_var_q, mean_p, log_var_p))
    return (0.5 * (d - b) + (b.exp() + (a - c) ** 2) / (2 * d.exp()) - 0.5).sum(1)


def between_loops(*args):
    rows = []
    for row in each(*args):
        cells = [between_double(*(x[None, None] for x in cell))[0] for cell in each(*row)]
        rows.append(sum(cells))
    return torch.stack(rows)


def sampled_kl_log_densities(mean, log_var, noise):
    z = mean + log_var.div(2).exp() * noise
    log_q = -0.5 * (noise**2 + log_var + math.log(2 * math.pi))
    log_p = -0.5 * (z**2 + math.log(2 * math.pi))
    return (log_q - log_p).sum(-1).mean(0)


def sampled_kl_double(mean, log_var, noise):
    m, v, n = mean.double(), log_var.double(), noise.double()
    return sampled_kl_log_densities(m, v, n)


def sampled_kl_loop(mean, log_var, noise):
    total = 0.0
    for n in noise:
        q = D.Independent(D.Normal(mean, (log_var / 2).exp()), 1)
        p = D.Independent(D.Normal(torch.zeros_like(mean), 1.0), 1)
        z = mean + (log_var / 2).exp() * n
        total = total + q.log_prob(z) - p.log_prob(z)
    return total / len(noise)


def information_double(log_q_each):
    each = log_q_each.double()
    return (each.diag() - each.logsumexp(1)).mean() + math.log(len(each))


def information_log_softmax(log_q_each):
    return log_q_each.log_softmax(dim=1).diagonal().mean() + math.log(log_q_each.shape[1])


def information_cross_entropy(log_q_each):
    own = torch.arange(len(log_q_each))
    return np.log(len(own)) - F.cross_entropy(log_q_each, own)


def beta_table(reconstruction, kl, pixels, latent_dim, batch_size):
    share = {"sum": (1, 1), "batchmean": (batch_size, batch_size),
             "mean": (batch_size * pixels, batch_size * latent_dim)}  # fmt: skip
    return share[reconstruction][0] / share[kl][1]


def beta_measured(reconstruction, kl, pixels, latent_dim, batch_size):
    def gained(name, values):
        terms = np.ones((batch_size, values))
        total = terms.sum()
        return {"sum": total, "batchmean": total / batch_size, "mean": terms.mean()}[name] / values

    return np.float64(gained(kl, latent_dim) / gained(reconstruction, pixels))


def beta_ifs(reconstruction, kl, pixels, latent_dim, batch_size):
    top = batch_size if kl == "sum" else 1.0 if kl == "batchmean" else 1.0 / latent_dim
    low = pixels if reconstruction == "mean" else 1.0
    return top * low / (batch_size if reconstruction == "sum" else 1.0)


# --- chapter 05


def nll_distributions(logits, image):
    coin = D.Bernoulli(logits=logits, validate_args=False)
    return -coin.log_prob(image).flatten(1).sum(1)


def nll_double(logits, image):
    a, x = logits.double(), image.double()
    return (a.clamp(min=0) - a * x + torch.log1p(torch.exp(-a.abs()))).flatten(1).sum(1)


def nll_loops(logits, image):
    return torch.stack([F.binary_cross_entropy_with_logits(a, x, reduction="sum")
                        for a, x in each(logits, image)])  # fmt: skip


def elbo_parts(logits, image, mean, log_var, beta=1.0):
    return nll_distributions(logits, image).mean() + beta * kl_distributions(mean, log_var).mean()


def elbo_double(logits, image, mean, log_var, beta=1.0):
    return torch.mean(nll_double(logits, image) + beta * kl_double(mean, log_var))


def elbo_loops(logits, image, mean, log_var, beta=1.0):
    total = 0.0
    for a, x, m, v in each(logits, image, mean, log_var):
        total = total + nll_loops(a[None], x[None]) + beta * kl_double(m[None], v[None])
    return (total / len(image)).squeeze()


def iwae_double(log_weights):
    return log_weights.double().logsumexp(0) - math.log(len(log_weights))


def iwae_by_hand(log_weights):
    top = log_weights.detach().amax(dim=0, keepdim=True)
    return ((log_weights - top).exp().mean(dim=0)).log() + top.squeeze(0)


def iwae_pairwise(log_weights):
    total = log_weights[0]
    for row in log_weights[1:]:
        total = torch.logaddexp(total, row)
    return total - torch.tensor(float(len(log_weights))).log()


def prior_distribution(decoder, count, latent_dim):
    with torch.no_grad():
        logits = decoder(D.Normal(0.0, 1.0).sample((count, latent_dim)))
    return D.Bernoulli(logits=logits).probs


def prior_one_by_one(decoder, count, latent_dim):
    with torch.inference_mode():
        return torch.cat([decoder(torch.randn(1, latent_dim)).sigmoid() for _ in range(count)])


def prior_double(decoder, count, latent_dim):
    latent = torch.empty(count, latent_dim).normal_()
    return (1 / (1 + torch.exp(-decoder(latent).double()))).detach()


# --- chapter 06


def judge_numpy_like(real_logits, fake_logits):
    return (torch.logaddexp(-real_logits.double(), torch.zeros(()).double()).mean()
            + torch.logaddexp(fake_logits.double(), torch.zeros(()).double()).mean())  # fmt: skip


def judge_distributions(real_logits, fake_logits):
    real = D.Bernoulli(logits=real_logits).log_prob(torch.ones_like(real_logits)).mean()
    return -real - D.Bernoulli(logits=fake_logits).log_prob(torch.zeros_like(fake_logits)).mean()


def judge_loops(real_logits, fake_logits):
    real = sum(F.softplus(-x) for x in real_logits) / len(real_logits)
    return real + sum(F.softplus(x) for x in fake_logits) / len(fake_logits)


def fool_double(fake_logits):
    return -F.logsigmoid(fake_logits.double()).mean()


def fool_distributions(fake_logits):
    return -D.Bernoulli(logits=fake_logits).log_prob(torch.ones_like(fake_logits)).mean()


def fool_loop(fake_logits):
    return torch.stack([F.softplus(-x) for x in fake_logits]).mean()


def d_step_grad_by_hand(generator, discriminator, optimizer, real, latent):
    with torch.no_grad():
        fake = generator(latent)
    loss = judge_distributions(discriminator(real), discriminator(fake))
    optimizer.zero_grad(set_to_none=False)
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def d_step_double(generator, discriminator, optimizer, real, latent):
    optimizer.zero_grad()
    loss = judge_numpy_like(discriminator(real), discriminator(generator(latent).detach()))
    loss.backward()
    optimizer.step()
    return loss.detach().numpy().item()


def g_step_distributions(generator, discriminator, optimizer, latent):
    optimizer.zero_grad()
    loss = fool_distributions(discriminator(generator(latent)))
    loss.backward()
    optimizer.step()
    return loss.item()


def g_step_autograd(generator, discriminator, optimizer, latent):
    loss = fool_loop(discriminator(generator(latent)))
    weights = list(generator.parameters())
    for weight, gradient in each(weights, torch.autograd.grad(loss, weights)):
        weight.grad = gradient
    optimizer.step()
    return loss.item()


def modes_loops(samples, centers, radius):
    return len({i for i, c in enumerate(centers.tolist())
                if any(math.dist(c, s) <= radius for s in samples.tolist())})  # fmt: skip


def modes_numpy(samples, centers, radius):
    away = np.linalg.norm(array(samples)[:, None] - array(centers)[None], axis=-1)
    return int((away.min(axis=0) <= radius).sum())


def modes_complex(samples, centers, radius):
    plane = [torch.complex(x[:, 0].double(), x[:, 1].double()) for x in (samples, centers)]
    return ((plane[0][:, None] - plane[1]).abs() <= radius).any(0).sum().item()


# --- chapter 07


def slerp_numpy(start, end, t):
    a, b = array(start), array(end)
    cosine = np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1)
    angle = np.arccos(cosine)
    if abs(np.sin(angle)) < 1e-4:
        return back((1 - t) * a + t * b)
    return back((np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle))


def slerp_rotated(start, end, t):
    a, b = start / start.norm(), end / end.norm()
    angle = torch.atan2((b - (a @ b) * a).norm(), a @ b)
    if angle.sin().abs() < 1e-3:
        return torch.lerp(start, end, t)
    return (start * ((1 - t) * angle).sin() + end * (t * angle).sin()) / angle.sin()


def slerp_math(start, end, t):
    cosine = float(F.cosine_similarity(start, end, dim=0))
    angle = math.acos(max(-1.0, min(1.0, cosine)))
    if math.sin(angle) < 1e-3:
        return start + t * (end - start)
    weights = [math.sin(w * angle) / math.sin(angle) for w in (1 - t, t)]
    return weights[0] * start + weights[1] * end


def direction_numpy(latents, has_attribute):
    z, has = array(latents), has_attribute.numpy()
    return back(z[has].mean(0) - z[~has].mean(0))


def direction_sums(latents, has_attribute):
    weight = has_attribute.float()
    without = (1 - weight) @ latents / (1 - weight).sum()
    return weight @ latents / weight.sum() - without


def direction_lists(latents, has_attribute):
    groups = {True: [], False: []}
    for row, has in each(latents, has_attribute.tolist()):
        groups[has].append(row)
    return torch.stack(groups[True]).mean(0) - torch.stack(groups[False]).mean(0)


def threshold_numpy(normal_scores, false_positive_rate):
    return np.percentile(array(normal_scores), 100 * (1 - false_positive_rate))


def threshold_counted(normal_scores, false_positive_rate):
    ordered = sorted(normal_scores.tolist(), reverse=True)
    return ordered[int(false_positive_rate * len(ordered))]


def threshold_tensor(normal_scores, false_positive_rate):
    return normal_scores.double().quantile(1 - false_positive_rate)


def rate_numpy(mean, log_var):
    m, v = array(mean), array(log_var)
    return back(0.5 * (m**2 + np.exp(v) - 1 - v).sum(axis=1) / np.log(2))


def rate_distributions(mean, log_var):
    return kl_distributions(mean, log_var) * math.log2(math.e)


def rate_scipy(mean, log_var):
    entropy = stats.norm(array(mean), np.exp(array(log_var) / 2)).entropy()
    cross = 0.5 * (np.log(2 * np.pi) + array(mean) ** 2 + np.exp(array(log_var)))
    return back(((cross - entropy) / math.log(2)).sum(1))


# --- chapter 08


def loss_distributions(logits, targets):
    return -D.Categorical(logits=logits).log_prob(targets).mean()


def loss_double(logits, targets):
    return F.cross_entropy(logits.double().flatten(0, 1), targets.flatten())


def loss_scipy_like(logits, targets):
    total = 0.0
    for row, target in each(logits.flatten(0, 1), targets.flatten().tolist()):
        total = total + row.logsumexp(0) - row[target]
    return total / targets.numel()


def mask_numpy(length):
    return back(np.tri(length, dtype=bool))


def mask_loops(length):
    return torch.tensor([[s <= t for s in range(length)] for t in range(length)])


def mask_counted(length):
    return torch.ones(length, length).cumsum(1) <= torch.arange(1, length + 1)[:, None]


def attention_torch(query, key, value):
    return F.scaled_dot_product_attention(query, key, value, is_causal=True)


def attention_double(query, key, value):
    q, k, v = query.double(), key.double(), value.double()
    scores = torch.einsum("btc,bsc->bts", q, k) * q.shape[-1] ** -0.5
    future = torch.triu(torch.ones_like(scores[0]), diagonal=1).bool()
    return scores.masked_fill(future, float("-inf")).softmax(-1) @ v


def attention_loops(query, key, value):
    rows = []
    for q, k, v in each(query, key, value):
        row = []
        for t in range(len(q)):
            weights = F.softmax(k[: t + 1] @ q[t] / len(q[t]) ** 0.5, dim=0)
            row.append(weights @ v[: t + 1])
        rows.append(torch.stack(row))
    return torch.stack(rows)


def next_gumbel(logits, temperature, generator):
    noise = torch.rand(logits.shape, generator=generator, dtype=torch.float64).clamp(min=1e-12)
    return (logits.double() / temperature - torch.log(-torch.log(noise))).argmax(-1)


def next_cumulative(logits, temperature, generator):
    edges = torch.softmax(logits.double() / temperature, -1).cumsum(-1)
    u = torch.rand(len(logits), 1, generator=generator, dtype=torch.float64)
    return (edges < u * edges[:, -1:]).sum(-1)


def next_scipy_softmax(logits, temperature, generator):
    probs = back(special.softmax(array(logits) / temperature, axis=1))
    return torch.multinomial(probs, 1, generator=generator)[:, 0].to(torch.int32)


# --- chapter 09


def gaussian_by_distributions(mean, log_var, image):
    log_prob = D.Normal(mean.double(), (0.5 * log_var.double()).exp()).log_prob(image)
    return -log_prob.reshape(len(image), -1).sum(1)


def gaussian_by_torch(mean, log_var, image):
    nll = F.gaussian_nll_loss(mean, image, log_var.exp(), full=True, eps=1e-30, reduction="none")
    return nll.flatten(1).sum(1)


def gaussian_by_precision(mean, log_var, image):
    distance = ((image - mean) * torch.exp(-0.5 * log_var)).flatten(1).pow(2).sum(1)
    per_image = log_var.flatten(1).sum(1) + math.log(2 * math.pi) * image[0].numel()
    return (distance + per_image) / 2


def standardize_numpy(table, mean, std):
    divisor = np.where(array(std) == 0, 1.0, array(std))
    return back((array(table) - array(mean)) / divisor)


def standardize_by_columns(table, mean, std):
    columns = []
    for column, m, s in each(table.T, mean.tolist(), std.tolist()):
        columns.append((column - m) / (s if s > 0 else 1))
    return torch.stack(columns, dim=1)


def standardize_masked_fill(table, mean, std):
    return (table - mean[None]) / std.masked_fill(std == 0, 1)[None]


def audit_numpy(loss_value, reconstruction, kl):
    terms = np.stack([array(reconstruction), array(kl), np.ones(len(kl))], axis=1)
    solution, *_ = np.linalg.lstsq(terms, array(loss_value), rcond=None)
    return solution[1] / solution[0]


def audit_covariances(loss_value, reconstruction, kl):
    c = np.cov(np.stack([array(loss_value), array(reconstruction), array(kl)]))
    weights = np.linalg.solve(c[1:, 1:], c[1:, 0])
    return weights[1] / weights[0]


def audit_sklearn(loss_value, reconstruction, kl):
    from sklearn.linear_model import LinearRegression

    fit = LinearRegression().fit(np.stack([array(reconstruction), array(kl)], 1), array(loss_value))
    return torch.tensor(fit.coef_[1] / fit.coef_[0])


def nearest_by_loop(vectors, codebook):
    return torch.tensor([int((codebook - v).square().sum(dim=1).argmin()) for v in vectors])


def nearest_in_numpy(vectors, codebook):
    v, e = vectors.numpy().astype(np.float64), codebook.numpy().astype(np.float64)
    return torch.from_numpy(((v[:, None] - e[None]) ** 2).sum(-1).argmin(axis=1))


class Through(torch.autograd.Function):
    @staticmethod
    def forward(ctx, latent, quantized):
        return quantized.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


def perplexity_in_numpy(indices, size):
    share = np.bincount(indices.numpy().ravel(), minlength=size) / indices.numel()
    return float(np.exp(-(share[share > 0] * np.log(share[share > 0])).sum()))


def noised_by_hand(image, noise, alpha_bar):
    rows = [a.sqrt() * x + (1 - a).sqrt() * n for x, n, a in zip(image, noise, alpha_bar)]
    return torch.stack(rows)


def noised_in_numpy(image, noise, alpha_bar):
    a = alpha_bar.double().numpy().reshape(-1, *[1] * (image.dim() - 1))
    return torch.from_numpy(np.sqrt(a) * image.double().numpy() + np.sqrt(1 - a) * noise.numpy())


def kl_from_two_gaussians(beta, alpha_bar, alpha_bar_before, noise_error):
    std = (beta * (1 - alpha_bar_before) / (1 - alpha_bar)).sqrt()
    shift = beta / ((1 - beta) * (1 - alpha_bar)).sqrt() * noise_error.sqrt()
    normal = torch.distributions.Normal
    return torch.distributions.kl_divergence(normal(shift, std), normal(0 * shift, std))


def step_in_one_line(noisy, e, now, then):
    now, then = (a.reshape(len(a), *[1] * (noisy.ndim - 1)) for a in (now, then))
    return (then / now) ** 0.5 * (noisy - (1 - now) ** 0.5 * e) + (1 - then) ** 0.5 * e


def step_by_noised(noisy, predicted_noise, alpha_bar, alpha_bar_next):
    clean = diffusion.image_from_noise(noisy, predicted_noise, alpha_bar)
    return noised_by_hand(clean, predicted_noise, alpha_bar_next)


RIGHT = {
    "mse_per_image": (mse_numpy, mse_loops, mse_from_gaussians),
    "pca_reconstruct": (pca_numpy, pca_sklearn, pca_power_iteration),
    "denoising_loss": (denoising_mse_loss, denoising_by_image, denoising_double, denoising_clamped),
    "compression_ratio": (
        ratio_loop,
        lambda shape, d: np.prod(shape) / np.float64(d),
        lambda shape, d: torch.zeros(shape).numel() / d,
    ),
    "conv_transpose_output_size": (size_numpy, size_asked, size_last_cell),
    "conv_transpose2d": (stamping_double, stamping_by_placing, stamping_by_matrix),
    "overlap_count": (count_numpy, count_loops, count_scattered),
    "reparameterize": (sampled_rsample, sampled_row_by_row, sampled_double),
    "pathwise_gradient": (pathwise_sum_backward, pathwise_slopes, pathwise_rsample_like),
    "score_function_gradient": (score_by_distribution, score_numpy, score_loop),
    "gaussian_kl": (kl_distributions, kl_double, kl_loops),
    "gaussian_kl_between": (between_distributions, between_double, between_loops),
    "monte_carlo_kl": (sampled_kl_log_densities, sampled_kl_double, sampled_kl_loop),
    "mutual_information": (
        information_double,
        information_log_softmax,
        information_cross_entropy,
    ),
    "effective_beta": (beta_table, beta_measured, beta_ifs),
    "bernoulli_nll": (nll_distributions, nll_double, nll_loops),
    "negative_elbo": (elbo_parts, elbo_double, elbo_loops),
    "iwae_bound": (iwae_double, iwae_by_hand, iwae_pairwise),
    "sample_prior": (prior_distribution, prior_one_by_one, prior_double),
    "discriminator_loss": (judge_numpy_like, judge_distributions, judge_loops),
    "generator_loss": (fool_double, fool_distributions, fool_loop),
    "discriminator_step": (d_step_grad_by_hand, d_step_double, gan.discriminator_step),
    "generator_step": (g_step_distributions, g_step_autograd, gan.generator_step),
    "modes_covered": (modes_loops, modes_numpy, modes_complex),
    "slerp": (slerp_numpy, slerp_rotated, slerp_math),
    "attribute_direction": (direction_numpy, direction_sums, direction_lists),
    "anomaly_threshold": (threshold_numpy, threshold_counted, threshold_tensor),
    "rate_in_bits": (rate_numpy, rate_distributions, rate_scipy),
    "language_model_loss": (loss_distributions, loss_double, loss_scipy_like),
    "causal_mask": (mask_numpy, mask_loops, mask_counted),
    "attention": (attention_torch, attention_double, attention_loops),
    "sample_next": (next_gumbel, next_cumulative, next_scipy_softmax),
    "gaussian_nll": (gaussian_by_distributions, gaussian_by_torch, gaussian_by_precision),
    "standardize": (standardize_numpy, standardize_by_columns, standardize_masked_fill),
    "audit": (audit_numpy, audit_covariances, audit_sklearn),
    "nearest_code": (vq.nearest_code, nearest_by_loop, nearest_in_numpy),
    "straight_through": (
        vq.straight_through,
        Through.apply,
        lambda latent, quantized: quantized.detach() - latent.detach() + latent,
    ),
    "codebook_perplexity": (
        vq.codebook_perplexity,
        perplexity_in_numpy,
        lambda indices, size: torch.distributions.Categorical(
            torch.bincount(indices.flatten(), minlength=size).double()
        ).entropy().exp(),
    ),
    "commitment_loss": (
        vq.commitment_loss,
        lambda z, e: torch.nn.functional.mse_loss(z, e.detach()),
        lambda z, e: ((z.double() - e.detach()) ** 2).sum() / z.numel(),
    ),
    "noised": (diffusion.noised, noised_by_hand, noised_in_numpy),
    "diffusion_kl": (
        diffusion.diffusion_kl,
        kl_from_two_gaussians,
        lambda b, a, c, e: e * b / (2 * (1 - b) * (1 - c)),
    ),
    "ddim_step": (diffusion.ddim_step, step_in_one_line, step_by_noised),
}
