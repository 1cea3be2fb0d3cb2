"""The protocol of a federation that asks nothing of its clients."""

from __future__ import annotations

from dataclasses import dataclass

from mithridate.core.protocols import ClientProtocol


@dataclass(frozen=True)
class PlainDescent(ClientProtocol):
    """Let clients train on all parameters by their own loss, and ask nothing else of them."""

    paper = "McMahan et al., Communication-Efficient Learning of Deep Networks, AISTATS 2017"
    links = ("https://arxiv.org/abs/1602.05629",)
