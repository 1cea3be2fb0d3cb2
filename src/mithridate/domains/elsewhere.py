"""What is known of networks from elsewhere, by their names and folders alone.

Whoever keeps and reads networks asks here, and need not know which domain builds them.
"""

from mithridate.domains.image.checkpoints import labels_in, weights_in
from mithridate.domains.image.elsewhere import is_elsewhere
from mithridate.domains.image.encodings import other_encodings

__all__ = ["is_elsewhere", "labels_in", "other_encodings", "weights_in"]
