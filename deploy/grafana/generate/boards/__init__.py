"""All boards, in the order in which they are linked."""

from deploy.grafana.generate.boards import (
    broker,
    clients,
    cost,
    failures,
    lag,
    latency,
    load,
    logs,
    overview,
    telemetry,
)

BOARDS = (
    overview.BOARD,
    lag.BOARD,
    latency.BOARD,
    cost.BOARD,
    failures.BOARD,
    clients.BOARD,
    broker.BOARD,
    telemetry.BOARD,
    load.BOARD,
    logs.BOARD,
)
