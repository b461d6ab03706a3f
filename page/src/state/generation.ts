// Asking for replies: sending, stopping, asking again, continuing.
import { computed, signal } from '@preact/signals';
import { requestBody } from '../api/body';
import { ApiFailure, request, waiting } from '../api/client';
import { events } from '../api/events';
import { ReplyReader } from '../api/reply';
import * as store from '../data/store';
import { pathTo } from '../data/tree';
import { type Failure, type Message, type TextFile, type Trace, newId } from '../data/types';
import { begin, change, conversations, currentId, messages, path, putMessage, setRunning } from './conversations';
import { served, watchServer } from './server';
import { apiKey, showProbabilities } from './settings';

// A reply that is being written. `tick` counts the frames in which something has come.
export interface Live {
  message: Message;
  reader: ReplyReader;
  tick: number;
  queued: number; // requests in front, while nothing has come
  abort: AbortController;
}

// By conversation: each may have one, also while another one is shown.
export const lives = signal<ReadonlyMap<string, Live>>(new Map());
export const live = computed(() => lives.value.get(currentId.value ?? '') ?? null);
// For what does not look at the reply itself: it changes with every frame.
export const busy = computed(() => live.value !== null);
export const announcement = signal(''); // for screen readers

const traces = new Map<string, Trace>(); // of replies seen since the page was opened

export async function traceOf(message: Message): Promise<Trace | undefined> {
  const running = lives.peek().get(message.conversation);
  if (running?.message.id === message.id) return running.reader.trace;
  const known = traces.get(message.id);
  if (known) return known;
  const found = await store.traceOf(message.id).catch(() => undefined);
  if (found) traces.set(message.id, found);
  return found;
}

export function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]!;
}

function failureOf(error: unknown): Failure {
  if (error instanceof ApiFailure) return error.failure;
  return { kind: 'dropped', message: 'What has come so far is kept.' };
}

function titleOf(text: string): string {
  const line = text.trim().split('\n')[0]!.replace(/\s+/g, ' ');
  return line.length > 60 ? `${line.slice(0, 57).trimEnd()}…` : line;
}

function append(message: Omit<Message, 'id' | 'created'>): Message {
  const whole: Message = { ...message, id: newId(), created: Date.now() };
  putMessage(whole);
  change({ leaf: whole.id, updated: Date.now() }, whole.conversation);
  return whole;
}

// A user's message after `parent`, and a reply to it.
export async function send(content: string, files: TextFile[], parent?: string | null): Promise<void> {
  const conversation = begin();
  const before = parent === undefined ? (path.peek().at(-1)?.id ?? null) : parent;
  if (!conversations.peek().find((one) => one.id === conversation)?.title) {
    change({ title: titleOf(content || files[0]?.name || 'New chat') }, conversation);
  }
  const message = append({
    conversation,
    parent: before,
    role: 'user',
    content,
    ...(files.length > 0 ? { files } : {}),
  });
  await reply(conversation, message.id);
}

// The results of a reply's calls, in their order, and a reply to them.
export async function sendResults(call: Message, results: string[]): Promise<void> {
  let parent = call.id;
  for (const [i, tool] of (call.calls ?? []).entries()) {
    parent = append({
      conversation: call.conversation,
      parent,
      role: 'tool',
      callId: tool.id,
      content: results[i] ?? '',
    }).id;
  }
  await reply(call.conversation, parent);
}

// Another reply to what `message` answers.
export async function regenerate(message: Message): Promise<void> {
  if (message.parent) await reply(message.conversation, message.parent);
}

export async function reply(conversation: string, parent: string): Promise<void> {
  const params = conversations.peek().find((one) => one.id === conversation)!.params;
  const message = append({
    conversation,
    parent,
    role: 'assistant',
    content: '',
    reasoning: '',
    status: 'streaming',
    timing: { sent: Date.now() },
    params,
    seed: params.seed ?? randomSeed(),
  });
  await run(message, new ReplyReader(), pathTo(messages.peek(), parent));
}

