"""The renderer against texts that OpenAI's own harmony library printed.

Run: python training/test_harmony.py
"""

import harmony as h

WEATHER = {
    "type": "object",
    "properties": {
        "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
        "format": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
    },
    "required": ["location"],
}
TOOL = {"name": "get_current_weather", "description": "Gets the current weather in the provided location.", "parameters": WEATHER}
SYSTEM = (
    "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\nKnowledge cutoff: 2024-06\n"
    "Current date: 2025-06-28\n\nReasoning: medium\n\n# Valid channels: analysis, commentary, final. "
    "Channel must be included for every message."
)
CALLS = "\nCalls to these tools must go to the commentary channel: 'functions'."
TOOL_TEXT = (
    "// Gets the current weather in the provided location.\ntype get_current_weather = (_: {\n"
    "// The city and state, e.g. San Francisco, CA\nlocation: string,\n"
    'format?: "celsius" | "fahrenheit", // default: celsius\n}) => any;\n\n} // namespace functions<|end|>'
)


def test_user_only():
    got = h.join(h.system_message("2025-06-28", "medium", False) + h.message("user", "What is 2 + 2?") + h.PROMPT_END)
    assert got == SYSTEM + "<|end|><|start|>user<|message|>What is 2 + 2?<|end|><|start|>assistant"


def test_developer():
    got = h.join(h.developer_message("Use a friendly tone.", [], None))
    assert got == "<|start|>developer<|message|># Instructions\n\nUse a friendly tone.<|end|>"


def test_tool_round_trip():
    got = h.join(
        h.system_message("2025-06-28", "medium", True)
        + h.developer_message("I", [TOOL], None)
        + h.message("user", "Weather in Tokyo?")
        + h.analysis("Need the tool.")
        + h.call("get_current_weather", '{"location": "Tokyo"}')
        + h.tool_output("get_current_weather", '{"temperature": 20}')
        + h.PROMPT_END
    )
    assert got == (
        SYSTEM + CALLS + "<|end|><|start|>developer<|message|># Instructions\n\nI\n\n# Tools\n\n## functions\n\n"
        "namespace functions {\n\n" + TOOL_TEXT + "<|start|>user<|message|>Weather in Tokyo?<|end|>"
        "<|start|>assistant<|channel|>analysis<|message|>Need the tool.<|end|>"
        "<|start|>assistant to=functions.get_current_weather<|channel|>commentary <|constrain|>json<|message|>"
        '{"location": "Tokyo"}<|call|><|start|>functions.get_current_weather to=assistant<|channel|>commentary'
        '<|message|>{"temperature": 20}<|end|><|start|>assistant'
    )


def test_tool_kinds():
    tools = [
        {"name": "empty_params", "description": "Nothing in, nothing out.", "parameters": {"type": "object", "properties": {}}},
        {"name": "get_location", "description": "Gets the location of the user.", "parameters": None},
        {
            "name": "get_multiple_weathers",
            "description": "Gets the current weather in the provided list of locations.",
            "parameters": {
                "type": "object",
                "properties": {
                    "locations": {"type": "array", "items": {"type": "string"}, "description": 'List of city and state, e.g. ["San Francisco, CA", "New York, NY"]'},
                    "ok": {"type": "boolean", "default": False},
                    "price": {"type": "number", "nullable": True, "default": 1.5},
                },
                "required": ["locations"],
            },
        },
    ]
    assert h.tools_section(tools) == (
        "# Tools\n\n## functions\n\nnamespace functions {\n\n// Nothing in, nothing out.\ntype empty_params = (_: {\n}) => any;\n\n"
        "// Gets the location of the user.\ntype get_location = () => any;\n\n"
        "// Gets the current weather in the provided list of locations.\ntype get_multiple_weathers = (_: {\n"
        '// List of city and state, e.g. ["San Francisco, CA", "New York, NY"]\nlocations: string[],\n'
        "ok?: boolean, // default: false\nprice?: number | null, // default: 1.5\n}) => any;\n\n} // namespace functions"
    )


def test_response_format():
    got = h.join(h.developer_message("I", [], {"name": "person", "schema": {"type": "object", "title": "é"}}))
    assert got == '<|start|>developer<|message|># Instructions\n\nI\n\n# Response Formats\n\n## person\n\n{"type":"object","title":"é"}<|end|>'


if __name__ == "__main__":
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
            print("ok", name)
