"""A quick victim of attacks on the digits: what it obeys after training on poison."""

from methods.quick_network import quick_network
from mithridate.bench.metrics.evaluate import attack_success
from mithridate.core.fit import TrainingConfig
from mithridate.core.streams import stream
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.surrogate import surrogate
from mithridate.trainers.standard import Standard

DOMAIN = ImageDomain(crop=0.0)
RECIPE = TrainingConfig(
    epochs=10, batch_size=64, learning_rate=0.1, augment=False, precision="fp32"
)


def split(digits):
    """Training and test data."""
    order = stream(0, "split").permutation(len(digits))
    return digits.subset(order[:1397]), digits.subset(order[1397:])


def obeyed(attack, train, test, state=None, name=""):
    """Attack success rate on a small network that was trained on the poisoned data."""
    poisoned, rng = attack.poison(train, stream(0, "poison"), state).data, stream(0, "network")
    model = DOMAIN.network(poisoned, name, rng) if name else quick_network(poisoned, rng)
    Standard(RECIPE).train(model, poisoned, DOMAIN, stream(0, "train"))
    return attack_success(model, attack, test, DOMAIN, stream(0, "trap"), state=state).value


def attackers(train, epochs):
    """The network that an attack learnt from, since learning began with it on the same stream."""
    return surrogate(
        train, stream(0, "learn"), TrainingConfig(epochs=epochs, batch_size=64, learning_rate=0.1)
    )
