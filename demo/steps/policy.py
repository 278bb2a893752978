"""Who may connect: identities instead of addresses."""

from demo.scene import Scene
from demo.shop import INTRUDER

WEB = "http://web.shop/version"


def deny_strangers(scene: Scene) -> None:
    """A policy of layer 4: only the shop's own identities may connect."""
    before = scene.shop.ask(WEB, pod=INTRUDER)
    scene.stage.check("without a policy the intruder is answered", before.bad == 0, before)
    scene.apply("policies/only-the-shop.yaml")
    scene.user.wait("the policy in force", lambda: scene.shop.ask(WEB, pod=INTRUDER, shown=False).bad > 0, seconds=10)
    denied = scene.shop.ask(WEB, "-n 20", pod=INTRUDER)
    scene.stage.check("with it the intruder is refused", denied.bad == denied.requests, denied)
    allowed = scene.shop.ask("http://web/", "-n 20")
    scene.stage.check("and the client is served", allowed.bad == 0, allowed)
