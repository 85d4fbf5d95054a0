"""The version of the runtime, as it is written into dead letters and metrics."""

VERSION = "0.1.0"
