"""Proxies are believed exactly as far as the setting says."""

import pytest
from flask import Flask, request

from web import create_app
from worker import audit, keys
from worker.backend import Backend
from worker.settings import Settings

FORWARDED = {
    "X-Forwarded-For": "198.51.100.7, 203.0.113.5, 192.0.2.1",
    "X-Forwarded-Proto": "http, https, https",
    "X-Forwarded-Host": "evil.example",
}


@pytest.mark.parametrize(
    ("proxies", "address", "scheme"),
    [(0, "127.0.0.1", "http"), (1, "192.0.2.1", "https"), (2, "203.0.113.5", "https")],
)
def test_what_proxies_say_is_believed_as_far_as_the_setting_says(
    settings: Settings, backend: Backend, proxies: int, address: str, scheme: str
) -> None:
    _, token = keys.create(backend, owner="root", role="admin")
    app: Flask = create_app(settings.model_copy(update={"trusted_proxies": proxies}))

    def tell() -> dict[str, str | None]:
        return {"address": request.remote_addr, "scheme": request.scheme, "host": request.host}

    app.add_url_rule("/api/v1/tell", view_func=tell)
    client = app.test_client()
    sent = FORWARDED | {"Authorization": f"Bearer {token}"}
    told = client.get("/api/v1/tell", headers=sent).json
    assert told == {"address": address, "scheme": scheme, "host": "localhost"}
    client.post("/api/v1/keys", json={"owner": "ann"}, headers=sent)
    assert audit.list_page(backend).data[0].address == address
    secure = "Secure" in client.get("/sign-in", headers=FORWARDED).headers["Set-Cookie"]
    assert secure == (scheme == "https")
    app.extensions["lstmq"].close()
