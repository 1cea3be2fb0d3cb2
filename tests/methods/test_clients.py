"""Attackers among clients: each does what its paper says, and reads no more than its level."""

import math
from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from methods.small_federation import clients, federate, network
from mithridate.attacks.goals import AllToOne
from mithridate.clients.data_poisoning import DataPoisoning, DistributedBackdoor
from mithridate.clients.edge_cases import EdgeCases
from mithridate.clients.mask_holders import FixMask, Omniscience, OverstatedOmniscience
from mithridate.clients.model_replacement import ConstrainAndScale, ModelReplacement
from mithridate.clients.neurotoxin import InsideNeurotoxin, Neurotoxin
from mithridate.clients.projected_descent import ProjectedDescent
from mithridate.clients.subspace import IsolatedSubspace, kernel_densities
from mithridate.clients.untargeted import InnerProductManipulation, LittleIsEnough, MinMax
from mithridate.core.clients import ClientAttack, Known
from mithridate.core.data import Poisoned, dataset, leave_untouched
from mithridate.core.errors import EvidenceWithheld, MethodError
from mithridate.core.flat import FlatForm
from mithridate.core.method import Attack
from mithridate.core.protocols import Visit
from mithridate.core.registry import find
from mithridate.core.steering import before_step, both
from mithridate.core.streams import stream
from mithridate.pipelines.poisoned_clients import poison_clients

OTHERS = torch.tensor([[1.0, 0.0], [3.0, 0.0], [2.0, 4.0]])


def submitted(attack, update=(1.0, 2.0), **given):
    known = Known(attack.level, 0, 0, 5, **given)
    return attack.submit(torch.tensor(update), known, stream(0, "submit"))


def test_replacement_scales_by_the_inverse_of_its_share():
    assert submitted(ModelReplacement(), share=0.1).tolist() == pytest.approx([10.0, 20.0])
    assert submitted(ConstrainAndScale(gamma=3.0), share=0.1).tolist() == [3.0, 6.0]
    with pytest.raises(MethodError, match="must not be negative"):
        submitted(ModelReplacement(gamma=-1.0), share=0.1)


def test_in_a_federation_the_replacement_is_as_many_times_larger_as_there_are_clients():
    honest = federate(rounds=1).lines[0].clients[0]
    seen = federate(attackers={0: ModelReplacement()}, rounds=1).lines[0].clients[0]
    assert seen.norm == pytest.approx(4 * honest.norm, rel=1e-4)


def test_hand_cases_of_the_untargeted():
    spread = OTHERS.std(0, correction=0)
    assert submitted(InnerProductManipulation(epsilon=0.5), others=OTHERS).tolist() == [
        -1.0, pytest.approx(-2 / 3)
    ]  # fmt: skip
    torch.testing.assert_close(
        submitted(LittleIsEnough(z=1.5), others=OTHERS), OTHERS.mean(0) - 1.5 * spread
    )
    many = torch.arange(18.0).view(9, 2)  # m = 10, f = 1: 5 of 9 must be farther, z = quantile(.5)
    torch.testing.assert_close(submitted(LittleIsEnough(), others=many), many.mean(0))
    assert not torch.equal(submitted(LittleIsEnough(partners=4), others=many), many.mean(0))


def test_min_max_goes_as_far_as_the_two_farthest_are_apart():
    sent = submitted(MinMax(), others=OTHERS)
    apart = max(float((a - b).norm()) for a in OTHERS for b in OTHERS)
    assert float((OTHERS - sent).norm(dim=1).max()) == pytest.approx(apart, rel=1e-4)
    assert not torch.allclose(sent, OTHERS.mean(0))


def test_overstating_pushes_each_number_to_the_own_side_of_the_honest_median():
    attack, consensus = OverstatedOmniscience(push=10.0), torch.tensor([True, False])
    assert submitted(attack, others=OTHERS, consensus=consensus).tolist() == [2.0 - 10.0, 0.0]
    with pytest.raises(MethodError, match="above 1"):
        submitted(OverstatedOmniscience(push=1.0), others=OTHERS, consensus=consensus)


@pytest.mark.parametrize("attack", [InnerProductManipulation(), LittleIsEnough(), MinMax()])
def test_who_imitates_needs_somebody_honest(attack):
    with pytest.raises(MethodError, match="found none"):
        submitted(attack, others=torch.zeros(0, 2))


def stepped(wrap, rate=1.0):
    """Let a wrapped optimiser take one step of gradient 1 from zero, in two parameters."""
    parameters = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))]
    optimiser = torch.optim.SGD(parameters, lr=rate)
    optimiser = wrap(optimiser) if wrap else optimiser
    for parameter in parameters:
        parameter.grad = torch.ones(2)
    optimiser.step()
    return torch.cat([parameter.detach() for parameter in parameters])


