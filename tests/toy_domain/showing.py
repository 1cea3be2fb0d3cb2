"""How sequences of events look on a page: written out."""

from mithridate.core.showing import WrittenValues


def show(inputs):
    return WrittenValues(inputs)
