// A server in front of a live one. Messages that begin with "script:" are answered by a script here, so that a test
// can have any reply; everything else, the page among it, is the live server's.
import http from 'node:http';
import { scripts } from './scripts.mjs';

const CHUNK = { id: 'chatcmpl-script', object: 'chat.completion.chunk', created: 0, model: 'scripted' };

// Pieces of text as a tokenizer would cut them.
export function pieces(text) {
  return text.match(/\s?[\p{L}\p{N}]{1,6}|\s+|[^\s\p{L}\p{N}]/gu) ?? [];
}

function tokenEntry(text) {
  const bytes = [...Buffer.from(text)];
  const logprob = -0.1 - (text.length % 5) / 10;
  return {
    token: text,
    logprob,
    bytes,
    top_logprobs: [
      { token: text, logprob, bytes },
      { token: ' other', logprob: -2.5, bytes: [] },
      { token: '<b>', logprob: -4, bytes: [] },
    ],
  };
}

// The chunks of a text: steps of one to six tokens, all but the last of each drafted, with branches that fell away.
export function* stepsOf(text, { reasoning = false, firstStep = 0 } = {}) {
  const tokens = pieces(text);
  let step = firstStep;
  for (let at = 0; at < tokens.length; ++step) {
    const own = tokens.slice(at, at + (step === 0 ? 1 : 1 + (step * 7) % 6));
    at += own.length;
    const tree = own.slice(0, -1).map((token, i) => ({
      token, parent: i - 1, depth: i + 1, probability: 0.9 ** (i + 1), source: step % 5 === 4 ? 'ngram' : 'model', accepted: true,
    }));
    if (step > 0) {
      tree.push({ token: ' never', parent: tree.length - 1, depth: tree.length + 1, probability: 0.2, source: 'model', accepted: false });
      tree.push({ token: ' said', parent: -1, depth: 1, probability: 0.1, source: 'model', accepted: false });
    }
    const listed = own.map((token, i) => {
      const last = i === own.length - 1;
      return { token, reasoning, step, depth: last ? 0 : i + 1, source: last ? 'target' : tree[i].source, probability: last ? null : tree[i].probability };
    });
    const field = reasoning ? 'reasoning_content' : 'content';
    yield {
      delta: { [field]: own.join('') },
      logprobs: { content: [], reasoning_content: [], [field]: own.map(tokenEntry) },
      speculation: { tokens: listed, steps: [{ step, draft_ms: 0.4, verify_ms: 1.6, commit_ms: 0.1, tree }] },
    };
  }
}

function usageChunk(completion, prompt = 20) {
  return { ...CHUNK, choices: [], usage: { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion } };
}

// What a script writes with.
class Writer {
  constructor(response) {
    this.response = response;
    this.closed = false;
    response.on('close', () => (this.closed = true));
  }
  head() {
    if (!this.response.headersSent) this.response.writeHead(200, { 'Content-Type': 'text/event-stream' });
  }
  event(data) {
    this.head();
    this.response.write(`data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`);
  }
  choice(members) {
    this.event({ ...CHUNK, choices: [{ index: 0, delta: {}, finish_reason: null, ...members }] });
  }
  async say(text, options = {}) {
    for (const members of stepsOf(text, options)) {
      if (this.closed) return;
      this.choice(members);
      if (options.pause) await sleep(options.pause);
    }
  }
  end(reason = 'stop', { completion = 10, prompt } = {}) {
    this.choice({ finish_reason: reason });
    this.event(usageChunk(completion, prompt));
    this.event('[DONE]');
    this.response.end();
  }
  refuse(status, message, headers = {}) {
    this.response.writeHead(status, { 'Content-Type': 'application/json', ...headers });
    this.response.end(JSON.stringify({ error: { message, type: 'error', param: null, code: null } }));
  }
  drop() {
    this.response.destroy();
  }
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function forward(live, request, body, response) {
  const url = new URL(request.url, live);
  const onward = http.request(url, { method: request.method, headers: { ...request.headers, host: url.host } }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
    answer.on('error', () => response.destroy());
    answer.on('aborted', () => response.destroy());
  });
  onward.on('error', () => response.destroy());
  response.on('close', () => onward.destroy());
  onward.end(body);
}

// `state` may be changed while it runs: requests (the bodies that came); waiting (what /metrics says) and health (what
// /health says), null for what the live server says.
export async function scriptedServer(live) {
  const state = { requests: [], waiting: null, health: null };
  const server = http.createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = Buffer.concat(parts);
    if (request.url === '/health' && state.health !== null) {
      response.writeHead(503, { 'Content-Type': 'application/json' }).end(JSON.stringify(state.health));
      return;
    }
    if (request.url === '/metrics' && state.waiting !== null) {
      response.end(`vllm:num_requests_waiting{model_name="m"} ${state.waiting}\n`);
      return;
    }
    if (request.url === '/v1/chat/completions') {
      const asked = JSON.parse(body);
      state.requests.push(asked);
      const said = asked.messages.findLast((message) => message.role === 'user')?.content ?? '';
      const [, name, argument] = /^script:(\w+) ?(.*)$/s.exec(said) ?? [];
      if (name) {
        const writer = new Writer(response);
        await scripts[name](writer, argument, asked, state);
        return;
      }
    }
    forward(live, request, body, response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    state,
    url: `http://127.0.0.1:${server.address().port}/`,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
