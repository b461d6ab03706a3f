// Claude Code, on messages.
import assert from 'node:assert/strict';
import test from 'node:test';
import { clock, startServer } from '../support.mjs';
import { answered, clockServer, jsonLines, runProgram, sampled, workplace } from './program.mjs';

const variables = (server) => ({
  ANTHROPIC_BASE_URL: server.url,
  ANTHROPIC_AUTH_TOKEN: 'none',
  CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1', // it would call its maker
});
const print = ['--model', 'v4-nano-dspark', '--output-format', 'stream-json', '--verbose', '-p'];
const result = ({ stdout }) => jsonLines(stdout).find((line) => line.type === 'result');
const text = (run) => {
  const said = result(run);
  assert.equal(said?.subtype, 'success', run.stdout + run.stderr);
  assert.equal(said.is_error, false, run.stdout);
  return said.result;
};

test('Claude Code', async (t) => {
  const server = await startServer(t);

  await t.test('answers with all its tools offered', async (t) => {
    const place = await workplace(t);
    const ask = [...print, 'What is 12 + 30?'];
    const run = await answered(server, () => runProgram(place, 'claude', ask, variables(server)), text);
    const { input_tokens, cache_read_input_tokens, output_tokens } = result(run).usage;
    assert.ok(input_tokens + cache_read_input_tokens > 10_000 && output_tokens > 0);
  });

  await t.test('holds a conversation with a tool call', async (t) => {
    const place = await workplace(t);
    const servers = { mcpServers: { clock: { command: process.execPath, args: [clockServer] } } };
    const ask = [
      ...['--system-prompt', 'You are a helpful assistant.', '--tools', ''],
      ...['--mcp-config', JSON.stringify(servers), '--strict-mcp-config', '--allowedTools', 'mcp__clock__get_time'],
      ...print,
    ];
    text(await runProgram(place, 'claude', [...ask, 'Hello'], variables(server)));
    const again = ['--continue', ...ask, clock.question];
    const called = await sampled('called the tool and answered', async () => {
      const run = await runProgram(place, 'claude', again, variables(server));
      const blocks = jsonLines(run.stdout).flatMap((line) => line.message?.content ?? []);
      const call = blocks.find((block) => block.type === 'tool_use');
      return text(run) && call?.name === 'mcp__clock__get_time' && { blocks, call };
    });
    const answer = called.blocks.find((block) => block.tool_use_id === called.call.id);
    assert.match(JSON.stringify(answer.content), clock.answer);
  });

  await t.test('counts a full context as that', async (t) => {
    const small = await startServer(t, ['--context', '2048']);
    const said = result(await runProgram(await workplace(t), 'claude', [...print, 'Hello'], variables(small)));
    assert.equal(said.is_error, true);
    assert.match(said.result, /prompt is too long/i);
  });
});
