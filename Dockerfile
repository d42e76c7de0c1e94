# Two stages: the first builds the wheel and an environment to hold it, the second has nothing to build with.

FROM python:3.11-slim-bookworm AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY schemas/ schemas/
COPY detectors/ detectors/
COPY streams/ streams/
RUN pip wheel --no-deps --wheel-dir /wheels .
# Dependencies at the versions that the tests ran with.
RUN python -m venv /opt/plumbline \
    && /opt/plumbline/bin/pip install --constraint constraints.txt /wheels/*.whl

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="Plumbline" \
      org.opencontainers.image.description="Event-driven streaming monitor for machine-learning models in production" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent plumbline \
    && install --directory --owner=10001 --group=10001 /var/lib/plumbline
COPY --from=build /opt/plumbline /opt/plumbline
# By number, so that an orchestrator can see that it is not root.
USER 10001:10001
WORKDIR /tmp
# Loopback inside a container reaches nobody: whoever publishes the port decides who may see it.
ENV PATH=/opt/plumbline/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PLUMBLINE_WEB_HOST=0.0.0.0 \
    PLUMBLINE_LOG_FORMAT=json
EXPOSE 6066
# Alive, not ready: a worker that restores a large state is healthy, and must not be killed for it.
HEALTHCHECK --interval=15s --timeout=5s --start-period=90s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:%s/healthz' % os.environ.get('PLUMBLINE_WEB_PORT', '6066'), timeout=4)"]
ENTRYPOINT ["plumbline"]
CMD ["worker"]
