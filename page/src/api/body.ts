// From a branch of a conversation to the body of a request.
import type { Conversation, Message, Params, TextFile } from '../data/types';

// A fence longer than any in the text, so that the file ends where it ends.
function fenced(file: TextFile): string {
  const longest = Math.max(2, ...Array.from(file.text.matchAll(/`+/g), (match) => match[0].length));
  const fence = '`'.repeat(longest + 1);
  return `File ${file.name}:\n${fence}\n${file.text}\n${fence}`;
}

export function userText(message: Message): string {
  const parts = (message.files ?? []).map(fenced);
  if (message.content) parts.push(message.content);
  return parts.join('\n\n');
}

function messageBody(message: Message): object {
  if (message.role === 'user') return { role: 'user', content: userText(message) };
  if (message.role === 'tool') return { role: 'tool', tool_call_id: message.callId, content: message.content };
  const calls = (message.calls ?? []).map((call) => ({
    id: call.id,
    type: 'function',
    function: { name: call.name, arguments: call.arguments },
  }));
  return {
    role: 'assistant',
    content: message.content,
    ...(message.reasoning ? { reasoning_content: message.reasoning } : {}),
    ...(calls.length > 0 ? { tool_calls: calls } : {}),
  };
}

function samplingBody(params: Params): object {
  const named = {
    temperature: params.temperature,
    top_p: params.topP,
    top_k: params.topK,
    min_p: params.minP,
    presence_penalty: params.presence,
    frequency_penalty: params.frequency,
    repetition_penalty: params.repetition,
    max_tokens: params.maxTokens,
  };
  const stop = params.stop.split('\n').filter((line) => line !== '');
  return {
    ...Object.fromEntries(Object.entries(named).filter(([, value]) => value !== null)),
    ...(stop.length > 0 ? { stop } : {}),
  };
}

function thinkingBody(params: Params): object {
  if (params.thinking === 'default') return {};
  if (params.thinking === 'off') return { thinking: { type: 'disabled' } };
  return { thinking: { type: 'enabled' }, reasoning_effort: params.thinking };
}

function speculationBody(params: Params): object {
  if (!params.speculation) return { speculation: { enabled: false } };
  return {
    speculation: {
      enabled: true,
      ...(params.drafter ? { drafter: params.drafter } : {}),
      ...(params.tree ? { tree: params.tree } : {}),
      ...(params.maxNodes !== null ? { max_nodes: params.maxNodes } : {}),
    },
  };
}

export interface Ask {
  model: string;
  conversation: Conversation;
  path: Message[]; // what is answered; a last one of the assistant is continued
  params: Params;
  seed: number;
  probabilities: boolean; // of tokens and their alternatives
}

export function requestBody(ask: Ask): string {
  const messages: object[] = ask.path.map(messageBody);
  if (ask.path.at(-1)?.role === 'assistant') Object.assign(messages.at(-1)!, { prefix: true });
  if (ask.conversation.system.trim()) messages.unshift({ role: 'system', content: ask.conversation.system });
  const tools = ask.conversation.tools.trim() ? JSON.parse(ask.conversation.tools) : [];
  return JSON.stringify({
    model: ask.model,
    messages,
    stream: true,
    stream_options: { include_usage: true },
    include_speculation: 'steps',
    seed: ask.seed,
    ...(ask.probabilities ? { logprobs: true, top_logprobs: 5 } : {}),
    ...(tools.length > 0 ? { tools } : {}),
    ...samplingBody(ask.params),
    ...thinkingBody(ask.params),
    ...speculationBody(ask.params),
  });
}
