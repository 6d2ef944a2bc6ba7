r"""Exercises of notebook 11: diffusion."""

import torch

from . import draw
from .definition import Exercise
from .values import close

# --- noised ----------------------------------------------------------------------------------


def noised(image, noise, alpha_bar):
    left = alpha_bar.view(-1, *[1] * (image.dim() - 1))  # (B, 1, …): one number a picture
    return left.sqrt() * image + (1 - left).sqrt() * noise


def _pictures_and_times(g):
    kinds = ((1, "H", "W"), ("D",))  # pictures, and latents
    shape = ("B", *kinds[g.initial_seed() % 2])
    image, noise = draw.pixels(g, *shape) * 2 - 1, draw.normal(g, *shape)
    return image, noise, 0.05 + 0.9 * draw.pixels(g, "B")


noising = Exercise(
    noised,
    inputs=_pictures_and_times,
    returns="x_t, of the image's shape (B, …): √ᾱ · image + √(1 − ᾱ) · noise, ᾱ (B,) one a picture",
    chapter=11, minutes=10, difficulty=2,
)  # fmt: skip
noising.mistake("roots-forgotten", edit=[("left.sqrt() *", "left *"), ("(1 - left).sqrt()",
                                                                       "(1 - left)")],
                in_pairs=False,
                hint="The roots are missing: ᾱ and 1 − ᾱ are shares of the *variance*; picture and "
                     "noise are multiplied by their roots.")
noising.mistake("first-root-forgotten", edit=("left.sqrt() *", "left *"),
                hint="The picture is multiplied by ᾱ. It is √ᾱ: ᾱ is a share of the variance.")
noising.mistake("second-root-forgotten", edit=("(1 - left).sqrt()", "(1 - left)"),
                hint="The noise is multiplied by 1 − ᾱ. It is √(1 − ᾱ), so that the variances add "
                     "up to 1.")
noising.mistake("root-of-the-first-only", edit=("(1 - left).sqrt()", "(1 - left.sqrt())"),
                hint="1 − √ᾱ is not √(1 − ᾱ): subtract first, then take the root.")
noising.mistake("swapped", edit=[("left.sqrt() * image", "left.sqrt() * noise"),
                                 ("(1 - left).sqrt() * noise", "(1 - left).sqrt() * image")],
                in_pairs=False,
                hint="Picture and noise have changed places: ᾱ is the share of the *picture* that "
                     "is left. At ᾱ = 1 nothing has been added yet.")
noising.mistake("noise-subtracted", edit=(" + (1 - left)", " - (1 - left)"),
                hint="The noise is subtracted. It is added: then the prediction of the noise and "
                     "the step back have the right sign.")
noising.mistake("fresh-noise", edit=(".sqrt() * noise", ".sqrt() * torch.randn_like(noise)"),
                hint="You drew noise of your own. It is given: the network is asked later for "
                     "just this noise.")
noising.mistake("noise-unscaled", edit=("(1 - left).sqrt() * noise", "noise"),
                hint="The noise is added at full strength at every time. Scale it by √(1 − ᾱ).")
noising.mistake("picture-unscaled", edit=("left.sqrt() * image", "image"),
                hint="The picture keeps its full strength. It fades: scale it by √ᾱ.")
noising.mistake("one-time-for-all", edit=("alpha_bar.view", "alpha_bar[:1].view"),
                hint="Every picture got the first one's ᾱ. Each has its own time.")
noising.mistake("mean-time", edit=("alpha_bar.view", "alpha_bar.mean().view"),
                hint="Every picture got the average ᾱ of the batch. Each has its own time.")
noising.must("nothing-added", lambda f: close(f(draw.fixed(2, 3), draw.fixed(2, 3, seed=8),
                                                torch.ones(2)), draw.fixed(2, 3)),
             hint="With ᾱ = 1 nothing has been added: the picture itself must come back.")
