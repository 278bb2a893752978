"""Facts: objects are read strictly; every fault names its field and a mend, and one reading finds them all."""

from __future__ import annotations

import pytest

from istiod_lite import facts, manifests
from istiod_lite.facts.authorizationpolicy import Attribute
from mesh.route import (
    HeaderModifier,
    PathChange,
    PathMatch,
    PathMatchKind,
    Redirect,
    RequestHeaders,
    Retry,
    Rewrite,
    RouteKind,
    RouteMatch,
    ValueMatch,
)

ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: cart, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: cart}]
  rules:
"""
POLICY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: shop}
spec: """
POD = """
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: shop, creationTimestamp: 2026-01-01T00:00:00Z, generation: 3, labels: {app: a}}
spec:
  nodeName: node-1
  containers: [{name: c, ports: [{name: web, containerPort: 8080}, {name: dns, containerPort: 53, protocol: UDP}]}]
"""


def fact(text: str):
    objects, problems = manifests.load({"a.yaml": text})
    assert problems == []
    found = facts.read(objects[0])
    assert not isinstance(found, list), [str(one) for one in found]
    return found


def rule(text: str):
    return fact(f"{ROUTE}  - {text}").rules[0]


def test_metadata_is_read():
    meta = fact(POD).meta
    assert (meta.name, meta.namespace, meta.created, meta.generation) == ("a", "shop", "2026-01-01T00:00:00Z", 3)
    assert dict(meta.labels) == {"app": "a"}


def test_a_pod_is_ready_only_by_its_condition_and_not_while_it_is_deleted():
    ready = POD + "status: {podIP: 10.0.0.1, phase: Running, conditions: [{type: Ready, status: 'True'}]}\n"
    assert fact(ready).ready
    assert not fact(POD + "status: {podIP: 10.0.0.1, phase: Running}\n").ready
    assert not fact(ready.replace("generation: 3", "deletionTimestamp: 2026-01-02T00:00:00Z")).ready


def test_a_pods_addresses_and_ports():
    pod = fact(POD + "status: {podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}\n")
    assert [str(ip) for ip in pod.ips] == ["10.0.0.1", "fd00::1"]
    assert (pod.port_named("web"), pod.port_named("dns"), pod.port_named("other")) == (8080, 0, 0)
    assert pod.service_account == "default"


def test_routes_get_the_defaults_of_their_crd():
    read = rule("backendRefs: [{name: cart, port: 80}]")
    assert read.matches == (RouteMatch(PathMatch(PathMatchKind.PREFIX, "/")),)
    assert (read.backends[0].kind, read.backends[0].namespace, read.backends[0].weight) == ("Service", "shop", 1)
    assert rule("matches: [{headers: [{name: X-User, value: me}]}]").matches[0].headers == (ValueMatch("x-user", "me"),)
    assert rule("filters: [{type: RequestRedirect, requestRedirect: {}}]").filters == (Redirect(status=302),)


def test_a_route_without_rules_matches_everything_and_has_no_backend():
    text = ROUTE.replace("  rules:\n", "")
    assert [(one.matches, one.backends) for one in fact(text).rules] == [((RouteMatch(),), ())]


def test_durations_are_seconds():
    read = rule("timeouts: {request: 1m30s, backendRequest: 500ms}")
    assert (read.timeout, read.backend_timeout) == (90.0, 0.5)
    assert rule("timeouts: {request: 0s}").timeout == 0


def test_retries():
    assert rule("backendRefs: []").retry is None
    assert rule("retry: {}").retry == Retry(attempts=2, codes=(), backoff=0.025)
    assert rule("retry: {codes: [500, 503], attempts: 3, backoff: 200ms}").retry == Retry(3, (500, 503), 0.2)


