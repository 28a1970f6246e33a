"""compose.yaml, the Kubernetes manifests and the systemd unit: by their schemas, against the
service's own settings, and the commands and settings of compose.yaml as plain processes."""

import contextlib
import functools
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import kubernetes_validate
import pytest
import redis
import yaml
from compose_spec import PyCompose

from service import __version__
from service.server.run import GRACE_S
from service.settings import Settings
from tests import plain
from tests.deploy.balancers import DEPLOY, Balancer, program
from tests.repository.test_dockerfile import USER, stages
from tests.servers import binary_of, free_port, wait_until

TOKENS = {"PRESENCE_ADMIN_TOKEN": "operator", "PRESENCE_METRICS_TOKEN": "scraper"}


def image_environ() -> dict[str, str]:
    """What the Dockerfile sets."""
    return dict(entry.split("=", 1) for entry in stages()[-1].all("ENV"))


# Compose


def compose_text() -> str:
    """With the variables that it asks for."""
    text = (DEPLOY / "compose.yaml").read_text()
    assert set(re.findall(r"\$\{(\w+):\?", text)) == TOKENS.keys(), "none has a default"
    return re.sub(r"\$\{(\w+):\?[^}]*\}", lambda found: TOKENS[found[1]], text)


def compose() -> dict[str, Any]:
    """As YAML has it, with anchors resolved."""
    found: dict[str, Any] = yaml.safe_load(compose_text())
    return found


def copies_of() -> dict[str, Any]:
    """The copies of the service in compose.yaml."""
    return {k: v for k, v in compose()["services"].items() if k.startswith("presence-")}


def test_compose_by_its_schema() -> None:
    """Every field is one of Compose's, and every network and volume is declared."""
    plain = {k: v for k, v in compose().items() if not k.startswith("x-")}
    parsed = PyCompose.from_yaml(yaml.safe_dump(plain))
    parsed.validate()
    assert sorted(parsed.service_names()) == [
        "nginx", "presence-1", "presence-2", "presence-3", "prometheus", "redis"
    ]  # fmt: skip
    plain["services"]["redis"]["comand"] = "x"
    with pytest.raises(ValueError, match="comand"):
        PyCompose.from_yaml(yaml.safe_dump(plain))


def test_compose_fits_the_image_and_nginx() -> None:
    """Names, ports, addresses and times."""
    whole = compose()
    services = whole["services"]
    upstream = re.findall(r"server (presence-\d):(\d+)", (DEPLOY / "nginx.conf").read_text())
    assert [name for name, _ in upstream] == list(copies_of())
    assert {port for _, port in upstream} == {image_environ()["PRESENCE_PORT"]}
    assert services["nginx"]["depends_on"] == list(copies_of())
    addresses = [copy["networks"]["inside"]["ipv4_address"] for copy in copies_of().values()]
    assert len(set(addresses)) == 3
    everyone = [service["networks"]["inside"]["ipv4_address"] for service in services.values()]
    assert len(set(everyone)) == len(services), "no address is left to chance"
    for copy in copies_of().values():
        settings = Settings.from_env(image_environ() | copy["environment"])
        (proxy,) = settings.trusted_proxies
        assert str(proxy) == services["nginx"]["networks"]["inside"]["ipv4_address"] + "/32"
        assert seconds(copy["stop_grace_period"]) > settings.drain + GRACE_S
        assert f"uid={USER}" in copy["tmpfs"][1]
    assert seconds(idle := idle_of_nginx()) < settings.drain, idle


