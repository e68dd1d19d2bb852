"""WGAN-GP with drift penalty: the objective of DeepPrivacy and progressive growing.

    L_D = D(G(z)) - D(x) + weight (|grad D(x')| - 1)^2 + epsilon D(x)^2
    L_G = -D(G(z))

References:
    Gulrajani et al. 2017, equation 3, https://arxiv.org/abs/1704.00028;
    Hukkelas et al. 2019, section 4, https://arxiv.org/abs/1909.04538
"""

from jaxanon.objectives import epsilon as drift
from jaxanon.objectives import gradient_penalty, wasserstein
from jaxanon.objectives.base import Objective, add


def make(*, weight: float = 10.0, epsilon: float = 0.001) -> Objective:
    """Makes the objective; the defaults are DeepPrivacy's.

    Args:
        weight: weight of the gradient penalty.
        epsilon: weight of the drift penalty.
    """
    return add(
        wasserstein.make(),
        gradient_penalty.make(weight=weight),
        drift.make(weight=epsilon),
    )
