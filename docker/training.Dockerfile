# Training from photographs, SIDD or raws, on one machine or many. Build it in the repository's root:
#   docker build -f docker/training.Dockerfile -t photosite-training .
#   docker run --gpus all --shm-size 8g -v …/SIDD:/data/sidd:ro -v …/runs:/runs photosite-training \
#     --standalone --nproc-per-node gpu -m training.train -- --preset n2n-sidd --data /data/sidd --run /runs/n2n
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG VARIANT=cuda
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
RUN python -m venv /opt/photosite
WORKDIR /src
COPY docker/requirements-training.txt docker/requirements-training.txt
RUN case "${VARIANT}" in \
      cuda) /opt/photosite/bin/pip install --requirement docker/requirements-training.txt ;; \
      cpu) /opt/photosite/bin/pip install --extra-index-url "${TORCH_INDEX}" --requirement docker/requirements-training.txt ;; \
      *) echo "VARIANT is cuda or cpu, not ${VARIANT}" >&2; exit 2 ;; \
    esac
COPY pyproject.toml README.md LICENSE ./
COPY service service
COPY training training
RUN /opt/photosite/bin/pip install --no-deps . && /opt/photosite/bin/pip uninstall --yes pip

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="photosite-training" \
      org.opencontainers.image.description="Trains Photosite's networks, in one process or by torchrun" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --gid 10001 photosite \
 && useradd --uid 10001 --gid 10001 --home-dir /runs --no-create-home --shell /usr/sbin/nologin photosite \
 && install --directory --owner 10001 --group 10001 /data /runs
COPY --from=build /opt/photosite /opt/photosite
ENV PATH=/opt/photosite/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    XDG_CACHE_HOME=/tmp \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001
WORKDIR /runs
VOLUME ["/runs"]
STOPSIGNAL SIGTERM
# A batch job answers nobody: whether it still works tells its log.
HEALTHCHECK NONE
ENTRYPOINT ["torchrun"]
CMD ["--standalone", "--nproc-per-node", "1", "-m", "training.train", "--", "--help"]