def test_prometheus_beside_compose() -> None:
    """It finds its files, scrapes every copy and is given the token."""
    whole = compose()
    prometheus = whole["services"]["prometheus"]
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())
    (scrape,) = config["scrape_configs"]
    (targets,) = scrape["static_configs"]
    assert [target.partition(":")[0] for target in targets["targets"]] == list(copies_of())
    (secret,) = prometheus["secrets"]
    assert secret["target"] == scrape["authorization"]["credentials_file"]
    assert whole["secrets"][secret["source"]] == {"environment": "PRESENCE_METRICS_TOKEN"}
    mounted = dict(volume.split(":")[:2] for volume in prometheus["volumes"])
    assert {(DEPLOY / source).is_file() for source in mounted if source.startswith(".")} == {True}
    options = dict(option.split("=") for option in prometheus["command"])
    assert options["--config.file"] in mounted.values()
    assert options["--storage.tsdb.path"] in mounted.values()
    assert all(port.startswith("127.0.0.1:") for port in prometheus["ports"])
    assert prometheus["profiles"], "only where it is asked for"


def seconds(text: str) -> float:
    """`20s` as a number."""
    return float(text.removesuffix("s"))


def idle_of_nginx() -> str:
    """How long nginx keeps an idle connection to a copy."""
    upstream = (DEPLOY / "nginx.conf").read_text().partition("upstream presence")[2]
    found = re.search(r"keepalive_timeout (\w+);", upstream)
    assert found is not None
    return found[1]


Composed = tuple[Balancer, "subprocess.Popen[bytes]", list[str], int]


@pytest.fixture
def composed(
    tmp_path: Path,
) -> Iterator[tuple[Balancer, "subprocess.Popen[bytes]", list[str], int]]:
    """All of compose.yaml as plain processes; only hosts, ports and folders are changed."""
    services = compose()["services"]
    redis_port = free_port()
    command = [
        binary_of("redis7"), *services["redis"]["command"][1:],
        "--port", str(redis_port), "--bind", "127.0.0.1", "--dir", str(tmp_path),
    ]  # fmt: skip
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((tmp_path / "log").open("wb"))
        server = subprocess.Popen(command, stdout=log, stderr=log)
        stack.callback(server.kill)
        ports = []
        for copy in copies_of().values():
            assert services["redis"]["healthcheck"]["test"][1:] == ["redis-cli", "ping"]
            port = free_port()
            environ = {k: v for k, v in os.environ.items() if not k.startswith("PRESENCE_")}
            environ |= image_environ() | copy["environment"]
            environ["PATH"] = os.environ["PATH"]
            environ["PRESENCE_REDIS_URL"] = environ["PRESENCE_REDIS_URL"].replace(
                "redis:6379", f"127.0.0.1:{redis_port}"
            )
            environ["PRESENCE_PORT"] = str(port)
            environ["PRESENCE_TRUSTED_PROXIES"] = "127.0.0.1/32"
            process = subprocess.Popen(
                [sys.executable, "-m", "service", "serve"], env=environ, stdout=log, stderr=log
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
            ports.append(port)
        for port in ports:
            wait_until(functools.partial(is_ready, port), what=f"a copy on {port}")
        balancer = stack.enter_context(Balancer("nginx", ports))
        yield balancer, server, command, redis_port


def is_ready(port: int) -> bool:
    """Whether a copy serves."""
    with contextlib.suppress(httpx.TransportError):
        return plain.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
    return False


def test_compose_as_processes(
    composed: Composed,
) -> None:
    """It counts, Redis is set as docs/topologies.md says, and forgets nothing when it is killed."""
    balancer, server, command, redis_port = composed
    with (
        httpx.Client(base_url=f"{balancer.url}/v1/sites/blog", verify=balancer.tls) as http,
        redis.Redis(port=redis_port, decode_responses=True) as client,
    ):
        for n in range(6):
            body = {"sessionId": str(uuid.uuid4()), "currentPath": f"/{n}"}
            assert http.post("/heartbeat", json=body).headers["presence-status"] == "created"
        assert http.get("/active").json()["activeVisitors"] == 6
        told: dict[str, str] = client.config_get("maxmemory-policy", "append*", "hz")
        assert told["maxmemory-policy"] == "noeviction"
        assert (told["appendonly"], told["appendfsync"], told["hz"]) == ("yes", "everysec", "500")
        wait_until(lambda: client.info("persistence")["aof_pending_bio_fsync"] == 0)
        server.kill()
        server.wait()
        again = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            wait_until(client.ping, what="Redis again")
            answer = wait_until(lambda: (a := http.get("/active")).status_code == 200 and a)
            assert answer.json()["activeVisitors"] == 6
        finally:
            again.kill()
            again.wait()


# Kubernetes

FOLDER = DEPLOY / "kubernetes"


def manifests() -> dict[str, Any]:
    """By kind."""
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    # The Secret is made by hand: applied as it is, everybody would know its tokens.
    assert set(kustomization["resources"]) == files - {"secret.example.yaml"}
    found = [yaml.safe_load((FOLDER / name).read_text()) for name in sorted(files)]
    return {manifest["kind"]: manifest for manifest in found}


def test_kubernetes_by_its_schemas() -> None:
    """Strictly: a field that is unknown is an error."""
    latest = kubernetes_validate.latest_version()
    for manifest in manifests().values():
        kubernetes_validate.validate(manifest, latest, strict=True)
    wrong = manifests()["Deployment"]
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, latest, strict=True)


