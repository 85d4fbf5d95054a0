"""What runs around the pipeline."""
