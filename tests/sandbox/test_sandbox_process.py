"""The sandbox as a process: started, stopped, never left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from sandbox import Sandbox
from sandbox.client import ReceivedAnswer, request

ROOT = Path(__file__).parents[2]


def get(url: str, call_id: str, token: str = "demo-token") -> ReceivedAnswer:
    return request("GET", f"{url}/calls/{call_id}", headers={"Authorization": f"Bearer {token}"})


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited 30 seconds in vain"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0] != "Z"


def start(*options: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    command = [sys.executable, "-m", "sandbox", *options]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_command_line_serves_until_it_is_stopped(stop: signal.Signals) -> None:
    process, ready = start("--calls", "3", "--token", "t", "--limit", "7", "--window", "5", "--latency", "0.01")
    try:
        answer = get(ready["url"], "1000003", token="t")
        assert (answer.status, answer.headers["X-RateLimit-Limit"]) == (200, "7")
        assert urlsplit(ready["url"]).hostname == "127.0.0.1"
    finally:
        process.send_signal(stop)
        assert process.wait(timeout=30) == 0
        process.communicate()


def test_it_stops_when_a_request_hangs() -> None:
    api = Sandbox(fault_ranges=[[1, None, "hang"]]).start()
    address, pid = urlsplit(api.url), api.pid
    with socket.create_connection((address.hostname or "", address.port or 0)) as connection:
        connection.sendall(b"GET /calls/1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer demo-token\r\n\r\n")
        wait_until(lambda: bool(api.stats()["in_flight"]))
        api.stop()
    assert not alive(pid)


def test_it_dies_with_its_parent() -> None:
    script = "from sandbox import Sandbox; api = Sandbox().start(); print(api.pid, flush=True); input()"
    parent = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert alive(pid)
    parent.kill()
    parent.communicate()
    wait_until(lambda: not alive(pid))


def test_it_can_restart_on_the_same_port() -> None:
    with Sandbox() as first:
        url = first.url
        assert get(url, "1000043").status == 200
    with Sandbox(port=urlsplit(url).port or 0) as second:
        assert second.url == url
        assert get(second.url, "1000043").json["id"] == "1000043"


def test_a_settings_file_is_read_and_options_win(tmp_path: Path) -> None:
    settings = tmp_path / "settings.json"
    settings.write_text('{"bodies": {"1": "one"}, "limit": 5, "token": "t"}')
    process, ready = start("--config", str(settings), "--no-limit")
    answer = get(ready["url"], "1", token="t")
    assert (answer.body, answer.headers["X-RateLimit-Limit"]) == (b"one", None)
    process.terminate()
    process.communicate()


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sandbox", *options], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_ids_writes_a_list() -> None:
    assert run("ids", "--calls", "3").stdout == "1000001\n1000002\n1000003\n"
    assert run("ids", "--count", "3").stdout.split() == ["1001034", "1002202", "1009326"]
    assert len(set(run("ids", "--calls", "500", "--seed", "4", "--count", "200").stdout.split())) == 200


def test_a_wrong_settings_file_is_named(tmp_path: Path) -> None:
    settings = tmp_path / "settings.json"
    settings.write_text('{"speed": 9}')
    refused = run("--config", str(settings))
    assert refused.returncode == 2
    assert "no such setting: speed" in refused.stderr
