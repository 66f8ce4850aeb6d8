"""Renders conversations in the harmony format, exactly as the server does.

A rendered prompt is a list of segments: `(text, special)`. Control tokens are segments of their
own, so text that merely looks like one can never become one.
"""

from __future__ import annotations

import json

Segment = tuple[str, bool]


def special(name: str) -> Segment:
    return (f"<|{name}|>", True)


def text(value: str) -> Segment:
    return (value, False)


def join(segments: list[Segment]) -> str:
    return "".join(value for value, _ in segments)


def compact(value) -> str:
    """JSON as JavaScript's JSON.stringify prints it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def message(author: str, content: str, channel: str | None = None, recipient: str | None = None,
            constrain: str | None = None, end: str = "end") -> list[Segment]:
    """`<|start|>author[ to=recipient][<|channel|>channel][ <|constrain|>type]<|message|>content<|end|>`."""
    out = [special("start"), text(author + (f" to={recipient}" if recipient else ""))]
    if channel:
        out += [special("channel"), text(channel + (" " if constrain else ""))]
    if constrain:
        out += [special("constrain"), text(constrain)]
    return out + [special("message"), text(content), special(end)]


def system_message(date: str | None, effort: str, functions: bool) -> list[Segment]:
    body = "You are ChatGPT, a large language model trained by OpenAI."
    if date:
        body += f"\nKnowledge cutoff: 2024-06\nCurrent date: {date}"
    body += f"\n\nReasoning: {effort}\n\n# Valid channels: analysis, commentary, final. Channel must be included for every message."
    if functions:
        body += "\nCalls to these tools must go to the commentary channel: 'functions'."
    return message("system", body)


def developer_message(instructions: str | None, tools: list[dict], response_format: dict | None) -> list[Segment]:
    """Empty when there is nothing to say. `tools` are `{name, description, parameters}`."""
    sections = []
    if instructions:
        sections.append(f"# Instructions\n\n{instructions}")
    if tools:
        sections.append(tools_section(tools))
    if response_format:
        head = f"# Response Formats\n\n## {response_format['name']}\n\n"
        if response_format.get("description"):
            head += f"// {response_format['description']}\n"
        sections.append(head + compact(response_format["schema"]))
    return message("developer", "\n\n".join(sections)) if sections else []


def tools_section(tools: list[dict]) -> str:
    lines = ["# Tools\n\n## functions\n\nnamespace functions {\n"]
    for tool in tools:
        for line in (tool.get("description") or "").splitlines():
            lines.append(f"// {line}")
        parameters = tool.get("parameters")
        args = f"_: {typescript(parameters, '')}" if parameters is not None else ""
        lines.append(f"type {tool['name']} = ({args}) => any;\n")
    lines.append("} // namespace functions")
    return "\n".join(lines)


def typescript(schema: dict, indent: str) -> str:
    """JSON schema to TypeScript by the rules of OpenAI's harmony library."""
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join("number" if k == "integer" else k for k in kind)
    if kind == "object":
        out = ""
        if schema.get("description"):
            out += f"{indent}// {schema['description']}\n{indent}"
        out += "{\n"
        required = schema.get("required", [])
        for key, value in schema.get("properties", {}).items():
            if value.get("title"):
                out += f"{indent}// {value['title']}\n{indent}//\n"
            if value.get("description"):
                out += f"{indent}// {value['description']}\n"
            if value.get("examples"):
                out += f"{indent}// Examples:\n"
                for example in value["examples"]:
                    if isinstance(example, str):
                        out += f'{indent}// - "{example}"\n'
            shown = typescript(value, indent + "    ")
            if value.get("nullable") and "null" not in shown:
                shown += " | null"
            out += f"{indent}{key}{'' if key in required else '?'}: {shown},"
            if "default" in value:
                default = value["default"]
                plain = isinstance(default, str) and value.get("enum")
                out += f" // default: {default if plain else compact(default)}"
            out += "\n"
        return out + indent + "}"
    if kind == "string":
        return " | ".join(f'"{v}"' for v in schema["enum"]) if schema.get("enum") else "string"
    if kind in ("number", "integer"):
        return "number"
    if kind == "boolean":
        return "boolean"
    if kind == "array":
        return typescript(schema["items"], indent) + "[]" if "items" in schema else "Array<any>"
    return "any"


def analysis(content: str) -> list[Segment]:
    return message("assistant", content, channel="analysis")


def call(name: str, arguments: str) -> list[Segment]:
    return message("assistant", arguments, "commentary", f"functions.{name}", "json", end="call")


def tool_output(name: str, output: str) -> list[Segment]:
    return message(f"functions.{name}", output, "commentary", "assistant")


def final(content: str, end: str = "return") -> list[Segment]:
    return message("assistant", content, channel="final", end=end)


PROMPT_END: list[Segment] = [special("start"), text("assistant")]
