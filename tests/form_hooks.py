"""A media server that asks in the plainest way, for tests of the gate: `kind=publish&stream=live/cam&session=17...`."""

from urllib.parse import parse_qs

from streamguard.errors import ServerNotUnderstood
from streamguard.servers.hooks import HookAnswer, HookKind, HookRequest, PublishRequest
from streamguard.types import SessionId, StreamId


class FormHooks:
    """Says yes with 200 and no with 403."""

    def read(self, request: HookRequest, /) -> PublishRequest:
        form = {name: values[0] for name, values in parse_qs(request.body.decode("latin-1")).items()}
        if "stream" not in form:
            raise ServerNotUnderstood("read hook", request.path, "it names no stream")
        return PublishRequest(
            kind=HookKind(form.pop("kind", "publish")),
            stream=StreamId(form.pop("stream")),
            session=SessionId(form.pop("session", "")),
            address=form.pop("address", ""),
            arguments=form,
        )

    def answer(self, allowed: bool, /) -> HookAnswer:  # noqa: FBT001 - as the Protocol has it
        return HookAnswer(200, b"yes") if allowed else HookAnswer(403, b"no")
