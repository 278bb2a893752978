"""What an authorizer's answer may do to a request: nothing that frames it, and nothing if it cannot be understood."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mesh.policy import Authorizer
from mesh.refusal import Reason, Refusal
from mesh.xds.pb import extauthz_pb2 as pb
from waypoint.advice import read_advice
from waypoint.check import Check
from waypoint.http.events import RequestHead

CHECK = Check(Authorizer("shop/authz", 9000), "shop/p", Refusal(Reason.UNKNOWN_DESTINATION, "x"), b"")
ASKED = RequestHead(b"GET", b"echo", b"/", ((b"x", b"y"),))


@given(st.binary(max_size=60))
def test_no_noise_is_an_allowance_without_a_status(noise: bytes) -> None:
    advice = read_advice(CHECK, noise, ASKED)
    if advice.denied is None:
        found = pb.CheckResponse.FromString(noise)
        assert found.status.code == 0
        assert found.HasField("status") or found.WhichOneof("http_response") == "ok_response"


@given(st.text(max_size=5), st.text(max_size=8), st.integers(0, 3))
def test_whatever_header_is_wanted_it_is_one_header(name: str, value: str, action: int) -> None:
    option = pb.HeaderValueOption(header=pb.HeaderValue(key=name, value=value), append_action=action)
    body = pb.CheckResponse(status=pb.Status(), ok_response=pb.OkHttpResponse(headers=[option])).SerializeToString()
    advice = read_advice(CHECK, body, ASKED)
    for _, text in (*advice.request.set, *advice.request.add):
        assert not any(bad in text for bad in "\r\n\0")
