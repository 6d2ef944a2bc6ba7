r"""Questions of chapter 03 with numbers of one's own."""

import math

from .question import Question, Slip

RIM = 200  # ml: where a cup runs over

# --- 03-the-diary: the same noise under other settings ------------------------------------------


def _draw_diary(random):
    mean = round(random.uniform(186.0, 191.0), 1)
    log_var = round(random.uniform(3.0, 3.9), 2)  # a standard deviation of 4.5 to 7 ml
    std = math.exp(log_var / 2)
    first = mean + random.choice((-1, 1)) * random.uniform(0.5, 1.5) * std
    return {
        "rim": RIM,
        "mean": mean,
        "log_var": log_var,
        "new_mean": round(mean + random.uniform(5.0, 8.0), 1),
        "new_log_var": round(log_var - random.uniform(0.8, 1.6), 2),
        "pours": [
            round(pour, 1) for pour in (first, *(random.gauss(mean, std) for _ in range(39)))
        ],
    }


def _noise(n):
    return [(pour - n.mean) / math.exp(n.log_var / 2) for pour in n.pours]


def _poured_again(n, noise):
    return [n.new_mean + math.exp(n.new_log_var / 2) * e for e in noise]


def _diary(n):
    again = _poured_again(n, _noise(n))
    return {
        "first": _noise(n)[0],
        "largest": max(again),
        "spilled": sum(pour > n.rim for pour in again),
    }


def _variance_for_std(n):
    first = (n.pours[0] - n.mean) / math.exp(n.log_var)
    largest = (max(n.pours) - n.mean) * math.exp(n.new_log_var - n.log_var) + n.new_mean
    return {"first": first, "largest": largest}


def _log_var_for_std(n):
    largest = (max(n.pours) - n.mean) * n.new_log_var / n.log_var + n.new_mean
    return {"first": (n.pours[0] - n.mean) / n.log_var, "largest": largest}


def _moved_only(n):
    return {"largest": max(n.pours) + n.new_mean - n.mean}


def _not_rescaled_back(n):
    r"""The deviation in ml is scaled by the new σ, without dividing by the old one."""
    largest = n.new_mean + math.exp(n.new_log_var / 2) * (max(n.pours) - n.mean)
    return {"first": n.pours[0] - n.mean, "largest": largest}


# --- 03-the-rim: the exact slopes of an expected cost with a jump -------------------------------


def _draw_rim(random):
    return {
        "rim": RIM,
        "mean": round(random.uniform(190.0, 196.0), 1),
        "std": round(random.uniform(3.0, 6.0), 1),
        "width": random.randint(12, 30),
        "mess": round(random.uniform(1.2, 2.5), 2),
    }


def _density(n):
    r"""Of the pours, at the rim: per ml."""
    return math.exp(-0.5 * ((n.rim - n.mean) / n.std) ** 2) / math.sqrt(2 * math.pi) / n.std


def _rim(n):
    below = n.rim - n.mean
    return {
        "smooth": -2 * below / n.width**2,
        "spill": n.mess * _density(n),
        "tremor": 2 * n.std / n.width**2 + n.mess * _density(n) * below / n.std,
    }


def _spilling_share(n):
    return 0.5 * math.erfc((n.rim - n.mean) / n.std / math.sqrt(2))


QUESTIONS = (
    Question(
        name="03-the-diary",
        draw=_draw_diary,
        text="Your diary: 40 cups, diary.pours, in ml; the first is {pours[0]}.\n"
             "Set then: mean {mean}, log_var {log_var}. To be set: mean {new_mean}, log_var "
             "{new_log_var}. The rim is at {rim} ml.",
        answers=_diary,
        unit={"first": "standard deviations", "largest": "ml", "spilled": "cups"},
        slips=(
            Slip("variance-for-std",
                 "exp(log_var) is the variance. Noise is scaled by the standard deviation.",
                 _variance_for_std),
            Slip("log-var-for-std", "log_var itself was taken for the standard deviation.",
                 _log_var_for_std),
            Slip("moved-only",
                 "The pours were moved to the new mean, but the tremor is smaller now, too.",
                 _moved_only),
            Slip("not-divided",
                 "That deviation is in ml. As noise it counts in standard deviations: divide by "
                 "the old one first.", _not_rescaled_back),
            Slip("sign", "The size is right. A cup above the mean has positive noise.",
                 lambda n: {"first": -_noise(n)[0]}),
        ),
        rtol=1e-3,
    ),
    Question(
        name="03-the-rim",
        draw=_draw_rim,
        text="Your machine: mean {mean} ml, standard deviation {std} ml, rim at {rim} ml.\n"
             "Its cost: ((z - {rim}) / {width})² for every cup, and {mess} more if z > {rim}.",
        answers=_rim,
        unit={"smooth": "cost per ml", "spill": "cost per ml", "tremor": "cost per ml"},
        slips=(
            Slip("no-slope-at-a-jump",
                 "That is what the samples say: a jump has no slope. The *expected* cost of "
                 "spilling does change with the mean.",
                 lambda n: {"spill": 0.0, "tremor": 2 * n.std / n.width**2}),
            Slip("share-for-density",
                 "That is what spilling costs on average. Asked for is how fast it grows with the "
                 "mean.", lambda n: {"spill": n.mess * _spilling_share(n)}),
            Slip("standard-density",
                 "That is the density of the noise. The pours are std times as wide, so their "
                 "density is lower.", lambda n: {"spill": n.mess * _density(n) * n.std}),
            Slip("mess-forgotten", "The price of a mess is missing.",
                 lambda n: {"spill": _density(n)}),
            Slip("sign",
                 "The sign: a higher mean brings the pours closer to the rim, and more of them "
                 "over it.", lambda n: {"smooth": -_rim(n)["smooth"], "spill": -_rim(n)["spill"]}),
            Slip("two-missing", "The square's derivative has a factor 2.",
                 lambda n: {"smooth": _rim(n)["smooth"] / 2}),
            Slip("narrower-spills-more",
                 "The sign of the spilling part: with the mean below the rim, a wider cloud "
                 "spills more.", lambda n: {"tremor": 4 * n.std / n.width**2 - _rim(n)["tremor"]}),
        ),
    ),
)  # fmt: skip
