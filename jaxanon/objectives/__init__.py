"""GAN objectives: one pure file each; the folder is the registry.

To add one, write ``jaxanon/objectives/my_idea.py`` (or a module anywhere, named with
its dots) with ``def make(*, ...) -> Objective``. ``make("my_idea")`` finds it, and the
contract test takes it up.
"""

from jaxanon.objectives.base import Critic as Critic
from jaxanon.objectives.base import LossFn as LossFn
from jaxanon.objectives.base import Metrics as Metrics
from jaxanon.objectives.base import Objective as Objective
from jaxanon.objectives.base import Samples as Samples
from jaxanon.objectives.base import add as add
from jaxanon.objectives.base import after as after
from jaxanon.objectives.base import every as every
from jaxanon.objectives.base import scale as scale
from jaxanon.objectives.registry import make as make
from jaxanon.objectives.registry import names as names