def known(attack, **given):
    return Known(attack.level, 0, 0, 5, start=torch.zeros(4), **given)


def test_projected_descent_stays_in_its_ball():
    attack = ProjectedDescent(radius=0.5)
    assert stepped(attack.wrap(known(attack))).norm() == pytest.approx(0.5)
    assert stepped(ProjectedDescent(radius=9.0).wrap(known(attack))).tolist() == [-1.0] * 4
    with pytest.raises(MethodError, match="above 0"):
        ProjectedDescent(radius=0.0).wrap(known(attack))


def test_neurotoxin_leaves_what_moved_most_alone():
    attack = Neurotoxin(avoid=0.25)
    wrap = attack.wrap(known(attack, last_step=torch.tensor([0.1, -0.9, 0.2, 0.0])))
    assert stepped(wrap).tolist() == [-1.0, 0.0, -1.0, -1.0]
    assert attack.wrap(known(attack, last_step=torch.zeros(4))) is None, "nothing was seen yet"
    inside = InsideNeurotoxin(avoid=0.5)
    consensus = torch.tensor([True, True, False, False])
    moved = known(inside, last_step=torch.tensor([0.1, -0.9, 0.2, 0.0]), consensus=consensus)
    assert stepped(inside.wrap(moved)).tolist() == [-1.0, 0.0, 0.0, 0.0]


def test_two_changes_of_a_step_are_both_made():
    def half(parameters):
        for parameter in parameters:
            parameter.grad.mul_(0.5)

    assert stepped(both(before_step(half), before_step(half))).tolist() == [-0.25] * 4
    assert both(None, None) is None


ISOLATED = IsolatedSubspace(density=0.5, alpha=0.3)


def claimed(attack, **more):
    """What an attacker claimed in a federation: its masks, and the consensus, after each round."""
    seen = []

    @dataclass(frozen=True)
    class Watched(type(attack)):
        """Planted: tells what it claims."""

        def mask(self, mask, known):
            mine = super().mask(mask, known)
            if mine is not None:
                seen.append((mask, mine, Known("strong", 0, 0, 1, **known._given).consensus))
            return mine

    federate(attackers={0: Watched()}, protocol=ISOLATED, rounds=5, **more)
    return seen


def test_omniscience_is_no_fix_mask():
    fixed, all_knowing = claimed(FixMask()), claimed(Omniscience())
    assert all(torch.equal(mine, fixed[0][0]) for _, mine, _ in fixed)
    assert all(torch.equal(mine, consensus) for _, mine, consensus in all_knowing)
    assert not torch.equal(all_knowing[-1][1], all_knowing[0][1]), "the consensus has moved"


def test_neurotoxin_removes_itself_from_the_masks_and_the_one_inside_does_not():
    _, mine, consensus = claimed(Neurotoxin())[1]
    size = FlatForm.of(network()).segments[0]
    first = slice(*size)
    assert not (mine & consensus)[first].any(), "the largest tensor: nobody trained these"
    _, mine, consensus = claimed(InsideNeurotoxin())[1]
    assert torch.equal(mine, consensus)


@dataclass(frozen=True)
class Reading(ClientAttack):
    """Planted: reads what it is told to."""

    reads: str = "others"

    def submit(self, update, known, rng):
        getattr(known, self.reads)
        return update


@pytest.mark.parametrize("reads, granted", [("others", "strong"), ("aggregator", "medium")])
def test_a_federation_keeps_from_attackers_what_their_level_withholds(reads, granted):
    with pytest.raises(EvidenceWithheld, match=f"weak attacker.*{reads}"):
        federate(attackers={0: Reading(reads)}, rounds=1)
    allowed = type("Allowed", (Reading,), {"level": granted})
    federate(attackers={0: allowed(reads)}, rounds=1)


@pytest.mark.parametrize("attack", find(ClientAttack).values(), ids=lambda attack: attack.name())
def test_every_attack_lives_with_its_own_level(attack):
    """In a plain federation, and where clients isolate themselves; what it lacks is told."""
    chosen = DistributedBackdoor(parts=(Relabel(),)) if attack is DistributedBackdoor else attack()
    isolated = replace(ISOLATED, alpha=0.1)
    for more in ({}, {"protocol": isolated}):
        try:
            result = federate(attackers={0: chosen}, rounds=2, **more)
        except MethodError as error:
            assert "has no 'consensus'" in str(error) and not more
        else:
            assert not any(c.refused for line in result.lines for c in line.clients)


@dataclass(frozen=True)
class Relabel(Attack):
    """Planted: calls everything one class."""

    label: int = 0

    def poison(self, data, rng, state=None):
        changed = replace(data, labels=torch.full_like(data.labels, self.label))
        return Poisoned(changed, leave_untouched(data).truth)


