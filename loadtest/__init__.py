"""Load on a pipeline, told honestly: `make load`; `docs/load.md` tells more."""
