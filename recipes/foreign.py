"""Many ways in which people elsewhere train a small classifier, by plain loops of PyTorch.

None of them calls the training loop of the library, whose references they are compared with.
Axes: n examples, b examples of a batch, c classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

Parameters = Iterator[nn.Parameter]
Optimiser = Callable[[Parameters], torch.optim.Optimizer]
Schedule = Callable[[float], float]
"""From the share of the training that is done to a factor of the rate."""


def adam(rate: float, decay: float = 0.0) -> Optimiser:
    """Adam, decay in the gradient."""
    return lambda p: torch.optim.Adam(p, rate, weight_decay=decay)


def adamw(rate: float, decay: float) -> Optimiser:
    """Adam, decay beside the gradient."""
    return lambda p: torch.optim.AdamW(p, rate, weight_decay=decay)


def sgd(rate: float, momentum: float = 0.9, decay: float = 0.0) -> Optimiser:
    """Descent with or without momentum."""
    return lambda p: torch.optim.SGD(p, rate, momentum=momentum, weight_decay=decay)


def rmsprop(rate: float) -> Optimiser:
    """RMSprop."""
    return lambda p: torch.optim.RMSprop(p, rate)


def nadam(rate: float) -> Optimiser:
    """Adam with the momentum of Nesterov."""
    return lambda p: torch.optim.NAdam(p, rate)


def adagrad(rate: float) -> Optimiser:
    """Adagrad."""
    return lambda p: torch.optim.Adagrad(p, rate)


def radam(rate: float) -> Optimiser:
    """Adam with its first steps rectified."""
    return lambda p: torch.optim.RAdam(p, rate)


def adamax(rate: float) -> Optimiser:
    """Adam by the largest gradients."""
    return lambda p: torch.optim.Adamax(p, rate)


def adadelta(rate: float) -> Optimiser:
    """Adadelta."""
    return lambda p: torch.optim.Adadelta(p, rate)


def nesterov(rate: float, decay: float) -> Optimiser:
    """Descent with the momentum of Nesterov."""
    return lambda p: torch.optim.SGD(p, rate, momentum=0.9, weight_decay=decay, nesterov=True)


def constant(done: float) -> float:
    """One rate throughout."""
    return 1.0


def cosine(done: float) -> float:
    """Half a cosine."""
    return 0.5 * (1 + float(torch.cos(torch.tensor(done * 3.14159265))))


def stepped(done: float) -> float:
    """A tenth of the rate after six tenths, a hundredth after nine."""
    return 1.0 if done < 0.6 else 0.1 if done < 0.9 else 0.01


def cycle(done: float) -> float:
    """Up for three tenths, then down."""
    return done / 0.3 if done < 0.3 else (1 - done) / 0.7


@dataclass(frozen=True)
class Loop:
    """How somebody trains.

    Attributes:
        optimiser: Made of the parameters.
        epochs: Number of passes.
        batch: Examples of a step.
        schedule: Of the rate.
        smoothing: Of the labels.
        dropout: Share of features that drop out before the last layer.
        mixup: Parameter of the distribution Beta(a, a) of shares, 0 for none.
        shifts: Largest move of an image in pixels.
        noise: Standard deviation of noise on inputs, of 255.
        start: "usual", "orthogonal", "xavier" or "small" first weights.
        other: Whether it begins with a network of another task.
        examples: How many of the examples it has.
        uneven: Whether classes have from a third to all of their examples.
        wrong: Share of labels that are wrong by accident.
        clip: Largest length of a gradient, 0 for any.
        averaged: Whether the mean of the weights of later epochs is kept.

    """

    optimiser: Optimiser
    epochs: int = 12
    batch: int = 128
    schedule: Schedule = constant
    smoothing: float = 0.0
    dropout: float = 0.0
    mixup: float = 0.0
    shifts: int = 0
    noise: float = 0.0
    start: str = "usual"
    other: bool = False
    examples: int = 2000
    uneven: bool = False
    wrong: float = 0.0
    clip: float = 0.0
    averaged: bool = False


WAYS: dict[str, Loop] = {
    "adam": Loop(adam(1e-3)),
    "adam, fast": Loop(adam(5e-3), epochs=20),
    "adamw, cosine": Loop(adamw(2e-3, 0.05), schedule=cosine),
    "sgd": Loop(sgd(0.05)),
    "sgd, decay, steps": Loop(sgd(0.05, decay=5e-4), schedule=stepped),
    "sgd without momentum": Loop(sgd(0.1, momentum=0.0)),
    "rmsprop": Loop(rmsprop(1e-3)),
    "dropout": Loop(adam(2e-3), dropout=0.3),
    "label smoothing": Loop(adam(1e-3), smoothing=0.1),
    "mixup": Loop(sgd(0.05, decay=1e-4), mixup=0.4),
    "long": Loop(sgd(0.05), epochs=40, schedule=cosine),
    "short": Loop(adam(2e-3), epochs=3),
    "augmented": Loop(sgd(0.05, decay=5e-4), schedule=cosine, shifts=1, noise=8.0),
    "orthogonal start": Loop(adam(1e-3), start="orthogonal"),
    "small start": Loop(sgd(0.02), start="small"),
    "fine-tuned": Loop(adam(5e-4), other=True, epochs=6),
    "fewer examples": Loop(adam(1e-3), examples=700, epochs=30),
    "uneven classes": Loop(adamw(1e-3, 0.01), uneven=True),
    "cycle, large batch": Loop(adam(8e-3), batch=512, schedule=cycle),
    "noisy labels, averaged": Loop(sgd(0.05), wrong=0.03, averaged=True, clip=1.0, start="xavier"),
}

LATER: dict[str, Loop] = {
    "nadam": Loop(nadam(2e-3)),
    "adagrad": Loop(adagrad(0.02)),
    "nesterov, cycle": Loop(nesterov(0.1, 1e-4), batch=64, schedule=cycle),
    "sgd, heavy decay": Loop(sgd(0.05, decay=5e-3)),
    "adam, decay, small batch": Loop(adam(1e-3, 1e-3), batch=32),
    "adam, long": Loop(adam(1e-3), epochs=40),
    "noise on inputs": Loop(adam(2e-3), noise=25.0),
    "smoothing and mixup": Loop(adamw(2e-3, 0.01), smoothing=0.1, mixup=0.2),
    "trained further": Loop(adam(2e-3), other=True),
    "adam, averaged": Loop(adam(2e-3), batch=64, averaged=True),
    "few and uneven": Loop(adam(2e-3), examples=1000, uneven=True, epochs=25),
    "xavier start, clipped": Loop(sgd(0.1), start="xavier", clip=0.5, schedule=cosine),
}
"""Added when the ways above had all been looked at."""

LATEST: dict[str, Loop] = {
    "radam": Loop(radam(2e-3)),
    "adamax, stepped": Loop(adamax(4e-3), schedule=stepped),
    "adadelta": Loop(adadelta(1.0), epochs=20),
    "sgd, large batch, cycle": Loop(sgd(0.3), batch=512, epochs=30, schedule=cycle),
    "adamw, heavy decay, dropout": Loop(adamw(2e-3, 0.3), dropout=0.2, batch=64),
    "shifted and smoothed": Loop(adam(2e-3), shifts=1, smoothing=0.05, epochs=20),
    "nesterov, noisy labels": Loop(nesterov(0.05, 5e-4), wrong=0.05, schedule=cosine),
    "orthogonal start, averaged": Loop(sgd(0.1), start="orthogonal", averaged=True, clip=2.0),
    "few examples, mixup": Loop(adamw(3e-3, 0.01), examples=1200, mixup=0.3, epochs=25),
    "rmsprop, further, small batch": Loop(rmsprop(5e-4), other=True, batch=32),
}
"""Added for the scanner of windows, when all before had judged."""


def learn(
    model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, loop: Loop, seed: int
) -> nn.Module:
    """Train a network in place on inputs uint8[n, k, h, w]; gives it in evaluation mode."""
    torch.manual_seed(seed)
    begin(model, loop.start)
    optimiser = loop.optimiser(model.parameters())
    rates = [group["lr"] for group in optimiser.param_groups]
    steps = loop.epochs * -(-len(labels) // loop.batch)
    kept: list[dict[str, torch.Tensor]] = []
    done = 0
    hook = dropping(model, loop.dropout)
    model.train()
    for epoch in range(loop.epochs):
        for rows in torch.randperm(len(labels)).split(loop.batch):
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * loop.schedule((done + 0.5) / steps)
            done += 1
            optimiser.zero_grad()
            loss_of(model, varied(inputs[rows], loop), labels[rows], loop).backward()
            if loop.clip:
                nn.utils.clip_grad_norm_(model.parameters(), loop.clip)
            optimiser.step()
        if loop.averaged and epoch >= loop.epochs // 2:
            kept.append({name: value.clone() for name, value in model.state_dict().items()})
    if hook is not None:
        hook.remove()
    if kept:
        average(model, kept)
    return model.eval()


def loss_of(
    model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, loop: Loop
) -> torch.Tensor:
    """Give the mean loss of a batch, mixed where the loop mixes."""
    smooth = loop.smoothing
    if not loop.mixup:
        return F.cross_entropy(model(inputs), labels, label_smoothing=smooth)
    share = float(torch.distributions.Beta(loop.mixup, loop.mixup).sample())
    order = torch.randperm(len(labels))
    mixed = share * inputs.float() + (1 - share) * inputs[order].float()
    logits = model(mixed)
    first, second = (
        F.cross_entropy(logits, wanted, label_smoothing=smooth)
        for wanted in (labels, labels[order])
    )
    return share * first + (1 - share) * second


def varied(inputs: torch.Tensor, loop: Loop) -> torch.Tensor:
    """Move a batch by some pixels and lay noise over it."""
    if loop.shifts:
        moves = torch.randint(-loop.shifts, loop.shifts + 1, (2,)).tolist()
        inputs = torch.roll(inputs, moves, (2, 3))
    if loop.noise:
        inputs = (inputs.float() + loop.noise * torch.randn(inputs.shape)).clamp(0, 255)
    return inputs


def dropping(model: nn.Module, share: float) -> torch.utils.hooks.RemovableHandle | None:
    """Let features drop out before the last layer, in training mode."""
    if not share:
        return None
    last = [layer for layer in model.modules() if isinstance(layer, nn.Linear)][-1]
    return last.register_forward_pre_hook(
        lambda layer, given: (F.dropout(given[0], share, layer.training),)
    )


def begin(model: nn.Module, start: str) -> None:
    """Draw other first weights."""
    for weight in (p for p in model.parameters() if p.ndim > 1):
        if start == "orthogonal":
            nn.init.orthogonal_(weight.data)
        elif start == "xavier":
            nn.init.xavier_normal_(weight.data)
        elif start == "small":
            weight.data.mul_(0.3)


def average(model: nn.Module, kept: list[dict[str, torch.Tensor]]) -> None:
    """Put the mean of several states into a network; counters are taken from the last."""
    mean = {
        name: torch.stack([state[name] for state in kept]).mean(0)
        if value.is_floating_point() else value
        for name, value in kept[-1].items()
    }  # fmt: skip
    model.load_state_dict(mean)


def build(classes: int) -> nn.Module:
    """The small classifier of images of 14x14 that all of them train."""
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in ((196, 64), (64, 32)):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(32, classes))


def convolutions(classes: int) -> nn.Module:
    """A small network of three convolutions for images of 32x32."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 16), (16, 32), (32, 48)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)]
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(48 * 16, classes))


def signs(classes: int) -> nn.Module:
    """The same for images of any size, of which it takes the means of sixteen places."""
    layers = list(convolutions(classes).children())
    return nn.Sequential(*layers[:-2], nn.AdaptiveAvgPool2d(4), *layers[-2:])
