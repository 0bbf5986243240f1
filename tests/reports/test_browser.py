"""Reports in a real browser: what it shows, what its console says, and which hosts it asks."""

import json
import re
import shutil
import subprocess
import threading
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

import hwsim
import hwsim.networks
from hwsim.reports import Section
from hwsim.reports.figures import SCROLLED, array_cycles
from hwsim.reports.pictures import pictures
from tests.onnx_models import ModelBuilder

BROWSER = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium")

PLAIN = ["conv1", "relu1", "pool1"]


class Page(HTMLParser):
    """Elements and texts of a page as the browser has it, without what stands in scripts."""

    def __init__(self, source):
        super().__init__()
        self.elements = []
        self.texts = []
        self.hidden = False
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.hidden = tag in ("script", "style")

    def handle_endtag(self, tag):
        self.hidden = False

    def handle_data(self, data):
        if not self.hidden:
            self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def of_class(self, name):
        return [
            attributes
            for _, attributes in self.elements
            if name in (attributes.get("class") or "").split()
        ]


@pytest.fixture
def browse(tmp_path):
    """``browse(path, *options)`` opens a page; returns a `Page` and the lines of its console."""

    def run(path, *options):
        done = subprocess.run(
            [
                BROWSER,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                f"--user-data-dir={tmp_path / 'browser'}",
                "--enable-logging=stderr",
                "--virtual-time-budget=10000",
                "--window-size=1000,800",
                *options,
                "--dump-dom",
                path.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
        return Page(done.stdout), console

    return run


def test_pictures_of_what_a_network_sees(browse, tmp_path):
    b = ModelBuilder(0, (1, 3, 12, 12), "seeing")
    x = b.node("Relu", b.conv("image", 3, 4), name="relu")
    x = b.node("MaxPool", x, name="pool", kernel_shape=[2, 2], strides=[2, 2])
    images = np.random.default_rng(0).random((2, 3, 12, 12)).astype(np.float32)
    network = hwsim.quantize(hwsim.load(b.model(x)), calibration=images)
    sections, mismatches = pictures(network, hwsim.build(network), images[0])
    assert mismatches == 0
    path, *_ = hwsim.report(*sections).save(tmp_path / "seen.html")
    page, console = browse(path)
    assert console == []
    shown = page.all("img")
    assert len(shown) == sum(len(section.pictures) for section in sections)
    assert all(image["src"].startswith("data:image/png;base64,") for image in shown)
    assert "Receptive field of pool" in [image["alt"] for image in shown]
    assert page.of_class("js-plotly-plot")


@pytest.fixture
def server():
    """A host that must not be asked: its address, and the paths that it was asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as host:
        thread = threading.Thread(target=host.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{host.server_port}", asked
        host.shutdown()
        thread.join()


def ink(page):
    """Colours of the texts of all plots."""
    styles = [attributes.get("style", "") for attributes in page.all("text")]
    return {match[1] for style in styles if (match := re.search(r"fill: (rgb\([^)]*\))", style))}


def test_every_figure_is_drawn_in_either_theme(tmp_path, make, browse):
    report = hwsim.report(*make.items(PLAIN))
    path = report.save(tmp_path / "report.html")[0]
    colours = []
    for scheme in "1", "0":  # Chromium's numbers for light and dark
        page, console = browse(path, f"--blink-settings=preferredColorScheme={scheme}")
        assert console == []
        figures = sum(len(section.figures) for section in report.sections)
        assert figures == 36
        assert len(page.of_class("plot")) == len(page.of_class("js-plotly-plot")) == figures
        assert len(page.of_class("modebar")) == figures
        buttons = {attributes["data-title"] for attributes in page.of_class("modebar-btn")}
        assert buttons == {
            "Download plot as a PNG",
            "Zoom",
            "Pan",
            "Zoom in",
            "Zoom out",
            "Reset axes",
        }
        assert {"conv1", "relu1", "image 1", "image 2", "gpu"} <= set(page.texts)
        assert len(page.all("table")) == len(report._tables())
        colours.append(ink(page))
    assert colours == [{"rgb(28, 32, 36)"}, {"rgb(230, 232, 235)"}]


def test_on_a_phone_nothing_is_wider_than_the_screen(tmp_path, make, browse):
    names = ["a_name_without_any_place_to_break_it_" * 4, "relu1", "pool1"]
    hwsim.report(*make.items(names), title=names[0]).save(tmp_path / "report.html")
    probe = tmp_path / "probe.html"
    probe.write_text(
        """<iframe src="report.html" style="width:390px;height:800px;border:0"></iframe>
        <script>onload = () => setTimeout(() => {
          const page = document.querySelector("iframe").contentDocument;
          const plots = [...page.querySelectorAll(".svg-container")];
          const fit = plots.every(plot => plot.getBoundingClientRect().right <= 390);
          document.title = [page.documentElement.scrollWidth, fit, plots.length].join(" ");
        }, 3000)</script>"""
    )
    page, console = browse(probe, "--allow-file-access-from-files", "--hide-scrollbars")
    assert console == []
    assert page.texts[0] == "390 true 36"


def test_an_array_is_played_and_stepped(tmp_path, make, browse):
    trace = make.trace()
    hwsim.report(trace).save(tmp_path / "report.html")
    probe = tmp_path / "probe.html"
    probe.write_text(
        """<iframe src="report.html" style="width:700px;height:1200px;border:0"></iframe>
        <script>
        const wait = (ms) => new Promise((done) => setTimeout(done, ms));
        onload = async () => {
          const frame = document.querySelector("iframe").contentWindow;
          // A browser without a screen draws no frames.
          frame.requestAnimationFrame = (step) => frame.setTimeout(step, 16);
          frame.cancelAnimationFrame = (number) => frame.clearTimeout(number);
          await wait(500);
          const plot = frame.document.querySelector(".plot");
          const seen = [];
          const look = async (ms = 300) => {
            await wait(ms);
            const texts = [...plot.querySelectorAll(".textpoint text")].map((t) => t.textContent);
            seen.push([plot.querySelector(".slider-label").textContent, texts.sort()]);
          };
          const press = (key) => plot.dispatchEvent(new frame.KeyboardEvent("keydown", { key }));
          const click = (button) => button.dispatchEvent(new frame.MouseEvent("click"));
          await look();
          for (const key of ["Home", "ArrowLeft", "ArrowRight", "End"]) {
            press(key);
            await look();
          }
          press("Home");
          press(" ");
          await look(2000);  // cycles 0, 1, 2
          press(" ");
          await look(1500);
          const [play, pause] = plot.querySelectorAll(".updatemenu-button");
          click(play);
          await look(1200);  // cycles 2, 3
          click(pause);
          await look(1500);
          const rail = plot.querySelector(".slider-rail-touch-rect");
          const box = rail.getBoundingClientRect();
          const place = { clientX: box.right - 3, clientY: (box.top + box.bottom) / 2 };
          rail.dispatchEvent(new frame.MouseEvent("mousedown", place));
          plot.dispatchEvent(new frame.MouseEvent("mouseup", place));
          await look();
          document.title = JSON.stringify(seen);
        };
        </script>"""
    )
    page, console = browse(probe, "--allow-file-access-from-files", "--virtual-time-budget=20000")
    assert console == []
    seen = json.loads(page.texts[0])
    figure = array_cycles(trace)
    shown = {
        f"cycle {frame.name}": sorted(t for fold in frame.data for t in fold.text if t)
        for frame in figure.frames
    }
    last = trace.cycles - 1
    first = figure.layout.sliders[0].active
    expected = [first, 0, 0, 1, last]
    assert [label for label, _ in seen[:5]] == [f"cycle {k}" for k in expected]
    played, stopped, on, paused, end = (int(label.split()[1]) for label, _ in seen[5:])
    assert 0 < played <= stopped < on <= paused <= last == end
    assert all(texts == shown[label] for label, texts in seen)


def test_designs_are_hovered_chosen_and_filtered(tmp_path, make, browse):
    study = make.study()
    hwsim.report(study).save(tmp_path / "report.html")
    probe = tmp_path / "probe.html"
    probe.write_text(
        """<iframe src="report.html" style="width:1000px;height:1600px;border:0"></iframe>
        <script>
        const wait = (ms) => new Promise((done) => setTimeout(done, ms));
        onload = async () => {
          const frame = document.querySelector("iframe").contentWindow;
          await wait(500);
          const page = frame.document;
          const plot = page.querySelector(".plot[data-table]");
          const region = page.getElementById(plot.dataset.table);
          const rows = [...region.querySelectorAll("tbody tr")];
          const input = page.querySelector(".filter input");
          const front = plot.data.findIndex((trace) => trace.name === "front");
          const seen = {};
          const state = () => ({
            chosen: rows.flatMap((row, k) => (row.ariaCurrent === "true" ? [k] : [])),
            mark: [plot.data.at(-1).x[0], plot.data.at(-1).y[0]],
            left: rows.flatMap((row, k) => (row.hidden ? [] : [k])),
            selected: plot.data[front].selectedpoints ?? null,
            output: page.querySelector(".filter output").textContent,
          });
          const press = (key) => region.dispatchEvent(new frame.KeyboardEvent("keydown", { key }));
          const type = async (text) => {
            input.value = text;
            input.dispatchEvent(new frame.Event("input"));
            await wait(200);
            return state();
          };
          seen.first = state();
          const { xaxis, yaxis } = plot._fullLayout;
          const { x, y } = plot.data[front];
          const corner = plot.querySelector(".nsewdrag").getBoundingClientRect();
          const place = {
            clientX: corner.left + xaxis.d2p(x[1]),
            clientY: corner.top + yaxis.d2p(y[1]),
            bubbles: true,
          };
          const drag = plot.querySelector(".nsewdrag");
          drag.dispatchEvent(new frame.MouseEvent("mousemove", place));
          await wait(300);
          seen.hover = plot.querySelector(".hoverlayer").textContent;
          drag.dispatchEvent(new frame.MouseEvent("mousedown", place));
          drag.dispatchEvent(new frame.MouseEvent("mouseup", place));
          await wait(300);
          seen.clicked = state();
          press("ArrowDown");
          await wait(200);
          seen.down = state();
          rows[0].cells[0].click();
          await wait(200);
          seen.row = state();
          seen.number = await type("rows>=8");
          seen.words = await type("weight rows=4");
          press("ArrowDown");
          await wait(200);
          seen.next = state();
          seen.none = await type("no such word");
          document.title = JSON.stringify(seen);
        };
        </script>"""
    )
    page, console = browse(probe, "--allow-file-access-from-files", "--virtual-time-budget=20000")
    assert console == []
    seen = json.loads(page.texts[0])
    front = study.front
    every = list(range(len(front)))
    places = [
        list(pair) for pair in zip(front["throughput_images_per_s"], front["dsp"], strict=True)
    ]
    assert len(every) > 3 and front["rows"].nunique() > 1
    assert seen["first"] == {
        "chosen": [],
        "mark": [None, None],
        "left": every,
        "selected": None,
        "output": f"{len(every)} of {len(every)}",
    }
    assert f"rows {front['rows'][1]}" in seen["hover"]
    for step, row in (("clicked", 1), ("down", 2), ("row", 0)):
        assert seen[step]["chosen"] == [row]
        assert seen[step]["mark"] == places[row]
    large, small = (
        list(np.flatnonzero(chosen)) for chosen in (front["rows"] >= 8, front["rows"] == 4)
    )
    assert seen["number"]["left"] == seen["number"]["selected"] == large
    assert seen["words"]["left"] == seen["words"]["selected"] == small
    assert seen["words"]["output"] == f"{len(small)} of {len(every)}"
    assert seen["next"]["chosen"] == [small[0]]
    assert seen["none"]["left"] == seen["none"]["selected"] == []


def test_tall_figures_are_scrolled_and_reached_by_keyboard(tmp_path, browse):
    network = hwsim.networks.network("resnet50")
    report = hwsim.report(network, hwsim.estimate(network, devices=["v100"]))
    path = report.save(tmp_path / "report.html")[0]
    page, console = browse(path)
    assert console == []
    figures = [figure for section in report.sections for figure in section.figures.values()]
    tall = [figure for figure in figures if figure.layout.height > SCROLLED]
    scrolled = page.of_class("tall")
    assert len(scrolled) == len(tall) >= 4
    assert all(region["tabindex"] == "0" and region["aria-label"] for region in scrolled)
    assert len(page.of_class("js-plotly-plot")) == len(figures)
    # All but the diagram, which has none, have their axis where it is seen.
    assert sum(figure.layout.xaxis.side == "top" for figure in tall) == len(tall) - 1


def hostile_names(url):
    return [
        f"""</script><script>document.title="owned";fetch("{url}/script")</script>""",
        f"""<img src="{url}/img" onerror="document.title='owned'">""",
        f"""<a href="{url}/link">"><svg onload=alert(1)>%{{y}} ${{1}} {{{{ 7 * 7 }}}} |`</a>""",
    ]


def test_hostile_names_do_no_harm(tmp_path, make, browse, server):
    url, asked = server
    names = hostile_names(url)
    text = names[0]
    own = Section(
        text,
        text,
        {text: text},
        tables={text: hwsim.report(make.plan(names)).sections[0].tables["stages"]},
    )
    paths = hwsim.report(*make.items(names), own, title=text).save(tmp_path / "report.html")
    assert {path.parent for path in paths} == {tmp_path}
    assert all(re.fullmatch(r"report[a-z0-9-]*\.(html|md|csv)", path.name) for path in paths)
    page, console = browse(paths[0])
    assert console == []
    assert asked == []
    assert page.all("title") and text in page.texts
    assert "owned" not in page.texts
    assert all(
        attributes["src"].startswith("data:image/png;base64,") for attributes in page.all("img")
    )
    links = {attributes.get("href") or attributes.get("xlink:href") for attributes in page.all("a")}
    assert all(
        re.fullmatch(r"#[a-z0-9-]+|report-[a-z0-9-]+\.csv", link)
        for link in links
        if link is not None
    ), links
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    # They are shown as they are: in tables, and on the axes of plots.
    shown = " ".join(page.texts)
    assert names[1] in shown
    assert text[:7] + "…" in shown
    assert "49" not in re.findall(r"\$\{1\} (.*?) \|", shown)


def test_a_script_that_got_into_the_page_would_not_run(tmp_path, make, browse, server):
    url, asked = server
    path = hwsim.report(*make.items(PLAIN)).save(tmp_path / "report.html")[0]
    bad = f'<img src="{url}/img"><script>document.title = "owned"</script>'
    path.write_text(path.read_text().replace("<main", bad + "<main"))
    page, console = browse(path)
    assert "owned" not in page.texts
    assert asked == []
    assert len([line for line in console if "Content Security Policy" in line]) == 2
    # Without the policy both do what they are made for.
    path.write_text(re.sub(r"<meta http-equiv[^>]*>", "", path.read_text()))
    page, _ = browse(path)
    assert "owned" in page.texts
    assert asked == ["/img"]