def test_kubernetes_fits_together() -> None:
    """Labels, names and ports."""
    all_ = manifests()
    deployment = all_["Deployment"]
    pod = deployment["spec"]["template"]
    labels = pod["metadata"]["labels"]
    (container,) = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": int(image_environ()["PRESENCE_PORT"])}
    for selector in (
        deployment["spec"]["selector"]["matchLabels"],
        all_["Service"]["spec"]["selector"],
        all_["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        all_["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    (service_port,) = all_["Service"]["spec"]["ports"]
    assert service_port["targetPort"] in ports
    (rule,) = all_["Ingress"]["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert path["backend"]["service"] == {
        "name": all_["Service"]["metadata"]["name"],
        "port": {"name": service_port["name"]},
    }
    target = all_["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    assert (
        all_["PodDisruptionBudget"]["spec"]["maxUnavailable"]
        < (all_["HorizontalPodAutoscaler"]["spec"]["minReplicas"])
    )
    assert "replicas" not in deployment["spec"], "an apply would undo the autoscaler"
    assert {p["port"] for p in all_["NetworkPolicy"]["spec"]["ingress"][0]["ports"]} == {"http"}
    assert container["image"] == f"presence-service:{__version__}"


def test_kubernetes_fits_the_service() -> None:
    """Its settings start it; what Kubernetes adds does not stop it; times add up."""
    all_ = manifests()
    pod = all_["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    given = all_["ConfigMap"]["data"] | all_["Secret"]["stringData"]
    settings = Settings.from_env(image_environ() | given)
    assert settings.redis_url.startswith("rediss://")
    assert settings.metrics_token, "the ingress lets everything through"
    assert pod["enableServiceLinks"] is False, "PRESENCE_PORT=tcp://… would be in the environment"
    pre_stop = float(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > pre_stop + settings.drain + GRACE_S + 5
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert pod["securityContext"]["runAsUser"] == USER
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


# systemd


def test_systemd_unit(tmp_path: Path) -> None:
    """systemd finds nothing wrong with it, and little that it may do."""
    text = (DEPLOY / "systemd" / "presence.service").read_text()
    unit = tmp_path / "presence.service"
    unit.write_text(text.replace("/opt/presence/bin/presence", sys.executable))
    analyze = program("systemd-analyze")
    done = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=15", "--no-pager", str(unit)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-300:]
    environ = dict(re.findall(r"^Environment=(PRESENCE_\w+)=(.*)$", text, re.MULTILINE))
    settings = Settings.from_env(environ)
    (stop,) = re.findall(r"^TimeoutStopSec=(\d+)s$", text, re.MULTILINE)
    assert float(stop) > settings.drain + GRACE_S
