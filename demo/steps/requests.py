"""A waypoint: routes and policies for requests."""

from demo.binomial import interval
from demo.scene import Scene
from demo.shop import INTRUDER

CATALOG = "http://catalog/version"
REQUESTS = 1000
SIGNS = {"http": 'protocol="http"', "grpc": 'protocol="grpc"', "tcp": "connection complete"}


def create(scene: Scene) -> None:
    """Ask for a waypoint; istiod makes it, the lab runs it."""
    scene.user.type("waypoint create -n shop --enroll-namespace --wait")
    counted = scene.shop.ask("http://web/", "-n 20")
    scene.stage.check("requests go on", counted.bad == 0, counted)
    lines = scene.user.type("logs waypoint -n shop").out.splitlines()
    seen = {kind for line in lines if "src.identity" in line for kind, sign in SIGNS.items() if sign in line}
    scene.stage.check(
        "the waypoint took HTTP, gRPC and server-first TCP, and knew the callers", seen == set(SIGNS), seen
    )


def split(scene: Scene) -> None:
    """One in ten to the new version, counted."""
    scene.apply("routes/split.yaml")
    low, high = interval(REQUESTS, 0.1)
    scene.user.wait("the route in force", lambda: leans(scene), seconds=10)
    counted = scene.shop.ask(CATALOG, f"-n {REQUESTS} -c 4 --by version")
    new = counted.by.get("v2", 0)
    scene.stage.check(f"all {REQUESTS} requests are answered", counted.bad == 0, counted)
    scene.stage.check(
        "the new version gets its tenth of them", low <= new <= high, f"{new}; by chance alone {low} to {high}"
    )


def leans(scene: Scene) -> bool:
    """Whether the old version gets clearly more than the half it has without a route (one in 10^5 by chance)."""
    counted = scene.shop.ask(CATALOG, "-n 60 -c 4 --by version", shown=False)
    return counted.by.get("v1", 0) > interval(60, 0.5, alarm=2e-5)[1]


def by_header(scene: Scene) -> None:
    """Beta users get the new version, always."""
    scene.apply("routes/beta.yaml")
    beta = "-n 100 -c 4 --by version -H 'x-user: beta'"
    scene.user.wait("the route in force", lambda: only(scene.shop.ask(CATALOG, beta, shown=False).by, "v2"), seconds=10)
    counted = scene.shop.ask(CATALOG, beta)
    scene.stage.check("x-user: beta is always answered by v2", only(counted.by, "v2"), counted.by)
    others = scene.shop.ask(CATALOG, "-n 100 -c 4 --by version -H 'x-user: anna'", shown=False)
    scene.stage.check("other users still mostly by v1", others.by.get("v1", 0) > 60, others.by)


def only(by: dict[str, int], version: str) -> bool:
    """Whether this version answered everything."""
    return set(by) == {version}


def read_only(scene: Scene) -> None:
    """A policy on methods, which only something that reads requests can enforce."""
    before = scene.shop.ask("http://catalog/", "-n 1 -X POST")
    scene.stage.check("without a policy the catalog takes a POST", set(before.answers) == {"201"}, before)
    scene.apply("policies/read-only.yaml")
    scene.user.wait(
        "the policy in force",
        lambda: "201" not in scene.shop.ask("http://catalog/", "-X POST", shown=False).answers,
        seconds=10,
    )
    post = scene.shop.ask("http://catalog/", "-n 20 -X POST")
    scene.stage.check("with it a POST is answered 403", set(post.answers) == {"403"}, post)
    asked = scene.user.type("why client http://catalog/ -n shop --method POST", may_fail=True)
    for line in asked.out.splitlines():
        scene.stage.tell(line)
    said = asked.out.splitlines()[-1]
    scene.stage.check("why says who refuses it, and by which policy", "shop/read-only" in said, said)
    get = scene.shop.ask("http://catalog/version", "-n 20")
    scene.stage.check("and a GET is served", get.bad == 0, get)
    intruder = scene.shop.ask("http://catalog.shop/version", "-n 20", pod=INTRUDER)
    scene.stage.check("the intruder is refused by the waypoint too", intruder.answers.get("200", 0) == 0, intruder)
