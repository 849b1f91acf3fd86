# SPDX-License-Identifier: Apache-2.0
"""Does the JSON on standard input conform to the schema in FILE? What the schemas in docs/ use, and no field that they do
not describe, since a field that is in no schema is one that nobody promised."""
import json
import os
import sys

TYPES = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None)}


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def conform(schema, value, where, path):
    if "$ref" in schema:
        file, _, fragment = schema["$ref"].partition("#")
        path = os.path.join(os.path.dirname(path), file) if file else path
        schema = load(path)
        for name in fragment.strip("/").split("/"):
            schema = schema[name]
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and type(value) not in [TYPES[kind] for kind in kinds]:
        sys.exit(f"{where} is {value!r}, not of type {' or '.join(kinds)}")
    if "const" in schema and value != schema["const"]:
        sys.exit(f"{where} is {value!r}, not {schema['const']!r}")
    if value not in schema.get("enum", [value]):
        sys.exit(f"{where} is {value!r}, none of {schema['enum']}")
    if isinstance(value, dict) and "properties" in schema:
        for name in schema.get("required", []):
            if name not in value:
                sys.exit(f"{where} lacks {name}")
        for name, member in value.items():
            if name not in schema["properties"]:
                sys.exit(f"{where} has {name}, which the schema does not describe")
            conform(schema["properties"][name], member, f"{where}.{name}", path)
    for i, item in enumerate(value if isinstance(value, list) else []):
        conform(schema.get("items", {}), item, f"{where}[{i}]", path)


conform(load(sys.argv[1]), json.load(sys.stdin), "document", sys.argv[1])
