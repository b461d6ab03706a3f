// Qwen Code, on chat completions.
import assert from 'node:assert/strict';
import test from 'node:test';
import { startServer } from '../support.mjs';
import { answered, jsonLines, runProgram, workplace } from './program.mjs';

const ask = ['--auth-type', 'openai', '--output-format', 'stream-json', '-p', 'What is 12 + 30?'];
const variables = (server, key = 'none') => ({
  OPENAI_BASE_URL: server.base,
  OPENAI_API_KEY: key,
  OPENAI_MODEL: 'v4-nano-dspark',
});
const result = ({ stdout }) => jsonLines(stdout).find((line) => line.type === 'result');

test('Qwen Code', async (t) => {
  await t.test('answers with all its tools offered', async (t) => {
    const server = await startServer(t);
    const place = await workplace(t);
    const text = (run) => {
      const said = result(run);
      assert.equal(said?.is_error, false, run.stdout + run.stderr);
      return said.result;
    };
    const run = await answered(server, () => runProgram(place, 'qwen', ask, variables(server)), text);
    const { input_tokens, output_tokens } = result(run).usage;
    assert.ok(input_tokens > 10_000 && output_tokens > 0);
  });

  await t.test('shows what the server refuses', async (t) => {
    const small = await startServer(t, ['--context', '2048', '--api-key', 'sesame']);
    const full = await runProgram(await workplace(t), 'qwen', ask, variables(small, 'sesame'));
    assert.match(full.stdout + full.stderr, /maximum context length is 2048 tokens/);
    const shut = await runProgram(await workplace(t), 'qwen', ask, variables(small, 'wrong'));
    assert.match(shut.stdout + shut.stderr, /401|API key/);
  });
});
