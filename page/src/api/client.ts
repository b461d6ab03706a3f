// The server's HTTP API. Every request goes to where the page came from.
import type { Failure } from '../data/types';

export class ApiFailure extends Error {
  constructor(readonly failure: Failure, readonly status = 0) {
    super(failure.message);
  }
}

function kindOf(status: number): Failure['kind'] {
  if (status === 401 || status === 403) return 'key';
  if (status === 429 || status === 503) return 'busy';
  return status >= 500 ? 'server' : 'refused';
}

async function failureOf(response: Response): Promise<ApiFailure> {
  let message = `The server answered with status ${response.status}.`;
  try {
    const body = await response.json();
    if (typeof body?.error?.message === 'string') message = body.error.message;
  } catch {
    // a proxy's page, say: the status has to do
  }
  return new ApiFailure({ kind: kindOf(response.status), message }, response.status);
}

export async function request(path: string, key: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (key) headers.set('Authorization', `Bearer ${key}`);
  if (init.body) headers.set('Content-Type', 'application/json');
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers, cache: 'no-store' });
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new ApiFailure({ kind: 'unreachable', message: 'It may have stopped, or the network is down.' });
  }
  if (!response.ok) throw await failureOf(response);
  return response;
}

export interface Health {
  status: 'ok' | 'loading' | 'stopping' | 'failed' | 'unreachable';
  progress: number;
}

export async function health(): Promise<Health> {
  try {
    const body = await (await fetch('health', { cache: 'no-store' })).json();
    return { status: body.status, progress: Number(body.progress ?? 0) };
  } catch {
    return { status: 'unreachable', progress: 0 };
  }
}

export interface ModelInfo {
  id: string;
  context: number;
  drafters: string[];
}

export async function model(key: string): Promise<ModelInfo> {
  const body = await (await request('v1/models', key)).json();
  const first = body.data[0];
  return { id: String(first.id), context: Number(first.max_model_len), drafters: first.drafters ?? [] };
}

// Requests that wait for a place; 0 where nobody says.
export async function waiting(): Promise<number> {
  try {
    const text = await (await fetch('metrics', { cache: 'no-store' })).text();
    return Number(/^vllm:num_requests_waiting\S* (\d+)/m.exec(text)?.[1] ?? 0);
  } catch {
    return 0;
  }
}
