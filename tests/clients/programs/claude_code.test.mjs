// Claude Code, on messages.
import assert from 'node:assert/strict';
import test from 'node:test';
import { clock, startServer } from '../support.mjs';
import { clockServer, jsonLines, runProgram, workplace } from './program.mjs';

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

  await t.test('holds a conversation with a tool call', async (t) => {
    const place = await workplace(t);
    const servers = { mcpServers: { clock: { command: process.execPath, args: [clockServer] } } };
    const ask = [
      ...['--system-prompt', 'You are a helpful assistant.', '--tools', ''],
      ...['--mcp-config', JSON.stringify(servers), '--strict-mcp-config', '--allowedTools', 'mcp__clock__get_time'],
      ...print,
    ];
    const hello = result(await runProgram(place, 'claude', [...ask, 'Hello'], variables(server)));
    assert.equal(hello.is_error, false);
    // It samples; the model calls nearly every time.
    for (let tries = 0; ; ++tries) {
      assert.ok(tries < 8, 'the model did not call');
      const run = await runProgram(place, 'claude', ['--continue', ...ask, clock.question], variables(server));
      assert.equal(result(run).is_error, false, run.stdout);
      const blocks = jsonLines(run.stdout).flatMap((line) => line.message?.content ?? []);
      const call = blocks.find((block) => block.type === 'tool_use');
      if (call?.name !== 'mcp__clock__get_time') continue;
      const answer = blocks.find((block) => block.tool_use_id === call.id);
      assert.match(JSON.stringify(answer.content), clock.answer);
      assert.ok(result(run).result.length > 0);
      break;
    }
  });

  await t.test('counts a full context as that', async (t) => {
    const small = await startServer(t, ['--context', '2048']);
    const said = result(await runProgram(await workplace(t), 'claude', [...print, 'Hello'], variables(small)));
    assert.equal(said.is_error, true);
    assert.match(said.result, /prompt is too long/i);
  });
});
