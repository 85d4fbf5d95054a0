"""Draws dashboards from a running Prometheus."""

import argparse
import time
from pathlib import Path

from deploy.grafana.reading import dashboards
from deploy.grafana.render.data import Stretch, prometheus, with_instances
from deploy.grafana.render.picture import picture


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m deploy.grafana.render", description=__doc__)
    parser.add_argument("uid", help="of the dashboard")
    parser.add_argument("file", type=Path, help="what to write")
    parser.add_argument("--prometheus", default="http://127.0.0.1:39090", help="its address")
    parser.add_argument("--seconds", type=float, default=1800, help="how much of the past")
    parser.add_argument("--end", type=float, default=0, help="Unix time of the end; 0 for now")
    parser.add_argument("--rate", default="1m", help="the range of rates: four scrapes or more")
    parser.add_argument("--rows", type=int, default=0, help="rows of panels; 0 for all")
    given = parser.parse_args()
    (board,) = [each for each in dashboards() if each["uid"] == given.uid]
    end = given.end or time.time()
    ask = prometheus(given.prometheus)
    stretch = with_instances(ask, Stretch(end - given.seconds, end, given.rate))
    given.file.write_text(picture(board, ask, stretch, given.rows))


if __name__ == "__main__":
    main()
