"""What is known of networks from elsewhere, by their names and folders alone.

Whoever keeps and reads networks asks here, and need not know which domain builds them.
"""

from mithridate.domains.image.checkpoints import labels_in, weights_in
from mithridate.domains.image.elsewhere import Elsewhere, encoding_of
from mithridate.domains.image.encodings import other_encodings
from mithridate.domains.image.layers import encode_by
from mithridate.domains.image.network_names import is_elsewhere

__all__ = [
    "Elsewhere", "encode_by", "encoding_of", "is_elsewhere", "labels_in", "other_encodings",
    "weights_in",
]  # fmt: skip
