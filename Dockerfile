# The service in a slim image: no compiler, no pip of its own, not root, nothing to write but the hit log, the state and
# /tmp. The base image has no default: name it by its digest, as docs/supply-chain.md tells.
#   scripts/image python:3.13-slim@sha256:... hashcheck
#   docker run --user "$(id -u):$(id -g)" --read-only --tmpfs /tmp -v ./site:/site:ro -v ./hits:/hits -v ./state:/state \
#     -e HASHCHECK_HIT_LOG=/hits -e HASHCHECK_STATE=/state -p 127.0.0.1:8080:8080 hashcheck
# Without --user it is 65534 (nobody), who must then own the key file, ./hits and ./state. See docs/running.md.
ARG PYTHON_IMAGE

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
# Two environments: /build has pip and what builds a wheel, and stays behind; /venv goes into the image.
RUN python -m venv /build && python -m venv --without-pip /venv
COPY requirements-build.txt requirements.txt ./
RUN /build/bin/python -m pip install --require-hashes --only-binary :all: -r requirements-build.txt
RUN /build/bin/python -m pip --python /venv/bin/python install --require-hashes --only-binary :all: -r requirements.txt
COPY pyproject.toml README.md LICENSE openapi.yaml ./
COPY hashcheck_core hashcheck_core
COPY hashcheck_stores hashcheck_stores
COPY index_builder index_builder
COPY hashcheck_service hashcheck_service
RUN /build/bin/python -m hatchling build --target wheel --directory /wheel
RUN /build/bin/python -m pip --python /venv/bin/python install --no-deps /wheel/*.whl
RUN /build/bin/python -m pip --python /venv/bin/python check
# Not with a picture decoder that is known to be vulnerable.
RUN /venv/bin/hashcheck-service decoders
ENV NUMBA_CACHE_DIR=/kernels
RUN /venv/bin/hashcheck-service warm

FROM ${PYTHON_IMAGE}
ARG PYTHON_IMAGE
LABEL org.opencontainers.image.title="hashcheck" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.base.name="${PYTHON_IMAGE}"
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
