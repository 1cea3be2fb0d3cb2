"""Sessions and interpreters: the same answers, one with derivatives."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from artifacts.onnx.graphs import helper, model, ort
from mithridate.artifacts.onnx import Adapter, Interpreter, Session, check_twin
from mithridate.artifacts.onnx.weighing import PaddedConv2d
from mithridate.core.domain import Surface
from mithridate.core.errors import CannotJudge, DataError, MethodError
from mithridate.core.inference import features_of, last_linear
from mithridate.scanners.gradients import check_gradients

RNG = np.random.default_rng(1)
SURFACE = Surface(0.0, 255.0, (3, 8, 8), (1, 8, 8))


def floats(*shape):
    return RNG.normal(0, 0.3, shape).astype(np.float32)


def node(name, inputs, output, **attributes):
    return helper.make_node(name, inputs.split(), [output], **attributes)


def prepared(n=5):
    return torch.from_numpy(RNG.integers(0, 256, (n, 3, 8, 8)).astype(np.uint8))


CONSTANTS = {
    "scale": np.float32(1 / 64), "conv.weight": floats(4, 3, 3, 3), "conv.bias": floats(4),
    "fc": floats(4, 6), "fc.bias": floats(6), "head.weight": floats(6, 5), "head.bias": floats(5),
}  # fmt: skip


def network(batch="n", kind="u", **settings):
    """Bytes, a convolution with unequal margins, a product with a sum, and a linear layer."""
    nodes = [
        node("Cast", "x", "f", to=1),
        node("Mul", "f scale", "m"),
        node("Conv", "m conv.weight conv.bias", "c", pads=[0, 1, 1, 2], strides=[2, 1]),
        node("Relu", "c", "r"),
        node("GlobalAveragePool", "r", "g"),
        node("Flatten", "g", "v"),
        node("MatMul", "v fc", "p"),
        node("Add", "fc.bias p", "s"),
        node("Gelu", "s", "e"),
        node("Gemm", "e head.weight head.bias", "y", alpha=0.5, beta=2.0),
    ]
    return model(nodes, CONSTANTS, [batch, 3, 8, 8], kind=kind, **settings)


def test_twins_agree_and_one_has_derivatives():
    made, batch = network(), prepared()
    session, twin = Session(made), Interpreter(made)
    assert (session(batch) - twin(batch)).abs().max() < 1e-5
    check_gradients(twin, batch, SURFACE)
    assert check_twin(session, twin, batch) == 1
    with torch.no_grad():
        last_linear(twin).bias += torch.arange(5) * 1e4
    with pytest.raises(CannotJudge, match="calls 0"):
        check_twin(session, twin, batch)
    with pytest.raises(CannotJudge):
        check_gradients(session, batch, SURFACE)


def test_weights_are_real_layers_under_their_names():
    twin = Interpreter(network())
    kinds = [type(layer) for layer in twin.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert kinds == [PaddedConv2d, nn.Linear, nn.Linear]
    state = twin.state_dict()
    assert torch.equal(state[twin.names["conv.weight"]], torch.from_numpy(CONSTANTS["conv.weight"]))
    assert {"conv.weight", "conv.bias", "fc.weight", "fc.bias", "head.weight"} <= set(state)
    head = torch.from_numpy(CONSTANTS["head.weight"]).T * 0.5
    assert torch.equal(last_linear(twin).weight, head)  # alpha is part of it
    assert features_of(twin, prepared()).shape == (5, 6)


def test_both_can_be_copied_pickled_and_told_to_train():
    batch = prepared()
    for made in (Session(network()), Interpreter(network())):
        wanted = made(batch)
        for other in (copy.deepcopy(made), pickle.loads(pickle.dumps(made)), made.train()):
            assert torch.equal(other(batch), wanted)


def test_a_fixed_batch_is_filled_up_and_cut():
    batch = prepared(5)
    wanted = Session(network())(batch)
    for kind in (Session, Interpreter):
        found = kind(network(batch=2))(batch)
        assert found.shape == (5, 5)
        assert torch.allclose(found, wanted, atol=1e-5)


def test_whole_inputs_are_rounded_for_the_session_only():
    batch, made = prepared().float(), network()
    assert torch.equal(Session(made)(batch + 0.4), Session(made)(batch))
    assert torch.equal(Session(made)(batch + 1000), Session(made)(batch * 0 + 255))
    assert not torch.equal(Interpreter(made)(batch + 0.4), Interpreter(made)(batch))


def test_an_adapter_scales_standardises_and_orders():
    adapter = Adapter(0.5, mean=(1, 2, 3), std=(1, 2, 4), layout="NHWC")
    batch = torch.full((1, 3, 2, 2), 8, dtype=torch.uint8)
    assert adapter(batch).shape == (1, 2, 2, 3)
    assert adapter(batch)[0, 0, 0].tolist() == [3, 1, 0.25]
    with pytest.raises(MethodError):
        Adapter(std=(0.0,))
    with pytest.raises(MethodError):
        Adapter(layout="CHWN")


def test_an_adapter_serves_both_twins():
    nodes = [node("Transpose", "x", "t", perm=[0, 3, 1, 2]), node("ReduceMean", "t a", "y")]
    made = model(nodes, {"a": np.array([2, 3], np.int64)}, ["n", 8, 8, 3])
    adapter, batch = Adapter(mean=(0.5,), std=(0.25,), layout="NHWC"), prepared()
    wanted = (batch.float().mean((2, 3)) / 255 - 0.5) / 0.25
    for kind in (Session, Interpreter):
        assert torch.allclose(kind(made, adapter)(batch), wanted, atol=1e-5)
    check_gradients(Interpreter(made, adapter), batch, SURFACE)


def dynamic():
    """A product whose inputs are quantised as they come."""
    nodes = [
        node("Flatten", "x", "v"),
        helper.make_node("DynamicQuantizeLinear", ["v"], ["q", "qs", "qz"]),
        node("MatMulInteger", "q w qz wz", "i"),
        node("Cast", "i", "f", to=1),
        node("Mul", "qs ws", "s"),
        node("Mul", "f s", "m"),
        node("Add", "m b", "y"),
    ]
    constants = {
        "w": RNG.integers(-128, 128, (192, 4)).astype(np.int8), "wz": np.array([3], np.int8),
        "ws": np.array([0.1, 0.2, 0.3, 0.4], np.float32), "b": floats(4),
    }  # fmt: skip
    return model(nodes, constants)


def test_dynamic_quantisation_becomes_a_layer_in_real_units():
    made, batch = dynamic(), torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    twin = Interpreter(made)
    assert [step.operator for step in twin._steps] == [
        "Flatten", "dynamic and back", "MatMulInteger",
    ]  # fmt: skip
    found, wanted = twin(batch), Session(made)(batch)
    assert (found - wanted).abs().max() < 1e-3 * wanted.abs().max()
    assert (features_of(twin, batch) - batch.flatten(1)).abs().max() < 0.02
    (by_inputs,) = torch.autograd.grad(twin(batch.requires_grad_()).sum(), batch)
    assert torch.allclose(by_inputs[0].flatten(), last_linear(twin).weight.sum(0), rtol=1e-3)


def test_dynamic_answers_do_not_depend_on_what_else_is_asked():
    batch = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    batch[3] *= 50
    raw = ort.InferenceSession(dynamic().SerializeToString(), providers=["CPUExecutionProvider"])
    assert not np.allclose(
        raw.run(None, {"x": batch.numpy()})[0][:3], raw.run(None, {"x": batch[:3].numpy()})[0]
    )
    for made in (Session(dynamic()), Interpreter(dynamic())):
        assert torch.allclose(made(batch)[:3], made(batch[:3]), atol=1e-4)


def test_a_product_is_not_merged_where_another_node_needs_it():
    nodes = [
        node("Flatten", "x", "v"),
        node("MatMul", "v w", "p"),
        node("Add", "p b", "s"),
        node("Mul", "s p", "y"),
    ]
    made = model(nodes, {"w": floats(192, 4), "b": floats(4)})
    batch = prepared().float()
    assert torch.allclose(Interpreter(made)(batch), Session(made)(batch), rtol=1e-4)


def test_summands_of_rows_are_no_bias():
    nodes = [node("Flatten", "x", "v"), node("Gemm", "v w c", "y")]
    made = model(nodes, {"w": floats(192, 4), "c": floats(4, 1)}, [4, 3, 8, 8])
    batch = prepared(4).float()
    assert torch.allclose(Interpreter(made)(batch), Session(made)(batch), rtol=1e-4, atol=1e-3)


def test_layers_that_fit_nothing_end_in_a_reason():
    odd = node("Conv", "x w", "y", group=0)
    with pytest.raises(CannotJudge, match="'Conv' in node 0 cannot be computed"):
        Interpreter(model([odd], {"w": floats(4, 3, 3, 3)}))
    twin = Interpreter(network())
    with pytest.raises(CannotJudge, match="'Conv' in node 2 cannot be computed"):
        twin(torch.zeros(1, 4, 8, 8))


def test_functions_of_the_file_are_put_in_place():
    made = model([helper.make_node("twice", ["x"], ["y"], domain="own")])
    body = [helper.make_node("Add", ["a", "a"], ["b"])]
    imports = [helper.make_opsetid("", 20)]
    made.functions.append(helper.make_function("own", "twice", ["a"], ["b"], body, imports))
    made.opset_import.append(helper.make_opsetid("own", 1))
    batch = prepared(2).float()
    assert torch.equal(Interpreter(made)(batch), 2 * batch.flatten(1))


def test_outputs_are_chosen_by_name_and_the_rest_is_left_out():
    nodes = [
        node("Flatten", "x", "y"),
        node("Neg", "y", "z"),
        helper.make_node("NonZero", ["y"], ["odd"]),  # not understood, and not needed
    ]
    made = model(nodes)
    made.graph.output.append(helper.make_tensor_value_info("z", 1, None))
    batch = prepared(2).float()
    for kind in (Session, Interpreter):
        assert torch.equal(kind(made, output="z")(batch), -batch.flatten(1))
    with pytest.raises(DataError, match="an output 'w'"):
        Session(made, output="w")
    with pytest.raises(CannotJudge, match="no output 'w'"):
        Interpreter(made, output="w")


def test_what_cannot_be_run_is_said_before_anything_runs():
    with pytest.raises(CannotJudge, match=r"'NonZero' of node 0 has no derivatives here"):
        Interpreter(model([node("NonZero", "x", "y")]))
    with pytest.raises(CannotJudge, match="version 7 or later"):
        Interpreter(network(opset=6))
    two = network()
    two.graph.input.append(helper.make_tensor_value_info("other", 1, ["n"]))
    for kind in (Session, Interpreter):
        with pytest.raises(CannotJudge, match="one input"):
            kind(two)


def test_inputs_that_do_not_fit_end_in_a_reason():
    with pytest.raises(DataError, match="where the file takes"):
        Session(network())(torch.zeros(1, 4, 8, 8))
    twin = Interpreter(model([node("Reshape", "x s", "y")], {"s": np.array([-1, 7], np.int64)}))
    with pytest.raises(CannotJudge, match=r"'Reshape' in node 0 cannot be computed on \[\[1, 3"):
        twin(torch.zeros(1, 3, 8, 8))
