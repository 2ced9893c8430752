"""``manage.py proxy_check`` on set-ups that are broken on purpose: it finds each hole, and says what to change.

That it finds nothing on ours is in test_proxies_real.py. Every configuration here is ours with one thing spoilt.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Certificates
from tests.support.redis_server import free_port
from tests.support.reverse_proxies import Behind

Edit = tuple[str, str]


@pytest.fixture(scope="module")
def behind(
    tmp_path_factory: pytest.TempPathFactory, database: Path, certificates: Certificates
) -> Iterator[Behind]:
    with Behind(tmp_path_factory.mktemp("behind"), database, certificates) as behind:
        yield behind


def report(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    assert done.stdout.startswith("{"), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


#: nginx, with an endpoint that passes the whole request on and one header taken from the client.
BELIEVES_ORIGINAL_URL: tuple[Edit, ...] = (
    (r"X-Original-URL +https.*", "X-Original-URL $sso_believed;"),
    (
        r"^server \{",
        "map $http_x_original_url $sso_believed { default $http_x_original_url; "
        '"" https://$host:$server_port$request_uri; }\nserver {',
    ),
)

HOLES = [
    pytest.param("nginx", [(r"^ +auth_request /.*\n", "")], "door", id="the edge is not asked"),
    pytest.param("traefik", [(r', "broken-sso"\]', "]")], "door", id="a router without the middleware"),
    pytest.param(
        "nginx",
        [(r"^ +proxy_set_header Remote-.*\n", "")],
        "identity",
        id="headers of the client are not stripped (nginx)",
    ),
    pytest.param(
        "envoy",
        [(r"^ +- remove_on_match: .*remote-.*\n", ""), (r"exact: remote-", "exact: x-remote-")],
        "identity",
        id="headers of the client are not stripped (Envoy)",
    ),
    pytest.param(
        "nginx",
        [
            (r"underscores_in_headers off", "underscores_in_headers on"),
            (r"^ +proxy_set_header Remote_.*\n", ""),
        ],
        "spelling",
        id="the underscore variant passes (nginx)",
    ),
    pytest.param(
        "haproxy",
        [(r"^ +http-request del-header \[\^A-Za.*\n", "")],
        "spelling",
        id="the underscore variant passes (HAProxy)",
    ),
    pytest.param(
        "caddy",
        [(r"-Remote\*", "-Remote-*"), (r"^\s+request_header -\*_\*\n", "")],
        "spelling",
        id="the underscore variant passes (Caddy)",
    ),
    pytest.param(
        "traefik",
        [(r"\|\[\^a-z0-9-\]", "")],
        "spelling",
        id="the underscore variant passes (Traefik)",
    ),
    pytest.param(
        "envoy",
        [(r"DROP_HEADER", "ALLOW"), (r"^ +- remove_on_match: .*\[\^:\].*\n", "")],
        "spelling",
        id="the underscore variant passes (Envoy)",
    ),
    pytest.param(
        "nginx", BELIEVES_ORIGINAL_URL, "forwarded", id="the client says which address is judged (nginx)"
    ),
    pytest.param(
        "haproxy",
        [
            (r"^ +http-request del-header \^x-.*\n", ""),
            (
                r"(http-request set-header X-Forwarded-Host .*)",
                r"\1 unless { req.hdr(x-forwarded-host) -m found }",
            ),
        ],
        "forwarded",
        id="the client says which host is judged (HAProxy)",
    ),
    pytest.param(
        "nginx",
        [(r"^ +proxy_set_header X-Rewrite-URL.*\n", "")],
        "forwarded",
        id="the client leads the app to another address",
    ),
    pytest.param(
        "nginx",
        [(r"(proxy_set_header X-Forwarded-For +)\$remote_addr", r"\1$http_x_forwarded_for")],
        "address",
        id="the client says where it comes from",
    ),
    pytest.param(
        "nginx",
        [
            (
                r"^    location / \{",
                "    location /public/ { proxy_pass http://app_broken; }\n    location / {",
            )
        ],
        "paths",
        id="a location of its own that apps read differently",
    ),
    pytest.param(
        "caddy",
        [(r"^\s+request_header @plain -Connection\n", "")],
        "connection",
        id="a client drops its own identity",
    ),
    pytest.param(
        "nginx",
        [
            (r"Upgrade +\$upgrade_broken", "Upgrade $http_upgrade"),
            (r"Connection \$connection_broken", "Connection upgrade"),
        ],
        "upgrade",
        id="h2c reaches the app",
    ),
    pytest.param(
        "nginx",
        [(r"^ +proxy_set_header Cookie +\$cookies_broken;\n", "")],
        "cookie",
        id="our cookie reaches the app (nginx)",
    ),
    pytest.param(
        "traefik",
        [(r"\?cookies=others", ""), (r"^ +authResponseHeaders: \[Cookie\]\n", "")],
        "cookie",
        id="our cookie reaches the app (Traefik)",
    ),
    pytest.param(
        "nginx",
        [
            (r"error_page 500 = @sso_unclear", "error_page 500 = @open"),
            (
                r"^    location @sso_unclear",
                "    location @open { proxy_pass http://app_broken; }\n    location @sso_unclear",
            ),
        ],
        "errors",
        id="errors of the edge let people pass",
    ),
]


@pytest.mark.parametrize(("proxy", "edits", "hole"), HOLES)
def test_it_finds_the_hole_and_names_the_line(behind: Behind, proxy: str, edits: list[Edit], hole: str):
    with behind.proxy(proxy, behind.spoilt(proxy, *edits), "broken"):
        done = behind.check("broken", "--json", "--proxy", proxy)
    found = report(done)
    assert (done.returncode, found["clean"]) == (1, False)
    assert hole in found["holes"], found
    assert set(found["holes"]) <= {hole} | RELATED.get(hole, set()), found
    change = next(result["change"] for result in found["results"] if result["check"] == hole)
    assert change, "no line to change"


#: Holes that come with others: whoever need not sign in gets past everything that only a sign-in stops.
RELATED = {
    "door": {"identity", "forwarded", "paths", "connection", "errors", "spelling", "cookie"},
    "errors": {"paths", "identity", "cookie", "spelling", "forwarded", "address", "upgrade"},
    "paths": {"identity", "spelling", "forwarded", "address", "upgrade"},
    "forwarded": {"address"},
}


def test_it_finds_a_proxy_that_believes_the_clients_own_account_of_its_request(behind: Behind):
    configuration = behind.spoilt("traefik", ("trustForwardHeader: false", "trustForwardHeader: true"))
    insecure = ("    transport:", "    forwardedHeaders: { insecure: true }\n    transport:")
    with behind.proxy("traefik", configuration, "broken", settings=insecure):
        done = behind.check("broken", "--json", "--proxy", "traefik")
        assert behind.get("broken", "/page", [("X-Forwarded-Uri", "/public/page")]).status == 200
    found = report(done)
    words = next(result["words"] for result in found["results"] if result["check"] == "forwarded")
    assert (done.returncode, set(found["holes"])) == (1, {"forwarded", "address"})
    assert "X-Forwarded-Uri changed the answer" in words


def test_it_finds_an_edge_that_believes_everybody(behind: Behind):
    port = free_port()
    with behind.proxy("nginx"), behind.edge_at(port, trusted="127.0.0.0/8"):
        done = behind.check("nginx", "--json", "--edge", f"http://127.0.0.1:{port}", "--source", "127.0.0.9")
    found = report(done)
    assert (done.returncode, found["holes"]) == (1, ["edge"])
    assert "SSO_TRUSTED_PROXIES" in found["results"][-1]["change"]


def test_it_finds_a_proxy_that_lets_everybody_pass_while_the_edge_is_down(behind: Behind):
    configuration = behind.spoilt("envoy", (r"failure_mode_allow: false", "failure_mode_allow: true"))
    behind.edge.stop()
    try:
        with behind.proxy("envoy", configuration, "broken"):
            done = behind.check("broken", "--edge-down", "--proxy", "envoy")
    finally:
        behind.edge.start()
    assert done.returncode == 1
    assert "OPEN     When the edge gives no answer, everybody passes" in done.stdout
    assert "Change: failure_mode_allow: false." in done.stdout


def test_it_says_so_when_the_app_loses_its_cookies_or_is_not_told_who_is_there(behind: Behind):
    silent = behind.spoilt("caddy", (r"^\s+copy_headers.*\n", ""))
    eaten = behind.spoilt("traefik", (r"\?cookies=others", ""))
    with behind.proxy("caddy", silent, "broken"):
        unnamed = report(behind.check("broken", "--json"))
    with behind.proxy("traefik", eaten, "broken"):
        hungry = report(behind.check("broken", "--json"))
    verdicts = [{r["check"]: r["verdict"] for r in found["results"]} for found in (unnamed, hungry)]
    assert (unnamed["holes"], verdicts[0]["identity"], unnamed["clean"]) == ([], "wrong", False)
    assert (hungry["holes"], verdicts[1]["cookie"], hungry["clean"]) == ([], "wrong", False)


def test_a_stopped_edge_is_not_taken_for_a_clean_bill(behind: Behind):
    behind.edge.stop()
    try:
        with behind.proxy("nginx"):
            done = behind.check("nginx")
    finally:
        behind.edge.start()
    assert (done.returncode, "the edge gives no answer" in done.stdout) == (1, True)


def test_without_a_way_to_see_it_says_what_it_cannot_tell(behind: Behind):
    with behind.proxy("nginx"):
        behind.echo.stop()
        try:
            done = behind.check("nginx", "--json")
        finally:
            behind.echo.start()
    verdicts = {result["check"]: result["verdict"] for result in report(done)["results"]}
    assert verdicts["door"] == "closed"
    assert {name for name, verdict in verdicts.items() if verdict == "unknown"} >= {
        "identity",
        "spelling",
        "cookie",
    }


def test_its_session_is_gone_afterwards(behind: Behind):
    with behind.proxy("nginx"):
        assert behind.check("nginx").returncode == 0
    assert "session" not in str(behind.redis.cli("KEYS", "sso:session:*"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["https://nobody.example.test/"], "No app is registered for https://nobody.example.test."),
        (["{origin}/public/page"], "is open to everybody by the app's rules"),
        (["{origin}/page", "--connect", "127.0.0.1:1"], "no connection"),
        (["nonsense"], "Origin"),
    ],
)
def test_what_cannot_be_checked_is_refused_in_words(behind: Behind, words: list[str], said: str):
    words = [word.format(origin=behind.origin("nginx")) for word in words]
    with pytest.raises(RuntimeError) as refused:
        behind.auth.manage("proxy_check", *words, "--ca", str(behind.certificates.ca))
    assert said.lower() in str(refused.value).lower()
    assert "Traceback" not in str(refused.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--app", "nobody"], "No app is named nobody. Registered: "),
        (["--app", "nginx", "--edge", "https://edge:1"], "write it as http://host:port"),
        (["--app", "nginx", "--upstream", "http://a:1;evil"], "write it as http://host:port"),
        (["--app", "nginx", "--certificate", '/a";x'], "write an absolute path"),
        (["--app", "nginx", "--origin", "https://a.test"], "none of the app's origins"),
    ],
)
def test_a_configuration_is_never_printed_from_something_that_would_break_it(
    behind: Behind, words: list[str], said: str
):
    with pytest.raises(RuntimeError) as refused:
        behind.auth.manage("proxy_config", "nginx", *words)
    assert said in str(refused.value)
