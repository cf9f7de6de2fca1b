"""Administers Gander over gRPC, with stubs made from `proto/`. docs/grpc.md says how to run it.

    admin.py tokens             makes a team, a service and tokens; renames, replaces, deletes some
    admin.py watch CURSOR_FILE  follows incident events, and goes on after the last one it printed

GANDER_CREDENTIAL_FILE has the credential of a Global Admin, GANDER_SERVER says where admin is.
"""
import os
import sys
import time
import uuid
from pathlib import Path

import grpc
from gander.admin.v1 import catalog_pb2, catalog_pb2_grpc
from gander.admin.v1 import incident_pb2, incident_pb2_grpc
from gander.admin.v1 import token_pb2, token_pb2_grpc
from gander.events.v1 import incident_pb2 as events_pb2
from google.protobuf import field_mask_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

SERVER = os.environ.get("GANDER_SERVER", "127.0.0.1:7700")
METADATA = [("authorization",
             "Bearer " + Path(os.environ["GANDER_CREDENTIAL_FILE"]).read_text().strip())]


class Refused(Exception):
    """What the server says is wrong: a code, a stable reason, and the fields that break a rule."""

    def __init__(self, error):
        self.code, self.reason, self.fields = error.code(), "", []
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        status = rpc_status.from_call(error)
        for detail in status.details if status else []:
            if detail.Unpack(info):
                self.reason = info.reason
            elif detail.Unpack(bad):
                self.fields = [(v.field, v.description) for v in bad.field_violations]
        super().__init__(f"{self.code.name} {self.reason} {error.details()}")


def call(method, request):
    """One call; the same request, with the same request_id, is sent again while UNAVAILABLE."""
    for pause in (0.2, 0.5, 1, 2, None):
        try:
            return method(request, metadata=METADATA, timeout=10)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE or pause is None:
                raise Refused(error) from error
            time.sleep(pause)


def fresh():
    """A request_id: a repeat of the same request has its effect once."""
    return str(uuid.uuid4())


def everything(method, request, field):
    """All pages of a list."""
    while True:
        page = call(method, request)
        yield from getattr(page, field)
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def a_filter():
    condition = lambda text: catalog_pb2.Condition(key="status", contains=[text])
    return catalog_pb2.Filter(
        display_name="alertmanager",
        trigger=catalog_pb2.Trigger(
            urgency=events_pb2.URGENCY_HIGH, conditions=[condition("firing")],
            title_from="commonLabels.alertname", map_with="groupKey"),
        resolve=catalog_pb2.Resolve(condition=condition("resolved"), mapped_with="groupKey"))


def manage():
    """The life of some tokens. The last line has the secret of one that is alive."""
    channel = grpc.insecure_channel(SERVER)
    catalog = catalog_pb2_grpc.CatalogServiceStub(channel)
    tokens = token_pb2_grpc.TokenServiceStub(channel)
    team = call(catalog.CreateTeam, catalog_pb2.CreateTeamRequest(
        team=catalog_pb2.Team(display_name="Search"), request_id=fresh()))
    service = call(catalog.CreateService, catalog_pb2.CreateServiceRequest(
        parent=team.name, request_id=fresh(),
        service=catalog_pb2.Service(display_name="Index", filters=[a_filter()])))

    def create(name):
        return call(tokens.CreateToken, token_pb2.CreateTokenRequest(
            request_id=fresh(), token=token_pb2.Token(
                display_name=name, type=token_pb2.TOKEN_TYPE_SERVICE, target=service.name)))

    first, second = create("alertmanager"), create("grafana")
    renamed = call(tokens.UpdateToken, token_pb2.UpdateTokenRequest(
        token=token_pb2.Token(name=first.name, display_name="prometheus", etag=first.etag),
        update_mask=field_mask_pb2.FieldMask(paths=["display_name"]), request_id=fresh()))
    # When these return, the old secret and the deleted token are dead on every gateway.
    replaced = call(tokens.ReplaceSecret, token_pb2.ReplaceSecretRequest(
        name=first.name, etag=renamed.etag, request_id=fresh()))
    call(tokens.DeleteToken, token_pb2.DeleteTokenRequest(name=second.name, request_id=fresh()))
    listed = token_pb2.ListTokensRequest(target=team.name, page_size=1)
    for token in everything(tokens.ListTokens, listed, "tokens"):
        print("token", token.name, token.display_name, token.hint)

    for name, etag in (("", ""), ("prometheus", first.etag)):
        try:
            call(tokens.UpdateToken, token_pb2.UpdateTokenRequest(
                token=token_pb2.Token(name=first.name, display_name=name, etag=etag),
                update_mask=field_mask_pb2.FieldMask(paths=["display_name"])))
        except Refused as refused:
            print("refused", refused.code.name, refused.reason, refused.fields)
    print("dead", first.secret, second.secret)
    print("secret", replaced.secret)


def keep(cursor_file, cursor):
    """Replaces the file as a whole: a cursor that is lost means events that are missed."""
    fresh_file = cursor_file.with_suffix(".new")
    fresh_file.write_text(cursor)
    fresh_file.replace(cursor_file)


def watch(cursor_file):
    """Prints each event; at least once, since the cursor is kept after the event was worked on."""
    while True:
        cursor = cursor_file.read_text() if cursor_file.exists() else ""
        with grpc.insecure_channel(SERVER) as channel:
            incidents = incident_pb2_grpc.IncidentServiceStub(channel)
            request = incident_pb2.WatchIncidentsRequest(cursor=cursor)
            try:
                for response in incidents.WatchIncidents(request, metadata=METADATA):
                    if response.HasField("event"):
                        incident = response.event.incident
                        print(response.event.type, incident.id, incident.title, flush=True)
                    keep(cursor_file, response.cursor)
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise Refused(error) from error
        time.sleep(0.2)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["tokens"]:
            manage()
        case ["watch", path]:
            watch(Path(path))
        case _:
            sys.exit(__doc__)
