"""`/docs`: the interface's description as a page to read, without a script and without another host's help.

In the flow: /openapi.json → **page**. Operations by tag, each with its parameters, answers and a line for curl.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 20%, transparent); }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 3rem; } h3 { font: 600 1rem/1.4 ui-monospace, monospace; overflow-wrap: anywhere; margin: 0; }
section > article { border-top: 1px solid var(--line); padding: 1.2rem 0; }
nav ul { columns: 2; padding-left: 1.2rem; } @media (max-width: 40rem) { nav ul { columns: 1; } }
table { border-collapse: collapse; width: 100%; font-size: .925rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); }
.scroll { overflow-x: auto; } code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
pre { overflow-x: auto; padding: .7rem .9rem; border: 1px solid var(--line); border-radius: .4rem; }
summary { cursor: pointer; margin-top: .6rem; } .quiet { opacity: .75; }
"""
STYLE_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
"""What the page's policy lets through: this style and no other."""
EXAMPLES = {
    "job_id": "0f5e1cbd3c5a4e3a9f3f2b1d7c6a5948",
    "capture_id": "c3ab8ff13720e8ad9047dd39466b3c89",
    "upload_id": "24e533e02ec3bc40c387f1a0e460e216",
    "model": "photosite",
    "batch": "wedding",
    "name": "report.html",
}
"""What stands for a path's parameters in the lines for curl."""
_PLACES = ("path", "query", "header", "cookie")


def documentation_page(description: Mapping[str, Any], address: str) -> str:
    """The page.

    Args:
        description: The OpenAPI description.
        address: Where the service answers, as the reader's browser sees it.
    """
    schemas, root = description.get("components", {}).get("schemas", {}), escape(urlsplit(address).path.rstrip("/"))
    writer = _Writer(schemas, address.rstrip("/"))
    info = description["info"]
    grouped = {tag["name"]: tag.get("description", "") for tag in description.get("tags", ())}
    operations = list(_operations(description))
    contents = "".join(
        f'<li><a href="#{escape(name)}">{escape(name.capitalize())}</a> – {escape(about)}</li>'
        for name, about in grouped.items()
    )
    sections = "".join(
        f'<section id="{escape(tag)}"><h2>{escape(tag.capitalize())}</h2><p>{escape(about)}</p>'
        f"{''.join(writer.operation(*each) for each in operations if tag in each[2].get('tags', ()))}</section>"
        for tag, about in grouped.items()
    )
    title = f"{escape(info['title'])} {escape(info['version'])}: for programs"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])}: for programs'
        f'</title><meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
        f'<p><a href="{root}/">To the page</a></p><h1>{title}</h1>'
        f"<p>{escape(info.get('summary', ''))}</p><p>Programs read the same description as "
        f'<a href="{root}/openapi.json">openapi.json</a> (OpenAPI 3.1). Where keys are needed, send yours as '
        "<code>Authorization: Bearer KEY</code>. Every error is a <code>application/problem+json</code> with a stable "
        f"<code>code</code>.</p><nav><ul>{contents}</ul></nav><main>{sections}</main></body></html>\n"
    )


def _operations(description: Mapping[str, Any]) -> Iterable[tuple[str, str, dict[str, Any]]]:
    """Method, path and operation of each."""
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _scopes(operation: Mapping[str, Any]) -> str:
    """What a key must be for; nothing where none is needed."""
    named = [scope for known in operation.get("security", ()) for scope in known.get("ApiKey", ())]
    return f"<p class=quiet>A key for: {escape(' or '.join(named))}</p>" if named else ""


