"""The page of `headrace migrate report` in a real Chromium: layout, contrast, filter, print, and a silent console."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from controller.tests.migrate.test_page import ATTACKS
from controller.tests.migrate.test_report import CLASS, deployment, settings, web
from e2e.page.browser import Tab, browser

WIDTHS = (1280, 800, 360)
CONTRAST = 4.5
"""WCAG 2.2, 1.4.3 for text of normal size."""

LEAST_CONTRAST = """(() => {
  const parts = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parts(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = [...document.querySelectorAll("p, code, td, th, li, label, h1, h2, h3, .badge, output")]
    .filter((element) => element.textContent.trim() && element.getClientRects().length)
    .map((element) => {
      const [a, b] = [light(parts(getComputedStyle(element).color)), light(behind(element))].sort((x, y) => y - x);
      return [(a + 0.05) / (b + 0.05), element.outerHTML.slice(0, 80)];
    });
  return found.sort((x, y) => x[0] - y[0])[0];
})()"""

VISIBLE = "[...document.querySelectorAll('article')].filter((a) => a.getClientRects().length).length"
WIDE = """[...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
  .map((e) => e.outerHTML.slice(0, 80))"""


def typed(text: str) -> str:
    return f"""(() => {{
      const box = document.getElementById('words');
      box.value = {text!r};
      box.dispatchEvent(new Event('input', {{bubbles: true}}));
      return document.getElementById('shown').textContent;
    }})()"""


def objects() -> list[dict[str, Any]]:
    snippet = "more_set_headers 'X-Frame-Options: DENY';\nlocation = /a { deny all; }\nsub_filter a b;\n"
    annotated = [
        web("web-0"),
        web("web-1", proxy_read_timeout="30"),
        web("web-2", configuration_snippet=snippet, enable_modsecurity="true"),
        web("web-3", nope="x" * 300, path="/" + "p" * 200 + "/"),
        *(web(f"attack-{n}", nope=attack, configuration_snippet=attack) for n, attack in enumerate(ATTACKS)),
    ]
    return [CLASS, deployment("--configmap=infra/front", "--v=3"), settings(http_snippet=snippet), *annotated]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    (folder / "all.yaml").write_text(yaml.safe_dump_all(objects()))
    out = folder / "report.html"
    command = [sys.executable, "-m", "controller", "migrate", "report", str(folder), "--output=html", f"--out={out}"]
    assert subprocess.run(command, timeout=60, check=False).returncode == 1
    return out


@pytest_asyncio.fixture
async def tab(tmp_path: Path) -> AsyncIterator[Tab]:
    async with browser(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_fits_every_width_and_can_be_read(tab: Tab, page: Path, tmp_path: Path, scheme: str) -> None:
    await tab.media(scheme=scheme)
    for width in WIDTHS:
        await tab.size(width, 900)
        await tab.open(page.as_uri())
        picture = tmp_path / f"report-{scheme}-{width}.png"
        await tab.screenshot(picture)
        print(f"\n{picture}")
        assert await tab.value(WIDE) == [], f"wider than {width}"
        ratio, element = await tab.value(LEAST_CONTRAST)
        assert ratio >= CONTRAST, element
        assert picture.stat().st_size > 20_000
    assert await tab.value("getComputedStyle(document.body).backgroundColor") == {
        "light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)",
    }[scheme]  # fmt: skip


async def test_the_console_is_silent_and_nothing_is_asked_for(tab: Tab, page: Path) -> None:
    await tab.size(1280, 900)
    await tab.open(page.as_uri())
    await tab.value("new Promise((done) => setTimeout(done, 300))")
    assert tab.complaints() == []
    assert tab.requested() == [page.as_uri()]
    assert await tab.value("document.title") == "From ingress-nginx to Headrace"


async def test_a_script_in_the_page_that_is_not_ours_would_not_run(tab: Tab, page: Path) -> None:
    """Were something not escaped, the policy of the page would still stop it, and say so."""
    broken = page.with_name("broken.html")
    broken.write_text(page.read_text().replace("</main>", "<script>document.title = 'ran'</script></main>"))
    await tab.open(broken.as_uri())
    assert await tab.value("document.title") != "ran"
    assert tab.complaints()


async def test_search_and_filter(tab: Tab, page: Path) -> None:
    await tab.size(1280, 900)
    await tab.open(page.as_uri())
    total = 4 + len(ATTACKS)
    assert await tab.value(typed("")) == f"{total} of {total}"
    assert await tab.value(typed("WEB-2 modsecurity")) == f"1 of {total}"
    assert await tab.value(VISIBLE) == 1
    await tab.value(typed(""))
    await tab.value("document.querySelector('input[value=closes]').click()")
    assert await tab.value(VISIBLE) == total - 1


async def test_paper_has_all_of_it(tab: Tab, page: Path) -> None:
    await tab.open(page.as_uri())
    await tab.value(typed("web-2"))
    await tab.media("print")
    assert await tab.value(VISIBLE) == 4 + len(ATTACKS)
    assert await tab.value("document.getElementById('filter').getClientRects().length") == 0
    printed = await tab.send("Page.printToPDF")
    assert len(printed["data"]) > 10_000


async def test_without_javascript_all_of_it_is_there(tab: Tab, page: Path) -> None:
    await tab.send("Emulation.setScriptExecutionDisabled", value=True)
    await tab.open(page.as_uri())
    assert await tab.value(VISIBLE) == 4 + len(ATTACKS)
    assert await tab.value("document.getElementById('filter').getClientRects().length") == 0


async def test_the_keyboard_reaches_the_content_first(tab: Tab, page: Path) -> None:
    await tab.open(page.as_uri())
    for kind in ("keyDown", "keyUp"):
        await tab.send("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
    assert await tab.value("document.activeElement.className") == "skip"
    assert await tab.value("document.activeElement.getBoundingClientRect().left") >= 0
