# The pipeline as an image: a virtual environment of locked wheels, and nothing that built it.
# Plain instructions only, so that any engine builds it, with BuildKit and without.
# The tag is pinned; its digest is to be added where a registry can be asked for it.
FROM python:3.13.11-slim-bookworm AS base


FROM base AS build
WORKDIR /build

# What changes least comes first: new code does not fetch the dependencies again.
COPY requirements/build.lock requirements/runtime.lock requirements/
RUN python -m venv tools \
    && tools/bin/pip install --no-cache-dir --only-binary :all: --require-hashes \
        --requirement requirements/build.lock \
    && python -m venv --without-pip /opt/lanternpipe \
    && tools/bin/pip --python /opt/lanternpipe install --no-cache-dir \
        --only-binary :all: --require-hashes --requirement requirements/runtime.lock

# The wheel holds all of src: the runtime and the pipeline's own package.
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN tools/bin/pip wheel --no-cache-dir --no-build-isolation --no-deps --wheel-dir wheels . \
    && tools/bin/pip --python /opt/lanternpipe install --no-cache-dir --no-index --no-deps \
        wheels/*.whl


FROM base
LABEL org.opencontainers.image.title="Lanternpipe" \
      org.opencontainers.image.description="A real-time Kafka pipeline, observability first." \
      org.opencontainers.image.licenses="MIT"

# By number, so that Kubernetes can see that it is not root.
RUN groupadd --gid 10001 lanternpipe \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp lanternpipe
COPY --from=build /opt/lanternpipe /opt/lanternpipe

# The bytecode is in the image, and the root file system may be read-only.
ENV PATH=/opt/lanternpipe/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PIPELINE_HTTP__HOST=0.0.0.0 \
    PIPELINE_HTTP__PORT=9464
USER 10001:10001
WORKDIR /tmp
EXPOSE 9464
HEALTHCHECK --interval=5s --timeout=4s --start-period=60s --retries=6 \
    CMD ["lanternpipe", "health"]
STOPSIGNAL SIGTERM

# Without a shell in between: the program is process 1 and hears the signal to stop.
ENTRYPOINT ["lanternpipe"]
CMD ["process"]
