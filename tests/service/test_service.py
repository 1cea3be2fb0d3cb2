"""The service, asked without a socket: answers, refusals, batches, counters, the end."""

import asyncio
import base64
import contextlib
import io
import json
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from methods.small_guard import First, parity, shaded
from mithridate.core.data import dataset
from mithridate.core.errors import MethodError
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.text.domain import TextDomain
from mithridate.pipelines.guarded import Guarded
from mithridate.service.app import app
from mithridate.service.reading import Reader, Refused
from mithridate.service.settings import Settings

pytest.importorskip("starlette", reason="needs pip install 'mithridate[serve]'")
httpx = pytest.importorskip("httpx")
text_string_to_metric_families = pytest.importorskip(
    "prometheus_client.parser", reason="needs pip install 'mithridate[serve]'"
).text_string_to_metric_families

HOSTILE = "<script>alert('x')</script>\u202e\ud800 & \n\"{{7*7}}"
ORDINARY = [[[77, 3], [1, 2]]]
SUSPECT = [[[255, 3], [1, 2]]]


def guard(**changes):
    trusted = shaded(800, 0)
    trusted = replace(trusted, inputs=trusted.inputs.clamp_max(250))
    trusted = replace(trusted, labels=trusted.inputs[:, 0, 0, 1].long() % 2)
    fitted = Guarded.fitted(parity(), trusted, ImageDomain(), [First()], 0.05)
    return replace(fitted, **changes)


GUARD = guard()


class Slow:
    """A model that waits until it is let go, and remembers the sizes of its batches."""

    def __init__(self):
        self.go, self.sizes = threading.Event(), []

    def guarded(self):
        # a function is wrapped as a module by `fitted`, so it is put into a fitted guard here
        return replace(GUARD, model=type(GUARD.model)(self.answer))

    def answer(self, prepared):
        assert self.go.wait(20)
        self.sizes.append(len(prepared))
        return parity()(prepared)


@contextlib.asynccontextmanager
async def client(guard=GUARD, **settings):
    """A client of a running application; `client.service` looks behind it."""
    made = app(guard, Settings(**settings))
    transport = httpx.ASGITransport(made, raise_app_exceptions=False)
    asking = httpx.AsyncClient(transport=transport, base_url="http://guard")
    async with made.router.lifespan_context(made), asking:
        asking.made, asking.service = made, made.state.service
        yield asking


def post(asking, content, kind="application/json", **headers):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    headers = {"content-type": kind, **headers}
    return asking.post("/v1/classify", content=body, headers=headers)


