"""What β does to a VAE, over seeds: the maps and tables of notebooks 04 and 04b.

    python benchmarks/beta_sweep.py maps --folder FOLDER     # 2 latents, 60,000 digits, 2 min each
    python benchmarks/beta_sweep.py sweep --folder FOLDER    # 2 to 20 latents, mnist-5k, 10 s each

Each training is one row, printed and kept in FOLDER/PART-D-BETA-SEED.json; the same command again
goes on with what is missing. `maps` leaves weights too (those of seed 0 ship as vae-2d-beta-…).
In the end all rows go to data/runs/beta-PART.csv. --betas, --latents and --seeds choose a part.

Every row is measured with one draw a digit and 1,000 samples. `aggregate_kl` is KL(q(z) ‖ p(z))
where q(z) is the mixture of the clouds of the test digits themselves; with N of them the rest of
the rate can't exceed log N. `sure` is the share of samples that the course's classifier gives a
class with more than 90 %.
"""

import argparse
import json
import math
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from vae_course import data, losses, metrics, pretrained, training
from vae_course.files import write_rows, write_whole
from vae_course.models import VAE

MAPS = {"width": 128, "layers": 2, "epochs": 40, "batch_size": 200, "learning_rate": 2e-3}
SWEEP = {"width": 200, "layers": 1, "epochs": 25, "batch_size": 64, "learning_rate": 2e-3}
SAMPLES = 1000


def loss_with(beta: float):
    def loss(model, image):
        logits, mean, log_var = model(image)
        reconstruction = losses.bernoulli_nll(logits, image).mean()
        kl = losses.gaussian_kl(mean, log_var).mean()
        return {"loss": reconstruction + beta * kl, "reconstruction": reconstruction, "kl": kl}

    return loss


def train_map(model, images, beta: float, seed: int) -> None:
    """Adam with a cosine to a hundredth of its rate, over MNIST."""
    size, loss = MAPS["batch_size"], loss_with(beta)
    optimizer = torch.optim.Adam(model.parameters(), lr=MAPS["learning_rate"], fused=True)
    generator = torch.Generator().manual_seed(seed)
    steps, step = MAPS["epochs"] * (len(images) // size), 0
    for _ in range(MAPS["epochs"]):
        order = torch.randperm(len(images), generator=generator)
        for start in range(0, len(images) - size + 1, size):
            share = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps))
            optimizer.param_groups[0]["lr"] = MAPS["learning_rate"] * share
            optimizer.zero_grad()
            loss(model, images[order[start : start + size]])["loss"].backward()
            optimizer.step()
            step += 1


def log_aggregate(latent, mean, log_var):
    """log q(z) of the mixture of all clouds at each latent: (M, D) → (M,)."""
    latent, mean, log_var = latent.double(), mean.double(), log_var.double()  # at β = 0, σ is tiny
    parts = []
    for some in latent.split(100):
        some = some[:, None].expand(-1, *mean.shape)  # (100, N, D)
        each = losses.gaussian_log_prob(some, mean, log_var)  # (100, N)
        parts.append(torch.logsumexp(each, dim=1) - math.log(len(mean)))
    return torch.cat(parts)


@torch.no_grad()
def measure(model, digits, reference) -> dict[str, float]:
    generator = torch.Generator().manual_seed(1)
    images = digits.test_images
    mean, log_var = model.encode(images)
    latent = mean + torch.exp(0.5 * log_var) * torch.randn(mean.shape, generator=generator)
    parts = zip(latent.split(1000), images.split(1000), strict=True)
    nll = torch.cat([losses.bernoulli_nll(model.decoder(z), x) for z, x in parts])
    kl = losses.gaussian_kl(mean, log_var)
    some = latent[torch.randperm(len(images), generator=generator)[:SAMPLES]]
    nothing = torch.zeros(model.latent_dim)
    log_prior = losses.gaussian_log_prob(some, nothing, nothing)
    prior = torch.randn(SAMPLES, model.latent_dim, generator=generator)
    code = model.encode(digits.train_images[:SAMPLES])
    noise = torch.randn(code[0].shape, generator=generator)
    found = {
        "reconstruction": nll.mean(),
        "kl": kl.mean(),
        "negative_elbo": (nll + kl).mean(),
        "aggregate_kl": (log_aggregate(some, mean, log_var) - log_prior).mean(),
        "outside": (latent.square().sum(dim=1) > 4).float().mean(),
    }
    clouds = code[0] + torch.exp(0.5 * code[1]) * noise
    for name, z in {"prior": prior, "aggregate": clouds}.items():
        images_of = model.decode(z)
        frechet = metrics.frechet_distance(
            reference, metrics.digit_features(images_of), held_out=images
        )
        found |= {f"frechet_{name}": frechet.distance, "floor": frechet.floor}
        found[f"sure_{name}"] = (metrics.classify(images_of).amax(dim=1) > 0.9).float().mean()
    for index, value in enumerate(losses.gaussian_kl_per_dimension(mean, log_var).mean(dim=0), 1):
        found[f"kl_{index}"] = value
    return {name: round(float(value), 4) for name, value in found.items()}


