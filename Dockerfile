# Two images from one file: `web` (no torch) and `worker`. docker-compose.yml builds both.
#
# On Linux the public index serves torch with CUDA, several gigabytes. Without a GPU, name PyTorch's
# index of CPU builds in PIP_EXTRA_INDEX_URL (a build argument; docker compose takes it from .env).

FROM python:3.11-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore PATH=/opt/lstmq/bin:$PATH

# ---- build: dependencies first, they change seldom; the web's are a part of the worker's ----
FROM base AS web-packages
ARG PIP_INDEX_URL=""
ARG PIP_EXTRA_INDEX_URL=""
# Without a pip of its own: nothing in the final image installs anything.
RUN python -m venv --without-pip /opt/lstmq
COPY requirements/web.txt /build/requirements/
RUN pip --python /opt/lstmq/bin/python install -r /build/requirements/web.txt

FROM web-packages AS worker-packages
COPY requirements/all.txt /build/requirements/
# What only builds or tests torch is 190 MB.
RUN pip --python /opt/lstmq/bin/python install -r /build/requirements/all.txt \
 && cd /opt/lstmq/lib/python3.*/site-packages/torch \
 && find bin -type f ! -name torch_shm_manager -delete && rm -rf test include

FROM web-packages AS wheel
COPY pyproject.toml README.md /build/
COPY lstmcore /build/lstmcore
COPY worker /build/worker
COPY web /build/web
RUN pip wheel --no-deps --wheel-dir /wheel /build

# ---- run: an unprivileged user, code and packages not writable by it ----
FROM base AS runtime
RUN useradd --system --uid 10001 --home-dir /data --no-create-home lstmq \
 && install -d -o lstmq -g lstmq -m 0700 /data
ENV LSTMQ_DATA_DIR=/data
WORKDIR /data

FROM runtime AS web
COPY --from=web-packages /opt/lstmq /opt/lstmq
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    pip --python /opt/lstmq/bin/python install --no-deps --no-index /wheel/*.whl
USER lstmq
EXPOSE 8000
CMD ["gunicorn", "-c", "python:web.gunicorn_conf", "web:create_app()"]

FROM runtime AS worker
COPY --from=worker-packages /opt/lstmq /opt/lstmq
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    pip --python /opt/lstmq/bin/python install --no-deps --no-index /wheel/*.whl
USER lstmq
CMD ["celery", "-q", "-A", "worker", "worker", "-Q", "train", "--pool", "prefork", "-c", "1", \
     "-n", "train@%h", "-l", "warning", "--without-gossip", "--without-mingle", "--without-heartbeat"]