noising.must("nothing-left", lambda f: close(f(draw.fixed(2, 3), draw.fixed(2, 3, seed=8),
                                               torch.zeros(2)), draw.fixed(2, 3, seed=8)),
             hint="With ᾱ = 0 nothing is left of the picture: the noise itself must come back.")

# --- diffusion_kl ----------------------------------------------------------------------------


def diffusion_kl(beta, alpha_bar, alpha_bar_before, noise_error):
    variance = beta * (1 - alpha_bar_before) / (1 - alpha_bar)  # of q(x_{t−1} | x_t, x_0)
    factor = beta.square() / ((1 - beta) * (1 - alpha_bar))  # from noise to the step's mean
    return factor * noise_error / (2 * variance)


def _steps_of_a_chain(g):
    before = 0.2 + 0.7 * draw.pixels(g, "B")  # ᾱ_{t−1}
    beta = 0.02 + 0.3 * draw.pixels(g, "B")
    return beta, before * (1 - beta), before, 20 * draw.pixels(g, "B")


def _by_distributions(beta, alpha_bar, alpha_bar_before, noise_error):
    return noise_error


term = Exercise(
    diffusion_kl,
    inputs=_steps_of_a_chain,
    returns="(B,) nats: the KL of two Gaussians with the variance β̃, whose means differ by "
            "β / √((1 − β)(1 − ᾱ)) times the error of the noise",
    chapter=11, minutes=15, difficulty=3,
)  # fmt: skip
term.mistake("weights-dropped", function=_by_distributions,
             hint="This is the plain squared error, what a diffusion model is usually trained on. "
                  "The ELBO's term weighs it: by β² / (2 β̃ (1 − β)(1 − ᾱ)).")
term.mistake("half-missing", edit=("(2 * variance)", "variance"),
             hint="The ½ is missing: the KL of two Gaussians of one variance is "
                  "‖difference of the means‖² / (2 · variance).")
term.mistake("beta-for-the-variance",
             edit=("beta * (1 - alpha_bar_before) / (1 - alpha_bar)  #", "beta  #"),
             hint="You used β as the variance of the step back. Given x_0 it is smaller: "
                  "β̃ = β (1 − ᾱ_{t−1}) / (1 − ᾱ_t).")
term.mistake("variance-upside-down",
             edit=("(1 - alpha_bar_before) / (1 - alpha_bar)  #",
                   "(1 - alpha_bar) / (1 - alpha_bar_before)  #"),
             hint="The fraction in β̃ is upside down: the variance given x_0 is smaller than β, so "
                  "(1 − ᾱ_{t−1}) stands above.")
term.mistake("beta-not-squared", edit=("beta.square()", "beta"),
             hint="β is not squared: the *means* differ by β / √(…), and the KL has the square of "
                  "that.")
term.mistake("one-minus-beta-forgotten", edit=("((1 - beta) * (1 - alpha_bar))",
                                               "(1 - alpha_bar)"),
             hint="The factor 1 − β below the line is missing: it undoes the shrinking of the "
                  "picture in that step.")
term.mistake("one-minus-alpha-bar-forgotten", edit=("((1 - beta) * (1 - alpha_bar))",
                                                    "(1 - beta)"),
             hint="1 − ᾱ below the line is missing: it turns an error of the noise into one of "
                  "the mean.")
term.mistake("before-for-now", edit=("(1 - beta) * (1 - alpha_bar)",
                                     "(1 - beta) * (1 - alpha_bar_before)"),
             hint="In the factor stands ᾱ_{t−1}; it is ᾱ_t, the time at which the noise is "
                  "predicted.")
term.mistake("alpha-bars-alike", edit=("(1 - alpha_bar_before)", "(1 - alpha_bar)"),
             hint="β̃ needs both times, ᾱ_{t−1} above the line and ᾱ_t below.")
term.mistake("error-squared-again", edit=("* noise_error /", "* noise_error.square() /"),
             hint="noise_error is the squared error already.")
