"""Use the page in a real browser by mouse, touch and keyboard."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from src.trainer.report import Report
from tests.trainer.report.conftest import add

RED, BLUE, GREEN = (200, 20, 20), (20, 20, 200), (20, 200, 20)
HOSTILE = ["<script>alert(1)</script>.png", "\"&'.png", "<img src=x onerror=alert(1)>.png", "</script>.png"]


def plain(colour, edge=256):
    return np.full((edge, edge, 3), colour, np.float32) / 255


@pytest.fixture
def page(browser, tmp_path):
    """Return a function that opens a report of red noisy, blue denoised and green clean images."""

    def opened(images, fragment="", edge=256, config="seed: 0\n"):
        report = Report(tmp_path, "a title", config, "run_100.pth", len(images))
        for name, metrics in images.items():
            add(report, name, plain(RED, edge), plain(BLUE, edge), plain(GREEN, edge), metrics)
        report.close()
        browser.open(tmp_path / "report.html", fragment)
        return browser

    return opened


@pytest.fixture
def one(page):
    return page({"a.png": {"psnr": 30.0}})


def seen(browser, across, down=0.25, selector="#stage"):
    """Return the colour that the stage shows at a place."""
    browser.settle()
    x, y = browser.point(selector, across, down)
    shot = browser.call("Page.captureScreenshot")["data"]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(shot))).convert("RGB"))[int(y), int(x)].tolist()


def near(colour, expected):
    return np.abs(np.subtract(colour, expected)).max() <= 3


def listed(browser):
    return browser.run("[...document.querySelectorAll('td.name')].map(cell => cell.textContent)")


def scale(browser):
    """Return the number of screen pixels per image pixel."""
    return browser.run("new DOMMatrix(document.querySelector('#left img').style.transform).a")


def test_the_slider_moves_with_the_mouse(one):
    assert near(seen(one, 0.4), RED) and near(seen(one, 0.6), BLUE)
    one.drag(one.point("#divider"), one.point("#stage", 0.2, 0.7))
    assert near(seen(one, 0.1), RED) and near(seen(one, 0.3), BLUE)
    assert one.run("document.querySelector('#divider').ariaValueNow") == "20"
    one.drag(one.point("#stage", 0.6), one.point("#stage", 0.9))  # an image that is not zoomed cannot move
    assert near(seen(one, 0.85), RED) and near(seen(one, 0.95), BLUE)


def test_the_slider_moves_by_keys(one):
    one.run("document.querySelector('#divider').focus()")
    one.key("ArrowLeft")
    assert one.run("document.querySelector('#divider').ariaValueNow") == "48"
    one.key("Home")
    assert near(seen(one, 0.02), BLUE)
    one.key("End")
    assert near(seen(one, 0.95), RED)
    assert one.run("document.querySelector('#divider').ariaValueText") == "100 % noisy, the rest denoised"


def test_the_compared_images_can_be_chosen(one):
    one.run(
        "(choice => { choice.value = 'clean'; choice.dispatchEvent(new Event('change')); })"
        "(document.querySelector('#right-choice'))"
    )
    assert near(seen(one, 0.4), RED) and near(seen(one, 0.6), GREEN)


def test_zoom_by_buttons_wheel_and_keys_shows_the_pixels(one):
    assert scale(one) == 2  # 256 px on a stage of 512: whole screen pixels
    one.click("#larger")
    assert scale(one) == 3
    one.key("+")
    assert scale(one) == 4
    one.mouse("mouseWheel", *one.point("#stage", 0.9, 0.5), deltaX=0, deltaY=-120)
    one.wait("document.querySelector('#scale').textContent === '600 %'")
    style = "getComputedStyle(document.querySelector('#left img')).imageRendering"
    assert one.run(style) == "pixelated"
    one.click("#fit")
    assert scale(one) == 2
    one.click("#smaller")
    assert scale(one) == 1


def test_the_slider_works_zoomed_and_the_image_moves_beside_it(page, tmp_path):
    browser = page({"a.png": {}})
    for _ in range(3):
        browser.click("#larger")
    place = "document.querySelector('#left img').style.transform"
    before = browser.run(place)
    browser.drag(browser.point("#divider"), browser.point("#stage", 0.75))
    assert near(seen(browser, 0.7), RED) and near(seen(browser, 0.8), BLUE)
    assert browser.run(place) == before
    browser.drag(browser.point("#stage", 0.2), browser.point("#stage", 0.4))
    assert (
        browser.run(place) != before
        and browser.run("document.querySelector('#divider').ariaValueNow") == "75"
    )
    assert browser.run(place) == browser.run("document.querySelector('#residual img').style.transform")
    browser.run("document.querySelector('#stage').focus()")
    moved = browser.run(place)
    browser.key("ArrowDown")
    assert browser.run(place) != moved


def test_the_wheel_zooms_around_the_mouse(one):
    matrix = "new DOMMatrix(document.querySelector('#left img').style.transform)"
    x = f"(x => {matrix}.inverse().transformPoint({{x, y: 256}}).x)"
    before = one.run(f"{x}(400)")
    one.mouse("mouseWheel", *one.point("#stage", 400 / 512, 0.5), deltaX=0, deltaY=-120)
    one.wait("document.querySelector('#scale').textContent === '300 %'")
    assert one.run(f"{x}(400)") == pytest.approx(before, abs=0.5)


def test_the_residual_is_shown_amplified_and_its_autocorrelation_drawn(browser, tmp_path):
    clean = plain((120, 120, 120))
    noise = np.random.default_rng(0).normal(0, 0.05, clean.shape)
    report = Report(tmp_path, "a title", "", "run_100.pth", 1)
    add(report, "a.png", clean + noise + 0.1, clean, clean)
    report.close()
    browser.open(tmp_path / "report.html")
    assert browser.run("document.querySelector('#moments').textContent").startswith("mean +25.5")
    paths = "[...document.querySelectorAll('#plot path')].map(path => path.getAttribute('d'))"
    curves = [np.array([point.split(",") for point in d[1:].split("L")], float) for d in browser.run(paths)]
    assert len(curves) == 4 and all(len(curve) == 11 for curve in curves)
    for curve in curves:  # a single peak: the top at lag 0, all others near the axis
        assert curve[0, 1] == pytest.approx(10) and np.ptp(curve[1:, 1]) < 5 and curve[1, 1] > 100
    assert "along rows: 1, " in browser.run("document.querySelector('#plot').getAttribute('aria-label')")


def test_the_table_sorts_numbers_as_numbers(page):
    values = {"9": 9.5, "10": 10.25, "inf": float("inf"), "nan": float("nan"), "-2": -2.0}
    browser = page({name: {"psnr": value} for name, value in values.items()})
    assert listed(browser) == ["9", "10", "inf", "nan", "-2"]
    browser.click("th:last-child button")
    assert listed(browser) == ["-2", "9", "10", "inf", "nan"]
    state = "[...document.querySelectorAll('th')].map(head => head.ariaSort)"
    assert browser.run(state) == ["none", "none", "none", "ascending"]
    browser.click("th:last-child button")
    assert listed(browser) == ["inf", "10", "9", "-2", "nan"]
    assert browser.run(state) == ["none", "none", "none", "descending"]
    browser.run("document.querySelector('th button').focus()")
    browser.key("Enter", 13, "\r")
    assert listed(browser) == ["9", "10", "inf", "nan", "-2"]


def test_a_loss_is_sorted_worst_first(page):
    browser = page({"good": {"loss": 1e-5}, "bad": {"loss": 2.5}, "fair": {"loss": 0.1}})
    browser.click("th:last-child button")
    assert listed(browser) == ["bad", "fair", "good"]
    browser.click("th:last-child button")
    assert listed(browser) == ["good", "fair", "bad"]


def test_names_are_sorted_naturally(page):
    browser = page({"b10": {}, "b9": {}, "A": {}})
    browser.click("th.name button")
    assert listed(browser) == ["A", "b9", "b10"]


def test_images_are_chosen_in_the_table_and_stepped_through_in_its_order(page):
    browser = page({"a": {"psnr": 3}, "b": {"psnr": 1}, "c": {"psnr": 2}})
    name = "document.querySelector('#name').textContent"
    assert browser.run(name) == "a"
    browser.click("th:last-child button")
    browser.click("#r2")
    browser.wait(f"{name} === 'b'")
    assert browser.run("document.querySelector('#place').textContent") == "1 of 3  ·  PSNR 1.00 dB"
    browser.click("#next")
    browser.wait(f"{name} === 'c'")
    browser.key("n")
    browser.wait(f"{name} === 'a'")
    browser.key("p")
    browser.wait(f"{name} === 'c'")
    assert browser.run("document.querySelector('[aria-current]').id") == "r3"
    browser.run("document.querySelector('#r1 a').focus()")
    browser.key("Enter", 13, "\r")
    browser.wait(f"{name} === 'a'")


def test_a_link_opens_an_image(page):
    assert page({"a": {}, "b": {}}, "#p2").run("document.querySelector('#name').textContent") == "b"


def test_hostile_names_are_displayed_as_text(page):
    browser = page({name: {} for name in HOSTILE}, "#p1", config=HOSTILE[0])
    assert listed(browser) == HOSTILE
    for name in HOSTILE:
        browser.wait(f"document.querySelector('#name').textContent === {json.dumps(name)}")
        browser.key("n")
    assert browser.run("document.querySelectorAll('td script, h2 *, pre *, td img[src=x]').length") == 0


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 200, 1), (20, 20, 13)])
def test_images_of_all_shapes_are_shown(browser, tmp_path, shape):
    image = np.random.default_rng(0).uniform(0.3, 0.7, shape)
    report = Report(tmp_path, "a title", "", "run_100.pth", 1)
    add(report, "a.tif", image, image * 0.9)
    report.close()
    browser.open(tmp_path / "report.html")
    assert browser.run("document.querySelector('#left img').naturalWidth") == shape[1]
    assert 100 < browser.run("document.querySelector('#stage').clientHeight") < 900


def test_the_page_fits_a_phone_and_reacts_to_touch(page):
    scores = {"psnr": 30, "ssim": 0.9}
    browser = page(
        {"an image with quite a long name, longer than a telephone is wide.png": scores, "b": scores}
    )
    browser.size(390, 844, 3, mobile=True)
    assert browser.run("document.documentElement.scrollWidth") == 390
    assert browser.run("(box => box.scrollWidth <= box.clientWidth)(document.querySelector('.scroll'))")
    assert min(browser.box("#next")[2:] + browser.box("#left-choice")[2:]) >= 40
    x, y = browser.point("#stage", 0.5, 0.5)
    touch = lambda kind, *points: browser.call(  # noqa: E731
        "Input.dispatchTouchEvent",
        type=kind,
        touchPoints=[{"x": a, "y": b, "id": n} for n, (a, b) in enumerate(points)],
    )
    touch("touchStart", (x, y))
    touch("touchMove", (x - 60, y))
    touch("touchMove", (x - 100, y))
    touch("touchEnd")
    assert int(browser.run("document.querySelector('#divider').ariaValueNow")) < 40
    before = scale(browser)
    touch("touchStart", (x + 100, y - 60), (x + 130, y - 60))
    for wide in (40, 60, 90):
        touch("touchMove", (x + 100 - wide, y - 60), (x + 130, y - 60))
    touch("touchEnd")
    assert scale(browser) > 1.5 * before


def test_the_page_follows_the_systems_dark_mode(one):
    one.dark()
    back = one.run("getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g).map(Number)")
    front = one.run("getComputedStyle(document.body).color.match(/\\d+/g).map(Number)")
    assert max(back) < 40 and min(front) > 200


def test_printing_includes_image_table_and_configuration(one):
    pdf = base64.b64decode(one.call("Page.printToPDF")["data"])
    assert pdf.startswith(b"%PDF") and len(pdf) > 5_000
    assert one.run("document.querySelector('details').open")
    one.call("Emulation.setEmulatedMedia", media="print")
    shown = "[...document.querySelectorAll('.printed img')].map(image => image.checkVisibility())"
    assert one.run(shown) == [True] * 4
    assert not one.run("document.querySelector('#zoom').checkVisibility()")


def test_all_controls_have_names_and_can_be_focused(one):
    names = one.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "slider", "combobox", "link"}
    nameless = [
        node for node in names
        if node.get("role", {}).get("value") in roles and not node.get("name", {}).get("value")
    ]  # fmt: skip
    assert nameless == []
    reached = set()
    for _ in range(16):
        one.key("Tab", 9)
        reached.add(one.run("document.activeElement.id || document.activeElement.textContent"))
    assert {"larger", "stage", "divider", "left-choice", "right-choice", "PSNR, dB", "a.png"} <= reached
