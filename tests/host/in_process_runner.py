"""Runs inside ComfyUI's own Python process, without a server: validates prompts and runs one. Started by test_workflows.py.

    python in_process_runner.py COMFYUI BASE PACK REQUEST ANSWER

REQUEST is a JSON file {"validate": {name: prompt}, "run": prompt}; ANSWER gets {"nodes": ids, "problems": {name: text}, "failures": [text]}.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any


class SilentServer:
    """What the executor needs of a server."""

    client_id = None
    last_node_id = None
    sockets_metadata: dict[str, Any] = {}

    def send_sync(self, event: str, data: Any, sid: str | None = None) -> None:
        pass


def main(comfyui: str, base: str, pack: str, request_file: str, answer_file: str) -> None:
    sys.path.insert(0, comfyui)
    sys.argv = ["main.py", "--cpu", "--base-directory", base, "--disable-api-nodes"]
    import comfy.options

    comfy.options.enable_args_parsing()
    import execution

    import nodes

    async def load() -> list[str]:
        await nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False)
        before = set(nodes.NODE_CLASS_MAPPINGS)
        await nodes.load_custom_node(pack)
        return [name for name in nodes.NODE_CLASS_MAPPINGS if name not in before]

    async def problem_of(prompt: dict[str, Any]) -> str:
        valid, error, _, node_errors = await execution.validate_prompt("any", prompt, None)
        return "" if valid and not node_errors else json.dumps([error, node_errors], default=str)

    ours = asyncio.run(load())
    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    problems = {name: asyncio.run(problem_of(prompt)) for name, prompt in request["validate"].items()}
    cache = {"ram": 1, "ram_inactive": 1, "lru": 0}
    executor = execution.PromptExecutor(SilentServer(), cache_type=execution.CacheType.CLASSIC, cache_args=cache)
    _, _, outputs, _ = asyncio.run(execution.validate_prompt("run", request["run"], None))
    executor.execute(request["run"], "run", {}, outputs)
    failures = [data["exception_message"] for event, data in executor.status_messages if event == "execution_error"]
    answer = {"nodes": ours, "problems": problems, "failures": failures}
    Path(answer_file).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
