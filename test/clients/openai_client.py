"""What test/clients/python.test.ts drives: one feature of Python's openai, its outcome printed as JSON.

    python openai_client.py BASE_URL MODEL API FEATURE      API: responses or chat
"""

import json
import sys

import openai
import pydantic


class Event(pydantic.BaseModel):
    name: str
    participants: list[str]


base_url, model, api, feature = sys.argv[1:]
client = openai.OpenAI(base_url=base_url, api_key="unused", max_retries=0)
parameters = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
messages = [{"role": "user", "content": "Hi"}]


class Api:
    def client_error(self):
        return self.ask(temperature=9)

    def upstream_error(self):
        return self.ask()

    def broken_stream(self):
        try:
            return [str(each) for each in self.ask(stream=True)]
        except openai.APIError as error:
            return ["error", error.code]


class Responses(Api):
    tools = [{"type": "function", "name": "get_weather", "parameters": parameters, "strict": True}]

    def ask(self, **fields):
        return client.responses.create(model=model, store=False, **{"input": "Hi", **fields})

    def text(self):
        return self.ask().output_text

    def text_streamed(self):
        with client.responses.stream(model=model, input="Hi", store=False) as stream:
            deltas = [each.delta for each in stream if each.type == "response.output_text.delta"]
            return [deltas, stream.get_final_response().output_text]

    def reasoning(self):
        return self.ask().output[0].content[0].text

    def reasoning_streamed(self):
        stream = self.ask(stream=True)
        return "".join(
            each.delta for each in stream if each.type == "response.reasoning_text.delta"
        )

    def usage(self):
        return self.ask().usage.total_tokens

    def tool_loop(self):
        history = list(messages)
        first = self.ask(input=history, tools=self.tools)
        for item in first.output:
            history.append(item)
            if item.type == "function_call":
                history.append(
                    {"type": "function_call_output", "call_id": item.call_id, "output": "25 degrees"}
                )
        return self.ask(input=history, tools=self.tools).output_text

    def parallel_calls(self):
        with client.responses.stream(
            model=model, input="Hi", tools=self.tools, store=False
        ) as stream:
            return [item.arguments for item in stream.get_final_response().output]

    def structured(self):
        parsed = client.responses.parse(model=model, input="Hi", text_format=Event, store=False)
        return parsed.output_parsed.model_dump()

    def stored(self):
        made = client.responses.create(model=model, input="Hi")
        again = client.responses.retrieve(made.id)
        items = [item.content[0].text for item in client.responses.input_items.list(made.id)]
        client.responses.delete(made.id)
        return [again.output_text, items]

    def continuation(self):
        first = client.responses.create(model=model, input="Hi")
        return client.responses.create(
            model=model, input="And?", previous_response_id=first.id
        ).output_text


class Chat(Api):
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": parameters}}]

    def ask(self, **fields):
        return client.chat.completions.create(model=model, **{"messages": messages, **fields})

    def text(self):
        return self.ask().choices[0].message.content

    def text_streamed(self):
        with client.chat.completions.stream(model=model, messages=messages) as stream:
            deltas = [each.delta for each in stream if each.type == "content.delta" and each.delta]
            return [deltas, stream.get_final_completion().choices[0].message.content]

    def reasoning(self):
        return self.ask().choices[0].message.reasoning

    def reasoning_streamed(self):
        stream = self.ask(stream=True)
        return "".join(getattr(each.choices[0].delta, "reasoning", None) or "" for each in stream)

    def usage(self):
        return self.ask().usage.total_tokens

    def tool_loop(self):
        history = list(messages)
        spoken = self.ask(tools=self.tools).choices[0].message
        history.append(spoken)
        for call in spoken.tool_calls:
            history.append({"role": "tool", "tool_call_id": call.id, "content": "25 degrees"})
        return self.ask(messages=history, tools=self.tools).choices[0].message.content

    def parallel_calls(self):
        with client.chat.completions.stream(
            model=model, messages=messages, tools=self.tools
        ) as stream:
            calls = stream.get_final_completion().choices[0].message.tool_calls
            return [call.function.arguments for call in calls]

    def structured(self):
        parsed = client.chat.completions.parse(model=model, messages=messages, response_format=Event)
        return parsed.choices[0].message.parsed.model_dump()


try:
    print(json.dumps(getattr(Responses() if api == "responses" else Chat(), feature)()))
except openai.APIStatusError as error:
    print(json.dumps({"status": error.status_code, "code": error.code, "param": error.param}))
