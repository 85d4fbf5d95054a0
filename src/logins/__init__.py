"""YOURS: events, transform, samples and the pipeline that ties them. Replace this package."""
