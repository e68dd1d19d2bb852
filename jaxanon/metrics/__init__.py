"""Pure evaluation maths on arrays of features, scores, keypoints and pixels.

Everything runs on the host in NumPy, float64 inside. No network is shipped: features
come from a function of the user's; ``embedding`` runs one given as an ONNX file.
"""

from jaxanon.metrics import embedding as embedding
from jaxanon.metrics import frechet as frechet
from jaxanon.metrics import kernel as kernel
from jaxanon.metrics import keypoints as keypoints
from jaxanon.metrics import precision_recall as precision_recall
from jaxanon.metrics import probe as probe
from jaxanon.metrics import reidentification as reidentification
from jaxanon.metrics import report as report
from jaxanon.metrics import seam as seam
from jaxanon.metrics import sharpness as sharpness
from jaxanon.metrics import stability as stability
from jaxanon.metrics import tone as tone