def test_filters_are_read():
    modifier = "requestHeaderModifier: {set: [{name: X-A, value: '1'}], add: [{name: b, value: '2'}], remove: [C]}"
    assert rule(f"filters: [{{type: RequestHeaderModifier, {modifier}}}]").filters == (
        RequestHeaders(HeaderModifier((("x-a", "1"),), (("b", "2"),), ("c",))),
    )
    rewrite = "urlRewrite: {hostname: cart.example, path: {type: ReplacePrefixMatch, replacePrefixMatch: ''}}"
    assert rule(f"filters: [{{type: URLRewrite, {rewrite}}}]").filters == (
        Rewrite("cart.example", PathChange("", prefix=True)),
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("{service: shop.Cart, method: Get}", PathMatch(PathMatchKind.EXACT, "/shop.Cart/Get")),
        ("{service: shop.Cart}", PathMatch(PathMatchKind.PREFIX, "/shop.Cart/")),
        ("{method: Get}", PathMatch(PathMatchKind.REGEX, "/[^/]+/Get")),
        ("{type: RegularExpression, service: 'shop\\..*'}", PathMatch(PathMatchKind.REGEX, "/(?:shop\\..*)/[^/]+")),
    ],
)
def test_a_grpc_method_is_a_path(method: str, path: PathMatch):
    route = fact(f"{ROUTE.replace('HTTPRoute', 'GRPCRoute')}  - matches: [{{method: {method}}}]")
    assert route.kind is RouteKind.GRPC
    assert route.rules[0].matches[0].path == path


PREFIXED = "filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /a}}}]"
EXACT = "matches: [{path: {type: Exact, value: /b}}]"
MIRROR = "requestMirror: {backendRef: {name: a, port: 1}, percent: 1, fraction: {numerator: 2}}"
REWRITE, REDIRECT = "{type: URLRewrite, urlRewrite: {}}", "{type: RequestRedirect, requestRedirect: {}}"


@pytest.mark.parametrize(
    ("text", "field", "message"),
    [
        ("machtes: []", "machtes", "there is no such field (did you mean matches?)"),
        ("matches: [{path: {value: x}}]", "matches[0].path.value", "'x' is not an absolute path"),
        ("matches: [{path: {value: /a//b}}]", "matches[0].path.value", "a path may not contain '//'"),
        ("matches: [{path: {value: /a%2fb}}]", "matches[0].path.value", "a path may not contain '%2f'"),
        ("matches: [{path: {type: prefix}}]", "matches[0].path.type", "'prefix' is not a value"),
        ("matches: [{path: {type: RegularExpression, value: '('}}]", "matches[0].path.value", "not a regular"),
        ("matches: [{headers: [{name: a, value: yes}]}]", "matches[0].headers[0].value", "this is the boolean true"),
        ("timeouts: {request: 10}", "timeouts.request", "10 is not a duration"),
        ("timeouts: {request: 1s, backendRequest: 2s}", "timeouts.backendRequest", "longer than the whole request"),
        ("backendRefs: [{name: a, port: 80, weight: -1}]", "backendRefs[0].weight", "-1 is out of range"),
        ("backendRefs: {name: a, port: 80}", "backendRefs", "a list belongs here, this is a mapping"),
        (f"{PREFIXED}\n    {EXACT}", "filters[0].urlRewrite.path", "no single path prefix"),
        (f"filters: [{REWRITE}, {REDIRECT}]", "filters", "not both"),
        (f"filters: [{REDIRECT}]\n    backendRefs: [{{name: a, port: 80}}]", "backendRefs", "has no backends"),
        (
            "filters: [{type: RequestRedirect, requestRedirect: {statusCode: 304}}]",
            "filters[0].requestRedirect.statusCode",
            "304 is not a redirect",
        ),
        (
            "filters: [{type: CORS, cors: {allowMethods: [GET, '*']}}]",
            "filters[0].cors.allowMethods",
            "'*' says all already",
        ),
        (
            "filters: [{type: CORS, cors: {allowOrigins: ['shop.example']}}]",
            "filters[0].cors.allowOrigins[0]",
            "origin",
        ),
        ("retry: {codes: [200]}", "retry.codes[0]", "200 is out of range"),
        ("retry: {codes: [503, 503]}", "retry.codes[1]", "given twice"),
        ("retry: {attempts: 0}", "retry.attempts", "0 is out of range"),
        ("retry: {backof: 1s}", "retry.backof", "did you mean backoff?"),
        (f"filters: [{{type: RequestMirror, {MIRROR}}}]", "filters[0].requestMirror.percent", "a fraction already"),
    ],
)
def test_faults_of_a_rule(problems_of, text: str, field: str, message: str):
    problems = problems_of(f"{ROUTE}  - {text}")
    assert f"spec.rules[0].{field}" in {one.field for one in problems}
    assert any(message in str(one) for one in problems), [str(one) for one in problems]