term.mistake("summed", edit=("return factor * noise_error / (2 * variance)",
                             "return (factor * noise_error / (2 * variance)).sum()"),
             hint="You added up the batch. One number a picture is asked, (B,).")
term.must("no-error", lambda f: close(f(*(torch.full((3,), v) for v in (0.1, 0.45, 0.5, 0.0))),
                                      [0.0] * 3),
          hint="A network that knows the noise pays nothing: with noise_error 0 the KL is 0.")
term.must("by-hand", lambda f: close(f(*(torch.tensor([v]) for v in (0.5, 0.25, 0.5, 1.0))), [1.0]),
          hint="β = 0.5, ᾱ = 0.25, ᾱ before = 0.5, an error of 1: β̃ is 1/3, the factor 2/3, and "
               "the KL 1 nat.")

# --- ddim_step -------------------------------------------------------------------------------


def ddim_step(noisy, predicted_noise, alpha_bar, alpha_bar_next):
    now, then = (a.view(-1, *[1] * (noisy.dim() - 1)) for a in (alpha_bar, alpha_bar_next))
    image = (noisy - (1 - now).sqrt() * predicted_noise) / now.sqrt()  # the clean guess
    return then.sqrt() * image + (1 - then).sqrt() * predicted_noise


def _a_step_back(g):
    shape = ("B", 1, "H", "W") if g.initial_seed() % 2 else ("B", "D")
    noisy, noise = draw.normal(g, *shape), draw.normal(g, *shape)
    now = 0.1 + 0.5 * draw.pixels(g, "B")
    return noisy, noise, now, now + (1 - now) * (0.2 + 0.7 * draw.pixels(g, "B"))


def _noise_not_rescaled(noisy, predicted_noise, alpha_bar, alpha_bar_next):
    now, then = (a.view(-1, *[1] * (noisy.dim() - 1)) for a in (alpha_bar, alpha_bar_next))
    change = (1 - then).sqrt() - (1 - now).sqrt()
    return (then / now).sqrt() * noisy + change * predicted_noise


def _mean_of_ddpm(noisy, predicted_noise, alpha_bar, alpha_bar_next):
    now, then = (a.view(-1, *[1] * (noisy.dim() - 1)) for a in (alpha_bar, alpha_bar_next))
    alpha = now / then  # 1 − β of the step
    return (noisy - (1 - alpha) / (1 - now).sqrt() * predicted_noise) / alpha.sqrt()


step = Exercise(
    ddim_step,
    inputs=_a_step_back,
    returns="(B, …): the clean picture guessed at ᾱ, noised again to ᾱ_next with the same noise",
    chapter=11, minutes=15, difficulty=2,
)  # fmt: skip
step.mistake("guess-returned", edit=("then.sqrt() * image + (1 - then).sqrt() * predicted_noise",
                                     "image"),
             hint="This jumps to the clean guess at once. Take one step: noise the guess again, to "
                  "ᾱ_next.")
step.mistake("times-swapped", edit=("(alpha_bar, alpha_bar_next))", "(alpha_bar_next, alpha_bar))"),
             hint="The two times are swapped: guess the picture at ᾱ, where you are, and go to "
                  "ᾱ_next.")
step.mistake("noised-to-now", edit=[("then.sqrt() * image", "now.sqrt() * image"),
                                    ("(1 - then).sqrt() * pred", "(1 - now).sqrt() * pred")],
             in_pairs=False,
             hint="You came back to where you were: noise the guess to ᾱ_next, not to ᾱ.")
step.mistake("fresh-noise", edit=("(1 - then).sqrt() * predicted_noise",
                                  "(1 - then).sqrt() * torch.randn_like(noisy)"),
             hint="You drew new noise. DDIM goes on with the predicted one; that is why its way "
                  "is the same every time.")
