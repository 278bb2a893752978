"""What every step is given, and what the shop looks like at the moment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.shop import EXAMPLES, Shop
from demo.stage import Stage
from demo.user import User

CAPTURED = "ambient.istio.io/redirection"


@dataclass(frozen=True)
class Scene:
    """The stage, the user, and how many nodes there are."""

    stage: Stage
    user: User
    nodes: int

    @property
    def shop(self) -> Shop:
        """The shop of this lab."""
        return Shop(self.user)

    def apply(self, name: str) -> None:
        """Apply one of the shop's files."""
        self.user.type(f"apply -f {shown(EXAMPLES / name)}")

    def pods(self, namespace: str = "shop") -> list[dict[str, Any]]:
        """The pods of a namespace that are not going away."""
        return [pod for pod in self.user.objects("pods", namespace) if "deletionTimestamp" not in pod["metadata"]]

    def ready(self, namespace: str = "shop") -> bool:
        """Whether every pod of the namespace is ready."""
        pods = self.pods(namespace)
        return bool(pods) and all(is_ready(pod) for pod in pods)

    def captured(self, namespace: str = "shop") -> bool:
        """Whether the traffic of every pod of the namespace is captured."""
        return all(in_mesh(pod) for pod in self.pods(namespace))


def shown(path: Path) -> Path:
    """The shortest way to write a path of the repository where the user is."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def in_mesh(pod: dict[str, Any]) -> bool:
    """Whether a pod's traffic is captured."""
    return bool(pod["metadata"].get("annotations", {}).get(CAPTURED) == "enabled")


def is_ready(pod: dict[str, Any]) -> bool:
    """Whether a pod's Ready condition is true."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
