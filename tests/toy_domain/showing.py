"""How sequences of events look on a page: written out."""

from mithridate.core.showing import Values


def show(inputs):
    return Values(inputs)
