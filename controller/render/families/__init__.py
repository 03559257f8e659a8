"""One renderer for each type of feature: a typed value in, the lines of a `Part` out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from controller.model.features import Feature
from controller.model.features.access import AccessLists, Bandwidth, Limits
from controller.model.features.authentication import BasicAuth, ExternalAuth, Satisfy
from controller.model.features.backend_tls import BackendTls, FastCgi
from controller.model.features.balancing import Canary, Stickiness
from controller.model.features.client_certificates import CipherList, CipherPreference, ClientCertificates
from controller.model.features.cors import Cors
from controller.model.features.error_pages import ErrorPages
from controller.model.features.logging import RewriteLog
from controller.model.features.mirror import Mirror
from controller.model.features.passthrough import TlsPassthrough
from controller.model.features.proxying import ConnectionHeader, ForwardedPrefix, HostHeader, Proxying
from controller.model.features.redirects import AppRoot, OwnRedirects, Redirect
from controller.model.features.response_headers import ResponseHeaders
from controller.render.families import (
    access,
    affinity,
    backend_tls,
    basic_auth,
    canary,
    client_certificates,
    cors,
    error_pages,
    external_auth,
    logging,
    mirror,
    passthrough,
    proxying,
    redirects,
    response_headers,
)
from controller.render.part import Context, Part, merged

RENDERERS: dict[type[Feature], Callable[[Any, Context], Part]] = {
    Stickiness: affinity.render,
    Canary: canary.render,
    ResponseHeaders: response_headers.render,
    Cors: cors.render,
    Mirror: mirror.render,
    ErrorPages: error_pages.render,
    RewriteLog: logging.rewrite_log,
    Redirect: redirects.redirect,
    OwnRedirects: redirects.own_redirects,
    AppRoot: redirects.app_root,
    AccessLists: access.access_lists,
    Limits: access.limits,
    Satisfy: basic_auth.satisfy,
    BasicAuth: basic_auth.basic_auth,
    ExternalAuth: external_auth.render,
    Bandwidth: access.bandwidth,
    Proxying: proxying.render,
    HostHeader: proxying.host_header,
    ConnectionHeader: proxying.connection_header,
    ForwardedPrefix: proxying.forwarded_prefix,
    BackendTls: backend_tls.render,
    FastCgi: backend_tls.fastcgi,
    ClientCertificates: client_certificates.render,
    CipherList: client_certificates.cipher_list,
    CipherPreference: client_certificates.cipher_preference,
    TlsPassthrough: passthrough.render,
}
"""The order of the lines in a location is that of the features, which is that of `registry.FAMILIES`."""


def render_features(features: Iterable[Feature], context: Context) -> Part:
    """All features of one location or server as one part, over what the context has so far.

    Raises `KeyError` for a type without a renderer: a bug.
    """
    part = context.so_far
    for feature in features:
        part = merged((part, RENDERERS[type(feature)](feature, replace(context, so_far=part))))
    return part
