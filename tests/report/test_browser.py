"""The page in a real browser: nothing sticks out, nothing is missing, also on a phone."""

import json
import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
MEASURE = """<script>
const root = document.documentElement;
const drawn = [...document.querySelectorAll('figure svg')].map(svg => svg.getBoundingClientRect());
const outside = [...document.querySelectorAll('body *')].filter(element => {
  const box = element.getBoundingClientRect();
  return box.width > 1 && box.right > root.clientWidth + 1 && !element.closest('.wide');
});
const words = ['Verdict', 'Figures', 'Methods'].filter(word => document.body.innerText.includes(word));
const report = {
  width: root.clientWidth, scroll: root.scrollWidth, figures: drawn.length,
  small: drawn.filter(box => box.width < 250 || box.height < 100).length,
  outside: outside.map(element => element.outerHTML.slice(0, 80)), words: words.length,
};
document.body.innerHTML = '<pre id="measured"></pre>';
document.getElementById('measured').textContent = JSON.stringify(report);
</script></body>"""


@pytest.fixture(scope="module")
def browser() -> str:
    if os.environ.get("SODALYTE_NO_BROWSER") == "1":
        pytest.skip("SODALYTE_NO_BROWSER=1")
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.fail(f"none of {', '.join(NAMES)} is on PATH; install chromium or set SODALYTE_NO_BROWSER=1")
    return found


def measure(browser: str, report: Path, *, width: int, folder: Path) -> dict[str, object]:
    """Open a copy of the page that may run one script, ours, and read what that script saw."""
    page = folder / "measured.html"
    text = re.sub(r"<meta http-equiv=[^>]*>", "", report.read_text())
    page.write_text(text.replace("</body>", MEASURE))
    flags = (
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--dump-dom"),
    )
    command = [browser, *flags, f"--user-data-dir={folder / 'profile'}", f"--window-size={width},2000", page.as_uri()]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    seen = re.search(r'<pre id="measured">(.*?)</pre>', answer.stdout)
    assert seen, answer.stderr[-500:]
    return json.loads(unescape(seen[1]))


@pytest.mark.parametrize("width", [1200, 600])
@pytest.mark.parametrize(("report", "figures"), [("full_report", 10), ("hostile_report", 2)])
def test_nothing_sticks_out(browser, report, figures, width, request, tmp_path) -> None:
    seen = measure(browser, request.getfixturevalue(report), width=width, folder=tmp_path)
    assert seen["width"] == width
    assert seen["scroll"] <= seen["width"], seen["outside"]
    assert seen["outside"] == []
    assert seen["figures"] == figures
    assert seen["small"] == 0
    assert seen["words"] == 3