def ask(content, kind="application/json", guard=GUARD, **settings):
    async def once():
        async with client(guard, **settings) as asking:
            return await post(asking, content, kind)

    return asyncio.run(once())


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(np.array(pixels, dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def counted(text):
    """Every sample by its name and labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def figures(asking):
    return counted((await asking.get("/metrics")).text)


def test_an_ordinary_input_is_accepted_and_a_suspect_one_refused():
    accepted, refused = ask({"input": ORDINARY}).json(), ask({"input": SUSPECT}).json()
    assert accepted["label"] == "1" == accepted["called"] and accepted["action"] == "accept"
    assert 0.05 < accepted["p_value"] <= 1
    assert refused["action"] == "refuse" and refused["p_value"] <= 0.05
    assert refused["label"] is None and refused["called"] == "1"
    assert "trusted examples that the model puts into class 1" in refused["why"]


def test_every_way_to_send_an_image_means_the_same():
    body = png(ORDINARY[0])
    several = ask({"inputs": [ORDINARY, base64.b64encode(body).decode(), SUSPECT]}).json()
    assert [each["action"] for each in several["results"]] == ["accept", "accept", "refuse"]
    single = ask({"input": ORDINARY}).json()
    assert several["results"][0] == several["results"][1] == single
    assert ask(body, "image/png").json() == single


def test_a_guard_that_cannot_judge_says_so_and_gives_no_label():
    found = ask({"input": ORDINARY}, guard=guard(level=0.001)).json()
    assert found["action"] == "abstain" and found["label"] is None and found["called"] == "1"
    assert "needs at least 999" in found["why"]


def test_an_answer_that_is_no_number_is_null():
    broken = replace(GUARD, model=type(GUARD.model)(lambda p: parity()(p) / 0.0))
    found = ask({"input": ORDINARY}, guard=broken).json()
    assert found["action"] == "abstain" and found["p_value"] is None and found["called"] is None


def test_a_picture_that_was_read_as_black_or_white_is_never_judged():
    reader = Reader(ImageDomain(), torch.zeros(1, 1, 8, 8), 1)
    deep = np.arange(256, 320, dtype=np.uint16).reshape(8, 8)  # all above what 8 bits hold
    for pixels in (deep, np.zeros((8, 8), np.uint8)):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        with pytest.raises(Refused) as caught:
            reader.read("image/png", file.getvalue())
        assert caught.value.status == 422 and "constant" in caught.value.sentence
    assert reader.read("image/png", png(np.arange(64).reshape(8, 8))).single


WRONG = {
    "no JSON": (b"{", "application/json", 400, "expected JSON"),
    "no UTF-8": (b'"\xff"', "application/json", 400, "expected JSON"),
    "a bomb of lists": (b"[" * 60_000, "application/json", 400, "too deep"),
    "a bomb inside": (b'{"input":' + b"[" * 99 + b"]" * 99 + b"}", None, 422, "expected an image"),
    "a long number": (b'{"input":' + b"9" * 5000 + b"}", None, 400, "expected JSON"),
    "another type": (b"x", "text/html", 415, "content type"),
    "no fields": ({}, None, 422, '{"input": ...}'),
    "other fields": ({"input": ORDINARY, "model": "x"}, None, 422, "nothing else"),
    "a list alone": ([ORDINARY], None, 422, "nothing else"),
    "no list": ({"inputs": 3}, None, 422, '"inputs": [...]'),
    "none": ({"inputs": []}, None, 422, "1 to 32 inputs"),
    "too many": ({"inputs": [ORDINARY] * 33}, None, 422, "found 33"),
    "null": ({"input": None}, None, 422, "whole numbers"),
    "fractions": ({"input": [[[1.5, 2], [3, 4]]]}, None, 422, "whole numbers"),
    "no numbers": (b'{"input": [[[NaN, 2], [3, 4]]]}', None, 422, "whole numbers"),
    "ragged": ({"input": [[[1], [3, 4]]]}, None, 422, "several lengths"),
    "another shape": ({"input": [[1, 2]]}, None, 422, "found the shape [1, 2]"),
    "beyond a byte": ({"input": [[[256, 2], [3, 4]]]}, None, 422, "numbers beyond"),
    "below a byte": ({"input": [[[-1, 2], [3, 4]]]}, None, 422, "numbers beyond"),
    "huge numbers": ({"input": [[[2**70, 2], [3, 4]]]}, None, 422, "expected an image"),
    "no base64": ({"input": HOSTILE}, None, 422, "no base64"),
    "no image": ({"input": "QUJD"}, None, 422, "found none that is whole"),
    "nothing": (b"", "image/png", 422, "found none that is whole"),
    "a large image": (png(np.zeros((900, 900))), "image/png", 422, "more pixels"),
    "a small image": (png(np.zeros((1, 2))), "image/png", 422, "found 1x2x1"),
    "colours": (png(np.zeros((2, 2, 3))), "image/png", 422, "found 2x2x3"),
    "too large": (b" " * 70_000, "application/json", 413, "at most 65536 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_refused_in_a_sentence(what):
    content, kind, status, words = WRONG[what]
    found = ask(content, kind or "application/json", body=65_536)
    assert (found.status_code, list(found.json())) == (status, ["error"])
    assert words in found.json()["error"] and "Traceback" not in found.text


def test_a_body_without_length_is_cut_off():
    async def endless():
        for _ in range(100):
            yield b" " * 10_000

    async def once():
        async with client(body=65_536) as asking:
            return await asking.post("/v1/classify", content=endless())

    assert asyncio.run(once()).status_code == 413


def test_a_body_that_does_not_arrive_is_not_waited_for():
    async def slow():
        yield b"{"
        await asyncio.sleep(5)

    async def once():
        async with client(timeout=0.1) as asking:
            return await asking.post("/v1/classify", content=slow())

    assert asyncio.run(once()).status_code == 408


def test_a_client_that_goes_away_in_mid_body_is_no_failure(caplog):
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
        "path": "/v1/classify", "raw_path": b"/v1/classify", "query_string": b"", "root_path": "",
        "scheme": "http", "headers": [(b"content-type", b"application/json")],
        "client": None, "server": ("guard", 80),
    }  # fmt: skip
    arriving = [{"type": "http.request", "body": b"{", "more_body": True}]
    sent = []

    async def receive():
        return arriving.pop() if arriving else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    async def once():
        async with client() as asking:
            await asking.made(scope, receive, send)

    asyncio.run(once())
    assert sent[0]["status"] == 400
    assert not caplog.records


def test_hostile_strings_come_back_escaped_or_not_at_all():
    texts = np.array(["good film", "bad film"] * 60, dtype=object)
    names = (HOSTILE, "other")
    trusted = dataset(texts, torch.arange(120) % 2, names)

    def first(prepared):
        return torch.eye(2)[torch.zeros(len(prepared), dtype=torch.long)]

    class Length(First):
        def score(self, state, view):
            return (view.domain.prepare(view.inputs) != 0).sum(1).double()

    fitted = Guarded.fitted(first, trusted, TextDomain(), [Length()])
    for content in ({"input": HOSTILE}, {"input": "good film"}, {HOSTILE: 1}, {"input": [HOSTILE]}):
        found = ask(content, guard=fitted)
        assert found.headers["content-type"] == "application/json"
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.text.isascii() and not set(found.text) & set("<>&")
        if found.status_code == 200:
            assert found.json()["called"] == HOSTILE
        else:
            assert "alert" not in found.text


def test_paths_and_verbs_that_do_not_exist():
    async def all_of_them():
        async with client() as asking:
            one = await asking.get("/v1/classify")
            two = await asking.get("/<script>alert(1)</script>")
            return one, two, await figures(asking)

    one, two, seen = asyncio.run(all_of_them())
    assert (one.status_code, two.status_code) == (405, 404)
    assert one.headers["Allow"] == "POST"
    for said in (one, two):
        expected = "expected POST /v1/classify with an input, or GET /healthz, /readyz, /metrics"
        assert said.json() == {"error": expected}
    assert "script" not in two.text
    assert seen["mithridate_requests_total", "other", "404"] == 1


def test_small_requests_are_judged_in_large_batches():
    slow = Slow()

    async def many():
        async with client(slow.guarded(), batch=8, wait_ms=50.0) as asking:
            tasks = [asyncio.create_task(post(asking, {"input": ORDINARY})) for _ in range(25)]
            await asyncio.sleep(0.1)
            slow.go.set()
            answers = await asyncio.gather(*tasks)
            return answers, await figures(asking)

    answers, seen = asyncio.run(many())
    assert {answer.status_code for answer in answers} == {200}
    assert slow.sizes == [8, 8, 8, 1]
    assert seen["mithridate_batch_size_sum",] == 25 and seen["mithridate_batch_size_count",] == 4
    assert seen["mithridate_accepted_total",] == 25
    assert seen["mithridate_answered_total", "judged"] == 25


def test_answers_go_to_those_who_asked():
    async def many():
        async with client(batch=8) as asking:
            inputs = [[[[9 * i, i], [0, 0]]] for i in range(28)]
            together = await asyncio.gather(*(post(asking, {"input": each}) for each in inputs))
            alone = [await post(asking, {"input": each}) for each in inputs]
            return [a.json() for a in together], [a.json() for a in alone]

    together, alone = asyncio.run(many())
    assert together == alone
    assert len({each["p_value"] for each in together}) > 5


def test_a_full_queue_says_no_at_once_and_those_inside_are_answered():
    slow = Slow()

    async def overload():
        async with client(slow.guarded(), batch=2, queue=4, wait_ms=1.0) as asking:
            first = asyncio.create_task(post(asking, {"inputs": [ORDINARY] * 2}))
            await asyncio.sleep(0.05)  # it is being judged, and the queue is empty again
            tasks = []
            for _ in range(10):  # one after the other, so that it is not the reading that is full
                tasks.append(asyncio.create_task(post(asking, {"input": ORDINARY})))
                await asyncio.sleep(0.02)
            refused = [task.result() for task in tasks if task.done()]
            waiting = (await figures(asking))["mithridate_queue_length",]
            slow.go.set()
            answers = await asyncio.gather(first, *tasks)
            return refused, waiting, answers, await figures(asking)

    refused, waiting, answers, seen = asyncio.run(overload())
    assert len(refused) == 6 and {each.status_code for each in refused} == {429}
    assert all(int(each.headers["retry-after"]) >= 1 for each in refused)
    assert waiting == 4
    assert sorted(each.status_code for each in answers) == [200] * 5 + [429] * 6
    assert seen["mithridate_requests_total", "/v1/classify", "429"] == 6
    assert seen["mithridate_accepted_total",] == 5
    assert seen["mithridate_answered_total", "judged"] == 5
    assert seen["mithridate_queue_length",] == 0


def test_no_more_bodies_are_read_at_a_time_than_the_queue_has_room_for():
    async def slow():
        await asyncio.sleep(0.2)
        yield json.dumps({"input": ORDINARY}).encode()

    async def many():
        async with client(batch=2, queue=3) as asking:
            kind = {"content-type": "application/json"}
            sent = (asking.post("/v1/classify", content=slow(), headers=kind) for _ in range(8))
            return [answer.status_code for answer in await asyncio.gather(*sent)]

    assert sorted(asyncio.run(many())) == [200] * 3 + [429] * 5


def test_the_end_answers_what_waits_and_takes_nothing_more():
    slow = Slow()

    async def ending():
        async with client(slow.guarded(), batch=2) as asking:
            tasks = [asyncio.create_task(post(asking, {"input": ORDINARY})) for _ in range(9)]
            await asyncio.sleep(0.05)
            closing = asyncio.create_task(asking.service.batcher.close())
            await asyncio.sleep(0.02)
            late, ready = await post(asking, {"input": ORDINARY}), await asking.get("/readyz")
            alive = await asking.get("/healthz")
            slow.go.set()
            await closing
            return await asyncio.gather(*tasks), late, ready, alive, await figures(asking)

    answers, late, ready, alive, seen = asyncio.run(ending())
    assert [each.status_code for each in answers] == [200] * 9
    assert (late.status_code, ready.status_code, alive.status_code) == (503, 503, 200)
    assert seen["mithridate_accepted_total",] == 9 == seen["mithridate_answered_total", "judged"]


def test_what_takes_too_long_is_told_so_and_costs_no_work():
    slow = Slow()

    async def late():
        async with client(slow.guarded(), batch=1, timeout=0.1) as asking:
            tasks = [asyncio.create_task(post(asking, {"input": ORDINARY})) for _ in range(3)]
            answers = await asyncio.gather(*tasks)
            slow.go.set()
            await asking.service.batcher.close()
            return answers, await figures(asking)

    answers, seen = asyncio.run(late())
    assert [each.status_code for each in answers] == [504] * 3
    assert seen["mithridate_answered_total", "timed out"] == 3
    assert slow.sizes == [1], "what was given up was judged"


def test_a_failure_costs_only_the_request_that_fails():
    def fails(prepared):
        if bool((prepared[:, 0, 1, 1] == 66).any()):
            raise ValueError(HOSTILE.replace("\ud800", ""))  # captured logs must be UTF-8
        return parity()(prepared)

    async def three():
        broken = replace(GUARD, model=type(GUARD.model)(fails))
        async with client(broken, batch=8, wait_ms=50.0) as asking:
            bad = [[[77, 3], [1, 66]]]
            tasks = [post(asking, {"input": each}) for each in (ORDINARY, bad, SUSPECT)]
            return await asyncio.gather(*tasks), await figures(asking)

    answers, seen = asyncio.run(three())
    assert [each.status_code for each in answers] == [200, 500, 200]
    assert answers[1].json() == {"error": "the guard failed, so nothing was accepted"}
    assert seen["mithridate_answered_total", "failed"] == 1


def test_the_counters_can_be_read_and_say_what_happened():
    async def three():
        async with client() as asking:
            await post(asking, {"inputs": [ORDINARY, SUSPECT, ORDINARY]})
            await post(asking, b"{")
            assert (await asking.get("/readyz")).json() == {"status": "ready"}
            return await figures(asking)

    seen = asyncio.run(three())
    assert seen["mithridate_inputs_total", "accept"] == 2
    assert seen["mithridate_inputs_total", "refuse"] == 1
    assert seen["mithridate_inputs_total", "abstain"] == 0
    assert seen["mithridate_p_value_count",] == 3
    assert seen["mithridate_p_value_bucket", "0.05"] == 1
    assert seen["mithridate_level",] == 0.05
    assert 0.04 < seen["mithridate_calibrated_level", "0"] <= 0.05
    assert seen["mithridate_requests_total", "/v1/classify", "400"] == 1
    assert seen["mithridate_latency_seconds_count",] == 2


def test_settings_that_cannot_work_are_named():
    with pytest.raises(MethodError, match="batch above 0"):
        Settings(batch=0)
    with pytest.raises(MethodError, match="queue that holds a batch"):
        Settings(batch=64, queue=32)
