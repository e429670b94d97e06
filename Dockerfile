# The service in a slim image: no compiler, not root, nothing to write but the hit log and /tmp.
#   docker build -t hashcheck .
#   docker run --user "$(id -u):$(id -g)" --read-only --tmpfs /tmp -v ./site:/site:ro -v ./hits:/hits -v ./state:/state \
#     -e HASHCHECK_HIT_LOG=/hits -e HASHCHECK_STATE=/state -p 127.0.0.1:8080:8080 hashcheck
# Without --user it is 65534 (nobody), who must then own the key file, ./hits and ./state. See docs/running.md.

FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements-build.txt requirements.txt ./
RUN python -m venv /venv
RUN /venv/bin/python -m pip install --require-hashes -r requirements-build.txt
RUN /venv/bin/python -m pip install --require-hashes --no-build-isolation -r requirements.txt
COPY pyproject.toml README.md LICENSE openapi.yaml ./
COPY hashcheck_core hashcheck_core
COPY hashcheck_stores hashcheck_stores
COPY index_builder index_builder
COPY hashcheck_service hashcheck_service
RUN /venv/bin/python -m pip install --no-deps --no-build-isolation .
ENV NUMBA_CACHE_DIR=/kernels
# -P: the installed package and not the copy in this folder, for kernels are kept by the path of their source
RUN /venv/bin/python -P -m hashcheck_core.search.multi_index.warm
RUN /venv/bin/python -m pip uninstall --yes cython setuptools wheel hatchling editables

FROM python:3.13-slim
COPY --from=build /venv /venv
COPY --from=build /kernels /kernels
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 NUMBA_CACHE_DIR=/kernels
RUN mkdir /hits /state && chown 65534:65534 /hits /state
USER 65534:65534
VOLUME /hits /state
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/readyz', timeout=2)"]
ENTRYPOINT ["hashcheck-service"]
CMD ["serve", "--config", "/site/service.toml", "--host", "0.0.0.0"]
