"""The pipeline: which topics, which transform, which samples."""

from __future__ import annotations

from operator import attrgetter

from lanternpipe import Pipeline, Topic
from logins.events import ProcessedUserLogin, UserLogin
from logins.samples import samples
from logins.transform import Settings, transform

pipeline = Pipeline(
    input=Topic("user-login", UserLogin, key=attrgetter("user_id")),
    output=Topic("processed-user-login", ProcessedUserLogin, key=attrgetter("user_id")),
    transform=transform,
    samples=samples,
    settings=Settings,
)
