// Codex CLI, on responses.
import assert from 'node:assert/strict';
import test from 'node:test';
import { clock, startServer } from '../support.mjs';
import { answered, clockServer, jsonLines, runProgram, sampled, workplace } from './program.mjs';

const config = (server) => `
model = "v4-nano-dspark"
model_provider = "foretoken"
[model_providers.foretoken]
name = "Foretoken"
base_url = "${server.base}"
wire_api = "responses"
[mcp_servers.clock]
command = ${JSON.stringify(process.execPath)}
args = [${JSON.stringify(clockServer)}]
default_tools_approval_mode = "approve"
`;
const place = (t, server) => workplace(t, { 'home/.codex/config.toml': config(server) });
const exec = ['exec', '--json', '--skip-git-repo-check', '--sandbox', 'read-only'];
const completed = (run) => {
  assert.equal(run.code, 0, run.stdout + run.stderr);
  const events = jsonLines(run.stdout);
  assert.ok(events.some((event) => event.type === 'turn.completed'), run.stdout);
  return events;
};
const message = (run) => completed(run).filter((event) => event.item?.type === 'agent_message').at(-1)?.item.text;

test('Codex CLI', async (t) => {
  const server = await startServer(t);

  await t.test('holds a conversation with a tool call', async (t) => {
    const here = await place(t, server);
    await answered(server, () => runProgram(here, 'codex', [...exec, 'Hello']), message);
    // The model may take the tool server's tool or one of Codex's own; either way Codex runs it, sends the result back
    // and ends the turn.
    await sampled('called a tool', async () => {
      const before = server.log().length;
      completed(await runProgram(here, 'codex', [...exec, 'resume', '--last', clock.question]));
      return / tool_calls prompt=[^]* stop prompt=/.test(server.log().slice(before));
    });
  });

  await t.test('counts a full context as that', async (t) => {
    const small = await startServer(t, ['--context', '2048']);
    const run = await runProgram(await place(t, small), 'codex', [...exec, 'Hello']);
    assert.match(run.stdout, /ran out of room/);
  });
});
