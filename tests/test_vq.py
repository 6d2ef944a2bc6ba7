"""Discrete codes: rounding, its gradient, codebooks that stay alive, a prior that writes."""

import math

import pytest
import torch
from torch import nn

from vae_course import vq
from vae_course.losses import bernoulli_nll


def blobs(count=400, centres=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    middle = 4 * torch.randn(centres, 3, generator=generator)
    kind = torch.arange(count) % centres
    return middle[kind] + 0.05 * torch.randn(count, 3, generator=generator), middle, kind


def test_the_nearest_code_is_that_of_a_plain_distance_table():
    generator = torch.Generator().manual_seed(0)
    vectors, codes = (torch.randn(n, 5, generator=generator) for n in (200, 17))
    plain = torch.stack([(vectors - code).square().sum(dim=1) for code in codes]).argmin(dim=0)
    assert torch.equal(vq.nearest_code(vectors, codes), plain)


def test_straight_through_has_one_value_and_the_other_gradient():
    latent, quantized = torch.randn(2, 3), torch.randn(2, 3, requires_grad=True)
    latent.requires_grad_()
    out = vq.straight_through(latent, quantized)
    torch.testing.assert_close(out, quantized)
    (out * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert torch.equal(latent.grad, torch.tensor([[1.0, 2.0, 3.0]] * 2))
    assert quantized.grad is None


def test_each_half_of_the_loss_pulls_one_side():
    latent, codes = (torch.randn(4, 2, 1, 1, requires_grad=True) for _ in range(2))
    vq.commitment_loss(latent, codes).backward()
    assert codes.grad is None and latent.grad.abs().sum() > 0
    latent.grad = None
    vq.codebook_loss(latent, codes).backward()
    assert latent.grad is None and codes.grad.abs().sum() > 0
    apart = (latent - codes).square().mean()
    for loss in (vq.commitment_loss, vq.codebook_loss):
        torch.testing.assert_close(loss(latent, codes), apart)


@pytest.mark.parametrize("average", [0.9, 0.0])
def test_the_loss_of_a_codebook_is_its_terms_with_their_weights(average):
    torch.manual_seed(0)
    book, latent = vq.Codebook(4, 3, average=average, commitment=0.5), torch.randn(5, 3, 2, 1)
    book.eval()
    apart = (latent - book.look_up(book(latent).indices)).square().mean()
    torch.testing.assert_close(book(latent).loss, (0.5 if average else 1.5) * apart)


def test_each_place_of_a_latent_has_its_own_code():
    torch.manual_seed(0)
    book = vq.Codebook(9, 3).eval()
    indices = torch.arange(6).view(1, 2, 3)
    latent = book.look_up(indices)  # (1, 3, 2, 3)
    assert torch.equal(latent[0, :, 1, 2], book.codes[5])
    assert torch.equal(book(latent).indices, indices)


def test_one_step_of_the_averages():
    codes, vectors = torch.tensor([[0.0], [10.0]]), torch.tensor([[1.0], [2.0], [9.0]])
    book = vq.Codebook(2, 1, average=0.75)
    book.start_from(codes, rounds=0)
    start = book.codes.flatten().tolist()  # in whatever order
    book(vectors[:, :, None, None])
    expected = {0.0: (0.75 * 0 + 0.25 * 3) / (0.75 + 0.25 * 2), 10.0: 0.75 * 10 + 0.25 * 9}
    assert book.codes.flatten().tolist() == pytest.approx([expected[code] for code in start])


@pytest.mark.parametrize(
    ("indices", "expected"), [([0, 0, 0], 1.0), ([0, 1, 2, 3], 4.0), ([0, 0, 1, 1], 2.0)]
)
def test_perplexity_counts_equally_used_codes(indices, expected):
    assert vq.codebook_perplexity(torch.tensor(indices), 8) == pytest.approx(expected)


def test_kmeans_starts_the_codes_in_blobs_that_lie_apart():
    vectors, middle, _ = blobs()
    book = vq.Codebook(6, 3)
    book.start_from(vectors, rounds=20, seed=1)
    assert torch.cdist(middle, book.codes).amin(dim=1).max() < 0.1


@pytest.mark.parametrize("average", [0.9, 0.0])
def test_a_codebook_learns_where_the_vectors_lie(average):
    vectors, middle, _ = blobs()
    torch.manual_seed(0)
    book = vq.Codebook(6, 3, average=average, revive=0.0)
    book.start_from(vectors, rounds=0, seed=3)
    optimizer = None if average else torch.optim.Adam(book.parameters(), lr=0.05)
    start = (book.look_up(book(vectors[:, :, None, None]).indices)[..., 0, 0] - vectors).square()
    for _ in range(200):
        out = book(vectors[:, :, None, None])
        if optimizer:
            optimizer.zero_grad()
            out.loss.backward()
            optimizer.step()
    end = (out.latent[..., 0, 0] - vectors).square()
    assert end.mean() < start.mean()
    used = book.codes[out.indices.unique()]
    means = torch.stack([vectors[out.indices.flatten() == i].mean(dim=0)
                         for i in out.indices.unique()])  # fmt: skip
    assert (used - means).abs().max() < 0.05


def test_revival_brings_codes_back_that_nothing_chooses():
    vectors, _, _ = blobs()
    alive = {}
    for revive in (0.0, 1.0):
        torch.manual_seed(0)
        book = vq.Codebook(12, 3, average=0.8, revive=revive)
        with torch.no_grad():  # all but one lie far from everything
            book.codes += 100.0
            book.codes[0] = 0.0
            book.sums.copy_(book.codes)
        for _ in range(60):
            book(vectors[:, :, None, None])
        alive[revive] = vq.codebook_perplexity(book(vectors[:, :, None, None]).indices, 12)
    assert alive[0.0] == pytest.approx(1.0) and alive[1.0] > 5


def test_evaluation_leaves_the_codebook_alone():
    vectors, _, _ = blobs()
    book = vq.Codebook(6, 3).eval()
    before = book.codes.clone()
    book(vectors[:, :, None, None])
    assert torch.equal(book.codes, before)


def test_letters_are_all_that_the_decoder_needs():
    torch.manual_seed(0)
    model = vq.VQVAE(codes=16, code_width=4, channels=8).eval()
    image = torch.rand(3, 1, 28, 28)
    logits, quantized = model(image)
    indices = model.encode(image)
    assert indices.shape == (3, 7, 7) and torch.equal(indices, quantized.indices)
    torch.testing.assert_close(model.decode(indices), torch.sigmoid(logits))


def test_other_shapes_and_their_refusal():
    model = vq.VQVAE(codes=8, code_width=4, channels=8, image_shape=(3, 32, 20))
    assert model.encode(torch.rand(2, 3, 32, 20)).shape == (2, 8, 5)
    with pytest.raises(ValueError, match="multiples of 4"):
        vq.VQVAE(image_shape=(1, 30, 28))


def test_training_a_few_steps_lowers_the_loss():
    torch.manual_seed(0)
    model = vq.VQVAE(codes=16, code_width=4, channels=8, revive=1.0)
    image = torch.zeros(32, 1, 28, 28)
    image[:16, :, 4:24, 12:16] = 1.0
    image[16:, :, 12:16, 4:24] = 1.0
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    start = vq.vq_loss(model, image)["reconstruction"].item()
    for _ in range(150):
        terms = vq.vq_loss(model, image)
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
    assert terms["reconstruction"].item() < 0.1 * start


def test_the_loss_is_a_sum_over_the_picture():
    torch.manual_seed(0)
    model = vq.VQVAE(codes=8, code_width=4, channels=8, image_shape=(1, 8, 8)).eval()
    image = torch.rand(3, 1, 8, 8)
    logits, quantized = model(image)
    expected = bernoulli_nll(logits, image).mean() + 4 * 2 * 2 * quantized.loss
    torch.testing.assert_close(vq.vq_loss(model, image)["loss"], expected)


@pytest.fixture(scope="module")
def prior():
    r"""A transformer that has learned two sequences by heart, one for each class."""
    torch.manual_seed(0)
    network = vq.prior_network(5, 4, classes=2, layers=1, heads=2, width=32)
    indices = torch.tensor([[[0, 1], [2, 3]], [[4, 4], [1, 0]]])
    sequence = vq.as_sequence(indices, torch.tensor([0, 1]), 5)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(150):
        loss = vq.code_nll(network, sequence).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval(), indices, sequence


def test_the_class_token_stands_in_front(prior):
    _, indices, sequence = prior
    assert sequence.tolist() == [[5, 0, 1, 2, 3], [6, 4, 4, 1, 0]]


def test_the_prior_writes_what_it_was_taught(prior):
    network, indices, _ = prior
    generator = torch.Generator().manual_seed(0)
    written = vq.write_codes(
        network, torch.tensor([1, 0]), (2, 2), 5, temperature=0.2, generator=generator
    )
    assert torch.equal(written, indices[[1, 0]])


def test_what_is_known_by_heart_costs_nothing(prior):
    network, _, sequence = prior
    assert vq.code_nll(network, sequence).max() < 0.5
    assert vq.code_nll(network, sequence[[0]].roll(1, dims=1)).min() > 2


def test_a_cold_writer_takes_the_likeliest():
    torch.manual_seed(0)
    network = vq.prior_network(6, 3, classes=2, layers=1, heads=2, width=16).eval()
    label = torch.zeros(8, dtype=torch.long)
    written = vq.write_codes(network, label, (1, 3), 6, temperature=1e-4)
    assert (written == written[0]).all()


def test_writing_goes_on_from_what_stands(prior):
    network, _, _ = prior
    start = torch.tensor([[3, 3]])
    written = vq.write_codes(network, torch.tensor([0]), (2, 2), 5, start=start)
    assert written.shape == (1, 2, 2) and written[0, 0].tolist() == [3, 3]


def test_an_untrained_prior_pays_log_of_its_letters():
    torch.manual_seed(0)
    network = vq.prior_network(64, 49, layers=1, heads=2, width=32)
    sequence = vq.as_sequence(torch.randint(64, (8, 7, 7)), torch.zeros(8, dtype=torch.long), 64)
    assert vq.code_nll(network, sequence).mean().item() / 49 == pytest.approx(math.log(74), abs=0.1)


def test_the_bound_is_the_bits_of_codes_and_pixels(prior):
    network, _, _ = prior
    torch.manual_seed(1)
    model = vq.VQVAE(codes=5, code_width=3, channels=8, image_shape=(1, 8, 8)).eval()
    image, label = torch.rand(2, 1, 8, 8), torch.tensor([0, 1])
    found = vq.log_likelihood_bound(model, network, image, label)
    indices = model.encode(image)
    codes = vq.code_nll(network, vq.as_sequence(indices, label, 5))
    pixels = bernoulli_nll(torch.logit(model.decode(indices)), image)
    torch.testing.assert_close(found, codes + pixels, rtol=1e-4, atol=1e-3)


def test_gradients_reach_the_encoder_through_the_rounding():
    torch.manual_seed(0)
    model = vq.VQVAE(codes=8, code_width=4, channels=8)
    logits, _ = model(torch.rand(2, 1, 28, 28))
    logits.sum().backward()
    first = next(m for m in model.encoder if isinstance(m, nn.Conv2d))
    assert first.weight.grad.abs().sum() > 0


def test_a_code_that_comes_back_counts_as_one_vector_and_lies_on_it():
    vectors, _, _ = blobs()
    torch.manual_seed(0)
    book = vq.Codebook(12, 3, average=0.8, revive=1.0)
    with torch.no_grad():
        book.codes[:] = 100.0 + torch.arange(12)[:, None]  # far from everything, but for one
        book.codes[0] = vectors.mean(dim=0)
        book.sums.copy_(book.codes), book.counts.fill_(0.5)
    book.train()(vectors[:, :, None, None])
    assert torch.equal(book.counts[1:], torch.ones(11))
    on_one = (book.codes[1:, None] == vectors).all(dim=2)  # (11, N)
    assert on_one.any(dim=1).all()


def test_a_residual_part_adds_to_what_came():
    part, x = vq.Residual(4), torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(part(x) - x, part.layers(x))
    with torch.no_grad():
        for weight in part.parameters():
            weight.zero_()
    assert torch.equal(part(x), x)
