"""R3GAN: relativistic pairing with zero-centred penalties at reals and fakes.

    L_D = softplus(D(G(z)) - D(x)) + gamma/2 |grad D(x)|^2 + gamma/2 |grad D(G(z))|^2
    L_G = softplus(D(x) - D(G(z)))

References:
    Huang et al. 2024, equations 2 to 4, https://arxiv.org/abs/2501.05441
"""

from jaxanon.objectives import r1, r2, relativistic
from jaxanon.objectives.base import Objective, add


def make(*, gamma: float = 1.0) -> Objective:
    """Makes the objective.

    Args:
        gamma: weight of both penalties; grows with the area of the images.
    """
    return add(relativistic.make(), r1.make(gamma=gamma), r2.make(gamma=gamma))
