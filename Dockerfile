# Two stages: what builds stays behind. The base is pinned by version, not by digest: none could be looked up where this was
# written; add one before you rely on it. The file is linted (`make lint`), but the image was not built there either.
#
#   docker build -t streamguard .
#   docker run --read-only --tmpfs /tmp -v streamguard:/var/lib/streamguard -p 9464:9464 -e SG__STREAMS=rtmp://ingest/live/cam streamguard

FROM python:3.11.14-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements/ requirements/
RUN python -m venv --without-pip /opt/streamguard \
 && pip --python /opt/streamguard/bin/python install --require-hashes -r requirements/runtime.lock \
 && pip install --require-hashes -r requirements/build.lock
COPY pyproject.toml README.md LICENSE ./
COPY streamguard/ streamguard/
RUN pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
 && pip --python /opt/streamguard/bin/python install --no-deps dist/streamguard-*.whl

FROM python:3.11.14-slim-bookworm
LABEL org.opencontainers.image.title="StreamGuard" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.description="Recognises known violent footage on live streams and has them cut within seconds"
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin streamguard \
 && install -d -o streamguard -g streamguard -m 0700 /var/lib/streamguard
COPY config/container.toml /etc/streamguard/streamguard.toml
COPY --from=build /opt/streamguard /opt/streamguard
# Bytecode was written while building; at run time nothing is written outside the volume and /tmp.
ENV PATH=/opt/streamguard/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/streamguard
VOLUME /var/lib/streamguard
EXPOSE 9464
# Alive, not ready: a worker whose Redis is away is not to be restarted.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9464/livez', timeout=2)"]
# SIGTERM drains, within the 10 s that Docker leaves before it kills.
STOPSIGNAL SIGTERM
ENTRYPOINT ["streamguard"]
CMD ["watch", "--config", "/etc/streamguard/streamguard.toml"]
