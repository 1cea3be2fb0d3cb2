"""Networks that are not what the user thinks: said and refused, and poor ones are let through."""

import numpy as np
import pytest
import torch
from torch import nn

from mithridate.core.data import dataset
from mithridate.core.errors import MethodError
from mithridate.core.streams import seed_torch, stream
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.elsewhere import Elsewhere
from mithridate.domains.image.encodings import other_encodings, usual_encodings
from mithridate.domains.image.layers import Encode, encode_by
from mithridate.pipelines.class_orders import classes_in_order, listed, natural, usual_orders
from mithridate.pipelines.plausibility import check_as_read, check_plausibility

NAMES = tuple(sorted(map(str, range(12))))
"""As folders sort: 0, 1, 10, 11, 2, ..."""


class Told(nn.Module):
    """A network that answers as it was told, by the number that each input carries."""

    def __init__(self, predicted, classes):
        super().__init__()
        self.answers = torch.eye(classes)[torch.as_tensor(predicted)]

    def forward(self, batch):
        values = batch.flatten(1).long()
        return self.answers[values[:, 0] * 256 + values[:, 1]]


def numbered(labels, classes):
    """Examples that carry their number, with these labels."""
    number = torch.arange(len(labels))
    inputs = torch.stack([number // 256, number % 256], 1).to(torch.uint8).view(-1, 1, 1, 2)
    return dataset(inputs, torch.as_tensor(labels), classes)


def drawn(labels, right, classes, seed=0, order=None):
    """Predictions that are right with a probability, else any class; order: what outputs mean."""
    rng = stream(seed, "predictions")
    meant = np.where(rng.random(len(labels)) < right, labels, rng.integers(0, classes, len(labels)))
    return meant if order is None else np.argsort(order)[meant]


def checked(labels, predicted, names, **more):
    model = Told(predicted, len(names))
    return check_plausibility(model, numbered(labels, names), ImageDomain(), **more)


def of_order(names):
    """Where each class of the given order stands in the order by numbers."""
    return np.array(sorted(range(len(names)), key=lambda k: natural(names[k])))


@pytest.mark.parametrize("right", [1.0, 0.9, 0.5, 0.3])
def test_numbers_read_in_alphabetical_order_are_named(right):
    labels = np.repeat(np.arange(12), 40)
    predicted = drawn(labels, right, 12, order=of_order(NAMES))
    told = checked(labels, predicted, NAMES)
    assert "by the numbers in their names" in told.why
    assert "classes=0,1,2,3,4,5,6,7,8,9,10,11" in told.why
    assert told.accuracy.value == (labels == predicted).mean()


@pytest.mark.parametrize(
    ("names", "meant", "kind"),
    [
        (("0", "1", "2", "10"), ("0", "1", "10", "2"), "in alphabetical order"),
        (("class1", "class10", "class2"), ("class1", "class2", "class10"), "by the numbers"),
        (("Zebra", "apple", "pear"), ("apple", "pear", "Zebra"), "by the numbers"),
        (("-1", "0", "1"), ("1", "0", "-1"), "in reverse"),
        (("ham", "spam"), ("spam", "ham"), "in reverse"),
    ],
)
def test_usual_orders_are_named(names, meant, kind):
    labels = np.repeat(np.arange(len(names)), 40)
    order = np.array([names.index(name) for name in meant])
    told = checked(labels, drawn(labels, 0.8, len(names), order=order), names)
    assert f"classes={','.join(meant)}" in told.why
    assert kind in told.why


def test_the_order_of_first_appearance_is_named():
    names = ("a", "b", "c", "d", "e")
    labels = np.array([3, 0, 4, 2, 1] * 30)
    told = checked(labels, drawn(labels, 0.9, 5, order=np.array([3, 0, 4, 2, 1])), names)
    assert "as they first come up" in told.why and "classes=d,a,e,c,b" in told.why


def test_an_order_of_no_usual_kind_is_found():
    names = tuple("abcdefghij")
    labels = np.tile(np.arange(10), 30)
    order = stream(3, "order").permutation(10)
    told = checked(labels, drawn(labels, 0.7, 10, order=order), names)
    assert "of no usual kind" in told.why
    assert f"classes={','.join(names[k] for k in order)}" in told.why


def test_two_exchanged_classes_are_found():
    names = tuple("abcdefghij")
    labels = np.tile(np.arange(10), 60)
    order = np.array([0, 1, 2, 7, 4, 5, 6, 3, 8, 9])
    told = checked(labels, drawn(labels, 0.9, 10, order=order), names)
    assert "classes=a,b,c,h,e,f,g,d,i,j" in told.why


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
def test_poor_networks_pass(classes):
    """Somewhat better than guessing, whatever the number of classes; ten of each."""
    names, right = tuple(f"c{k:03}" for k in range(classes)), 3 / classes if classes > 3 else 0.4
    labels = np.tile(np.arange(classes), 600 // classes)
    refused = [
        told.why
        for seed in range(10)
        if (told := checked(labels, drawn(labels, right, classes, seed), names)).why
    ]
    assert not refused


def test_networks_that_take_classes_for_each_other_pass():
    """A poor network of one family of classes that calls most of them by one name."""
    names = tuple(f"c{k}" for k in range(20))
    for seed in range(10):
        rng = stream(seed, "family")
        labels = np.tile(np.arange(20), 40)
        favourite = (labels // 5) * 5 + rng.integers(0, 5, 4)[labels // 5]
        predicted = np.where(rng.random(800) < 0.75, favourite, labels)
        assert not checked(labels, predicted, names).why


def test_a_network_that_favours_its_neighbours_by_a_little_passes():
    """Each class is called by the next one's name somewhat more often than by its own."""
    names = tuple("abcdef")
    labels = np.tile(np.arange(6), 60)
    rng = stream(0, "next")
    predicted = np.where(rng.random(360) < 0.42, (labels + 1) % 6, labels)
    assert not checked(labels, predicted, names).why


def test_uneven_classes_are_no_reason_to_refuse():
    """Ninety-five of a hundred are of one class, and most of the others are found, too."""
    labels = np.array(([0] * 19 + [1]) * 40)
    predicted = np.where((labels == 1) & (np.arange(800) % 3 == 0), 0, labels)
    predicted[np.arange(800) % 21 == 0] = 1
    assert (predicted == labels).mean() < 0.95, "a constant answer would be right more often"
    assert not checked(labels, predicted, ("common", "rare")).why


def test_one_answer_for_everything_is_refused():
    labels = np.tile(np.arange(10), 30)
    told = checked(labels, np.full(300, 7), tuple("0123456789"))
    assert told.accuracy.value == pytest.approx(0.1)
    assert "no more than the 10.0 %" in told.why and "one class for 100% of them" in told.why


def test_a_network_that_guesses_is_told_no_order_in_which_it_would_be_right_by_luck():
    """One answer for everything is right on the most frequent class, in some order."""
    labels = np.repeat(np.arange(4), [12, 20, 30, 138])
    told = checked(labels, np.zeros(200, int), ("a", "b", "c", "d"))
    assert "no more than" in told.why and "classes" not in told.why


class Lucky(nn.Module):
    """A network that answers each input with the same class, which the encoding chooses."""

    def __init__(self, answer):
        super().__init__()
        self.answer = torch.eye(4)[answer]

    def forward(self, batch):
        return self.answer.expand(len(batch), 4)


def test_no_encoding_is_advised_where_none_does_better_than_guessing():
    """An encoding in which everything is called by the most frequent class is no better one."""
    labels = np.repeat(np.arange(4), [12, 20, 30, 66])
    others = [(f"if images enter with mean={k}", Lucky(k)) for k in range(4)]
    told = check_plausibility(
        Lucky(0), numbered(labels, ("a", "b", "c", "d")), ImageDomain(), encodings=others
    )
    assert "no more than" in told.why and "mean=" not in told.why


def test_a_network_that_knows_next_to_nothing_is_refused_though_surely_better_than_guessing():
    labels = np.tile(np.arange(10), 6000)
    predicted = drawn(labels, 0.02, 10)
    told = checked(labels, predicted, tuple("0123456789"))
    assert told.accuracy.low > 0.11, "better than guessing beyond doubt"
    assert "hardly more than" in told.why


def test_guessing_networks_are_refused_whatever_the_number_of_classes():
    for classes in (2, 10, 100):
        names = tuple(f"c{k:03}" for k in range(classes))
        labels = np.tile(np.arange(classes), 600 // classes)
        refused = [
            bool(checked(labels, drawn(labels, 0, classes, seed), names).why) for seed in range(20)
        ]
        assert sum(refused) >= 17, "one in twenty may seem to know something"


def test_answers_that_are_not_finite_are_refused():
    labels = np.tile(np.arange(3), 20)
    model = Told(labels, 3)
    model.answers[5] = torch.nan
    told = check_plausibility(model, numbered(labels, ("a", "b", "c")), ImageDomain())
    assert told.why == "its answers are not finite for 1 of 60 trusted examples"


def test_a_backdoor_changes_nothing():
    """Who is right on clean examples passes, whatever it does with others."""
    labels = np.tile(np.arange(4), 30)
    predicted = drawn(labels, 0.95, 4)
    backdoored = Told(predicted, 4)
    backdoored.forward = lambda batch: torch.where(
        (batch.flatten(1)[:, :1] == 255), torch.eye(4)[0], Told.forward(backdoored, batch)
    )
    names = tuple("abcd")
    with_it = check_plausibility(backdoored, numbered(labels, names), ImageDomain())
    assert with_it == checked(labels, predicted, names) and not with_it.why


def coloured(n=200):
    """Bright and dark images of three colours, and a linear network that tells the six apart."""
    labels = torch.arange(n) % 6
    colours = torch.tensor([[0.8, 0.3, 0.2], [0.2, 0.7, 0.3], [0.3, 0.2, 0.9]])
    base = torch.cat([colours, colours * 0.5])[labels].view(n, 3, 1, 1) * 255
    noise = torch.from_numpy(stream(0, "noise").normal(0, 8, (n, 3, 4, 4)))
    images = (base + noise).clamp(0, 255).to(torch.uint8)
    inner = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 6))
    centres = torch.cat([colours, colours * 0.5])
    return images, labels, inner, centres


def behind(images, inner, mean, std):
    model = Elsewhere(Encode(images), inner)
    encode_by(model, mean, std)
    return model


@pytest.mark.parametrize(
    ("mean", "std", "flag"),
    [
        ((0.5,), (0.5,), "mean=0.5 and std=0.5"),
        ((0.0,), (1 / 255,), "mean=0 and std=0.00392157"),
        ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "mean=0.485,0.456,0.406"),
    ],
)
def test_another_encoding_is_named(mean, std, flag):
    images, labels, inner, centres = coloured()
    given = (centres - torch.tensor(mean)) / torch.tensor(std)  # nearest centre as a linear layer
    with torch.no_grad():
        inner[2].weight.copy_(given)
        inner[2].bias.copy_(-given.square().sum(1) / 2)
    data = dataset(images, labels, tuple("abcdef"))
    right = check_as_read(behind(images, inner, mean, std), data, ImageDomain())
    assert not right.why and right.accuracy.value > 0.9
    wrong = check_as_read(behind(images, inner, (0.0,), (1.0,)), data, ImageDomain())
    assert wrong.accuracy.value < 0.6
    assert flag in wrong.why and "reverse" not in wrong.why


def test_channels_in_reverse_are_named():
    images, labels, inner, centres = coloured()
    with torch.no_grad():
        inner[2].weight.copy_(centres.flip(1))
        inner[2].bias.copy_(-centres.square().sum(1) / 2)
    data = dataset(images, labels, tuple("abcdef"))
    told = check_as_read(behind(images, inner, (0.0,), (1.0,)), data, ImageDomain())
    assert "blue first" in told.why and "python:FILE.py:FUNCTION" in told.why


def test_poor_networks_in_their_own_encoding_are_not_refused_for_another():
    """Trained behind one encoding or the other, with a third of the labels drawn at random."""
    for seed in range(6):
        rng = stream(seed, "noise")
        images, labels, inner, _ = coloured()
        random = torch.from_numpy(rng.integers(0, 6, 200))
        labels = torch.where(torch.from_numpy(rng.random(200) < 0.4), random, labels)
        mean, std = (((0.0,), (1.0,)), ((0.5,), (0.5,)))[seed % 2]
        model = behind(images, inner, mean, std)
        with seed_torch(rng):
            inner[2].reset_parameters()
        step = torch.optim.Adam(model.parameters(), 0.1)
        for _ in range(60):
            step.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            step.step()
        told = check_as_read(model, dataset(images, labels, tuple("abcdef")), ImageDomain())
        assert 0.2 < told.accuracy.value < 0.9
        assert not told.why


def test_the_network_is_left_as_it_was():
    images, _, inner, _ = coloured()
    model = behind(images, inner, (0.1,), (0.3,))
    before = model(images[:5])
    encode = model.encode
    for _, other in other_encodings(model, images):
        assert other(images[:5]).shape == (5, 6)
    assert model.encode is encode and torch.equal(model(images[:5]), before)
    grey = images[:, :1]
    assert all(not encoding.reversed for encoding in usual_encodings(grey))
    assert not list(other_encodings(nn.Linear(3, 6), images)), "its encoding is its own"
    assert not list(other_encodings(model, torch.zeros(4, 7))), "these are no images"


def test_orders_are_listed_only_where_they_can_be_read_back():
    order = np.array([1, 0])
    assert listed(("a", "b"), order) == "b,a"
    assert listed(("a, b", "c"), order) == ""
    assert listed(tuple(f"class{k:05}" for k in range(90)), np.arange(90)) == ""


def test_orders_are_distinct_and_none_is_the_given_one():
    for names in (("0", "1", "2"), NAMES, ("b", "a"), ("B", "a", "C")):
        orders = [tuple(o) for o in usual_orders(names, np.arange(len(names))).values()]
        assert len(set(orders)) == len(orders)
        assert tuple(range(len(names))) not in orders
        assert all(sorted(order) == list(range(len(names))) for order in orders)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (("a",), "['b'] missing"),
        (("a", "b", "b"), "['b'] twice"),
        (("a", "b", ""), "one of them empty"),
    ],
)
def test_an_order_that_is_none_is_refused(given, why):
    with pytest.raises(MethodError) as error:
        classes_in_order(given, ("a", "b"))
    assert why in str(error.value)


def test_an_order_may_name_classes_without_examples():
    assert classes_in_order(["b", "c", "a"], ("a", "b")) == ("b", "c", "a")
