"""The pages as Chromium shows them: on a phone and on a desk, light and dark. With
``PICTURES=FOLDER`` in the environment, a picture of each is kept there."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlencode

import browser
import pytest
from pages import PAGES, fill, make_hostile

WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
STYLED = "getComputedStyle(document.querySelector('header')).borderBottomWidth"
SCHEME = "getComputedStyle(document.documentElement).backgroundColor"
# The least contrast of any text with what is behind it, as WCAG 2 reckons, and the text.
CONTRAST = """
(() => {
  const numbers = colour => colour.match(/[0-9.]+/g).map(Number);
  const light = colour => {
    const part = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = numbers(colour).map(part);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if (numbers(colour)[3] !== 0) return colour;
    }
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let least = [21, ""];
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const colour = element.closest("svg") ? style.fill : style.color;
    const [a, b] = [light(colour), light(behind(element))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < least[0]) least = [contrast, texts.currentNode.data];
  }
  return least;
})()
"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    if why := browser.missing():
        pytest.skip(why)
    with browser.chromium(tmp_path_factory.mktemp("chromium")) as tab:
        yield tab


@pytest.fixture(scope="module")
def filled(shared_server):
    fill(shared_server)
    return shared_server


@pytest.fixture(scope="module")
def hostile(make_shared_server):
    return make_hostile(make_shared_server)


def check(tab, url, size, dark, name):
    tab.look(size, dark=dark)
    tab.open(url)
    if folder := os.environ.get("PICTURES"):
        shade = "dark" if dark else "light"
        tab.picture(Path(folder, f"{name}-{size[0]}-{shade}.png"))
    assert tab.said == []
    assert tab.value(STYLED) == "1px"
    assert tab.value(SCHEME) == ("rgb(20, 24, 26)" if dark else "rgb(250, 250, 248)")
    assert tab.value(WIDER) == 0
    contrast, text = tab.value(CONTRAST)
    assert contrast >= 4.5, text


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [browser.PHONE, browser.DESK], ids=["phone", "desk"])
def test_pages_in_a_browser(tab, hostile, size, dark):
    entries = ["/entry/old", "/entry/pypi:h=1"]
    search = "/search?" + urlencode({"q": "x" * 300})
    for target in (*PAGES, *entries, search):
        name = target.strip("/").partition("?")[0].replace("/", "-") or "home"
        check(tab, hostile.url + target, size, dark, name)
        assert tab.value("document.querySelectorAll('main script, main img').length") == 0


def test_what_is_there_can_be_used_with_the_keyboard(tab, filled):
    tab.look(browser.PHONE, dark=False)
    tab.open(filled.url + "/")
    reached = []
    for _ in range(12):
        for kind in ("keyDown", "keyUp"):
            tab.do("Input.dispatchKeyEvent", type=kind, key="Tab", windowsVirtualKeyCode=9)
        reached.append(
            tab.value(
                "document.activeElement.textContent.trim().slice(0, 30)"
                " + ':' + getComputedStyle(document.activeElement).outlineStyle"
            )
        )
    assert reached[:2] == ["Skip to the content:solid", "Network cache:solid"]
    assert "Search:solid" in reached
    assert all(place.endswith(":solid") for place in reached)


def test_a_search_by_hand(tab, filled):
    tab.look(browser.DESK, dark=False)
    tab.open(filled.url + "/")
    tab.value("document.querySelector('input').focus()")
    tab.do("Input.insertText", text="a==1.0")
    tab.submit()
    assert tab.value("location.pathname + location.search") == "/search?q=a%3D%3D1.0"
    assert tab.value("document.querySelectorAll('main a').length") == 1
    assert tab.said == []


def test_what_breaks_the_policy_is_heard(tab, filled):
    tab.look(browser.DESK, dark=False)
    tab.open(filled.url + "/")
    tab.value("document.body.insertAdjacentHTML('beforeend', '<p style=color:red>x</p>')")
    assert tab.said
    assert "Content Security Policy" in tab.said[0]
