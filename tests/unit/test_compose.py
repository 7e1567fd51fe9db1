"""Requirements for the containers, checked in docker-compose.yml without starting anything."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from storage.settings import Settings

ROOT = Path(__file__).parents[2]
# Settings that the entrypoint makes, that have no effect with configured servers, or that the image contains.
NOT_TO_BE_SET = {"database_url", "database_direct_url", "redis_url", "broker_url", "redis_server", "model_dir"}
ONE_SHOT = {"migrate"}
WATCHERS = ("prometheus", "alertmanager", "grafana")

Services = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """The parsed file, with the services of all profiles."""
    options = ["--file", "docker-compose.yml", "--env-file", "/dev/null", "--profile", "*"]
    command = ["docker", "compose", *options, "config", "--format", "json"]
    try:
        subprocess.run(["docker", "compose", "version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("there is no `docker compose` here")
    read = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert read.returncode == 0, read.stderr
    parsed: dict[str, Any] = json.loads(read.stdout)
    return parsed


@pytest.fixture
def services(project: dict[str, Any]) -> Services:
    found: Services = project["services"]
    return found


def test_every_setting_reaches_the_containers() -> None:
    written = (ROOT / "docker-compose.yml").read_text()

    missing = {name for name in Settings.model_fields if f"STARLIGHT_{name.upper()}" not in written}

    assert missing == NOT_TO_BE_SET


def test_credentials_of_buckets_reach_the_containers() -> None:
    written = (ROOT / "docker-compose.yml").read_text()

    named = set(re.findall(r"`((?:AWS|AZURE|GOOGLE)_\w+)`", (ROOT / "docs" / "sources.md").read_text()))

    assert named
    assert {name for name in named if f"    {name}:\n" not in written} == set()


def test_every_container_is_confined(services: Services) -> None:
    for name, service in services.items():
        assert service.get("read_only"), name
        assert service.get("cap_drop") == ["ALL"], name
        assert service.get("security_opt") == ["no-new-privileges:true"], name
        # Our images contain an init.
        assert service.get("init") is not service["image"].startswith("starlight-"), name
        assert service.get("mem_limit"), name
        assert service.get("pids_limit"), name
        assert not service.get("privileged"), name
        assert not service.get("cap_add"), name


def test_ports_are_published_on_the_loopback_interface_alone(services: Services) -> None:
    published = [(name, port) for name, service in services.items() for port in service.get("ports", [])]

    assert {name for name, _ in published} == {"proxy", "exporter", "flower", *WATCHERS}
    assert {port.get("host_ip") for _, port in published} == {"127.0.0.1"}


def test_only_what_fetches_or_publishes_a_port_has_a_way_out(project: dict[str, Any]) -> None:
    services = {name: set(service["networks"]) for name, service in project["services"].items()}

    assert {name for name, network in project["networks"].items() if network.get("internal")} == {
        "data", "metrics", "requests",
    }  # fmt: skip
    assert {name for name, networks in services.items() if "out" in networks} == {
        "worker", "worker-gpu", "dispatcher", "alertmanager",
    }  # fmt: skip
    assert {name for name, networks in services.items() if "front" in networks} == {
        "proxy", "exporter", "flower", *WATCHERS,
    }  # fmt: skip
    assert services["postgres"] == services["redis"] == {"data"}


def test_two_dispatchers_run(services: Services) -> None:
    assert services["dispatcher"]["scale"] == 2


def test_what_runs_is_watched_and_started_again(services: Services) -> None:
    for name in services.keys() - ONE_SHOT:
        assert services[name].get("healthcheck"), name
        assert services[name]["restart"] == "unless-stopped", name


def test_passwords_come_from_files(services: Services) -> None:
    for name, service in services.items():
        for variable, value in service.get("environment", {}).items():
            assert "PASSWORD" not in variable or variable.endswith("_FILE"), name
            assert "@" not in (value or ""), name


def test_images_to_scan_cannot_be_written(services: Services) -> None:
    for name in ("worker", "worker-gpu"):
        mounts = {volume["target"]: volume for volume in services[name]["volumes"]}
        assert mounts["/images"]["read_only"], name


def test_each_image_of_ours_is_built_by_one_service(services: Services) -> None:
    built = sorted(service["image"] for service in services.values() if "build" in service)

    assert len(built) == len(set(built))
    used = {service["image"] for service in services.values() if service["image"].startswith("starlight-")}
    assert set(built) == used


def test_workers_and_who_watches_wait_for_their_profiles(services: Services) -> None:
    assert services["worker-gpu"]["profiles"] == ["gpu"]
    devices = services["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert [device["capabilities"] for device in devices] == [["gpu"]]
    profiles = {name: service["profiles"] for name, service in services.items() if service.get("profiles")}
    assert profiles == {"worker": ["cpu"], "worker-gpu": ["gpu"], **{name: ["monitoring"] for name in WATCHERS}}