def test_one_reading_finds_every_fault_and_its_line(problems_of):
    problems = problems_of(
        ROUTE + "  - nmae: x\n    backendRefs:\n    - name: a\n      port: 0\n    matches:\n    - method: get\n"
    )
    assert [(one.line, one.field) for one in problems] == [
        (8, "spec.rules[0].nmae"),
        (13, "spec.rules[0].matches[0].method"),
        (11, "spec.rules[0].backendRefs[0].port"),
    ]


def test_the_same_parent_twice_is_refused_but_not_for_two_ports_of_a_service(problems_of):
    def parents(text: str):
        return problems_of(ROUTE.replace("[{group: '', kind: Service, name: cart}]", text) + "  - {}")

    assert parents("[{group: '', kind: Service, name: a, port: 1}, {group: '', kind: Service, name: a, port: 2}]") == []
    assert len(parents("[{name: gw}, {name: gw}]")) == 1
    assert len(parents("[{name: gw, sectionName: a}, {name: gw}]")) == 1


def test_policies_become_attributes():
    policy = fact(POLICY + """
      action: DENY
      selector: {matchLabels: {app: a}}
      rules:
      - from: [{source: {principals: ['*'], notNamespaces: [x]}}]
        to: [{operation: {ports: ['80']}}]
        when: [{key: source.ip, values: [10.0.0.0/8], notValues: [10.1.0.0/16]}]
    """)  # fmt: skip
    (read,) = policy.rules
    assert read.sources == ((Attribute("principals", ("*",)), Attribute("namespaces", ("x",), negative=True)),)
    assert read.operations == ((Attribute("ports", ("80",)),),)
    assert read.conditions == (
        (Attribute("sourceIps", ("10.0.0.0/8",)), Attribute("sourceIps", ("10.1.0.0/16",), negative=True)),
    )
    assert policy.selector == (("app", "a"),)


