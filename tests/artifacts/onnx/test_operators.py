"""Every operator against the reference of the standard, and some derivatives."""

import numpy as np
import pytest
import torch

from artifacts.onnx.graphs import expected, helper, numpy_helper
from mithridate.artifacts.onnx.expanding import expanded
from mithridate.artifacts.onnx.operators_integers import quantise
from mithridate.artifacts.onnx.planning import OPERATORS, _step, run
from mithridate.artifacts.onnx.table import Call
from mithridate.core.errors import CannotJudge

RNG = np.random.default_rng(0)


def floats(*shape, low=-3.0, high=3.0):
    return RNG.uniform(low, high, shape).astype(np.float32)


def whole(*values):
    return np.array(values, np.int64)


def number(value, kind=np.float32):
    return np.array(value, kind)


IMAGE, EVEN, TABLE, BLOCK = floats(2, 4, 7, 9), floats(2, 3, 8, 8), floats(3, 5), floats(2, 3, 4)
BYTES = RNG.integers(0, 256, (3, 6)).astype(np.uint8)
SIGNED = RNG.integers(-128, 128, (6, 4)).astype(np.int8)
K = {"kernel_shape": [3, 3]}


def case(name, *inputs, opset=20, outputs=1, **attributes):
    words = "-".join(f"{k}={v}".replace(" ", "") for k, v in attributes.items())
    return pytest.param(name, inputs, attributes, opset, outputs, id=f"{name}-{opset}-{words}"[:80])


