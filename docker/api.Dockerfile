# The HTTP interface: no torch, no decoder. Build it in the repository's root:
#   docker build -f docker/api.Dockerfile -t photosite-api .
# Pin the base by its digest where builds must be repeatable to the byte: --build-arg PYTHON_IMAGE=python@sha256:…
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
RUN python -m venv /opt/photosite
WORKDIR /src
COPY docker/requirements-api.txt docker/requirements-api.txt
# --no-deps: the list is complete, and photosite's own list would bring torch
RUN /opt/photosite/bin/pip install --no-deps --requirement docker/requirements-api.txt
COPY pyproject.toml README.md LICENSE ./
COPY service service
COPY training training
RUN /opt/photosite/bin/pip install --no-deps . && /opt/photosite/bin/pip uninstall --yes pip

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="photosite-api" \
      org.opencontainers.image.description="Photosite's HTTP interface: denoises camera raw files before demosaicing" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --gid 10001 photosite \
 && useradd --uid 10001 --gid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin photosite \
 && install --directory --owner 10001 --group 10001 /data
COPY --from=build /opt/photosite /opt/photosite
ENV PATH=/opt/photosite/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PHOTOSITE_DATA_DIR=/data \
    PHOTOSITE_LOG_FORMAT=json \
    PHOTOSITE_METRICS_HOST=0.0.0.0 \
    PHOTOSITE_API_METRICS_PORT=9100
USER 10001:10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8000 9100
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/live', timeout=4)"]
ENTRYPOINT ["photosite"]
CMD ["api", "--host", "0.0.0.0"]
