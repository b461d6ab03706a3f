// What is known of the server: whether it answers, and which model it serves.
import { signal } from '@preact/signals';
import { ApiFailure, type ModelInfo, health, model } from '../api/client';
import { apiKey } from './settings';

export type ServerState =
  | { kind: 'connecting' }
  | { kind: 'ok' }
  | { kind: 'loading'; progress: number }
  | { kind: 'stopping' }
  | { kind: 'failed' }
  | { kind: 'unreachable' }
  | { kind: 'key' }; // the server wants one, or another one

export const server = signal<ServerState>({ kind: 'connecting' });
export const served = signal<ModelInfo | null>(null);

const OFTEN = 1000;
const SELDOM = 20_000;

let timer: ReturnType<typeof setTimeout> | undefined;

async function look(): Promise<void> {
  const answer = await health();
  if (answer.status === 'loading') {
    server.value = { kind: 'loading', progress: answer.progress };
    return;
  }
  if (answer.status !== 'ok') {
    server.value = { kind: answer.status };
    return;
  }
  try {
    served.value = await model(apiKey.peek());
    server.value = { kind: 'ok' };
  } catch (error) {
    server.value = { kind: error instanceof ApiFailure && error.failure.kind === 'key' ? 'key' : 'unreachable' };
  }
}

// Looks now, and then again: often until the server answers, seldom afterwards.
export async function watchServer(): Promise<void> {
  clearTimeout(timer);
  await look();
  timer = setTimeout(watchServer, server.peek().kind === 'ok' ? SELDOM : OFTEN);
}