def test_an_empty_policy_differs_from_an_empty_rule():
    assert fact(POLICY + "{}").rules == ()
    assert len(fact(POLICY + "{rules: [{}]}").rules) == 1
    assert fact(POLICY + "{selector: {matchLabels: {}}}").selector is None


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{action: BLOCK}", "'BLOCK' is not a value"),
        ("{rules: [{from: []}]}", "the list is empty"),
        ("{rules: [{from: [{source: {}}]}]}", "it says nothing"),
        ("{rules: [{from: [{}]}]}", "this field is required"),
        ("{rules: [{from: [{source: {princpals: [a]}}]}]}", "did you mean principals?"),
        ("{rules: [{from: [{source: {principals: ['spiffe://a/ns/b/sa/c']}}]}]}", "write a/ns/b/sa/c"),
        ("{rules: [{from: [{source: {namespaces: ['a*b']}}]}]}", "a wildcard too many"),
        ("{rules: [{from: [{source: {serviceAccounts: ['a/b'], namespaces: [a]}}]}]}", "already has its namespace"),
        ("{rules: [{from: [{source: {ipBlocks: [10.0.0.0/33]}}]}]}", "not an IP address or a CIDR block"),
        ("{rules: [{to: [{operation: {ports: [http]}}]}]}", "'http' is not a port"),
        ("{rules: [{to: [{operation: {ports: [80]}}]}]}", "put it in quotes"),
        ("{rules: [{when: [{key: source.ipp, values: [a]}]}]}", "'source.ipp' is not a condition"),
        ("{rules: [{when: [{key: source.ip}]}]}", "it has no values"),
        ("{rules: [{when: [{key: 'request.headers[a b]', values: [x]}]}]}", "is not a condition"),
        ("{rules: [{to: [{operation: {paths: ['/a/{b}']}}]}]}", "is not a template of paths"),
        ("{rules: [{to: [{operation: {paths: ['/{**}/a/{*}']}}]}]}", "is not a template of paths"),
        ("{rules: [{to: [{operation: {paths: ['/{*}/*']}}]}]}", "is not a template of paths"),
        ("{selector: {matchLabels: {a: b}}, targetRefs: [{kind: Service, group: '', name: a}]}", "not both"),
        ("{targetRefs: [{kind: Deployment, group: apps, name: a}]}", "cannot be attached to a Deployment"),
        ("{targetRefs: [{kind: Service, group: '', name: a, namespace: other}]}", "objects of its own namespace"),
    ],
)
def test_faults_of_a_policy(problems_of, spec: str, message: str):
    problems = problems_of(POLICY + spec)
    assert any(message in str(one) for one in problems), [str(one) for one in problems]


def test_peer_authentications_and_their_ports(problems_of):
    text = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p}\nspec: "
    read = fact(
        text + "{selector: {matchLabels: {app: a}}, mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: PERMISSIVE}}}"
    )
    assert (read.mode, read.ports, read.selector) == ("STRICT", ((8080, "PERMISSIVE"),), (("app", "a"),))
    assert "selector" in str(problems_of(text + "{portLevelMtls: {8080: {mode: STRICT}}}")[0])
    assert "'STRIKT'" in str(problems_of(text + "{mtls: {mode: STRIKT}}")[0])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{ports: [{port: 80}, {port: 81}]}", "each port of several needs a name"),
        ("{ports: [{name: a, port: 80}, {name: b, port: 80}]}", "the same port is given twice"),
        ("{clusterIP: here}", "not an IP address"),
        ("{selectors: {app: a}}", "did you mean selector?"),
        ("{ports: [{port: http}]}", "a whole number belongs here"),
    ],
)
def test_faults_of_a_service(problems_of, spec: str, message: str):
    problems = problems_of(f"apiVersion: v1\nkind: Service\nmetadata: {{name: a}}\nspec: {spec}")
    assert any(message in str(one) for one in problems), [str(one) for one in problems]


def test_a_deployment_must_select_its_own_pods(problems_of):
    (problem,) = problems_of("""
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: a}
        spec:
          selector: {matchLabels: {app: a}}
          template: {metadata: {labels: {app: b}}, spec: {containers: [{name: c}]}}
    """)
    assert problem.field == "spec.selector.matchLabels.app"


def test_kinds_of_others_are_passed_over_and_kinds_of_ours_are_named(problems_of):
    assert problems_of("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: y}") == []
    assert problems_of("apiVersion: example.org/v1\nkind: Thing\nmetadata: {name: a}") == []
    (problem,) = problems_of("apiVersion: networking.istio.io/v1\nkind: EnvoyFilter\nmetadata: {name: a}")
    assert not problem.grave
    assert "EnvoyFilter is not implemented" in str(problem)


def test_an_unknown_version_is_refused(problems_of):
    (problem,) = problems_of("apiVersion: security.istio.io/v2\nkind: PeerAuthentication\nmetadata: {name: a}")
    assert problem.mend == "write security.istio.io/v1 or security.istio.io/v1beta1"
