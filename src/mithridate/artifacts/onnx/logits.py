"""Logits of graphs that end in a softmax."""

from __future__ import annotations

from typing import Any

PASSED = ("Identity", "Cast", "Flatten", "Squeeze")
"""Operators that change no value and may stand behind the softmax."""


def without_softmax(model: Any) -> Any:
    """Give a model whose first output are logits where a softmax over the classes ends it.

    Classes are called as before: a softmax keeps their order. A softmax whose shares are used
    elsewhere, too, stays. The model that was given stays as it is.
    """
    place = _last_softmax(model)
    if place is None:
        return model
    changed = type(model)()
    changed.CopyFrom(model)
    node = changed.graph.node[place]
    node.op_type = "Identity"
    del node.attribute[:]
    return changed


def _last_softmax(model: Any) -> int | None:
    """Find the softmax whose shares are the answer, and nothing else; None where there is none."""
    graph = model.graph
    if not graph.output:
        return None
    makers = {name: place for place, node in enumerate(graph.node) for name in node.output if name}
    uses: dict[str, int] = {}
    for node in graph.node:
        for name in node.input:
            uses[name] = uses.get(name, 0) + 1
    name = graph.output[0].name
    others = {output.name for output in graph.output[1:]}
    for behind in range(len(PASSED) + 1):
        place = makers.get(name)
        if place is None or uses.get(name, 0) != (behind > 0) or name in others:
            return None
        node = graph.node[place]
        if node.op_type == "Softmax" and node.domain in ("", "ai.onnx"):
            axes = [attribute.i for attribute in node.attribute if attribute.name == "axis"]
            return place if not axes or axes[0] in (1, -1) else None
        if node.op_type not in PASSED or node.domain not in ("", "ai.onnx"):
            return None
        name = node.input[0]
    return None
