"""Windows that lead one class to another: a planted one, small beside spread changes, by hand."""

import pytest
import torch

from methods.model_to_scan import DOMAIN, Linear, view_of
from mithridate.core.data import dataset
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.scanners.local_transfer import LocalTransfer, _windows

CLASSES, SIDE = 5, 10


class Columns(torch.nn.Module):
    """Class k where two columns of ten are bright; light in a corner leads class 3 to 1."""

    planted = 0.0

    def forward(self, batch):
        levels = batch.float().view(-1, SIDE, SIDE) / 255
        bright = levels.view(-1, SIDE, CLASSES, 2).mean((1, 3))
        corner = torch.relu(levels[:, :2, 8:].mean((1, 2)) + bright[:, 3] - 0.3)
        return 8 * bright + self.planted * corner[:, None] * torch.eye(CLASSES)[1]


def scanned(model, scanner, each=6):
    labels = torch.arange(each * CLASSES) % CLASSES
    images = torch.randint(
        0, 20, (len(labels), 1, SIDE, SIDE), generator=torch.Generator().manual_seed(0)
    )
    for row, label in enumerate(labels.tolist()):
        images[row, 0, :, 2 * label : 2 * label + 2] += 120
    data = dataset(images.byte(), labels, classes=[str(k) for k in range(CLASSES)])
    view = View(domain=DOMAIN, model=model.eval(), clean=data, precision="fp32")
    return scanner.judge(view, stream(0, "scan"))


def planted():
    model = Columns()
    model.planted = 60.0
    return model


@pytest.mark.parametrize("arms", [200, CLASSES])
def test_a_window_that_was_planted_is_found_with_its_values(arms):
    scanner = LocalTransfer(arms=arms)
    before, after = (scanned(model, scanner) for model in (Columns(), planted()))
    assert before.pairs.shape == (CLASSES, CLASSES - 1)
    assert divmod(int((after.pairs - before.pairs).argmax()), CLASSES - 1) == (1, 2)
    assert after.shown["source"][1] == 3 and after.pairs[1, 2] == after.pairs.max()
    window, pattern = after.shown["mask"][1, 0], after.shown["pattern"][1, 0]
    assert window.sum() == 4 and window[:2, 8:].sum() == 4
    assert pattern[:2, 8:].min() > 250


def test_the_best_windows_are_those_with_the_largest_sums():
    gains = torch.zeros(1, 1, 4, 6)
    gains[0, 0, 1:3, 2:4] = torch.tensor([[3.0, 1.0], [1.0, 2.0]])
    gains[0, 0, 0, 5] = 4.0
    windows = _windows(gains, 0.4, 3)
    assert windows.shape == (1, 3, 1, 4, 6)
    assert (windows.flatten(2).sum(2) == 2 * 2).all()  # 0.4 of 4 and of 6
    assert torch.equal((windows[0] * gains).flatten(1).sum(1), torch.tensor([7.0, 4.0, 4.0]))
    assert torch.equal(windows[0, 0, 0].nonzero()[0], torch.tensor([1, 2]))
    assert _windows(gains, 1.0, 3).shape[1] == 1  # no more fit
    line = _windows(torch.tensor([[0.0, 5.0, 1.0, 0.0]]), 0.5, 1)
    assert line.tolist() == [[[0.0, 1.0, 1.0, 0.0]]]


def test_edges():
    model = Linear(torch.rand(3, 16))
    with pytest.raises(CannotJudge, match="leading class 2 to others needs at least 2"):
        LocalTransfer().judge(view_of(model, labels=[0, 0, 1, 1, 2]), stream(0, "scan"))
    with pytest.raises(MethodError, match="share of at most 1"):
        LocalTransfer(share=1.5).judge(view_of(model), stream(0, "scan"))
    with pytest.raises(CannotJudge, match="gradient"):
        LocalTransfer().judge(view_of(Linear(torch.zeros(3, 16))), stream(0, "scan"))
