import pytest
import torch
from torch import nn

from mithridate.core.data import dataset
from mithridate.core.errors import EvidenceWithheld, MethodError
from mithridate.core.inference import (
    accuracy,
    correct,
    forward,
    last_linear,
    logits_of,
    predict,
)
from mithridate.core.runtime import Runtime
from mithridate.core.threat import EVIDENCE, ThreatModel
from mithridate.core.view import View


class Numbers:
    """The least domain: inputs are floats already."""

    name = "numbers"

    def __init__(self):
        self.prepared = 0

    def prepare(self, inputs):
        self.prepared += 1
        return inputs

    def augment(self, batch, rng):
        return batch

    def network(self, data, name, rng):
        raise NotImplementedError


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Dropout(0.5), nn.Linear(5, 2)).double()


def world(**given):
    inputs = torch.arange(12.0, dtype=torch.float64).view(4, 3) / 12
    data, domain = dataset(inputs, [0, 1, 0, 1]), Numbers()
    return View(data, domain=domain, model=network(), **given), domain, inputs


def test_evidence_is_computed_on_first_use_and_noted():
    view, domain, inputs = world()
    assert view.used == set()
    assert domain.prepared == 0
    model = network().eval()
    torch.testing.assert_close(view.features, torch.relu(model[0](inputs)).float())
    assert view.used == {"features"}
    torch.testing.assert_close(view.logits, model(inputs).float())
    assert view.logits is view.logits
    assert domain.prepared == 1, "one pass gives both features and logits"
    assert view.labels.tolist() == [0, 1, 0, 1]
    assert view.used == {"features", "logits", "labels"}


@pytest.mark.parametrize("name", EVIDENCE)
def test_what_the_threat_model_withholds_is_refused(name):
    granted = frozenset(EVIDENCE) - {name}
    view = world(threat=ThreatModel(granted=granted), clean=dataset(torch.zeros(1, 3), [0]))[0]
    with pytest.raises(EvidenceWithheld, match=f"withholds '{name}'; granted: "):
        getattr(view, name)
    assert name not in view.used


def test_withheld_evidence_is_refused_even_where_it_was_given():
    view = View(features=torch.zeros(2, 2), threat=ThreatModel(granted=frozenset({"labels"})))
    with pytest.raises(EvidenceWithheld):
        _ = view.features


@pytest.mark.parametrize("name", EVIDENCE)
def test_what_nothing_can_supply_is_refused_by_name(name):
    with pytest.raises(MethodError, match=name):
        getattr(View(), name)


def test_known_evidence_needs_nothing_else():
    view = View(labels=torch.tensor([0, 1]), features=torch.ones(2, 3))
    assert view.features.sum() == 6
    with pytest.raises(MethodError, match=r"holds no 'losses'.*\['features', 'labels'\]"):
        _ = view.losses


def test_the_list_of_evidence_is_closed_and_short():
    assert len(EVIDENCE) <= 12
    assert all(isinstance(getattr(View, name), property) for name in EVIDENCE)
    public = {name for name, value in vars(View).items() if isinstance(value, property)}
    open_to_all = {"domain", "runtime", "blank", "classes"}
    assert public - open_to_all == set(EVIDENCE), "none of these is a secret"


def test_the_model_can_be_asked_about_other_inputs_without_a_look_inside():
    view, _, inputs = world(precision="fp32")
    torch.testing.assert_close(view.queries(inputs[:2]), network().eval()(inputs[:2]).float())
    assert view.used == {"queries"}
    assert view.classes == 2
    assert torch.equal(view.blank, torch.zeros(1, 3, dtype=torch.float64))


def test_a_pass_restores_the_mode_of_the_model_and_leaves_no_hook():
    model, inputs = network().train(), torch.zeros(5, 3, dtype=torch.float64)
    forward(model, inputs, Runtime(batch_size=2))
    assert model.training
    assert not last_linear(model)._forward_pre_hooks


def test_the_batch_size_of_inference_changes_nothing():
    model, inputs = network(), torch.rand(7, 3, dtype=torch.float64)
    whole, pieces = (forward(model, inputs, Runtime(batch_size=b)) for b in (100, 2))
    torch.testing.assert_close(whole[0], pieces[0])
    torch.testing.assert_close(whole[1], pieces[1])


def test_any_layer_can_be_looked_at():
    model, inputs = network(), torch.rand(7, 3, dtype=torch.float64)
    assert torch.equal(forward(model, inputs, Runtime(), model[0])[0], inputs.float())


def test_an_empty_data_set_and_a_model_without_features_are_refused():
    with pytest.raises(MethodError, match="the data set is empty"):
        forward(network(), torch.zeros(0, 3).double(), Runtime())
    with pytest.raises(MethodError, match="no linear layer"):
        last_linear(nn.Sequential(nn.ReLU()))


def test_threads_are_restored():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), Runtime(threads=before + 1).active():
        assert torch.get_num_threads() == before + 1
        _ = 1 / 0
    assert torch.get_num_threads() == before


def test_predictions_and_accuracy_are_those_of_the_largest_logit():
    inputs = torch.arange(12.0, dtype=torch.float64).view(4, 3) - 5
    model, data = network(), dataset(inputs, [0, 1, 0, 1])
    logits = logits_of(model, data.inputs, Runtime(batch_size=3), "fp32")
    assert predict(model, data.inputs, Runtime(), "fp32").tolist() == logits.argmax(1).tolist()
    right = correct(model, data, Numbers(), None, "fp32")
    assert right.tolist() == (logits.argmax(1) == data.labels).tolist()
    assert accuracy(model, data, Numbers(), None, "fp32") == right.double().mean()
    with pytest.raises(MethodError, match="empty"):
        accuracy(model, data.subset([]), Numbers())