def one(part: str, latent_dim: int, beta: float, seed: int, digits, reference, folder: Path):
    name = f"{part}-{latent_dim}-{beta:g}-{seed}"
    kept, weights = folder / f"{name}.json", folder / f"{name}.pt"
    if kept.exists():
        return json.loads(kept.read_text())
    how = MAPS if part == "maps" else SWEEP
    torch.manual_seed(seed)
    model = VAE.dense(latent_dim, hidden=how["width"], layers=how["layers"])
    start = time.process_time()
    if weights.exists():  # trained, and to be measured anew
        model.load_state_dict(torch.load(weights, weights_only=True))
    elif part == "maps":
        train_map(model, digits.train_images, beta, seed)
        torch.save(model.state_dict(), weights)
    else:
        fit = {key: how[key] for key in ("epochs", "batch_size", "learning_rate")}
        training.fit(
            model, loss_with(beta), digits.train_images, seed=seed, progress=False, **fit
        )
    row = {"latent_dim": latent_dim, "beta": beta, "seed": seed}
    print(name, round(time.process_time() - start), "s", flush=True)
    row |= measure(model.eval(), digits, reference)
    write_whole(kept, json.dumps(row).encode())
    return row


def write_table(part: str, rows: list[dict]) -> None:
    write_rows(Path(__file__).parents[1] / f"data/runs/beta-{part}.csv", rows)


def ship(folder: Path, row: dict, digits) -> None:
    """Weights of one map (float16) and its card, in data/pretrained."""
    size = {"latent_dim": 2, "width": MAPS["width"], "layers": MAPS["layers"]}
    model = VAE.dense(2, hidden=MAPS["width"], layers=MAPS["layers"])
    beta = row["beta"]
    model.load_state_dict(torch.load(folder / f"maps-2-{beta:g}-0.pt", weights_only=True))
    pretrained.save(
        Path(__file__).parents[1] / f"data/pretrained/vae-2d-beta-{beta:g}",
        model,
        architecture={"kind": "dense-vae", **size},
        dtype="float16",
        data={"name": "mnist", "source": digits.source,
              "training_images": len(digits.train_images), "test_images": len(digits.test_images)},
        protocol=MAPS | {"beta": beta, "seed": 0, "optimizer": "adam", "schedule": "cosine to 1 %"},
        commands=["python benchmarks/beta_sweep.py maps --folder FOLDER"],
        measured={k: v for k, v in row.items() if k not in ("beta", "seed", "latent_dim")}
        | {"unit": "nats per image where it is one",
           "how": "10,000 test images, one draw each, before rounding to float16"},
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("maps", "sweep"))
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="where MNIST lies")
    parser.add_argument("--betas", type=float, nargs="+")
    parser.add_argument("--latents", type=int, nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    maps = asked.part == "maps"
    digits = data.load_images("mnist" if maps else "mnist-5k", folder=asked.data)
    reference = metrics.digit_features(digits.train_images[:10_000])
    rows = []
    for latent_dim in asked.latents or [2 if maps else 10]:
        for seed in asked.seeds:
            for beta in asked.betas or [0.0, 1.0, 4.0, 16.0]:
                row = one(asked.part, latent_dim, beta, seed, digits, reference, asked.folder)
                print(json.dumps(row), flush=True)
    rows = [json.loads(path.read_text()) for path in asked.folder.glob(f"{asked.part}-*.json")]
    rows.sort(key=lambda row: (row["latent_dim"], row["beta"], row["seed"]))
    write_table(asked.part, rows)
    for row in rows:
        if maps and row["seed"] == 0:
            ship(asked.folder, row, digits)


if __name__ == "__main__":
    main()
