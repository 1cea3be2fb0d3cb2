"""The report in a real browser, with no network: widths, titles, and no script that runs."""

import base64
import html
import json
import re
import shutil
import socket
import subprocess
import threading

import pytest

from report.example import HOSTILE, hostile_names, hostile_texts, pictures, scan_of, texts, written

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
needs_browser = pytest.mark.skipif(not CHROMIUM, reason="needs the program `chromium`")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--hide-scrollbars", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-extensions", "--disable-default-apps",
    "--virtual-time-budget=3000",
)  # fmt: skip
PHONE, DESKTOP = (390, 844), (1280, 900)

FRAMES = """<!doctype html><meta charset="utf-8"><title>untouched</title>
{frames}
<pre id="measured"></pre>
<script>
addEventListener("load", () => {{
  const found = [...document.querySelectorAll("iframe")].map((frame) => {{
    const page = frame.contentDocument;
    page.querySelectorAll("details").forEach((d) => d.open = true);
    const root = page.documentElement;
    const wide = [...page.querySelectorAll("body *")].filter((e) =>
      !e.closest(".scroll, svg") && e.getBoundingClientRect().right > root.clientWidth + 1);
    return {{
      title: page.title, wide: root.scrollWidth, room: root.clientWidth,
      over: wide.map((e) => e.className + " " + e.textContent.slice(0, 40)).slice(0, 5),
      cut: [...page.querySelectorAll("td.why > div")].map((e) =>
        e.getBoundingClientRect().right - e.closest(".scroll").getBoundingClientRect().right),
      tables: [...page.querySelectorAll(".scroll")].map((e) => e.scrollWidth - e.clientWidth),
      text: page.body.innerText, scripts: page.scripts.length,
      pictures: [...page.images].every((i) => i.complete && i.naturalWidth > 0),
    }};
  }});
  document.querySelectorAll("iframe").forEach((frame) => frame.remove());
  document.getElementById("measured").textContent =
    btoa(unescape(encodeURIComponent(JSON.stringify({{outer: document.title, found}}))));
}});
</script>
"""


class Sink:
    """A proxy that answers nothing and notes what was asked of it."""

    def __enter__(self):
        self.asked = []
        self.server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.listen, daemon=True).start()
        return self

    def listen(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(2)
                try:
                    self.asked.append(connection.recv(2000).decode("latin-1"))
                except OSError:
                    continue

    def __exit__(self, *_):
        self.server.close()

    @property
    def flag(self):
        return f"--proxy-server=http://127.0.0.1:{self.server.getsockname()[1]}"


def browse(folder, address, *flags, sink):
    command = [CHROMIUM, *FLAGS, sink.flag, f"--user-data-dir={folder / 'profile'}", *flags]
    done = subprocess.run(
        [*command, address.as_uri()], capture_output=True, timeout=120, check=True
    )
    return done.stdout.decode("utf-8")


def measure(folder, *pages):
    """Open pages, each with its width and height, in frames; returns what a script measured."""
    frames = "".join(
        f'<iframe width="{w}" height="{h}" style="border:0" srcdoc="{html.escape(page)}"></iframe>'
        for page, (w, h) in pages
    )
    wrapper = folder / "wrapper.html"
    wrapper.write_text(FRAMES.format(frames=frames), "utf-8")
    with Sink() as sink:
        dumped = browse(folder, wrapper, "--dump-dom", sink=sink)
    encoded = re.search(r'<pre id="measured">([^<]+)</pre>', dumped)
    assert encoded, "the page was not measured"
    return json.loads(base64.b64decode(encoded.group(1))), sink.asked


def without_policy(page):
    """The page without its second line of defence, so that the first is tested alone."""
    bare, count = re.subn(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    assert count == 1
    return bare


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory):
    data, trusted = hostile_texts(360), hostile_texts(150)
    _, page = written(
        tmp_path_factory.mktemp("hostile"), data, trusted, scan_of(data, trusted),
        hostile_names(360), origin=HOSTILE[0], title=HOSTILE[11], command=HOSTILE[2] * 20,
        rejected=[(name, name) for name in HOSTILE],
    )  # fmt: skip
    return page


@needs_browser
def test_hostile_texts_run_nothing_load_nothing_and_fit(tmp_path, hostile_page):
    pages = [(hostile_page, PHONE), (hostile_page, DESKTOP)]
    pages += [(without_policy(hostile_page), PHONE)]
    measured, asked = measure(tmp_path, *pages)
    assert measured["outer"] == "untouched", "a script of the data ran"
    for found in measured["found"]:
        assert found["title"].startswith("Flagged: aaa"), "a script of the data ran"
        assert found["scripts"] == 0
        assert found["wide"] <= found["room"], f"scrolls sideways: {found['over']}"
        for text in (*HOSTILE[:4], HOSTILE[6], r"photo\u202egnp.exe", r"one\ntwo\rthree\tfour\x00"):
            assert text in found["text"]
    assert not [line for line in asked if "evil.example" in line]


@needs_browser
def test_reports_of_pictures_and_texts_fit_phone_and_desktop(tmp_path):
    pages = []
    for number, make in enumerate((pictures, texts)):
        data, trusted = make(120), make(150, seed=1)
        _, page = written(tmp_path / str(number), data, trusted, scan_of(data, trusted))
        pages += [(page, PHONE), (page, DESKTOP)]
    measured, _ = measure(tmp_path, *pages)
    assert len(measured["found"]) == 4
    for found in measured["found"]:
        assert found["title"] == "Flagged: a labelled data set · Mithridate"
        assert found["wide"] <= found["room"], f"scrolls sideways: {found['over']}"
        assert not found["over"]
        assert found["pictures"], "a picture could not be shown"


@needs_browser
def test_the_measurement_sees_a_script_a_request_and_an_overflow(tmp_path):
    bad = (
        "<script>parent.document.title = 'pwned'</script><img src=http://evil.example/x.png>"
        "<p style='width: 2000px'>wide"
    )
    measured, asked = measure(tmp_path, (bad, PHONE))
    assert measured["outer"] == "pwned"
    assert measured["found"][0]["wide"] > measured["found"][0]["room"]
    assert [line for line in asked if "evil.example" in line]


@needs_browser
@pytest.mark.parametrize(("size", "scheme"), [(PHONE, 0), (DESKTOP, 1)])
def test_the_file_itself_opens_in_light_and_dark(tmp_path, size, scheme):
    from PIL import Image

    data, trusted = pictures(120), pictures(150, seed=1)
    written(tmp_path, data, trusted, scan_of(data, trusted))
    picture = tmp_path / "seen.png"
    flags = (
        f"--window-size={size[0]},{size[1]}", f"--screenshot={picture}",
        f"--blink-settings=preferredColorScheme={scheme}",
    )  # fmt: skip
    with Sink() as sink:
        browse(tmp_path, tmp_path / "report.html", *flags, sink=sink)
    with Image.open(picture) as opened:
        corner = opened.convert("L").getpixel((2, opened.height - 3))
        levels = opened.convert("L").getextrema()
    assert corner < 60 if scheme == 0 else corner > 200
    assert levels[1] - levels[0] > 150, "the page is empty"
