"""A small vision transformer, written as a file."""

import pytest
import torch
from torch import nn

from mithridate.artifacts.onnx import export_with_twin
from mithridate.core.inference import features_of, last_linear
from mithridate.core.streams import stream
from mithridate.domains.image.domain import ImageDomain
from mithridate.scanners.gradients import check_gradients


@pytest.mark.slow
def test_a_transformer_and_its_twins_agree(digits):
    domain = ImageDomain()
    whole = domain.network(digits, "vit:32", stream(0, "network")).eval()
    model = nn.Sequential(*list(whole)[:4], *list(whole)[-3:])  # one block: export takes seconds
    prepared = domain.prepare(digits.inputs)[:200]
    session, twin = export_with_twin(model, prepared, "fp32")
    with torch.inference_mode():
        wanted = model(prepared)
        assert (session(prepared) - wanted).abs().max() < 1e-4
        assert (twin(prepared) - wanted).abs().max() < 1e-4
    assert last_linear(twin).weight.shape == (10, 32)
    assert torch.allclose(features_of(twin, prepared), features_of(model, prepared), atol=1e-4)
    check_gradients(twin, prepared, domain.surface(prepared))
