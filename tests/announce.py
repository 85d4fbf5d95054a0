"""Says, before the tests, which real Kafka they will use; under CI none is a failure."""

import os
import sys

from lanternpipe.testing.kafka_cluster import NoKafkaError, describe_provider


def main() -> int:
    """Print the line; return the exit code."""
    try:
        print(f"real Kafka: {describe_provider()}", flush=True)
    except NoKafkaError as error:
        print(f"real Kafka: none. {error}", flush=True)
        if os.environ.get("CI"):
            return 1
        print("Tests that need one will be skipped; under CI=true that is a failure.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
