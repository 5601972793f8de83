# SPDX-License-Identifier: Apache-2.0
"""A step's statement read by in-toto's own Python package (the official protocol buffers)."""
import json
import os
import pathlib
import subprocess

from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2

TOOL = str(pathlib.Path(os.environ["REDOUBT_BUILD"]) / "evidence_tool")


def test_a_train_step_is_an_in_toto_statement_with_slsa_provenance():
    text = subprocess.run([TOOL, "provenance"], capture_output=True, text=True, check=True).stdout
    statement = json_format.Parse(text, statement_pb2.Statement())
    assert statement.type == "https://in-toto.io/Statement/v1"
    assert statement.predicate_type == "https://slsa.dev/provenance/v1"
    assert [subject.name for subject in statement.subject] == ["adapter"]
    # SLSA lets producers add members named <vendor>_<field>; everything else has to be known to the schema.
    predicate = json.loads(text)["predicate"]
    assert set(predicate) == {"buildDefinition", "runDetails", "redoubt_result"}
    del predicate["redoubt_result"]
    provenance = json_format.Parse(json.dumps(predicate), provenance_pb2.Provenance())
    assert provenance.build_definition.build_type == "urn:redoubt:build:train:v1"
    assert provenance.build_definition.resolved_dependencies[0].name == "model"
    assert provenance.run_details.builder.id == "urn:redoubt:identity:operator"
