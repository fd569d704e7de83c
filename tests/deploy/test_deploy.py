"""What lies in deploy/ works: a real Prometheus reads a real coordinator, by the dashboard's and the alerts' words."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from tests.support.coordinator import FAST, Coordinator
from tests.support.figures import Figures, scrape
from tests.support.participants import ERROR, Participants
from tests.support.prometheus import Prometheus, promtool
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "alerts.yml"
DASHBOARD = json.loads((ROOT / "deploy" / "grafana.json").read_text())
NAME = re.compile(r"\b(?:dtm|process|python)_\w+")


def panels() -> list[dict]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> dict[str, str]:
    """The dashboard's queries by panel and letter, as Grafana would send them."""
    found = {f"{p['title']}/{t['refId']}": t["expr"] for p in panels() for t in p["targets"]}
    return {place: expr.replace("$__rate_interval", "10s").replace("$job", ".*") for place, expr in found.items()}


def busy(coordinator: Coordinator, participants: Participants) -> None:
    """A little of everything that makes series."""
    participants.answer("flaky", *[ERROR] * 1000)
    for gid, name in (("good", "do"), ("flaky", "flaky")):
        step = {"action": participants.url(name), "compensate": ""}
        body = {"gid": gid, "trans_type": "saga", "steps": [step], "payloads": ["1"]}
        assert coordinator.client.post("submit", body)[0] == 200
    coordinator.client.until_final("good")


def test_a_real_prometheus_understands_every_query_and_every_rule(tmp_path: Path, participants: Participants) -> None:
    with Coordinator(tmp_path, **FAST) as coordinator:
        busy(coordinator, participants)
        with Prometheus(tmp_path, RULES, coordinator.client.address) as prometheus:
            rate = "rate(dtm_server_process_total[10s])"
            until(lambda: bool(prometheus.query(rate)), within=60)  # two scrapes have been
            for place, expression in expressions().items():
                assert prometheus.query(expression), f"{place} shows nothing: {expression}"
            (group,) = prometheus.get("rules")["groups"]
            until(lambda: prometheus.get("rules")["groups"][0]["rules"][-1]["health"] != "unknown", within=60)
            assert {rule["name"]: rule["health"] for rule in prometheus.get("rules")["groups"][0]["rules"]} == {
                rule["name"]: "ok" for rule in group["rules"]
            }


def test_the_dashboard_and_the_alerts_know_the_metrics_there_are(tmp_path: Path, participants: Participants) -> None:
    with Coordinator(tmp_path, **FAST) as coordinator:
        busy(coordinator, participants)
        until(lambda: "dtm_branch_failing_total{" in scrape(coordinator.url))
        figures = Figures(scrape(coordinator.url))
    series = {sample.name for family in figures.families.values() for sample in family.samples}
    shown = {name for expression in expressions().values() for name in NAME.findall(expression)}
    alerts = [rule["expr"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    assert shown - series == set()
    assert {name for alert in alerts for name in NAME.findall(alert)} - series == set()
    ours = {name for name in figures.families if name.startswith("dtm_")}
    assert {name for name in ours if not any(each.startswith(name) for each in shown)} == set()


def test_promtool_approves_of_the_alerts_and_each_fires_when_it_should(tmp_path: Path) -> None:
    checked = promtool("check", "rules", str(RULES))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    cases = (Path(__file__).parent / "alerts.yml").read_text()
    names = {rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}
    assert names == set(re.findall(r'alertname="(\w+)"', cases))
    (tmp_path / "alerts.yml").write_text(cases.replace("RULES", str(RULES)))
    tested = promtool("test", "rules", str(tmp_path / "alerts.yml"))
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_the_dashboard_has_the_form_that_grafana_loads() -> None:
    assert {"title", "uid", "panels", "templating", "schemaVersion", "time"} <= DASHBOARD.keys()
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    text = json.dumps(DASHBOARD)
    assert set(re.findall(r"\$\{(\w+)\}|\$(?!__)(\w+)", text)) >= {("datasource", ""), ("", "job")}
    assert {name for pair in re.findall(r"\$\{(\w+)\}|\$(?!__)(\w+)", text) for name in pair if name} == variables
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, f"{panel['title']} lies on another panel"
        taken |= cells
