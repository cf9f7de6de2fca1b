"""Calls Gander knowing no stubs and no .proto: everything is learned by server reflection.

    reflect.py VERSION TEAM     VERSION is v1 or v1alpha; lists and describes what is served, then
                                makes a team of this name

GANDER_CREDENTIAL_FILE has the credential of a Global Admin, GANDER_SERVER says where admin is.
"""
import os
import sys
from pathlib import Path

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase)


class OfVersion:
    """A channel that asks for another version of reflection: the messages are the same."""

    def __init__(self, channel, version):
        self.channel, self.version = channel, version

    def stream_stream(self, method, *args, **kwargs):
        method = method.replace(".v1alpha.", f".{self.version}.")
        return self.channel.stream_stream(method, *args, **kwargs)


def main(version, team):
    metadata = [("authorization",
                 "Bearer " + Path(os.environ["GANDER_CREDENTIAL_FILE"]).read_text().strip())]
    channel = grpc.insecure_channel(os.environ.get("GANDER_SERVER", "127.0.0.1:7700"))
    served = ProtoReflectionDescriptorDatabase(OfVersion(channel, version))
    pool = descriptor_pool.DescriptorPool(served)
    for name in sorted(served.get_services()):
        if name.startswith("gander."):
            methods = pool.FindServiceByName(name).methods
            print("service", name, *(method.name for method in methods))

    method = pool.FindServiceByName("gander.admin.v1.CatalogService").methods_by_name["CreateTeam"]
    request = message_factory.GetMessageClass(method.input_type)
    answer = message_factory.GetMessageClass(method.output_type)
    create = channel.unary_unary(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=answer.FromString)
    wanted = json_format.ParseDict({"team": {"displayName": team}}, request())
    made = create(wanted, metadata=metadata, timeout=10)
    print("made", made.name, made.display_name)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("v1", "v1alpha"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
