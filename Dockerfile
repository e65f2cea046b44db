# Likeness in a container: `docker compose up` builds this. See docs/docker.md.
#
# TORCH_INDEX: package index of a PyTorch build; empty takes PyPI's, which brings CUDA libraries.
# EXTRAS: `cpu,…` or `gpu,…`, see docs/install.md.

ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG TORCH_INDEX=""
ARG EXTRAS=cpu,server,remote,tracing
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/likeness
ENV PATH=/opt/likeness/bin:$PATH
WORKDIR /src
# What changes seldom comes first: a new version of the code installs no dependency again.
COPY constraints.txt pyproject.toml ./
RUN if [ -n "$TORCH_INDEX" ]; then \
      pip install --constraint constraints.txt --index-url "$TORCH_INDEX" torch torchvision; \
    fi
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
      extras = '$EXTRAS'.split(','); \
      print(*p['dependencies'], *(d for e in extras for d in p['optional-dependencies'][e]), sep='\n')" \
      > requirements.txt \
    && pip install --constraint constraints.txt --requirement requirements.txt
COPY README.md LICENSE ./
COPY likeness likeness
COPY indexer indexer
COPY search search
COPY workers workers
COPY api api
COPY migrations migrations
COPY training training
RUN pip install --no-deps . && python -m compileall -q /opt/likeness/lib

FROM ${PYTHON_IMAGE} AS runtime
# libgomp1: OpenMP, which FAISS and scikit-learn compute with.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 likeness \
    && useradd --uid 10001 --gid likeness --home-dir /home/likeness --create-home likeness \
    && install --directory --owner likeness --group likeness /data
COPY --from=build /opt/likeness /opt/likeness
# Everything that is written goes to /data (a volume) or /tmp: the root file system may be read-only.
ENV PATH=/opt/likeness/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LIKENESS_HOME=/data \
    LIKENESS_HOST=0.0.0.0 \
    LIKENESS_PORT=8000 \
    LIKENESS_LOG_FORMAT=json \
    HF_HOME=/data/hub \
    XDG_CACHE_HOME=/tmp/cache \
    TMPDIR=/tmp
USER 10001:10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=120s --retries=4 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["likeness"]
CMD ["serve"]
