"""Speed and latency, measured side by side on a real broker; `docs/benchmarks.md` tells more."""