step.mistake("no-noise-again", edit=(" + (1 - then).sqrt() * predicted_noise", ""),
             hint="The guess was scaled, but not noised again: at ᾱ_next a share 1 − ᾱ_next of the "
                  "variance is noise.")
step.mistake("not-divided", edit=(" / now.sqrt()", ""),
             hint="After the noise is taken off, what is left is √ᾱ times the picture: divide by "
                  "√ᾱ.")
step.mistake("divided-by-alpha-bar", edit=("/ now.sqrt()", "/ now"),
             hint="You divided by ᾱ. What is left is √ᾱ times the picture.")
step.mistake("noise-added-to-guess", edit=("(noisy - (1", "(noisy + (1"),
             hint="For the guess the predicted noise is *taken off*: it was added on the way "
                  "there.")
step.mistake("noise-unscaled", edit=("(noisy - (1 - now).sqrt() * predicted_noise)",
                                     "(noisy - predicted_noise)"),
             hint="The noise was taken off at full strength. Only √(1 − ᾱ) of it is in x_t.")
step.mistake("roots-forgotten-then", edit=("then.sqrt() * image + (1 - then).sqrt() * pred",
                                           "then * image + (1 - then) * pred"),
             hint="On the way to ᾱ_next the roots are missing: ᾱ is a share of the variance.")
step.mistake("roots-forgotten", edit=[("(1 - now).sqrt()", "(1 - now)"), ("/ now.sqrt()", "/ now"),
                                      ("then.sqrt() * image", "then * image"),
                                      ("(1 - then).sqrt()", "(1 - then)")], in_pairs=False,
             hint="All roots are missing. ᾱ and 1 − ᾱ are shares of the variance; a picture is "
                  "multiplied by their roots.")
step.mistake("noise-of-now", edit=("(1 - then).sqrt()", "(1 - now).sqrt()"),
             hint="The guess was scaled to ᾱ_next, but noised as strongly as before. At ᾱ_next a "
                  "share 1 − ᾱ_next of the variance is noise.")
step.mistake("root-inside", edit=[("(1 - now).sqrt()", "(1 - now.sqrt())"),
                                  ("(1 - then).sqrt()", "(1 - then.sqrt())")], in_pairs=False,
             hint="The noise was weighted by 1 − √ᾱ. Its share of the variance is 1 − ᾱ, so its "
                  "factor is √(1 − ᾱ).")
step.mistake("noise-not-rescaled", function=_noise_not_rescaled,
             hint="The picture was scaled up by √(ᾱ_next / ᾱ), and the noise in it with it: the "
                  "noise to be taken off has that factor too.")
step.mistake("clipped", edit=("then.sqrt() * image", "then.sqrt() * image.clamp(-1, 1)"),
             hint="The clean guess was clipped to −1 … 1. Samplers do that; it is no part of this "
                  "step, whose guess is used as it comes out.")
step.mistake("mean-of-ddpm", function=_mean_of_ddpm,
             hint="This is the mean of DDPM's random step. DDIM guesses the clean picture and "
                  "noises it again, with the noise that was predicted.")
step.mistake("first-time-for-all", edit=("a.view(-1, *", "a[:1].view(-1, *"),
             hint="The first picture's ᾱ was used for the whole batch. Each picture has its own.")
step.must("to-the-end", lambda f: close(f(torch.full((1, 2), 2.0), torch.ones(1, 2),
                                          torch.tensor([0.25]), torch.ones(1)),
                                        [[2 * (2.0 - 0.75**0.5)] * 2]),
          hint="At ᾱ_next = 1 nothing is noise any more: the clean guess must come out.")
step.must("standing-still", lambda f: close(f(draw.fixed(2, 3), draw.fixed(2, 3, seed=8),
                                              torch.full((2,), 0.5), torch.full((2,), 0.5)),
                                            draw.fixed(2, 3)),
          hint="A step from ᾱ to the same ᾱ must change nothing.")
