# A worker: pictures or, with other queues, fine-tuning and validation. Build it in the repository's root:
#   docker build -f docker/worker.Dockerfile -t photosite-worker .                                   # CUDA
#   docker build -f docker/worker.Dockerfile --build-arg VARIANT=cpu -t photosite-worker:cpu .       # no GPU, 5 GB less
# CUDA's libraries come with torch; the driver comes from the host (NVIDIA's container toolkit).
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG VARIANT=cuda
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
RUN python -m venv /opt/photosite
WORKDIR /src
COPY docker/requirements-worker.txt docker/requirements-worker.txt
RUN case "${VARIANT}" in \
      cuda) /opt/photosite/bin/pip install --requirement docker/requirements-worker.txt ;; \
      cpu) /opt/photosite/bin/pip install --extra-index-url "${TORCH_INDEX}" --requirement docker/requirements-worker.txt ;; \
      *) echo "VARIANT is cuda or cpu, not ${VARIANT}" >&2; exit 2 ;; \
    esac
COPY pyproject.toml README.md LICENSE ./
COPY service service
COPY training training
RUN /opt/photosite/bin/pip install --no-deps . && /opt/photosite/bin/pip uninstall --yes pip

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="photosite-worker" \
      org.opencontainers.image.description="A worker of Photosite: denoises, fine-tunes and validates" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The asterisks stand for Debian's rebuilds and security fixes of just these versions.
# tini collects the decoders that a killed worker process leaves behind; exiftool copies other makers' metadata
RUN apt-get update \
 && apt-get install --yes --no-install-recommends "tini=0.19.0-1*" "libimage-exiftool-perl=12.57+dfsg-1*" \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 photosite \
 && useradd --uid 10001 --gid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin photosite \
 && install --directory --owner 10001 --group 10001 /data
COPY --from=build /opt/photosite /opt/photosite
ENV PATH=/opt/photosite/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    XDG_CACHE_HOME=/tmp \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PHOTOSITE_DATA_DIR=/data \
    PHOTOSITE_LOG_FORMAT=json \
    PHOTOSITE_METRICS_HOST=0.0.0.0 \
    PHOTOSITE_WORKER_METRICS_PORT=9101
USER 10001:10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 9101
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9101/metrics', timeout=4)"]
ENTRYPOINT ["tini", "--", "photosite"]
CMD ["worker", "--queues", "denoise"]
