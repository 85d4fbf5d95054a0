"""Makes the pictures of the README: a run with faults in it, drawn from the dashboards' queries.

usage: python -m tests.stack.pictures FOLDER (logs and numbers stay there)
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from deploy.grafana.reading import dashboards
from deploy.grafana.render.data import Stretch, prometheus
from deploy.grafana.render.picture import picture
from tests.stack.whole import Whole, whole

IMAGES = Path(__file__).parents[2] / "docs" / "images"
# Seconds between two scrapes: a third of what is shipped, so that minutes are enough; and so a
# budget, which counts slices, burns three times as fast.
EVERY = 5
PLAIN = {"encoding": "json", "compression": "none"}
CALM, BURST, ALONE, AGAIN, GONE = 75, 20, 50, 60, 145  # seconds
PICTURES = {  # the file, and how many rows of panels
    "lanternpipe-overview": ("dashboard-overview.svg", 0),
    "lanternpipe-lag": ("dashboard-lag.svg", 3),
}


def story(stack: Whole) -> None:
    """Let things happen: a burst of poison, a processor's death, and that of both.

    What is told is time that passes, so nothing is waited for.
    """
    first, second = stack.processors
    time.sleep(CALM)
    stack.deployment.run("produce", "--rate", "400", "--seconds", f"{BURST}", "--poison", "0.3")
    time.sleep(CALM)
    first.kill()
    time.sleep(ALONE)
    first.start()
    time.sleep(AGAIN)
    first.kill()
    second.kill()
    time.sleep(GONE)


def main() -> None:
    """Run the story and draw it."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    with whole(
        folder, "user-logins", rate=250, clock=None, every=f"{EVERY}s", exports=PLAIN
    ) as stack:
        began = time.time()
        story(stack)
        stretch = Stretch(began, time.time(), f"{4 * EVERY}s")
        for dashboard in dashboards():
            if dashboard["uid"] in PICTURES:
                name, rows = PICTURES[dashboard["uid"]]
                ask = prometheus(f"http://{stack.prometheus.address}")
                (IMAGES / name).write_text(picture(dashboard, ask, stretch, rows))


if __name__ == "__main__":
    main()
