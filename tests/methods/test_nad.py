"""Neural attention distillation: the maps by hand, where they are taken, and what they do."""

import pytest
import torch
from torch import nn

from conformance.worlds import learnable
from methods.victim_to_repair import outcome, repaired, victim
from mithridate.core.errors import MethodError
from mithridate.core.streams import stream
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.text.domain import TextDomain
from mithridate.repairs.fine_tuning import FineTuning
from mithridate.repairs.nad import NeuralAttentionDistillation, attention, distance, watch_maps


def test_a_map_by_hand():
    activation = torch.tensor([[[[1.0, 2.0]], [[-1.0, 0.0]]]])  # two channels, one row, two places
    # Means of squares: (1 + 1) / 2 = 1 and (4 + 0) / 2 = 2.
    torch.testing.assert_close(attention(activation), torch.tensor([[1.0, 2.0]]) / 5**0.5)


def test_the_distance_by_hand():
    """Maps at a right angle are 2 apart, equal ones 0 at any scale; one place says nothing."""
    left, right = torch.tensor([[[[3.0, 0.0]]]]), torch.tensor([[[[0.0, 1.0]]]])
    mine = {(1, 2): left, (2, 1): left.mT, (1, 1): left[..., :1], (): left.flatten(1)}
    target_labels = {
        (1, 2): right,
        (2, 1): 7 * left.mT,
        (1, 1): right[..., :1],
        (): right.flatten(1),
    }
    assert distance(mine, target_labels).item() == pytest.approx((2 + 0) / 2)


def test_without_maps_the_features_are_compared():
    mine, target_labels = {(): torch.tensor([[3.0, 0.0]])}, {(): torch.tensor([[0.0, -1.0]])}
    assert distance(mine, target_labels).item() == pytest.approx(2)
    assert distance(mine, {(): torch.tensor([[-5.0, 0.0]])}).item() == 0, "squares have no sign"


def test_stages_are_the_last_activations_of_each_resolution():
    data = learnable("image", 4)
    model = ImageDomain().network(data, "resnet9:4", stream(0, "network")).eval()
    outputs = []
    ends = [model[1], model[3], model[4], model[6]]
    hooks = [end.register_forward_hook(lambda *given: outputs.append(given[2])) for end in ends]
    with watch_maps(model) as maps:
        model(data.inputs)
        assert list(maps) == [(16, 16), (8, 8), (4, 4), (2, 2), ()]
        for found, target_labels in zip(list(maps.values())[:4], outputs, strict=True):
            assert torch.equal(found, target_labels)
        assert maps[()].shape == (4, 32)
    for hook in hooks:
        hook.remove()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("name", ["cnn", "transformer"])
def test_a_network_without_rows_and_columns_has_features_alone(name):
    data, domain = learnable("text", 4), TextDomain()
    model = domain.network(data, name, stream(0, "network"))
    with watch_maps(model) as maps:
        model(domain.prepare(data.inputs))
    assert list(maps) == [()]


class Watching(nn.Module):
    """An identity with a parameter, to see gradients through."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.head = nn.Linear(2, 2)

    def forward(self, batch):
        return self.head(batch * self.weight)


def test_the_distance_has_gradients():
    model, batch = Watching(), torch.tensor([[1.0, 2.0]])
    with watch_maps(model) as maps:
        model(batch)
    away = distance(maps, {(): torch.tensor([[1.0, 0.0]])})
    slope = torch.autograd.grad(away, model.weight)[0]
    assert slope[0] < 0 < slope[1], "the first feature must grow"


def maps_apart(first, second):
    trusted = victim()[1]
    with watch_maps(first) as mine, watch_maps(second) as target_labels, torch.no_grad():
        first(trusted.inputs)
        second(trusted.inputs)
    return distance(mine, target_labels).item()


def test_the_student_looks_where_the_teacher_looks():
    """The first draws of the stream are the teacher's, so it is what fine-tuning gives."""
    teacher = repaired(FineTuning(epochs=8))
    near = repaired(NeuralAttentionDistillation(weight=30.0))
    free = repaired(NeuralAttentionDistillation(weight=1e-9))
    assert maps_apart(near, teacher) < 0.6 * maps_apart(free, teacher)


def test_the_backdoor_is_gone_and_the_accuracy_stays():
    """At the largest rate of the space three victims end at 0.00 to 0.11 with two streams."""
    strong = NeuralAttentionDistillation(learning_rate=0.2)
    before, after = outcome(victim()[0]), outcome(repaired(strong))
    assert before.success > 0.9
    assert after.success < 0.2
    assert after.accuracy > before.accuracy - 0.04


@pytest.mark.parametrize("weight", [0, -1.0])
def test_a_weight_that_is_none_is_refused(weight):
    with pytest.raises(MethodError, match=f"must be positive, found {weight}"):
        repaired(NeuralAttentionDistillation(weight=weight))
