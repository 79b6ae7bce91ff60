"""schemathesis, which calls an API with everything that its OpenAPI document allows, and with much that it does not."""

from __future__ import annotations

from pathlib import Path

from tests.peers.environments import environment

HERE = Path(__file__).with_name("schemathesis")

EXCLUDED = (
    "positive_data_acceptance",  # `refusals` in hooks.py says it better: what fits is refused for its meaning only
    "use_after_free",  # a cancelled operation is remembered, and a device that was forgotten registers anew
    "ensure_resource_availability",  # an observation that the device refuses, a device that others forget
)


def install() -> list[str]:
    """The command, with its environment and configuration, made the first time."""
    return [str(environment("schemathesis", (HERE / "requirements.txt").read_text()) / "schemathesis")]


def command(url: str, *, phases: str, seconds: int, seed: int) -> list[str]:
    """The command that calls the API at ``url`` for at most ``seconds``; LWM2MD_TOKEN has the token."""
    options = {
        "--phases": phases,
        "--exclude-checks": ",".join(EXCLUDED),
        "--seed": str(seed),
        "--max-time": str(seconds),
        "--generation-database": "none",
        "--suppress-health-check": "all",
    }
    words = [word for name, value in options.items() for word in (name, value)]
    return [*install(), "--config-file", str(HERE / "schemathesis.toml"), "run", f"{url}/v1/openapi.json",
            *words, "--continue-on-failure", "--no-color", "--no-shrink"]  # fmt: skip
