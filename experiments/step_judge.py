"""A judge of the chains task without a language model: a server of OpenAI's chat API that checks every step.

    python experiments/step_judge.py 8001
    igrpo train experiment=quickstart reward=judge reward.base_url=http://127.0.0.1:8001/v1 reward.model=step_judge

A solution such as ``6-7=9-1=8\\boxed{8}`` gets half of the score for the share of steps that follow from the
step before them and from the problem, and half for the right end. The server reads nothing but the request.
"""

from __future__ import annotations

import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from igrpo.data.chains import apply_operator, parse_chain

_FENCED = r"<<<{name} (\w+)>>>\n(.*?)\n<<<end of {name} \1>>>"


def step_score(problem: str, solution: str) -> float:
    """In [0, 1]; 1 for the one clean solution.

    Raises:
        ValueError: the problem is no chain.
    """
    value, links = parse_chain(problem)
    written, _, boxed = solution.partition("\\boxed{")
    steps = written.split("=")
    right = 0
    for index, (operator, operand) in enumerate(links):
        said = f"{value}{operator}{operand}"
        value = apply_operator(value, operator, operand)
        right += index < len(steps) - 1 and steps[index] == said and steps[index + 1][:1] == str(value)
    return 0.5 * right / len(links) + 0.5 * (boxed == f"{value}}}")


def reply(body: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request of the chat API."""
    text = body["messages"][-1]["content"]
    found = [re.search(_FENCED.format(name=name), text, re.DOTALL) for name in ("problem", "solution")]
    score = step_score(*(match[2] if match else "" for match in found))
    content = json.dumps({"reason": "steps and end were checked", "score": score})
    return {
        "id": "0",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}],
        "usage": {"prompt_tokens": len(text), "completion_tokens": len(content), "total_tokens": len(text + content)},
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            status, answer = 200, reply(body)
        except (KeyError, ValueError) as error:
            status, answer = 400, {"error": {"message": str(error)}}
        sent = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *args: Any) -> None:
        """Nothing: a run asks thousands of times."""


def server(port: int) -> ThreadingHTTPServer:
    """On this machine alone; port 0 is any that is free."""
    return ThreadingHTTPServer(("127.0.0.1", port), _Handler)


if __name__ == "__main__":
    with server(int(sys.argv[1]) if len(sys.argv) > 1 else 8001) as serving:
        print("a judge listens; Ctrl-C ends it. In another terminal: igrpo train experiment=quickstart reward=judge")
        print(f"  reward.model=step_judge reward.base_url=http://127.0.0.1:{serving.server_address[1]}/v1", flush=True)
        serving.serve_forever()
