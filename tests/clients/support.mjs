// A server on the embedded model for a client's test, and the questions that this model can answer.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';

const [serverPath, modelPath] = process.argv.slice(2);

/** Facts of the embedded model at temperature 0 (models/README.md). */
export const capital = { question: 'What is the capital of Italy?', answer: /Rome/ };
export const clock = {
  question: 'What time is it in Hamburg?',
  name: 'get_time',
  description: 'Get the current time in a city',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  city: 'Hamburg',
  result: { time: '10:12' },
  answer: /10:12/,
};

export const person = {
  question: 'Extract name, job, city as JSON: Nora works as a doctor in Paris.',
  answer: { name: 'Nora', job: 'doctor', city: 'Paris' },
};

/** Starts a server with `flags` on a free port; it ends with the test `t`. */
export async function startServer(t, flags = []) {
  const child = spawn(
    serverPath,
    ['--model', modelPath, '--port', '0', '--state-dir', '', '--threads', '1', ...flags],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let log = '';
  const ended = new Promise((resolve) => child.once('exit', resolve));
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const url = await new Promise((resolve, reject) => {
    child.stderr.setEncoding('utf8').on('data', (text) => {
      log += text;
      const address = /listening on (http:\/\/\S+)/.exec(log);
      if (address && log.includes('ready in')) resolve(address[1]);
    });
    ended.then((code) => reject(new Error(`the server ended with ${code}: ${log}`)));
  });
  return { url, base: `${url}/v1`, log: () => log };
}

/** The value of a line of /metrics. */
export async function metric(server, name) {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  const line = text.split('\n').find((l) => l.startsWith(`${name}{`) || l.startsWith(`${name} `));
  assert.ok(line, `no metric ${name}`);
  return Number(line.split(' ').pop());
}

/** Until `condition` holds, for at most `seconds`. */
export async function eventually(condition, what, seconds = 10) {
  for (const end = Date.now() + 1000 * seconds; Date.now() < end; ) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(`after ${seconds} s not yet: ${what}`);
}

/** Until the server works on nothing any more, as it should soon after a client has gone. */
export const idle = (server) =>
  eventually(async () => (await metric(server, 'vllm:num_requests_running')) === 0, 'no request is running', 5);

/** A prompt that is longer than the context of a server with --context 2048. */
export const tooLong = 'word '.repeat(4000);

/** Asks so that a reply takes until its limit. */
export const story = 'Tell me a short story about Rita and a towel.';