// More of a reply that was stopped, cut or broken off.
export async function continueReply(message: Message): Promise<void> {
  const trace = await traceOf(message);
  const again: Message = { ...message, status: 'streaming', continued: true };
  delete again.failure;
  putMessage(again);
  const branch = pathTo(messages.peek(), message.id);
  const nothing = !message.content && !message.reasoning;
  const reader = new ReplyReader(message.content, message.reasoning, trace);
  await run(again, reader, nothing ? branch.slice(0, -1) : branch);
}

export function stop(): void {
  live.peek()?.abort.abort();
}

async function run(message: Message, reader: ReplyReader, branch: Message[]): Promise<void> {
  lives.peek().get(message.conversation)?.abort.abort();
  const running: Live = { message, reader, tick: 0, queued: 0, abort: new AbortController() };
  setLive(running);
  setRunning(message.id, true);
  const everySecond = setInterval(async () => {
    if (message.timing?.first) {
      // So that a page that is closed loses a second at most.
      await store.putMessage({ ...message, content: reader.content, reasoning: reader.reasoning }).catch(() => undefined);
      return;
    }
    running.queued = await waiting();
    refresh(running);
  }, 1000);
  let failure: Failure | undefined;
  try {
    await stream(running, branch);
    if (reader.error) failure = { kind: 'server', message: reader.error };
    else if (reader.finish === null) failure = failureOf(null);
  } catch (error) {
    if (!running.abort.signal.aborted) failure = failureOf(error);
  }
  clearInterval(everySecond);
  setRunning(message.id, false);
  finish(running, failure);
}

async function stream(running: Live, branch: Message[]): Promise<void> {
  const { message, reader } = running;
  const conversation = conversations.peek().find((one) => one.id === message.conversation)!;
  const response = await request('v1/chat/completions', apiKey.peek(), {
    method: 'POST',
    signal: running.abort.signal,
    body: requestBody({
      model: served.peek()?.id ?? '',
      conversation,
      path: branch,
      params: message.params ?? conversation.params,
      seed: message.seed ?? 0,
      probabilities: showProbabilities.peek(),
    }),
  });
  const timing = message.timing!;
  for await (const data of events(response.body!)) {
    if (data === '[DONE]') return;
    reader.take(JSON.parse(data));
    if (!timing.first && (reader.reasoning || reader.content || reader.calls.length > 0)) timing.first = Date.now();
    if (!timing.answered && (reader.content || reader.calls.length > 0)) timing.answered = Date.now();
    refresh(running);
  }
}

function setLive(running: Live): void {
  lives.value = new Map(lives.peek()).set(running.message.conversation, running);
}

function isLive(running: Live): boolean {
  return lives.peek().get(running.message.conversation)?.abort === running.abort;
}

const drawn = new Set<AbortController>(); // replies that the next frame draws

// Once a frame, however many chunks come in it.
function refresh(running: Live): void {
  if (drawn.has(running.abort)) return;
  drawn.add(running.abort);
  requestAnimationFrame(() => {
    drawn.delete(running.abort);
    if (isLive(running)) setLive({ ...running, tick: ++running.tick });
  });
}

function finish(running: Live, failure?: Failure): void {
  const { message, reader } = running;
  const done: Message = {
    ...message,
    content: reader.content,
    reasoning: reader.reasoning,
    status: failure ? 'error' : running.abort.signal.aborted ? 'stopped' : reader.finish === 'length' ? 'length' : 'done',
    timing: { ...message.timing!, end: Date.now() },
    ...(failure ? { failure } : {}),
    ...(reader.calls.length > 0 ? { calls: reader.calls } : {}),
    ...(reader.usage ? { usage: reader.usage } : {}),
    ...(reader.report ? { report: reader.report } : {}),
  };
  traces.set(done.id, reader.trace);
  void store.putTrace(done.id, reader.trace).catch(() => undefined);
  putMessage(done);
  change({ updated: Date.now() }, done.conversation);
  if (isLive(running)) {
    const others = new Map(lives.peek());
    others.delete(done.conversation);
    lives.value = others;
  }
  announcement.value = failure ? `Error: ${failure.message}` : 'The reply is complete.';
  if (failure?.kind === 'unreachable' || failure?.kind === 'dropped' || failure?.kind === 'key') void watchServer();
}