def test_parts_of_a_trigger_are_shared_between_the_attackers():
    attack = DistributedBackdoor(Relabel(), (Relabel(1), Relabel(2)))
    data = clients()
    poisoned, learnt = poison_clients(data, {1: attack, 3: attack}, stream(0, "poison"))
    assert [set(c.labels.tolist()) for c in (poisoned[1], poisoned[3])] == [{1}, {2}]
    assert poisoned[0] is data[0] and learnt == {attack: {}}
    with pytest.raises(MethodError, match="needs `parts`"):
        poison_clients(data, {1: DistributedBackdoor(Relabel())}, stream(0, "poison"))
    everywhere = AllToOne(2).target_labels(data[0].labels, 3)
    mine, _ = poison_clients(data, {0: DataPoisoning(Relabel(2))}, stream(0, "poison"))
    assert torch.equal(mine[0].labels, everywhere)


def test_edge_cases_are_the_rare_inputs_of_other_classes():
    inputs = torch.cat([torch.zeros(18, 2), torch.tensor([[9.0, 0], [0, 8.0]]), torch.ones(20, 2)])
    data = dataset(inputs, torch.tensor([1] * 20 + [0] * 20))
    attack = EdgeCases(target=0, share=0.1)
    state = attack.learn(data, stream(0, "learn"))
    made = attack.poison(data, 0, stream(0, "poison"), state)
    assert made.truth.poisoned.nonzero().flatten().tolist() == [18, 19]
    assert made.data.labels[18:20].tolist() == [0, 0] and made.data.inputs is data.inputs
    sprung = attack.triggered_test(data, stream(0, "trap"), state)
    assert sprung.ids.tolist() == [18, 19] and not sprung.labels.any()
    with pytest.raises(MethodError, match="must learn first"):
        attack.poison(data, 0, stream(0, "poison"))
    with pytest.raises(MethodError, match="hold no input that is rare"):
        attack.triggered_test(data.subset(range(5)), stream(0, "trap"), state)
    with pytest.raises(MethodError, match="target=7"):
        replace(attack, target=7).learn(data, stream(0, "learn"))


def test_densities_follow_the_sides_of_a_tensor_and_have_the_asked_mean():
    shapes = [(100, 50), (20, 10, 3, 3), (20,), (5, 5)]
    densities = kernel_densities(shapes, 0.3)
    sizes = [math.prod(shape) for shape in shapes]
    whole = sum(d * n for d, n in zip(densities, sizes, strict=True))
    assert whole == pytest.approx(0.3 * sum(sizes))
    assert densities[2:] == [1.0, 1.0], "small tensors are dense"
    assert densities[0] / densities[1] == pytest.approx((150 / 5000) / (36 / 1800))


def test_a_client_prunes_the_smallest_and_regains_where_the_gradient_is_largest():
    form = FlatForm.of(nn.Linear(4, 2, bias=False))
    protocol = IsolatedSubspace(density=0.5, alpha=0.5)
    own = {"mask": torch.tensor([True] * 4 + [False] * 4), "pruned": torch.zeros(1).long()}
    slopes = torch.tensor([9.0, 9, 9, 9, 0, 0.3, -0.5, 0.1])
    visit = Visit(0, 10, form, lambda flat, batches: slopes)
    assert protocol.begin(own, torch.ones(8), visit) is own, "nothing was pruned yet"
    ended = protocol.end(own, torch.tensor([0.1, -5.0, 4.0, 0.2, 7, 7, 7, 7]), visit)
    assert ended["mask"].tolist() == [False, True, True, False] + [False] * 4
    assert ended["pruned"].tolist() == [2]
    again = protocol.begin(ended, torch.ones(8), visit._replace(number=1))
    assert again["mask"].tolist() == [True] * 4 + [False] * 4, "the largest |gradient| outside"
    slopes[:4] = torch.tensor([0.0, 9, 9, 0.4])
    again = protocol.begin(ended, torch.ones(8), visit._replace(number=1))
    assert again["mask"].tolist() == [False, True, True, True, False, False, True, False]
    late = protocol.end(own, torch.ones(8), visit._replace(number=9))
    assert int(late["pruned"]) == 1, "the share falls as a cosine, and one at least is pruned"


def test_fusion_keeps_what_a_quorum_holds():
    masks = torch.tensor([[True, True, False], [True, False, False], [True, True, True]])
    assert IsolatedSubspace(quorum=0.5).fuse(masks).tolist() == [True, True, False]
    assert IsolatedSubspace(quorum=1.0).fuse(masks).tolist() == [True, False, False]
    with pytest.raises(MethodError, match="density and quorum"):
        IsolatedSubspace(density=0.0).init(FlatForm.of(network()), 2, stream(0, "masks"))
    apart = IsolatedSubspace(0.5, same=False).init(FlatForm.of(network()), 2, stream(0, "masks"))
    assert not torch.equal(*apart["mask"])
