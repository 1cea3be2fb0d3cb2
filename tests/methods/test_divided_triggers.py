"""A plus is where it is said to be, and its parts are the whole."""

import pytest
import torch

from mithridate.core.errors import MethodError
from mithridate.core.streams import stream
from mithridate.domains.image.divided import PlusTrigger, TriggerPart
from mithridate.domains.image.global_triggers import BlendTrigger
from mithridate.domains.image.triggers import PatchTrigger


def stamped(trigger, value=0):
    images = torch.full((2, 3, 12, 12), value, dtype=torch.uint8)
    return trigger(images, stream(0, "stamp")), images


def test_a_plus_is_a_row_and_a_column_of_one_colour():
    changed, images = stamped(PlusTrigger(size=3, row=1, column=2))
    places = {(int(r), int(c)) for _, r, c in (changed[0] != images[0]).nonzero()}
    assert places == {(1, 3), (2, 3), (3, 3), (2, 2), (2, 4)}
    assert changed[0, :, 2, 2].tolist() == [255, 255, 0]


@pytest.mark.parametrize("whole", [PlusTrigger(), PatchTrigger()])
@pytest.mark.parametrize("value", [0, 255])
def test_parts_are_disjoint_and_make_the_whole(whole, value):
    full, images = stamped(whole, value)
    parts = [stamped(TriggerPart(whole, part, 4), value)[0] for part in range(4)]
    together = images.clone()
    for part in parts:
        together = torch.where(part != images, part, together)
    assert torch.equal(together, full)
    touched = sum((part != images).any(1).int() for part in parts)
    assert int(touched.max()) == 1


def test_a_plus_is_divided():
    assert PlusTrigger().divided(2) == (TriggerPart(part=0, parts=2), TriggerPart(part=1, parts=2))


def test_what_is_no_part_is_refused():
    with pytest.raises(MethodError, match=r"part 0\.\.3 of 4, found 4"):
        stamped(TriggerPart(part=4))
    with pytest.raises(MethodError, match="cannot be divided"):
        BlendTrigger().divided(4)
    with pytest.raises(MethodError, match="touches 9 pixels"):
        stamped(TriggerPart(PatchTrigger(), parts=20))