class _Writer:
    """Writes operations as HTML."""

    def __init__(self, schemas: Mapping[str, Any], address: str) -> None:
        self._schemas = schemas
        self._address = address

    def operation(self, method: str, path: str, operation: Mapping[str, Any]) -> str:
        """One operation: what it does, what it takes, what it answers."""
        paragraphs = [operation.get("summary", ""), *operation.get("description", "").split("\n\n")]
        text = "".join(f"<p>{escape(paragraph)}</p>" for paragraph in paragraphs if paragraph)
        parameters = sorted(operation.get("parameters", ()), key=lambda each: _PLACES.index(each["in"]))
        return (
            f'<article id="{escape(operation["operationId"])}"><h3>{method} {escape(path)}</h3>{text}'
            f"{_scopes(operation)}{self._parameters(parameters)}{self._body(operation.get('requestBody'))}"
            f"<pre><code>{escape(self._curl(method, path, operation))}</code></pre>"
            f"<details><summary>Answers</summary>{self._answers(operation['responses'])}</details></article>"
        )

    def _parameters(self, parameters: list[Mapping[str, Any]]) -> str:
        rows = [
            (
                f"<code>{escape(each['name'])}</code> <span class=quiet>{escape(each['in'])}</span>",
                escape(self.describe_type(each.get("schema", {}))),
                escape(each.get("description") or each.get("schema", {}).get("description", "")),
            )
            for each in parameters
        ]
        return _table(("Parameter", "Values", "Meaning"), rows) if rows else ""

    def _body(self, body: Mapping[str, Any] | None) -> str:
        if not body:
            return ""
        parts = []
        for media_type, content in body["content"].items():
            schema = self._resolve(content.get("schema", {}))
            rows = [
                (
                    f"<code>{escape(name)}</code>{'' if name in schema.get('required', ()) else ' (optional)'}",
                    escape(self.describe_type(field)),
                    escape(field.get("description", "")),
                )
                for name, field in schema.get("properties", {}).items()
            ]
            fields = _table(("Field", "Values", "Meaning"), rows) if rows else ""
            parts.append(f"<p>Body: <code>{escape(media_type)}</code></p>{fields}")
        return "".join(parts)

    def _answers(self, responses: Mapping[str, Any]) -> str:
        rows = [
            (
                escape(str(status)),
                escape(answer.get("description", "")),
                ", ".join(f"<code>{escape(media_type)}</code>" for media_type in answer.get("content", {})),
            )
            for status, answer in sorted(responses.items(), key=lambda pair: str(pair[0]))
        ]
        return _table(("Status", "Meaning", "Body"), rows)

    def _curl(self, method: str, path: str, operation: Mapping[str, Any]) -> str:
        """A line that does it, with what cannot be left out."""
        for name, value in EXAMPLES.items():
            path = path.replace(f"{{{name}}}", value)
        needed = [each for each in operation.get("parameters", ()) if each.get("required") and each["in"] == "header"]
        words = ["curl", *([] if method == "GET" else ["-I"] if method == "HEAD" else ["-X", method])]
        if operation.get("security"):
            words += ["-H", "Authorization: Bearer KEY"]
        for each in needed:
            words += ["-H", f"{each['name']}: {each.get('schema', {}).get('const', '0')}"]
        words += self._curl_body(operation.get("requestBody"))
        return shlex.join([*words, f"{self._address}{path}"])

    def _curl_body(self, body: Mapping[str, Any] | None) -> list[str]:
        content = (body or {}).get("content", {})
        if "application/json" in content:
            example: Any = next(iter(self._resolve(content["application/json"]["schema"]).get("examples", ())), {})
            return ["-H", "Content-Type: application/json", "-d", json.dumps(example)]
        if "multipart/form-data" in content:
            return ["-F", "file=@IMG_0001.DNG", "-OJ"]
        for media_type in content:
            return ["-H", f"Content-Type: {media_type}", "--data-binary", "@IMG_0001.DNG"]
        return []

    def describe_type(self, schema: Mapping[str, Any]) -> str:
        """What a value may be, in words.

        >>> _Writer({}, "").describe_type({"type": "integer", "minimum": 64, "maximum": 2048, "default": 2048})
        'integer, 64 to 2048; else 2048'
        """
        schema = self._resolve(schema)
        choices = schema.get("anyOf") or schema.get("oneOf")
        if choices:
            kinds = " or ".join(self.describe_type(each) for each in choices if each.get("type") != "null")
        elif "enum" in schema or "const" in schema:
            kinds = " | ".join(str(value) for value in schema.get("enum", [schema.get("const")]))
        elif schema.get("type") == "array":
            kinds = f"list of {self.describe_type(schema.get('items', {}))}"
        else:
            kinds = ("file" if schema.get("format") == "binary" else str(schema.get("type", "any"))) + _range(schema)
        default = schema.get("default")
        return kinds if default in (None, "", {}) else f"{kinds}; else {default}"

    def _resolve(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        reference = schema.get("$ref")
        return self._schemas.get(reference.rpartition("/")[2], {}) if reference else schema


def _range(schema: Mapping[str, Any]) -> str:
    """A number's bounds, as far as there are any."""
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is None and high is None:
        return ""
    return f", {low} to {high}" if None not in (low, high) else f", from {low}" if high is None else f", up to {high}"


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Rows of HTML cells."""
    head = "".join(f"<th>{heading}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
