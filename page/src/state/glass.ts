// What the glass box shows: which reply, which of its steps, and which token is pointed at.
import { computed, signal } from '@preact/signals';
import { requestBody } from '../api/body';
import { request } from '../api/client';
import { events } from '../api/events';
import { ReplyReader } from '../api/reply';
import { pathTo } from '../data/tree';
import type { Message, Trace } from '../data/types';
import { conversations, messages, path } from './conversations';
import { busy } from './generation';
import { served } from './server';
import { apiKey } from './settings';

export const chosenReply = signal<string | null>(null); // null: the last one
export const chosenStep = signal<number | null>(null); // null: the last one

export const shownReply = computed<Message | null>(() => {
  const replies = path.value.filter((message) => message.role === 'assistant');
  return replies.find((message) => message.id === chosenReply.value) ?? replies.at(-1) ?? null;
});

export interface Pointed {
  trace: Trace;
  index: number;
  place: DOMRect;
}
export const pointed = signal<Pointed | null>(null);

export function showStep(message: string, step: number): void {
  chosenReply.value = message;
  chosenStep.value = step;
}

// --- the same request without speculation ---

export interface Comparison {
  message: string;
  running: boolean;
  reader: ReplyReader;
  tick: number;
  error?: string;
  same?: boolean;
  hashes?: [string, string]; // SHA-256 of both texts, where the browser computes it
}

export const comparison = signal<Comparison | null>(null);
let abort: AbortController | undefined;

export function whyNotComparable(message: Message): string | null {
  if (busy.value) return 'A reply is being written.';
  if (message.continued) return 'A continued reply is not one request.';
  if (message.status !== 'done' && message.status !== 'length') return 'Only a complete reply can be compared.';
  if (message.params?.speculation === false) return 'This reply was written without speculation.';
  if (message.seed === undefined || !message.params) return 'It is not known how this reply was asked for.';
  return null;
}

function wholeText(reader: { reasoning?: string; content: string }): string {
  return `${reader.reasoning ?? ''}\u0000${reader.content}`;
}

async function sha256(text: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export async function compare(message: Message): Promise<void> {
  abort?.abort();
  abort = new AbortController();
  const { signal: aborted } = abort;
  const reader = new ReplyReader();
  const state: Comparison = { message: message.id, running: true, reader, tick: 0 };
  comparison.value = state;
  const conversation = conversations.peek().find((one) => one.id === message.conversation)!;
  try {
    const response = await request('v1/chat/completions', apiKey.peek(), {
      method: 'POST',
      signal: aborted,
      body: requestBody({
        model: served.peek()?.id ?? '',
        conversation,
        path: pathTo(messages.peek(), message.parent),
        params: { ...message.params!, speculation: false },
        seed: message.seed!,
        probabilities: false,
      }),
    });
    let frame = 0;
    for await (const data of events(response.body!)) {
      if (data === '[DONE]') break;
      reader.take(JSON.parse(data));
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        if (comparison.peek()?.running && !aborted.aborted) comparison.value = { ...state, tick: ++state.tick };
      });
    }
    if (reader.error) throw new Error(reader.error);
    if (reader.finish === null) throw new Error('the connection broke off');
    const done: Comparison = { ...state, running: false, same: wholeText(reader) === wholeText(message) };
    // Browsers hash only on pages of a secure origin, which 127.0.0.1 is.
    if (crypto.subtle) done.hashes = [await sha256(wholeText(message)), await sha256(wholeText(reader))];
    comparison.value = done;
  } catch (error) {
    if (aborted.aborted) return;
    comparison.value = { ...state, running: false, error: error instanceof Error ? error.message : String(error) };
  }
}

export function stopComparison(): void {
  abort?.abort();
  comparison.value = null;
}
