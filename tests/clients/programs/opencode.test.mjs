// opencode, on chat completions.
import assert from 'node:assert/strict';
import test from 'node:test';
import { startServer } from '../support.mjs';
import { answered, jsonLines, runProgram, workplace } from './program.mjs';

const config = (server) =>
  JSON.stringify({
    provider: {
      foretoken: {
        npm: '@ai-sdk/openai-compatible',
        name: 'Foretoken',
        options: { baseURL: server.base, apiKey: 'none' },
        models: { 'v4-nano-dspark': { name: 'v4-nano-dspark' } },
      },
    },
  });
const ask = ['run', '--format', 'json', '-m', 'foretoken/v4-nano-dspark', 'What is 12 + 30?'];

test('opencode', async (t) => {
  await t.test('answers with all its tools offered', async (t) => {
    const server = await startServer(t);
    const place = await workplace(t, { 'work/opencode.json': config(server) });
    const text = (run) => {
      assert.equal(run.code, 0, run.stdout + run.stderr);
      const events = jsonLines(run.stdout);
      assert.ok(!events.some((event) => event.type === 'error'), run.stdout);
      assert.ok(events.some((event) => event.type === 'step_finish' && event.part.tokens.total > 10_000), run.stdout);
      return events.filter((event) => event.type === 'text').map((event) => event.part.text).join('');
    };
    const run = await answered(server, () => runProgram(place, 'opencode', ask), text);
    const steps = jsonLines(run.stdout).filter((event) => event.type === 'step_finish');
    assert.ok(steps.some((step) => step.part.tokens.output > 0), run.stdout);
  });

  await t.test('shows what the server refuses', async (t) => {
    const small = await startServer(t, ['--context', '2048']);
    const place = await workplace(t, { 'work/opencode.json': config(small) });
    const refusal = /maximum context length is 2048 tokens/; // it goes on for as long as one lets it
    const run = await runProgram(place, 'opencode', ask, {}, refusal);
    assert.match(run.stdout + run.stderr, refusal);
  });
});
