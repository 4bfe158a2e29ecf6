"""The upgrade request: which ones the gateway accepts, and how it refuses the others."""

import json
import ssl
import warnings
from typing import Any

import pytest
import websocket
from raw_client import RESON8, SONIOX, RawClient, silence, soniox, text

from slng_sync.gateway import Faults, LocalGateway


def refused(
    server: LocalGateway, path: str = SONIOX, **options: Any
) -> websocket.WebSocketBadStatusException:
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        RawClient(server, path, **options)
    return caught.value


@pytest.mark.parametrize("path", ["/", "/v1/stt/soniox/other", SONIOX + "/", SONIOX.replace(":", "%3A")])
def test_an_unknown_path_is_404(path: str) -> None:
    with LocalGateway("script") as server:
        error = refused(server, path)
        assert error.status_code == 404
        assert json.loads(error.resp_body or b"") == {
            "error": "Not Found",
            "message": "Unknown model or path",
            "statusCode": 404,
        }
        assert server.connections[0].status == 404 and "unknown path" in server.breaches[0]


def test_any_key_is_accepted_unless_one_is_set() -> None:
    with LocalGateway("script", api_key="right") as server:
        assert refused(server, key="wrong").status_code == 401
        assert server.breaches == []
        assert refused(server, key="").status_code == 401
        assert "no API key" in server.breaches[0]
        RawClient(server, RESON8, key="right").__exit__(None, None, None)
        assert [record.status for record in server.connections] == [401, 401, 101]


def test_the_key_may_be_expected_in_the_query_or_not_at_all() -> None:
    with LocalGateway(
        "script", faults=[Faults(key_check="query"), Faults(key_check="query"), Faults(key_check="off")]
    ) as server:
        assert refused(server).status_code == 401
        RawClient(server, SONIOX + "?token=abc").__exit__(None, None, None)
        RawClient(server, SONIOX, key="").__exit__(None, None, None)


@pytest.mark.parametrize(("path", "part"), [(RESON8, "na"), (SONIOX, "me"), (SONIOX, "")])
def test_a_world_part_that_the_model_does_not_offer_is_400(path: str, part: str) -> None:
    with LocalGateway("script") as server:
        error = refused(server, path, header={"X-World-Part-Override": part})
        assert error.status_code == 400 and "world part" in server.breaches[0]


def test_world_parts_regions_and_ids_pass() -> None:
    header = {
        "X-World-Part-Override": "ap",
        "X-Region-Override": "eu-north-1",
        "X-SLNG-Session-Id": "x" * 128,
    }
    with LocalGateway("script") as server:
        RawClient(server, SONIOX, header=header).__exit__(None, None, None)
        assert server.breaches == [] and server.connections[0].headers["x-world-part-override"] == "ap"
        assert refused(server, header={"X-SLNG-Agent-Id": "a,b"}).status_code == 400


def test_offering_compression_is_reported() -> None:
    with LocalGateway("script") as server:
        RawClient(server, SONIOX, header={"Sec-WebSocket-Extensions": "permessage-deflate"}).__exit__(
            None, None, None
        )
        assert "extensions" in server.breaches[0]


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 422, 425, 429, 500, 503])
def test_an_upgrade_can_be_refused_with_any_status(status: int) -> None:
    with LocalGateway("script", faults=Faults(upgrade_status=status, retry_after=7)) as server:
        error = refused(server)
        assert error.status_code == status and (error.resp_headers or {})["retry-after"] == "7"
        assert json.loads(error.resp_body or b"")["statusCode"] == status
        assert server.breaches == []


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        ("none", b""),
        ("<html>busy</html>", b"<html>busy</html>"),
        ("details", b'{"error": "Service unavailable", "status": 503, "details": {}}'),
    ],
)
def test_the_body_of_a_refusal_has_many_shapes(shape: str, body: bytes) -> None:
    with LocalGateway("script", faults=Faults(upgrade_status=503, upgrade_body=shape)) as server:
        assert (refused(server).resp_body or b"") == body


def test_the_upgrade_can_be_dropped_or_delayed() -> None:
    with LocalGateway(
        "script", faults=[Faults(upgrade_drop=True), Faults(upgrade_delay=5), Faults()]
    ) as server:
        with pytest.raises((websocket.WebSocketException, OSError)):
            RawClient(server, SONIOX)
        with pytest.raises(websocket.WebSocketTimeoutException):
            RawClient(server, SONIOX, timeout=0.2)
        with soniox(server) as client:
            assert client.send(silence(1), "").receive_all()[-1]["finished"]


def test_a_key_can_be_refused_at_the_upgrade_or_by_a_frame() -> None:
    with LocalGateway("script", faults=Faults(key_refused="at_upgrade")) as server:
        assert refused(server).status_code == 401
    with LocalGateway("script", faults=Faults(key_refused="in_band")) as server:
        with soniox(server) as client:
            assert client.receive_all()[0]["error_code"] == 401
        assert client.close_code == 1000
        with RawClient(server, RESON8) as client:
            client.send(
                {"type": "init", "config": {"encoding": "pcm_s16le", "sample_rate": 16000, "channels": 1}}
            )
            assert client.receive_all()[0]["code"] == "auth_error"
        assert client.close_code == 1008 and server.breaches == []


def test_tls(tmp_path: Any) -> None:
    with warnings.catch_warnings():
        # A dependency of trustme warns on the oldest Pythons.
        warnings.simplefilter("ignore")
        trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    key.write_bytes(certificate.private_key_pem.bytes())
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    for tls in (context, (str(chain), str(key))):
        with LocalGateway("script", tls=tls) as server:
            assert server.url.startswith("wss://")
            with soniox(server, connect={"sslopt": {"context": trust}}) as client:
                assert text(client.send(silence(1), "").receive_all()) == "one two"
            assert server.wait_idle() and server.breaches == []
