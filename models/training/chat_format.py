"""Conversations as text (docs/spec/encoding.md sections 3 to 7 and 9), in segments that say who wrote what.

Messages are those of the OpenAI API: roles system, user, assistant, tool. The fixed texts are read from the
vectors that the server's encoder is tested with, so there is one copy of each.
"""

import json
from pathlib import Path

_TEXTS = Path(__file__).resolve().parents[2] / "tests" / "data" / "encoding"

BOS, EOS, PAD = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"
USER, ASSISTANT, REMINDER = "<｜User｜>", "<｜Assistant｜>", "<｜latest_reminder｜>"
THINK, END_THINK, DSML = "<think>", "</think>", "｜DSML｜"
FIM_HOLE, FIM_BEGIN, FIM_END = "<｜fim▁hole｜>", "<｜fim▁begin｜>", "<｜fim▁end｜>"
TASKS = {name: f"<｜{name}｜>" for name in ("action", "query", "authority", "domain", "title", "read_url")}

# In the order of their ids: begin, end and padding are 0, 1, 2, <unk> is 3, the rest follows.
SPECIALS = [
    *(BOS, EOS, PAD, USER, ASSISTANT, THINK, END_THINK, DSML, REMINDER),
    *TASKS.values(),
    *("<｜extracted_url｜>", FIM_HOLE, FIM_BEGIN, FIM_END, "<tool_result>", "</tool_result>"),
    "<｜place▁holder▁no▁799｜>",  # the noise of DSpark blocks
    *(f"<｜place▁holder▁no▁{i}｜>" for i in range(4)),
]

# How a reply thinks: not at all, or with the effort that the prompt's first lines ask for (of the 0731
# revision).
MODES = ("chat", "low", "high", "max")


def _text(name):
    return (_TEXTS / name).read_text(encoding="utf-8")


_EFFORT = {"high": _text("effort_max_preview.txt"), "max": _text("effort_max_0731.txt")}
_TOOLS = _text("tools_block.txt")


def to_json(value):
    return json.dumps(value, ensure_ascii=False)


def _parameter(name, value):
    text, is_string = (value, "true") if isinstance(value, str) else (to_json(value), "false")
    return f'<{DSML}parameter name="{name}" string="{is_string}">{text}</{DSML}parameter>'


def calls_text(calls):
    """Tool calls as the model writes them, after two line breaks."""
    lines = [f"\n\n<{DSML}tool_calls>"]
    for call in calls:
        function = call["function"]
        arguments = json.loads(function["arguments"])
        lines.append(f'<{DSML}invoke name="{function["name"]}">')
        lines.append("\n".join(_parameter(name, value) for name, value in arguments.items()))
        lines.append(f"</{DSML}invoke>")
    return "\n".join(lines + [f"</{DSML}tool_calls>"])


def _system_text(message):
    text = message.get("content") or ""
    if message.get("tools"):
        schemas = "\n".join(to_json(tool["function"]) for tool in message["tools"])
        text += "\n\n" + _TOOLS.replace("@@SCHEMAS@@", schemas)
    if message.get("response_format"):
        rule = "## Response Format:\n\nYou MUST strictly adhere to the following schema to reply:\n"
        text += "\n\n" + rule + to_json(message["response_format"])
    return text


def segments(messages, mode):
    """-> [(text, whether the model writes it)]. Earlier reasoning is dropped unless tools are offered. A
    prompt ends with a user's or tool's message: its last segment opens the reply."""
    thinking = mode != "chat"
    keeps_reasoning = any(message.get("tools") for message in messages)
    last_turn = max((i for i, m in enumerate(messages) if m["role"] in ("user", "tool")), default=-1)
    parts, text = [], BOS + _EFFORT.get(mode, "")
    for i, message in enumerate(messages):
        role, task = message["role"], message.get("task")
        before = messages[i - 1] if i else {}
        if role == "system":
            text += _system_text(message)
        elif role == "assistant":
            reasoning = ""
            if thinking and not before.get("task") and (keeps_reasoning or i > last_turn):
                reasoning = message.get("reasoning_content", "") + END_THINK
            calls = calls_text(message["tool_calls"]) if message.get("tool_calls") else ""
            parts += [(text, False), (reasoning + (message.get("content") or "") + calls + EOS, True)]
            text = ""
        else:
            body = message["content"]
            text += "\n\n" if before.get("role") == "tool" else USER
            text += f"<tool_result>{body}</tool_result>" if role == "tool" else body
            if i + 1 < len(messages) and messages[i + 1]["role"] != "assistant":
                continue
            opened = THINK if thinking and (keeps_reasoning or i >= last_turn) else END_THINK
            if task in (None, "action"):
                text += ASSISTANT + opened
            text += TASKS[task] if task else ""
    return parts + [(text, False)] if text else parts


def prompt(messages, mode):
    return "".join(text for text, _ in segments(messages, mode))


def fim_segments(prefix, suffix, middle):
    """Text to be filled in (docs/spec/encoding.md section 11, "FIM")."""
    return [(BOS + FIM_BEGIN + prefix + FIM_HOLE + suffix + FIM_END, False), (middle + EOS, True)]
