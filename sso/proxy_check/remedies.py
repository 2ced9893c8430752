"""Which line closes which hole, in each proxy's own words. The whole lines are in ``deploy/proxies/``."""

from __future__ import annotations

from typing import Final

#: Per hole: for any proxy, then for those where one line does it.
REMEDIES: Final[dict[str, dict[str, str]]] = {
    "door": {
        "": "Ask the edge about every address of the app, and let the app be reached through the proxy alone.",
        "nginx": "auth_request /_sso/verify; in each location of the app.",
        "traefik": "middlewares: [<app>-clean, <app>-sso] on every router of the app.",
        "caddy": "forward_auth … { uri /api/authz/forward-auth … } inside route, before reverse_proxy.",
        "haproxy": "http-request lua.sso_auth …, and http-request deny … unless { var(txn.sso_passed) -m bool }.",
        "envoy": "the envoy.filters.http.ext_authz filter, before the router filter.",
    },
    "identity": {
        "": "Remove the client's Remote-* headers, then set ours, also when they are empty.",
        "nginx": "proxy_set_header Remote-User $sso_user; and likewise for -Groups, -Name, -Email, -Id, "
        "in the location that has proxy_pass.",
        "traefik": "authResponseHeadersRegex with remote-(user|groups|name|email|id) in forwardAuth.",
        "caddy": "request_header -Remote* before forward_auth, and copy_headers with all five.",
        "haproxy": "http-request del-header ^remote- -m reg, before lua.sso_auth.",
        "envoy": "remove_on_match remote-.* in early_header_mutation_extensions; "
        "allowed_upstream_headers with all five.",
    },
    "spelling": {
        "": "Drop request headers whose names have anything but letters, digits and hyphens.",
        "nginx": "underscores_in_headers off; and ignore_invalid_headers on; in http { }.",
        "traefik": "authResponseHeadersRegex that also matches [^a-z0-9-] in forwardAuth.",
        "caddy": "request_header -Remote* and request_header -*_* before forward_auth.",
        "haproxy": "http-request del-header [^A-Za-z0-9-] -m reg.",
        "envoy": "headers_with_underscores_action: DROP_HEADER, and remove_on_match [^:].*[^a-z0-9-].*.",
    },
    "forwarded": {
        "": "Set the headers that describe the request yourself, over the client's; pass none of its own on.",
        "nginx": "proxy_pass_request_headers off; where the edge is asked, with X-Original-URL from $host and "
        '$request_uri; and proxy_set_header X-Forwarded-… "", X-Original-… "", X-Rewrite-URL "" for the app.',
        "traefik": "trustForwardHeader: false; no forwardedHeaders.insecure or wide trustedIPs; customRequestHeaders "
        'X-Original-Url: "", X-Rewrite-Url: "".',
        "caddy": "request_header -X-Forwarded-*, -X-Original-*, -X-Rewrite-* before forward_auth; "
        "no wide trusted_proxies.",
        "haproxy": "http-request del-header ^x-(forwarded|original|rewrite)- -m reg, then set-header X-Forwarded-….",
        "envoy": "remove_on_match x-(forwarded|original|rewrite|envoy)-.* in early_header_mutation_extensions; "
        "headers_to_add x-forwarded-proto.",
    },
    "address": {
        "": "Write X-Forwarded-For anew from the connection; remove Forwarded and X-Real-IP.",
        "nginx": 'proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header Forwarded ""; X-Real-IP "".',
        "traefik": 'no forwardedHeaders.insecure or wide trustedIPs; customRequestHeaders Forwarded: "".',
        "caddy": "request_header -X-Forwarded-*, -Forwarded and -X-Real-Ip.",
        "haproxy": "http-request set-header X-Forwarded-For %[src]; del-header ^(x-real-ip|forwarded)$ -m reg.",
        "envoy": "use_remote_address: true, and remove_on_match x-forwarded-for, forwarded and x-real-ip.",
    },
    "paths": {
        "": "Ask the edge about exactly the bytes the app will get, and deny on every answer but 2xx.",
        "nginx": "X-Original-URL from $request_uri, and proxy_pass without a path.",
        "traefik": "no path rewriting after forwardAuth.",
        "caddy": "no rewrite or uri between forward_auth and reverse_proxy.",
        "haproxy": "deny unless sso_passed; no set-path after lua.sso_auth.",
        "envoy": "normalize_path, merge_slashes, path_with_escaped_slashes_action: REJECT_REQUEST.",
    },
    "connection": {
        "": "Do not pass the client's Connection header on, or a later hop drops the headers it names.",
        "nginx": "proxy_set_header Connection from a map that knows only upgrade.",
        "traefik": 'customRequestHeaders Connection: "" (a router of its own for web sockets).',
        "caddy": "request_header -Connection, except for web sockets.",
        "haproxy": "http-request del-header connection, except for web sockets.",
        "envoy": "nothing of this kind is known of Envoy: look at what stands behind it.",
    },
    "upgrade": {
        "": "Pass Upgrade on for web sockets only.",
        "nginx": "proxy_set_header Upgrade from a map that knows only websocket.",
        "traefik": 'customRequestHeaders Upgrade: "" (a router of its own for web sockets).',
        "caddy": "request_header -Upgrade, except for web sockets.",
        "haproxy": "http-request del-header upgrade unless { req.hdr(upgrade) -i websocket }.",
        "envoy": "upgrade_configs with websocket alone.",
    },
    "cookie": {
        "": "Take our cookies out of the Cookie header, and leave the app's in it.",
        "nginx": "proxy_set_header Cookie from the maps that take ours out.",
        "traefik": "?cookies=others in forwardAuth's address, with authResponseHeaders: [Cookie].",
        "caddy": "request_header Cookie with the pattern that takes ours out, after forward_auth.",
        "haproxy": "lua.sso_auth with the cookies' names as its second argument.",
        "envoy": "the envoy.filters.http.lua filter that takes ours out, after ext_authz.",
    },
    "errors": {
        "": "Deny whatever the edge answers but 2xx, and when it does not answer.",
        "nginx": "no error_page for 500, 502 or 504 that leads to the app.",
        "traefik": "no errors middleware or failover service that leads to the app.",
        "caddy": "no handle_response or handle_errors that goes on to reverse_proxy.",
        "haproxy": "http-request deny deny_status 503 unless { var(txn.sso_passed) -m bool }.",
        "envoy": "failure_mode_allow: false.",
    },
    "edge": {
        "": "SSO_TRUSTED_PROXIES on the edge: the proxies' own addresses and no others. "
        "Publish no /api/authz/ address.",
    },
}


def remedy(hole: str, proxy: str) -> str:
    """The line to change; for an unknown proxy what it has to achieve."""
    lines = REMEDIES[hole]
    return lines.get(proxy) or lines[""]


def guess(server: str) -> str:
    """Which proxy says ``server`` in its Server header, or nothing."""
    return next((name for name in REMEDIES["door"] if name and name in server.lower()), "")
