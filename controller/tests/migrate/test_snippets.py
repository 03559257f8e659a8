"""What takes the place of what: one row for each idiom that people write into snippets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.migrate.answers import Outcome, Place, Where
from controller.migrate.directives import known
from controller.migrate.rows import ROWS
from controller.migrate.snippets import advise, hint_of, plan_of
from controller.translate.annotations.registry import VERDICTS, Verdict
from controller.translate.configmap import CLOSING, PARSERS, UNSUPPORTED

PLACE = Place("configuration-snippet", "shop", "web")
EVERYBODY = "0.0.0.0/0,::/0"

ANNOTATIONS = [
    ("client_max_body_size 20m;", {"proxy-body-size": "20m"}),
    ("proxy_read_timeout 5m; proxy_send_timeout 300s; proxy_connect_timeout 2;",
     {"proxy-read-timeout": "300", "proxy-send-timeout": "300", "proxy-connect-timeout": "2"}),
    ("grpc_read_timeout 1h30m;", {"proxy-read-timeout": "5400"}),
    ("proxy_connect_timeout 500ms;", {"proxy-connect-timeout": "1"}),
    ("proxy_buffers 8 16k; proxy_buffer_size 32k;", {"proxy-buffers-number": "8", "proxy-buffer-size": "32k"}),
    ("proxy_buffering off; proxy_request_buffering off;",
     {"proxy-buffering": "off", "proxy-request-buffering": "off"}),
    ("proxy_next_upstream error timeout http_502;", {"proxy-next-upstream": "error timeout http_502"}),
    ("proxy_cookie_path /a /b;", {"proxy-cookie-path": "/a /b"}),
    ("proxy_cookie_domain a.test b.test;", {"proxy-cookie-domain": "a.test b.test"}),
    ("proxy_redirect http://a/ https://b/;", {"proxy-redirect-from": "http://a/", "proxy-redirect-to": "https://b/"}),
    ("more_set_headers 'X-Frame-Options: DENY';", {"custom-headers": "shop/web-headers"}),
    ("add_header X-Team shop always;", {"custom-headers": "shop/web-headers"}),
    ("expires 1h;", {"custom-headers": "shop/web-headers"}),
    ("add_header Access-Control-Allow-Origin *;", {"enable-cors": "true", "cors-allow-origin": "*"}),
    ("add_header Access-Control-Allow-Methods 'GET, POST';",
     {"enable-cors": "true", "cors-allow-methods": "GET, POST"}),
    ("if ($request_method = OPTIONS) { return 204; }", {"enable-cors": "true"}),
    ("proxy_set_header Host internal.test;", {"upstream-vhost": "internal.test"}),
    ("proxy_set_header Connection close;", {"connection-proxy-header": "close"}),
    ("proxy_set_header X-Forwarded-Prefix /api;", {"x-forwarded-prefix": "/api"}),
    ("rewrite ^/old/(.*)$ /new/$1 break;", {"rewrite-target": "/new/$1"}),
    ("rewrite ^/$ https://a.test/b permanent;", {"permanent-redirect": "https://a.test/b"}),
    ("return 301 https://a.test/b;", {"permanent-redirect": "https://a.test/b"}),
    ("return 307 https://a.test/b;",
     {"temporal-redirect": "https://a.test/b", "temporal-redirect-code": "307"}),
    ("return 308 https://$host$request_uri;", {"force-ssl-redirect": "true"}),
    ("if ($scheme = http) { return 301 https://$host$request_uri; }", {"ssl-redirect": "true"}),
    ("if ($http_x_forwarded_proto = 'http') { return 301 https://$host$request_uri; }",
     {"force-ssl-redirect": "true"}),
    ("if ($host = 'www.a.test') { return 301 https://a.test$request_uri; }", {"from-to-www-redirect": "true"}),
    ("if ($host = 'old.test' ) { return 302 https://new.test/; }", {"temporal-redirect": "https://new.test/"}),
    ("deny 10.0.0.0/8; deny 192.0.2.1;", {"denylist-source-range": "10.0.0.0/8,192.0.2.1"}),
    ("allow 10.0.0.0/8; deny all;", {"allowlist-source-range": "10.0.0.0/8"}),
    ("deny all;", {"denylist-source-range": EVERYBODY}),
    ("return 403;", {"denylist-source-range": EVERYBODY}),
    ("limit_conn addr 10;", {"limit-connections": "10"}),
    ("limit_req zone=a burst=20 nodelay;", {"limit-rps": "10", "limit-burst-multiplier": "5"}),
    ("limit_rate 100k;", {"limit-rate": "100"}),
    ("auth_basic 'Members only';", {"auth-type": "basic", "auth-realm": "Members only"}),
    ("auth_basic_user_file /etc/users;", {"auth-type": "basic", "auth-secret": "web-users"}),
    ("auth_request /auth; auth_request_set $u $upstream_http_x_user;",
     {"auth-url": "http://auth.shop.svc/verify", "auth-response-headers": "X-User"}),
    ("satisfy any;", {"satisfy": "any"}),
    ("error_page 404 500 /err;", {"custom-http-errors": "404,500", "default-backend": "error-pages"}),
    ("access_log off;", {"enable-access-log": "false"}),
    ("ssl_ciphers HIGH; ssl_prefer_server_ciphers on;",
     {"ssl-ciphers": "HIGH", "ssl-prefer-server-ciphers": "true"}),
    ("ssl_verify_client optional;", {"auth-tls-verify-client": "optional"}),
    ("mirror /m;", {"mirror-target": "https://mirror.example.com$request_uri"}),
    ("absolute_redirect off;", {"relative-redirects": "true"}),
]  # fmt: skip

SETTINGS = [
    ("gzip on; gzip_types text/css application/json;", {"use-gzip": "true", "gzip-types": "text/css application/json"}),
    ("more_set_headers 'Strict-Transport-Security: max-age=60; includeSubDomains';",
     {"hsts": "true", "hsts-max-age": "60", "hsts-include-subdomains": "true", "hsts-preload": "false"}),
    ("proxy_hide_header X-Powered-By; more_clear_headers X-Other;", {"hide-headers": "X-Powered-By,X-Other"}),
    ("proxy_set_header X-Team shop;", {"proxy-set-headers": "shop/web-request-headers"}),
    ("if ($http_user_agent ~* (bot|crawler)) { return 403; }", {"block-user-agents": "~*(bot|crawler)"}),
    ("if ($http_referer = spam.test) { return 403; }", {"block-referers": "spam.test"}),
    ("set_real_ip_from 10.0.0.0/8; set_real_ip_from 192.0.2.0/24;", {"proxy-real-ip-cidr": "10.0.0.0/8,192.0.2.0/24"}),
    ("real_ip_header CF-Connecting-IP;", {"enable-real-ip": "true", "forwarded-for-header": "CF-Connecting-IP"}),
    ("real_ip_header proxy_protocol;", {"use-proxy-protocol": "true"}),
    ("large_client_header_buffers 4 16k;", {"large-client-header-buffers": "4 16k"}),
    ("ssl_protocols TLSv1.2 TLSv1.3;", {"ssl-protocols": "TLSv1.2 TLSv1.3"}),
    ("limit_req_status 429;", {"limit-req-status-code": "429"}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), ANNOTATIONS, ids=[text for text, _ in ANNOTATIONS])
def test_annotations_take_the_place(text: str, wanted: dict[str, str]) -> None:
    advices = advise(text, PLACE)
    assert plan_of(advices).annotations == {"shop/web": wanted}
    assert Outcome.NONE not in {a.answer.outcome for a in advices}


@pytest.mark.parametrize(("text", "wanted"), SETTINGS, ids=[text for text, _ in SETTINGS])
def test_keys_of_the_configmap_take_the_place(text: str, wanted: dict[str, str]) -> None:
    assert plan_of(advise(text, PLACE)).settings == wanted


@pytest.mark.parametrize(
    "text",
    [
        "sub_filter a b;", "content_by_lua_block { x }", "more_set_headers 'X-Id: $request_id';", "brotli on;",
        "if ($arg_a = b) { set $c d; }", "proxy_cache zone;", "geoip_country x;", "return 200 ok;", "set $a b;",
        "modsecurity on;", "include /etc/nginx/x.conf;", "root /var/www;", "entirely_unknown on;", "map $a $b { }",
        "proxy_cookie_path / '/; Secure';", "client_max_body_size huge;", "limit_rate a;",
        "location @named { deny all; }", "rewrite ^/(.*)$ /$arg_x break;",
    ],
)  # fmt: skip
def test_where_there_is_nothing_that_is_said(text: str) -> None:
    first = advise(text, PLACE)[0]
    assert first.answer.outcome is Outcome.NONE
    assert first.answer.note
    assert not first.answer.replacements


@pytest.mark.parametrize(
    "text",
    [
        "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;", "proxy_set_header Host $host;",
        "proxy_set_header Upgrade $http_upgrade;", "proxy_set_header Connection $connection_upgrade;",
        "more_clear_headers Server;", "allow all;", "real_ip_recursive on;", "http2_push_preload on;",
    ],
)  # fmt: skip
def test_what_is_done_anyway_needs_nothing(text: str) -> None:
    (only,) = advise(text, PLACE)
    assert only.answer.outcome is Outcome.NEEDLESS


def test_a_location_is_an_ingress_of_its_own() -> None:
    advices = advise("location = /private { allow 10.0.0.0/8; deny all; proxy_read_timeout 10; }", PLACE)
    plan = plan_of(advices)
    assert plan.objects == {"Ingress shop/web-private": ("path: /private, pathType: Exact",)}
    assert plan.annotations == {
        "shop/web-private": {"allowlist-source-range": "10.0.0.0/8", "proxy-read-timeout": "10"}
    }
    expression = advise("location ~* \\.php$ { deny all; }", PLACE)
    (made,) = plan_of(expression).objects["Ingress shop/web-php"]
    assert made.startswith("path: /.*\\.php$, pathType: ImplementationSpecific")
    assert plan_of(expression).annotations == {"shop/web-php": {"denylist-source-range": EVERYBODY}}


def test_what_was_for_one_path_never_becomes_a_rule_for_all() -> None:
    (only,) = advise("location /admin { deny all; }", Place("server-snippet", "infra"))
    assert only.answer.outcome is Outcome.NONE
    (only,) = advise("location @named { deny all; }", PLACE)
    assert only.answer.outcome is Outcome.NONE
    (only,) = advise("if ($arg_a) { deny all; }", PLACE)
    assert only.answer.outcome is Outcome.NONE


def test_headers_come_together_in_one_configmap() -> None:
    plan = plan_of(advise("add_header A 1; add_header B 2;\nmore_set_headers 'C: 3' 'D: 4';", PLACE))
    assert plan.objects == {"ConfigMap shop/web-headers": ("A: 1", "B: 2", "C: 3", "D: 4")}
    assert plan.settings == {"global-allowed-response-headers": "A,B,C,D"}


def test_the_configmap_has_its_own_keys() -> None:
    place = Place("http-snippet", "infra")
    plan = plan_of(advise("client_max_body_size 1g; add_header A b; deny 10.0.0.0/8; access_log off;", place))
    assert plan.settings == {
        "proxy-body-size": "1g", "add-headers": "infra/custom-headers", "block-cidrs": "10.0.0.0/8",
        "disable-access-log": "true",
    }  # fmt: skip
    assert plan.annotations == {}
    rate = advise("limit_req_zone $binary_remote_addr zone=a:10m rate=5r/s;", place)[0].answer
    assert [(r.where, r.name, r.value) for r in rate.replacements] == [(Where.ANNOTATION, "limit-rps", "5")]
    assert "each Ingress" in rate.note


def test_headers_for_the_authentication_service() -> None:
    (only,) = advise("proxy_set_header X-Tenant shop;", Place("auth-snippet", "shop", "web"))
    assert [r.name for r in only.answer.replacements] == ["auth-proxy-set-headers", "ConfigMap shop/web-auth-headers"]


def test_rules_of_a_firewall_are_not_read_as_nginx_text() -> None:
    (only,) = advise('SecRule ARGS "@rx {" "id:1,deny"', Place("modsecurity-snippet", "shop", "web"))
    assert only.answer.outcome is Outcome.NONE


def test_text_that_nginx_would_refuse_says_so() -> None:
    *_, last = advise("proxy_read_timeout 10;\nreturn 403", PLACE)
    assert "nginx would refuse" in last.answer.note


def test_the_hint_is_short_and_honest() -> None:
    hint = hint_of(advise("proxy_read_timeout 5m; sub_filter a b; proxy_set_header Host $host;", PLACE))
    assert hint == (
        'Instead: proxy-read-timeout: "300" (proxy_read_timeout); nothing (sub_filter); not needed (proxy_set_header).'
    )
    many = hint_of(advise("".join(f"limit_rate {n}k;" for n in range(1, 20)), PLACE))
    assert many.endswith("; and 13 more.")


def test_every_name_that_is_offered_exists() -> None:
    """A typo in the table would send users to a name that nobody has."""
    settings = {*PARSERS, *UNSUPPORTED, *CLOSING, "log-format-escape-json"}
    for row in ROWS.values():
        assert not row.annotation or row.annotation in VERDICTS, row
        assert not row.setting or row.setting in settings, row
    for text, _ in (*ANNOTATIONS, *SETTINGS):
        for advice in advise(text, PLACE):
            for made in advice.answer.replacements:
                if made.where is Where.ANNOTATION:
                    assert made.name in VERDICTS, made
                elif made.where is Where.SETTING:
                    assert made.name in settings, made


def test_what_this_version_does_not_carry_out_is_said_so() -> None:
    for advice in advise("proxy_read_timeout 5; sub_filter a b;", PLACE):
        for made in advice.answer.replacements:
            assert made.carried_out == (VERDICTS[made.name] is Verdict.HONOURED)


def test_the_common_directives_are_known() -> None:
    common = """more_set_headers add_header proxy_set_header rewrite return deny allow client_max_body_size
        proxy_read_timeout proxy_buffers limit_req limit_conn auth_basic satisfy sub_filter if gzip expires
        ssl_protocols set_real_ip_from proxy_cookie_path proxy_hide_header error_page access_log set map
        content_by_lua_block proxy_pass proxy_redirect include""".split()
    assert [name for name in common if not known(name)] == []


_WORDS = """add_header more_set_headers proxy_set_header rewrite return if location limit_req limit_conn deny allow
    error_page access_log mirror expires proxy_buffers auth_basic auth_request_set log_format proxy_redirect
    real_ip_header server_name more_clear_headers limit_rate client_max_body_size ( $host = ~ $b "x y" 301 403
    https://a.test/ on off all { } ; ; ;""".split()
_PLACES = (
    PLACE,
    Place("http-snippet", "infra"),
    Place("auth-snippet", "shop", "web"),
    Place("stream-snippet", "infra"),
)


@given(st.lists(st.sampled_from(_WORDS), max_size=14), st.sampled_from(_PLACES))
def test_any_snippet_has_an_answer_and_no_value_is_offered_that_is_not_taken(words: list[str], place: Place) -> None:
    for advice in advise(" ".join(words), place):
        assert advice.answer.note or advice.answer.replacements
        assert not [made for made in advice.answer.replacements if made.fault]
