"""``/metrics``: who may read it, what it counts, and that counts add up over real workers and survive one's end."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from sso.metrics import definitions, folder
from sso.metrics.door import Door, parse_token
from sso.metrics.tally import Tally, read_route
from sso.proxies import TrustedProxies
from tests.support.auth_server import AuthServer, answers
from tests.support.certificates import Certificates
from tests.support.edge import cookie, sign_in
from tests.support.programs import ROOT
from tests.support.redis_server import RedisServer

TOKEN = "a-token-for-prometheus-0123456789"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PASSWORD = "seven brave kettles sing"

Numbers = dict[str, float]


def numbers(server: AuthServer) -> Numbers:
    """Every sample as ``name{label=value,…}``."""
    answer = server.get("/metrics", headers=BEARER)
    assert answer.status == 200, answer.text
    return {
        f"{sample.name}{{{','.join(f'{k}={v}' for k, v in sorted(sample.labels.items()))}}}": sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def eventually(look: Callable[[], Any], wanted: Any, seconds: float = 10) -> None:
    """Processes hand on what they counted once a second."""
    deadline = time.monotonic() + seconds
    while (found := look()) != wanted:
        assert time.monotonic() < deadline, (found, wanted)
        time.sleep(0.1)


def sessions_told(found: Numbers, status: int = 200) -> float:
    return found.get(f"sso_http_requests_total{{part=edge,route=api/session,status={status}}}", 0)


def workers(server: AuthServer) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()]


@pytest.fixture
def hub(start_auth_server: Callable[..., AuthServer]) -> AuthServer:
    """Two workers that count."""
    return start_auth_server(env={"SSO_METRICS_TOKEN": TOKEN, "SSO_WORKERS": "2"})


@pytest.fixture
def edge(
    tmp_path: Path, database: Path, certificates: Certificates, own_redis: RedisServer
) -> Iterator[AuthServer]:
    """The edge as its own two processes."""
    server = AuthServer(
        tmp_path / "edge",
        redis=own_redis,
        database=database,
        certificates=certificates,
        application="authserver.asgi:application",
        env={"SSO_METRICS_TOKEN": TOKEN, "SSO_WORKERS": "2"},
        options=("-c", "deploy/edge.conf.py"),
    )
    server.ready = lambda: answers(server.port, server.context)
    with server:
        yield server


# -- adding up


def test_counts_add_up_over_the_hubs_workers_and_survive_ones_end(hub: AuthServer) -> None:
    for _ in range(20):
        assert hub.get("/api/session").status == 401
    eventually(lambda: sessions_told(numbers(hub), 401), 20)
    eventually(lambda: numbers(hub)["sso_processes{}"], 2)

    os.kill(workers(hub)[0], signal.SIGTERM)  # in order
    eventually(lambda: len(workers(hub)), 2)
    eventually(lambda: numbers(hub)["sso_processes{}"], 2)
    time.sleep(1.1)  # whoever is killed loses its last second, and no more
    os.kill(workers(hub)[0], signal.SIGKILL)
    eventually(lambda: len(workers(hub)), 2)

    eventually(lambda: numbers(hub)["sso_processes{}"], 2)
    assert sessions_told(numbers(hub), 401) == 20
    assert hub.get("/api/session").status == 401
    eventually(lambda: sessions_told(numbers(hub), 401), 21)


def test_counts_add_up_over_the_edges_workers_and_survive_ones_end(
    edge: AuthServer, own_redis: RedisServer
) -> None:
    value = sign_in(own_redis)
    for _ in range(30):
        assert edge.get("/api/session", headers=[cookie(value)]).status == 200
    eventually(lambda: sessions_told(numbers(edge)), 30)
    found = numbers(edge)
    lookups = {by: found[f"sso_session_lookups_total{{answered_by={by}}}"] for by in ("memory", "redis")}
    assert sum(lookups.values()) == 30
    assert 1 <= lookups["redis"] <= 30
    assert found["sso_http_request_seconds_count{part=edge,route=api/session}"] == 30

    os.kill(workers(edge)[0], signal.SIGTERM)
    eventually(lambda: numbers(edge)["sso_processes{}"], 2)
    assert sessions_told(numbers(edge)) == 30


def test_a_worker_that_ended_leaves_no_file_of_its_own(hub: AuthServer) -> None:
    place = _folder_of(hub)
    gone = workers(hub)[0]
    hub.get("/api/session")
    eventually(lambda: any(file.name.endswith(f"_{gone}.db") for file in place.iterdir()), True)
    os.kill(gone, signal.SIGKILL)
    eventually(lambda: [file.name for file in place.iterdir() if file.name.endswith(f"_{gone}.db")], [])
    hub.stop()
    assert not place.exists()


def _folder_of(server: AuthServer) -> Path:
    environ = Path(f"/proc/{workers(server)[0]}/maps").read_text()
    match = re.search(r"(/\S*sso-metrics-[^/\s]+)/", environ)
    assert match
    return Path(match[1])


def test_an_outage_of_redis_is_seen_in_the_numbers(edge: AuthServer, own_redis: RedisServer) -> None:
    value = sign_in(own_redis)
    assert edge.get("/api/session", headers=[cookie(value)]).status == 200
    eventually(lambda: numbers(edge)["sso_links_down{}"], 0)
    own_redis.freeze()
    eventually(lambda: edge.get("/api/session", headers=[cookie(value)]).status, 503)
    eventually(lambda: numbers(edge)["sso_links_down{}"], 2)
    found = numbers(edge)
    assert sessions_told(found, 503) >= 1
    assert found["sso_redis_calls_total{outcome=failed}"] >= 1
    own_redis.thaw()
    eventually(lambda: numbers(edge)["sso_links_down{}"], 0)


# -- what is counted


def test_sign_ins_are_counted_by_outcome_and_method_and_their_ends(hub: AuthServer) -> None:
    hub.manage("create_user", "ada", "--email", "ada@example.test", "--password-stdin", input=PASSWORD)
    with hub.visitor(headers={"Origin": hub.origin}) as ada:
        for password, status in (("wrong", 401), (PASSWORD, 200)):
            ada.headers["X-CSRF-Token"] = ada.get("/api/csrf").json()["csrf_token"]
            answer = ada.post("/api/session", json={"username": "ada", "password": password})
            assert answer.status_code == status
        ada.headers["X-CSRF-Token"] = ada.get("/api/csrf").json()["csrf_token"]
        assert ada.delete("/api/session").status_code == 204
    found = numbers(hub)
    assert found["sso_sign_ins_total{method=pwd,outcome=done}"] == 1
    assert sum(v for k, v in found.items() if k.startswith("sso_sign_ins_total") and "refused" in k) == 1
    assert found["sso_sign_ins_ended_total{}"] == 1
    assert found["sso_events_total{event=signed_in,outcome=done}"] == 1
    eventually(lambda: numbers(hub)["sso_http_requests_total{part=hub,route=api/session,status=401}"], 1)
    assert numbers(hub)["sso_redis_calls_total{outcome=answered}"] > 3
    assert found["sso_mail_waiting{}"] >= 0
    assert found["sso_metrics_failed{}"] == 0
    assert any(name.startswith("sso_build_info{") for name in found)


def test_no_label_holds_what_somebody_asked_for(hub: AuthServer) -> None:
    secrets = ("canary-path", "canary-name", "canary-token", "canary.example")
    hub.get("/canary-path")
    hub.get("/account/canary-path/")
    hub.get("/api/authz/canary-path")
    hub.get("/api/sessions/canary-path")
    hub.get("/", host=f"canary.example.test:{hub.port}")
    hub.get("/static/canary-path.css")
    hub.request("CANARY", "/api/session")
    hub.post("/login/", body="username=canary-name&password=canary-token")
    hub.get("/api/session", headers=[cookie("canary-token".ljust(43, "x"))])
    eventually(
        lambda: numbers(hub).get("sso_http_requests_total{part=edge,route=none,status=403}", 0) > 0 or True,
        True,
    )
    time.sleep(1.2)
    text = hub.get("/metrics", headers=BEARER).text
    assert [secret for secret in secrets if secret in text] == []
    assert "CANARY" not in text
    assert TOKEN not in text
    assert len(text) < 60_000


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/api/session", "api/session"),
        ("/api/authz/forward-auth", "api/authz/forward-auth"),
        ("/api/authz/ext-authz", "api/authz/ext-authz"),
        ("/api/authz/ext-authz/a/b", "api/authz/ext-authz"),
        ("/api/authz/ext-authzx", "none"),
        ("/api/authz/other", "none"),
        ("", "none"),
    ],
)
def test_the_edges_addresses_are_few_groups(path: str, route: str) -> None:
    assert read_route(path) == route


@pytest.mark.parametrize(
    ("text", "method"),
    [
        ("pwd", "pwd"),
        ("otp+pwd+mfa", "mfa+otp+pwd"),
        ("pwd,otp", "otp+pwd"),
        ("password", "pwd"),
        ("totp+pwd", "otp+pwd"),
        ("x", "other"),
        ("", "other"),
    ],
)
def test_methods_are_of_a_fixed_list(text: str, method: str) -> None:
    assert definitions.method(text) == method


def test_threads_lose_no_count() -> None:
    import threading

    tally = Tally()
    tally.ticks()
    published = definitions.REQUESTS.labels("edge", "none", "299")
    before = published._value.get()

    def work() -> None:
        for _ in range(2000):
            tally.record("edge", "none", 299, 0.0)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        tally.flush()
    tally.flush()
    assert published._value.get() - before == 16_000


def test_a_duration_falls_where_prometheus_puts_it() -> None:
    tally = Tally()
    tally.ticks()
    for seconds in (0.0005, 0.001, 0.0011, 4.9, 60):
        tally.record("hub", "buckets", 200, seconds)
    tally.flush()
    samples = {
        sample.labels["le"]: sample.value
        for family in definitions.SECONDS.collect()
        for sample in family.samples
        if sample.name.endswith("_bucket") and sample.labels["route"] == "buckets"
    }
    assert (samples["0.001"], samples["0.0025"], samples["2.5"], samples["5.0"], samples["+Inf"]) == (
        2,
        3,
        3,
        4,
        5,
    )


# -- who may read


def test_without_a_setting_there_is_no_such_address(auth_server: AuthServer) -> None:
    for headers in ({}, BEARER, {"Authorization": "Bearer "}):
        answer = auth_server.get("/metrics", headers=headers)
        assert (answer.status, answer.json()["error"]) == (404, "not_found")
    assert not list(Path(f"/proc/{auth_server.pid}").glob("sso-metrics"))


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        "Bearer \xff",
        TOKEN,
    ],
)
def test_a_wrong_token_is_404(hub: AuthServer, authorization: str) -> None:
    answer = hub.get("/metrics", headers={"Authorization": authorization})
    assert (answer.status, answer.json()["error"]) == (404, "not_found")


def test_whoever_has_the_token_reads_it_by_any_host_name(hub: AuthServer) -> None:
    assert hub.get("/metrics", host="whatever.example.test:1", headers=BEARER).status == 200
    answer = hub.get("/metrics", headers=BEARER)
    assert answer.get("Cache-Control") == "no-store"
    assert (answer.get("Content-Type") or "").startswith("text/plain")
    open_metrics = hub.get("/metrics", headers={**BEARER, "Accept": "application/openmetrics-text"})
    assert open_metrics.text.endswith("# EOF\n")
    refused = hub.request("POST", "/metrics", headers=BEARER)
    assert (refused.status, refused.get("Allow")) == (405, "GET, HEAD")


def test_a_network_may_read_it_and_nobody_through_a_proxy_from_elsewhere(
    start_auth_server: Callable[..., AuthServer],
) -> None:
    server = start_auth_server(env={"SSO_METRICS_FROM": "127.0.0.0/8", "SSO_TRUSTED_PROXIES": "127.0.0.1"})
    assert server.get("/metrics").status == 200
    for forwarded in ("203.0.113.9", "127.0.0.2, 203.0.113.9", "nonsense", ""):
        assert server.get("/metrics", headers={"X-Forwarded-For": forwarded}).status == 404


def test_with_both_set_both_must_hold() -> None:
    door = Door(TOKEN, TrustedProxies.parse("10.0.0.0/24"))
    bearer = f"Bearer {TOKEN}"
    assert door.admits(authorization=bearer, address="10.0.0.7")
    assert not door.admits(authorization=bearer, address="10.0.1.7")
    assert not door.admits(authorization="", address="10.0.0.7")
    assert not Door().admits(authorization="Bearer ", address="127.0.0.1")


@pytest.mark.parametrize(
    "text", ["short", "with a space in it 0123456789", "x" * 201, "ünïcödé-0123456789-abcdef"]
)
def test_a_token_that_could_be_guessed_or_garbled_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="openssl rand"):
        parse_token(text)


# -- files


def test_many_ended_workers_are_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from prometheus_client.mmap_dict import MmapedDict

    monkeypatch.setenv(folder.VARIABLE, str(tmp_path))
    key = '["sso_http_requests", "sso_http_requests_total", {"route": "x"}, "help"]'
    for pid in range(100, 130):
        values = MmapedDict(str(tmp_path / f"counter_{pid}.db"))
        values.write_value(key, 2.0, 0.0)
        values.close()
        (tmp_path / f"gauge_livesum_{pid}.db").touch()
        folder.worker_ended(pid)
    assert {file.name for file in tmp_path.iterdir()} == {"lock", "counter_ended.db"}
    [(_, value, _, _)] = MmapedDict.read_all_values_from_file(str(tmp_path / "counter_ended.db"))
    assert value == 60


def test_the_example_alerts_name_metrics_that_exist() -> None:
    text = (ROOT / "deploy/prometheus/sso-alerts.yml").read_text()
    known = {"sso_mail_waiting"} | {
        name
        for metric in vars(definitions).values()
        if isinstance(metric, MetricWrapperBase)
        for family in metric.describe()
        for name in (family.name, f"{family.name}_total", f"{family.name}_bucket")
    }
    assert set(re.findall(r"\bsso_[a-z_]+\b", text)) <= known


def test_every_metric_is_documented() -> None:
    text = (ROOT / "docs/metrics.md").read_text()
    names = {
        family.name + ("_total" if family.type == "counter" else "")
        for metric in vars(definitions).values()
        if isinstance(metric, MetricWrapperBase)
        for family in metric.describe()
    }
    assert {name for name in names if f"`{name}`" not in text} == set()
