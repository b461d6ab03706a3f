// Conversations as a JSON file, out and in. What comes in is somebody's file: every member is checked, and what is
// not known is left out.
import {
  type Conversation,
  type Message,
  type Params,
  type ToolCall,
  defaultParams,
  newId,
} from './types';

const FORMAT = 'foretoken-conversations';

export interface Bundle {
  conversations: Conversation[];
  messages: Message[];
}

export function exportText(bundle: Bundle): string {
  return JSON.stringify({ format: FORMAT, version: 1, ...bundle }, null, 1);
}

type Unknown = Record<string, unknown>;

function isObject(value: unknown): value is Unknown {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function time(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : Date.now();
}

function list(value: unknown): Unknown[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

function readParams(value: unknown): Params {
  const params: Unknown = { ...defaultParams };
  if (!isObject(value)) return { ...defaultParams };
  for (const [key, known] of Object.entries(defaultParams)) {
    const given = value[key];
    if (known === null ? given === null || typeof given === 'number' : typeof given === typeof known) params[key] = given;
  }
  return params as unknown as Params;
}

function readCalls(value: unknown): ToolCall[] {
  return list(value).map((call) => ({
    id: text(call['id']),
    name: text(call['name']),
    arguments: text(call['arguments']),
  }));
}

function readMessage(value: Unknown, ids: Map<string, string>, conversation: string): Message {
  const role = value['role'];
  if (role !== 'user' && role !== 'assistant' && role !== 'tool') throw new Error(`a message has the role ${String(role)}`);
  const message: Message = {
    id: ids.get(text(value['id'])) ?? newId(),
    conversation,
    parent: ids.get(text(value['parent'])) ?? null,
    role,
    created: time(value['created']),
    content: text(value['content']),
  };
  if (role === 'assistant') {
    message.status = 'done';
    if (text(value['reasoning'])) message.reasoning = text(value['reasoning']);
    const calls = readCalls(value['calls']);
    if (calls.length > 0) message.calls = calls;
  }
  const files = list(value['files']).map((file) => ({ name: text(file['name']), text: text(file['text']) }));
  if (files.length > 0) message.files = files;
  if (role === 'tool') message.callId = text(value['callId']);
  return message;
}

// With new ids, so that nothing that is there is written over. Throws an Error that says what is wrong.
export function importText(json: string): Bundle {
  let file: unknown;
  try {
    file = JSON.parse(json);
  } catch {
    throw new Error('the file is not JSON');
  }
  if (!isObject(file) || file['format'] !== FORMAT) throw new Error('the file is not an export of this page');
  const conversations: Conversation[] = [];
  const messages: Message[] = [];
  const given = list(file['messages']);
  for (const value of list(file['conversations'])) {
    const own = given.filter((message) => message['conversation'] === value['id']);
    const ids = new Map(own.map((message) => [text(message['id']), newId()]));
    const id = newId();
    conversations.push({
      id,
      title: text(value['title']) || 'Imported',
      created: time(value['created']),
      updated: time(value['updated']),
      leaf: ids.get(text(value['leaf'])) ?? null,
      system: text(value['system']),
      tools: text(value['tools']),
      params: readParams(value['params']),
    });
    for (const message of own) messages.push(readMessage(message, ids, id));
  }
  if (conversations.length === 0) throw new Error('the file holds no conversation');
  return { conversations, messages };
}