ELEMENTWISE = [
    *[case(n, TABLE) for n in ("Abs", "Atan", "Ceil", "Cos", "Erf", "Exp", "Floor", "HardSwish",
      "Identity", "Mish", "Neg", "Reciprocal", "Relu", "Sigmoid", "Sign", "Sin",
      "Softplus", "Softsign", "Tanh", "Elu", "Celu", "Selu", "LeakyRelu", "HardSigmoid",
      "ThresholdedRelu", "Gelu", "Round")],
    *[case(n, np.abs(TABLE) + 0.1) for n in ("Log", "Sqrt")],
    case("Round", number([0.5, 1.5, 2.5, -0.5, -1.5])),
    case("IsNaN", number([1.0, np.nan])),
    case("Not", TABLE > 0),
    *[case(n, TABLE, floats(5), opset=o) for n in ("Add", "Sub", "Mul", "Div") for o in (13, 20)],
    *[case(n, TABLE, floats(5)) for n in ("Greater", "GreaterOrEqual", "Less", "LessOrEqual")],
    *[case(n, TABLE > 0, TABLE > 1) for n in ("And", "Or", "Xor")],
    *[case(n, TABLE, floats(3, 1), floats(5)) for n in ("Max", "Min", "Sum", "Mean")],
    case("Equal", whole(1, 2, 3), whole(1, 0, 3)),
    case("Div", whole(7, -7, 8), whole(2, 2, -3)),
    case("Mod", whole(7, -7, 8), whole(3, 3, -3)),
    case("Mod", TABLE, floats(5), fmod=1),
    case("Pow", np.abs(TABLE), number(1.7)),
    case("Pow", TABLE, number(2.0)),
    case("PRelu", TABLE, floats(5)),
    case("Elu", TABLE, alpha=0.3),
    case("Celu", TABLE, alpha=2.0),
    case("Selu", TABLE, alpha=1.1, gamma=0.9),
    case("LeakyRelu", TABLE, alpha=0.2),
    case("HardSigmoid", TABLE, alpha=0.3, beta=0.1),
    case("ThresholdedRelu", TABLE, alpha=0.2),
    case("Gelu", TABLE, approximate="tanh"),
    case("Swish", TABLE, opset=24, alpha=1.5),
    case("Clip", TABLE, number(-1), number(1)),
    case("Clip", TABLE, number(-1)),
    case("Clip", TABLE, None, number(0.5)),
    case("Clip", TABLE, opset=6 + 1, min=-0.5, max=1.0),
    *[case("Cast", TABLE, to=to) for to in (1, 6, 7, 9, 10, 11)],
    case("Cast", BYTES, to=1),
    case("CastLike", TABLE, whole(1)),
    case("Where", TABLE > 0, TABLE, floats(5)),
]  # fmt: skip
SHAPES = [
    case("Reshape", BLOCK, whole(0, -1)),
    case("Reshape", BLOCK, whole(4, 3, 2), allowzero=1),
    case("Transpose", BLOCK),
    case("Transpose", BLOCK, perm=[1, 2, 0]),
    *[case("Flatten", BLOCK, axis=axis) for axis in (0, 1, 2, 3, -1)],
    case("Concat", BLOCK, BLOCK, axis=-1),
    case("Concat", TABLE, TABLE, TABLE, axis=0),
    case("Slice", BLOCK, whole(0, 1), whole(1, 3)),
    case("Slice", BLOCK, whole(1), whole(2**62), whole(-1)),
    case("Slice", BLOCK, whole(-1), whole(-(2**62)), whole(2), whole(-1)),
    case("Slice", BLOCK, whole(-9), whole(-1), whole(2), whole(2)),
    case("Slice", BLOCK, whole(3), whole(1), whole(2)),
    case("Slice", BLOCK, opset=9, starts=[1], ends=[3], axes=[2]),
    case("Split", BLOCK, whole(1, 3), outputs=2, axis=2),
    case("Split", BLOCK, outputs=2, axis=2, num_outputs=2),
    case("Split", floats(7, 2), outputs=3, axis=0, num_outputs=3),
    case("Split", BLOCK, opset=11, outputs=2, axis=2, split=[3, 1]),
    case("Split", BLOCK, opset=13, outputs=2, axis=2),
    case("Gather", BLOCK, whole(2, 0, -1), axis=2),
    case("Gather", BLOCK, number(-1, np.int64), axis=1),
    case("Gather", BLOCK, np.array([[0, 1], [2, -2]]), axis=-2),
    case("GatherElements", TABLE, np.array([[0, -1], [2, 1], [1, 1]]), axis=1),
    case("Unsqueeze", BLOCK, whole(0, -1)),
    case("Unsqueeze", BLOCK, opset=11, axes=[3, 1]),
    case("Squeeze", floats(2, 1, 3, 1), whole(1)),
    case("Squeeze", floats(2, 1, 3, 1)),
    case("Squeeze", floats(2, 1, 3, 1), opset=11, axes=[-1]),
    case("Shape", BLOCK),
    case("Shape", BLOCK, start=-2, end=3),
    case("Size", BLOCK),
    case("ConstantOfShape", whole(2, 3)),
    case("ConstantOfShape", whole(2), value=numpy_helper.from_array(whole(7))),
    case("Expand", floats(3, 1), whole(2, 1, 4)),
    case("Tile", TABLE, whole(2, 3)),
    case("Range", number(1, np.int64), number(9, np.int64), number(3, np.int64)),
    case("ArgMax", TABLE, axis=1),
    case("ArgMax", TABLE, axis=-1, keepdims=0),
    case("Trilu", TABLE),
    case("Trilu", TABLE, number(1, np.int64), upper=0),
    *[case("DepthToSpace", floats(2, 8, 2, 3), blocksize=2, mode=m) for m in ("DCR", "CRD")],
    case("SpaceToDepth", floats(2, 3, 4, 6), blocksize=2),
    case("Dropout", TABLE),
    case("Dropout", TABLE, opset=11, ratio=0.4),
    *[case("Pad", IMAGE, whole(0, 0, 1, 2, 0, 0, 3, 1), mode=m) for m in ("reflect", "edge")],
    case("Pad", IMAGE, whole(0, 0, 1, 2, 0, 1, 3, 1), number(0.5)),
    case("Pad", IMAGE, whole(1, 2), number(2), whole(-1)),
    case("Pad", IMAGE, opset=10, pads=[0, 0, 1, 2, 0, 1, 3, 1], value=0.3),
]
REDUCTIONS = [
    *[case(f"Reduce{n}", np.abs(BLOCK) + 0.1, whole(1, -1), keepdims=k) for k in (0, 1) for n in
      ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")],
    *[case(f"Reduce{n}", BLOCK, opset=11, axes=[-2], keepdims=0) for n in ("Mean", "Sum", "Max")],
    *[case(f"Reduce{n}", BLOCK) for n in ("Mean", "Sum", "Max", "L2")],
    case("ReduceSum", BLOCK, np.array([], np.int64), noop_with_empty_axes=1),
]  # fmt: skip
CHANNELS = (floats(4), floats(4), floats(4), floats(4, low=0.5))
LAYERS = [
    case("Conv", IMAGE, floats(5, 4, 3, 3), floats(5), **K),
    case("Conv", IMAGE, floats(5, 4, 3, 2), pads=[1, 0, 2, 1], strides=[2, 1]),
    case("Conv", IMAGE, floats(6, 2, 3, 3), floats(6), group=2, dilations=[2, 1]),
    *[case("Conv", IMAGE, floats(5, 4, 4, 3), strides=[2, 2], auto_pad=a)
      for a in ("SAME_UPPER", "SAME_LOWER", "VALID")],
    case("Conv", BLOCK, floats(5, 3, 2), pads=[1, 0]),
    case("Gemm", TABLE, floats(5, 2), floats(2)),
    case("Gemm", TABLE, floats(2, 5), transB=1, alpha=0.5),
    case("Gemm", floats(5, 3), floats(5, 2), floats(3, 1), transA=1, beta=0.3),
    case("MatMul", BLOCK, floats(2, 4, 5)),
    case("MatMul", BLOCK, floats(4, 5)),
    case("Einsum", BLOCK, floats(2, 4, 5), equation="bij,bjk->bik"),
    case("BatchNormalization", IMAGE, *CHANNELS),
    case("BatchNormalization", floats(3, 4), *CHANNELS, epsilon=0.1, momentum=0.5),
    case("InstanceNormalization", IMAGE, floats(4), floats(4), epsilon=0.01),
    case("LayerNormalization", BLOCK, floats(4), floats(4)),
    case("LayerNormalization", BLOCK, floats(3, 4), axis=1, epsilon=0.01),
    case("RMSNormalization", BLOCK, floats(4), opset=23),
    case("GroupNormalization", IMAGE, floats(4), floats(4), opset=21, num_groups=2),
    case("GroupNormalization", IMAGE, floats(2), floats(2), opset=18, num_groups=2),
    case("LRN", IMAGE, size=3, alpha=0.2, beta=0.6, bias=1.5),
    case("LpNormalization", TABLE, axis=1),
    case("LpNormalization", TABLE, axis=0, p=1),
    *[case("MaxPool", IMAGE, **K, strides=[2, 2], pads=[1, 0, 1, 2], ceil_mode=c) for c in (0, 1)],
    *[case("MaxPool", IMAGE, **K, auto_pad=a, strides=[2, 2])
      for a in ("SAME_UPPER", "SAME_LOWER", "VALID")],
    case("MaxPool", IMAGE, **K, dilations=[2, 3]),
    case("MaxPool", BLOCK, kernel_shape=[2]),
    *[case("AveragePool", IMAGE, **K, strides=[2, 2], pads=[1, 0, 1, 2], count_include_pad=c)
      for c in (0, 1)],
    case("AveragePool", IMAGE, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
    case("AveragePool", IMAGE, **K, auto_pad="SAME_UPPER", strides=[2, 2]),
    case("GlobalAveragePool", IMAGE),
    case("GlobalMaxPool", IMAGE),
    *[case(n, BLOCK, opset=o) for n in ("Softmax", "LogSoftmax") for o in (11, 20)],
    *[case(n, BLOCK, opset=o, axis=1) for n in ("Softmax", "LogSoftmax") for o in (12, 13)],
]  # fmt: skip
SCALES = number([1, 1, 2.0, 1.5])
MODES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
RESIZES = [
    *[case("Resize", EVEN, None, SCALES, mode="linear", coordinate_transformation_mode=m)
      for m in MODES],
    *[case("Resize", EVEN, None, None, whole(2, 3, 5, 11), mode="linear",
      coordinate_transformation_mode=m) for m in MODES],
    *[case("Resize", EVEN, None, SCALES, mode="nearest", nearest_mode=m,
      coordinate_transformation_mode="asymmetric")
      for m in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")],
    case("Resize", EVEN, None, number([0.6, 2]), axes=[2, 3], mode="nearest"),
    case("Resize", EVEN, number([1, 1, 2, 2]), opset=10, mode="nearest"),
]  # fmt: skip
SCALE = number([0.1, 0.02, 0.3, 0.05, 0.2])
INTEGERS = [
    case("QuantizeLinear", TABLE, number(0.02), number(128, np.uint8)),
    case("QuantizeLinear", TABLE, number(0.01), number(-3, np.int8)),
    case("QuantizeLinear", TABLE, number(0.1)),
    case("QuantizeLinear", TABLE, SCALE, number([0, 9, 1, 2, 3], np.int8), axis=1),
    case("QuantizeLinear", TABLE, SCALE[:3], number([0, 9, 1], np.int8), axis=-2),
    case("QuantizeLinear", TABLE, number(0.001), number(5, np.int16), opset=21),
    case("QuantizeLinear", TABLE, number(0.001), opset=21, output_dtype=5),
    case("DequantizeLinear", BYTES, number(0.02), number(128, np.uint8)),
    case("DequantizeLinear", SIGNED, SCALE[:4], number([0, 9, 1, -2], np.int8)),
    case("DequantizeLinear", SIGNED, floats(6), axis=0),
    case("DequantizeLinear", SIGNED, floats(3, 4), axis=0, block_size=2, opset=21),
    case("DequantizeLinear", whole(7, -8).astype(np.int32), number(0.5)),
    case("DynamicQuantizeLinear", TABLE, outputs=3),
    case("DynamicQuantizeLinear", np.abs(TABLE), outputs=3),
    case("MatMulInteger", BYTES, SIGNED, number(9, np.uint8), number(-4, np.int8)),
    case("MatMulInteger", BYTES, SIGNED),
    case("ConvInteger", BYTES.reshape(1, 2, 3, 3), SIGNED.reshape(3, 2, 2, 2),
         number(100, np.uint8), pads=[1, 1, 0, 0]),
    case("QLinearMatMul", BYTES, number(0.02), number(9, np.uint8), SIGNED, number(0.03),
         number(-4, np.int8), number(2.0), number(128, np.uint8)),
    case("QLinearConv", BYTES.reshape(1, 2, 3, 3), number(0.02), number(9, np.uint8),
         SIGNED.reshape(3, 2, 2, 2), SCALE[:3], number([0, 0, 0], np.int8), number(0.5),
         number(100, np.uint8), whole(4, -400, 9).astype(np.int32), pads=[1, 1, 0, 0]),
]  # fmt: skip
ALL = [*ELEMENTWISE, *SHAPES, *REDUCTIONS, *LAYERS, *RESIZES, *INTEGERS]


WRONG = {
    ("LRN", 20): "it takes the axis of examples for that of channels",
    ("LpNormalization", 20): "it forgets absolute values, and takes axis 0 for none",
    ("MaxPool", 20): "it rounds SAME_LOWER down",
    ("Resize", 10): "it does not know scales as the second input",
    ("Softmax", 11): "it does not flatten, as was the rule",
    ("Softmax", 12): "it does not flatten, as was the rule",
    ("LogSoftmax", 11): "it does not flatten, as was the rule",
    ("LogSoftmax", 12): "it does not flatten, as was the rule",
    ("Unsqueeze", 11): "it inserts axes in the order of the list",
}
"""Where the reference is not right; ONNX Runtime is asked instead."""


def ours(node, inputs, opset):
    step = _step(node, 0)
    tensors = iter(inputs)
    named = {name: torch.from_numpy(np.array(next(tensors))) for name in node.input if name}
    for part in expanded([step], named):  # some are taken apart, and others stay as they are
        given = [named[name] if name else None for name in part.inputs]
        found = run(part, Call(given, part.attributes, opset, len(part.outputs)))
        named.update(zip(part.outputs, found, strict=False))
    return found


@pytest.mark.parametrize(("name", "inputs", "attributes", "opset", "outputs"), ALL)
def test_operators_do_as_the_standard_says(name, inputs, attributes, opset, outputs):
    names = ["" if value is None else f"i{place}" for place, value in enumerate(inputs)]
    node = helper.make_node(name, names, [f"o{i}" for i in range(outputs)], **attributes)
    given = [value for value in inputs if value is not None]
    wanted = expected(node, given, opset, runtime=(name, opset) in WRONG)
    found = ours(node, given, opset)
    assert len(found) == len(wanted)
    for mine, theirs in zip(found, wanted, strict=True):
        assert tuple(mine.shape) == np.shape(theirs)
        np.testing.assert_allclose(mine.double().numpy(), np.float64(theirs), 1e-5, 1e-5)


def test_every_operator_has_a_case():
    standard = {name for name in OPERATORS if not name.startswith("com.microsoft.")}
    assert standard - {"dynamic and back"} == {param.values[0] for param in ALL}


@pytest.mark.parametrize(
    ("name", "inputs", "attributes"),
    [
        ("Conv", (IMAGE[:1, :, :5, :4], floats(2, 4, 3, 3)), {"auto_pad": "SAME_LOWER"}),
        ("AveragePool", (IMAGE[:1],), {**K, "pads": [1, 0, 1, 2], "strides": [2, 2]}),
        ("LayerNormalization", (BLOCK, floats(4), floats(4)), {}),
        ("Selu", (TABLE * 100,), {}),
        ("Resize", (EVEN[:1, :1, :3, :4], None, SCALES), {"mode": "linear"}),
        ("Pad", (TABLE, whole(1, 2, 0, 3)), {"mode": "reflect"}),
        ("Slice", (BLOCK, whole(-1), whole(-9), whole(2), whole(-2)), {}),
        ("ReduceProd", (TABLE, whole(0, 1)), {}),
    ],
)
def test_derivatives_are_those_of_small_steps(name, inputs, attributes):
    names = ["" if value is None else f"i{place}" for place, value in enumerate(inputs)]
    step = _step(helper.make_node(name, names, ["o"], **attributes), 0)
    later = [None if value is None else torch.from_numpy(value) for value in inputs[1:]]
    later = [v.double() if v is not None and v.is_floating_point() else v for v in later]

    def function(value):
        return run(step, Call([value, *later], step.attributes, 20))[0]

    first = torch.from_numpy(inputs[0]).double().requires_grad_(True)
    assert torch.autograd.gradcheck(function, (first,), atol=1e-6)


def test_derivatives_pass_a_rounding_and_stop_where_it_clips():
    value = torch.tensor([-1.0, 0.26, 5.0, 30.0], requires_grad=True)
    found = quantise(value, torch.tensor(0.1), torch.tensor(3.0), torch.uint8)
    assert found.tolist() == [0, 6, 53, 255]
    (gradient,) = torch.autograd.grad(found.sum(), value)
    assert torch.allclose(gradient, torch.tensor([0.0, 10.0, 10.0, 0.0]))


def refused(name, *inputs, domain="", outputs=1, **attributes):
    node = helper.make_node(
        name, inputs, [f"o{i}" for i in range(outputs)], domain=domain, **attributes
    )
    with pytest.raises(CannotJudge) as caught:
        _step(node, 3)
    return str(caught.value)


def test_what_is_not_understood_is_named():
    assert "'LSTM' of node 3" in refused("LSTM", "x")
    assert "'com.microsoft.Relu'" in refused("Relu", "x", domain="com.microsoft")
    assert "attribute 'slope'" in refused("Relu", "x", slope=1)
    assert "mode = cubic" in refused("Resize", "x", mode="cubic")
    assert "2 outputs, of which 1" in refused("MaxPool", "x", outputs=2, kernel_shape=[2])
    assert "training_mode = 1" in refused("BatchNormalization", *"xsbmv", training_mode=1)


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("Expand", (floats(1), whole(2**20, 2**20))),
        ("ConstantOfShape", (whole(2**40),)),
        ("Tile", (floats(1, 1), whole(2**20, 2**20))),
        ("Range", (number(0, np.int64), number(2**40, np.int64), number(1, np.int64))),
        ("Pad", (floats(1, 1), whole(0, 0, 2**20, 2**20))),
        ("Resize", (floats(1, 1, 1, 1), None, number([1, 1, 2**15, 2**15]))),
        ("Reshape", (floats(4), whole(3))),
        ("Gather", (floats(4), whole(4))),
    ],
)
def test_bombs_and_nonsense_end_in_a_reason(name, inputs):
    names = ["" if value is None else f"i{place}" for place, value in enumerate(inputs)]
    given = [value for value in inputs if value is not None]
    with pytest.raises(CannotJudge, match=rf"'{name}' in node 0 cannot be computed"):
        ours(helper.make_node(name, names, ["o"]), given, 20)
