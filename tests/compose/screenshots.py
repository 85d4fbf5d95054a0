"""Takes a picture of every dashboard of a running stack: ``build/screenshots/*.png``.

Needs Playwright and its Chromium, which the workflow installs: nobody else takes pictures.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from deploy.compose.links import admitted, published
from deploy.grafana.reading import dashboards

FOLDER = Path("build/screenshots")
WIDTH, HEIGHT = 1_600, 2_400
SETTLE_MS = 60_000  # at most, until nothing is asked any more


def main() -> int:
    """Take them."""
    from playwright.sync_api import sync_playwright

    visitor = admitted(os.environ)
    address = published(visitor.scheme)["grafana"]
    FOLDER.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch()
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        for board in dashboards():
            uid = board["uid"]
            # In kiosk mode there is the dashboard alone; without refresh it comes to rest.
            page.goto(f"{address}/d/{uid}?kiosk&from=now-15m&to=now&refresh=")
            page.wait_for_load_state("networkidle", timeout=SETTLE_MS)
            page.screenshot(path=FOLDER / f"{uid}.png", full_page=True)
            print(f"{uid}.png")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
