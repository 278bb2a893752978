import contextlib

from hypothesis import given
from hypothesis import strategies as st

from mesh import zds

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
requests = st.one_of(
    st.builds(zds.Add, names, names, names, names),
    st.builds(zds.Keep, names),
    st.builds(zds.Delete, names),
    st.just(zds.SnapshotSent()),
)


@given(requests)
def test_every_request_comes_back_as_it_was_sent(request_):
    assert zds.parse_request(zds.encode_request(request_)) == request_


@given(st.binary(max_size=1200))
def test_garbage_is_read_or_refused_but_never_breaks_the_reader(packet):
    for parse in (zds.parse_request, zds.parse_ack, zds.parse_hello):
        with contextlib.suppress(zds.ZdsError):
            parse(packet)


@given(st.text(max_size=3000))
def test_any_error_text_fits_in_a_packet(error):
    packet = zds.encode_ack(zds.Ack(error))
    assert len(packet) <= zds.LARGEST_PACKET
    zds.parse_ack(packet)
