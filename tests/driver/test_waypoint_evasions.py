"""Ways around a policy that others have had to close, each by what it prevents. Real requests through a waypoint."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from istiod_lite.compile.policies import text_match
from mesh.net.metrics import Metrics
from mesh.policy import Action, Clause, Match, Policy, Rule, Scope, Target, TextMatch, TextMatchKind
from tests.waypoint_app import App, status
from tests.waypoint_ends import World, service, world

ECHO = service()
SHOP = (Target("Service", "shop", "echo"),)


def policy(action: Action, match: Match, *, dry_run: bool = False) -> Policy:
    return Policy("p", "shop", Scope.TARGET, action, (Rule((Clause((match,)),)),), dry_run, SHOP)


def exactly(text: str) -> tuple[TextMatch, ...]:
    return (TextMatch(TextMatchKind.EXACT, text),)


async def raw(it: World, request: bytes) -> bytes:
    """The status line of the answer to these bytes."""
    stream = await it.open()
    with trio.fail_after(30):
        await stream.send_all(request)
        answer = b""
        while b"\r\n" not in answer and (data := await stream.receive_some(4096)):
            answer += data
    return answer.partition(b"\r\n")[0]


@pytest.mark.parametrize(
    "host",
    ["secret.example", "SECRET.example", "secret.example:80", "secret.example:", "secret.example.",
     "secret.example.:80",
     "secret.example:8080", "secret.example:00080", "%73ecret.example", "Secret.Example.:"],
)  # fmt: skip
async def test_no_other_way_to_write_a_host_evades_a_denial(host: str) -> None:
    async with world(ECHO, policy(Action.DENY, Match(hosts=exactly("secret.example")))) as it:
        await it.app(App(), ECHO)
        assert status(await it.ask(host=host)) == 403
        assert status(await it.ask(host=host, http2=True)) == 403
        assert status(await it.ask(host="secret.example.org")) == 200


@pytest.mark.parametrize(
    "host",
    ["secret.example:80", "xsecret.example", "secretxexample", "secret.example:8080", "other", "secret.example.org"],
)
async def test_a_host_that_is_another_is_not_let_in_by_a_permission(host: str) -> None:
    async with world(ECHO, policy(Action.ALLOW, Match(hosts=exactly("secret.example:443")))) as it:
        await it.app(App(), ECHO)
        assert status(await it.ask(host=host)) == 403


@pytest.mark.parametrize(
    "path",
    ["/admin", "/admin?x=1", "/x/../admin", "/./admin", "/%61dmin", "/x/%2e%2e/admin", "/x\\..\\admin",
     "/x/.%2E/admin", "/../../admin", "/x/%2E/../../admin"],
)  # fmt: skip
async def test_no_other_way_to_write_a_path_evades_a_denial(path: str) -> None:
    async with world(ECHO, policy(Action.DENY, Match(paths=exactly("/admin")))) as it:
        app = App()
        await it.app(app, ECHO)
        assert status(await it.ask(path)) == 403
        assert status(await it.ask(path, http2=True)) == 403
        assert not app.asked


@pytest.mark.parametrize(
    ("sent", "judged"), [("/x/..%5cadmin", "/x/..%5Cadmin"), ("/x%2f..%2fadmin", "/x%2F..%2Fadmin")]
)
async def test_what_stays_escaped_is_told_to_the_backend_as_it_was_judged(sent: str, judged: str) -> None:
    async with world(ECHO, policy(Action.ALLOW, Match(paths=exactly(judged)))) as it:
        app = App()
        await it.app(app, ECHO)
        assert status(await it.ask(sent)) == 200
    assert app.asked[0].path == judged.encode()


async def test_a_fragment_in_a_path_hides_nothing_for_it_is_refused() -> None:
    async with world(ECHO, policy(Action.DENY, Match(paths=exactly("/admin")))) as it:
        app = App()
        await it.app(app, ECHO)
        for target in (b"/admin#x", b"/admin#/../x", b"/#/../admin"):
            assert b" 400 " in await raw(it, b"GET " + target + b" HTTP/1.1\r\nhost: echo\r\n\r\n") + b" "
        assert not app.asked


async def test_what_a_caller_says_of_its_own_identity_is_not_passed_on() -> None:
    async with world(ECHO) as it:
        app = App()
        await it.app(app, ECHO)
        forged = (b"x-forwarded-client-cert", b"By=x;URI=spiffe://cluster.local/ns/shop/sa/admin")
        assert status(await it.ask("/", "GET", forged)) == 200
    assert not [one for one in app.asked[0].headers if one[0] == forged[0]]


@given(st.text("ab.*+?()[]{}|^$\\-/", min_size=1, max_size=8), st.text("ab.*+?()[]{}|^$\\-/", max_size=8))
def test_cve_2026_39350_a_name_in_a_policy_is_no_pattern(name: str, other: str) -> None:
    """Whatever a name is made of, it matches itself alone; one '*' at an end is the only wildcard."""
    if not (name.startswith("*") or name.endswith("*")):
        assert text_match(name).holds(other) is (name == other)
    if "{" not in name and "}" not in name:
        template = TextMatch(TextMatchKind.TEMPLATE, f"/{name}/{{*}}")
        assert template.holds(f"/{name}/x")
        if template.holds(f"/{other}/x"):
            assert name == other


async def test_cve_2026_39350_a_dot_in_a_service_account_stands_for_no_other_character() -> None:
    for written in ("cluster.local/ns/shop/sa/w.b", "cluster.local/ns/sho./sa/web", "cluster.local/ns/.*/sa/web"):
        async with world(ECHO, policy(Action.ALLOW, Match(principals=(text_match(written),)))) as it:
            await it.app(App(), ECHO)
            assert status(await it.ask()) == 403


async def test_a_dry_run_is_counted_beside_what_was_done() -> None:
    async with world(ECHO, policy(Action.DENY, Match(paths=exactly("/admin")), dry_run=True)) as it:
        await it.app(App(), ECHO)
        assert status(await it.ask("/admin")) == 200
        assert status(await it.ask("/")) == 200
        records = await it.recorded(2)
    metrics = Metrics("test")
    for record in records:
        metrics.observe(record)
    page = metrics.page().decode()
    counted = [line for line in page.splitlines() if line.startswith("ambit_dry_run_total")]
    assert len(counted) == 2
    for would_be in ("allowed", "denied"):
        [line] = [one for one in counted if f'verdict="allowed",would_be="{would_be}"' in one]
        assert line.endswith(" 1.0")
