// Claude Code, on messages.
import assert from 'node:assert/strict';
import test from 'node:test';
import { startServer } from '../support.mjs';
import { jsonLines, runProgram, workplace } from './program.mjs';

const variables = (server) => ({
  ANTHROPIC_BASE_URL: server.url,
  ANTHROPIC_AUTH_TOKEN: 'none',
  CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1', // it would call its maker
});
const print = ['--model', 'v4-nano-dspark', '--output-format', 'stream-json', '--verbose', '-p'];
const result = ({ stdout }) => jsonLines(stdout).find((line) => line.type === 'result');

test('Claude Code', async (t) => {
  const server = await startServer(t);

  await t.test('answers with all its tools offered', async (t) => {
    const said = result(await runProgram(await workplace(t), 'claude', [...print, 'What is 12 + 30?'], variables(server)));
    assert.equal(said.subtype, 'success');
    assert.equal(said.is_error, false);
    assert.ok(said.result.length > 0);
    assert.ok(said.usage.input_tokens > 10_000 && said.usage.output_tokens > 0);
  });

  await t.test('counts a full context as that', async (t) => {
    const small = await startServer(t, ['--context', '2048']);
    const said = result(await runProgram(await workplace(t), 'claude', [...print, 'Hello'], variables(small)));
    assert.equal(said.is_error, true);
    assert.match(said.result, /prompt is too long/i);
  });
});
