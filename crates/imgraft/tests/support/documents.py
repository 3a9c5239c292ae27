"""Holds documents against what others have of their formats: SPDX and CycloneDX by their own libraries, which have the
formats' rules and schemas, in-toto statements by the protobuf that in-toto and SLSA publish, and what Kubernetes is given
by the schemas of its API, which know each field.

usage: documents.py KIND FILE, with the folder of scripts/ci-judges on PYTHONPATH
"""

import json
import sys


def spdx(name):
    from spdx_tools.spdx.parser.parse_anything import parse_file
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    document = parse_file(name)
    return [message.validation_message for message in validate_full_spdx_document(document, "SPDX-2.3")]


def cyclonedx(name):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(name).read())
    return [str(error)] if error else []


def purls(name):
    """Each purl is one, and is written as its own library writes it, which has %2b for %2B in names of apk."""
    from packageurl import PackageURL

    found = [component["purl"] for component in json.load(open(name))["components"] if "purl" in component]
    wrong = [purl for purl in found if PackageURL.from_string(purl).to_string().lower() != purl.lower()]
    return wrong if found else ["no purls"]


def statement(name):
    from google.protobuf.json_format import Parse
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement

    # A field that the format does not have is an error.
    text = open(name).read()
    told = Parse(text, statement_pb2.Statement())
    Statement.copy_from_pb(told).validate()
    provenance = Parse(json.dumps(json.loads(text)["predicate"]), provenance_pb2.Provenance())
    definition, details = provenance.build_definition, provenance.run_details
    wrong = [] if told.predicate_type == "https://slsa.dev/provenance/v1" else ["another type of predicate"]
    # What SLSA 1.1 calls required.
    if not (definition.build_type and definition.external_parameters.fields and details.builder.id):
        wrong.append("a required field is missing")
    return wrong + [f"no digest: {found.name}" for found in definition.resolved_dependencies if not found.digest["sha256"]]


def kubernetes(name):
    import kubernetes_validate
    import yaml

    try:
        kubernetes_validate.validate(yaml.safe_load(open(name)), "1.37", strict=True)
    except kubernetes_validate.ValidationError as error:
        return [str(error)]
    return []


problems = globals()[sys.argv[1]](sys.argv[2])
sys.exit("\n".join(problems) or 0)
