// Modules of the page without a browser, and what is checked in.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { build } from '../../page/node_modules/esbuild/lib/main.js';

const page = fileURLToPath(new URL('../../page/', import.meta.url));

async function modules(source) {
  const { outputFiles } = await build({ stdin: { contents: source, resolveDir: join(page, 'src') }, bundle: true, write: false, format: 'esm' });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].text).toString('base64')}`);
}

test('what is checked in is what the sources make', () => {
  const out = mkdtempSync(join(tmpdir(), 'foretoken-page-'));
  execFileSync(process.execPath, [join(page, 'build.mjs'), out]);
  const same = (name, read = (path) => readFileSync(path, 'utf8')) =>
    assert.ok(read(join(out, name)) === read(join(page, 'dist', name)), `page/dist/${name} is out of date: npm run build in page/`);
  same('page.html.gz', (path) => gunzipSync(readFileSync(path)).toString()); // other versions of zlib compress otherwise
  same('policy.txt');
  same('licences.txt');
});

test('the sources have no type errors', () => {
  execFileSync(process.execPath, [join(page, 'node_modules/typescript/bin/tsc'), '--noEmit', '-p', page], { encoding: 'utf8' });
});

test('characters that are cut into tokens come out whole', async () => {
  const { ReplyReader } = await modules("export { ReplyReader } from './api/reply.ts'");
  const reader = new ReplyReader();
  const bytes = [...Buffer.from('ü')];
  const entry = (byte) => ({ token: '\ufffd', logprob: -1, bytes: [byte], top_logprobs: [] });
  const token = { token: '\ufffd', reasoning: false, step: 0, depth: 0, source: 'target', probability: null };
  reader.take({
    choices: [{
      delta: { content: 'ü' },
      logprobs: { content: bytes.map(entry) },
      speculation: { tokens: [token, token], steps: [{ step: 0, draft_ms: 0, verify_ms: 1, commit_ms: 0, tree: [] }] },
    }],
  });
  assert.deepEqual(reader.trace.tokens.map((one) => one.text), ['', 'ü']);
  assert.equal(reader.content, 'ü');
});

test('events are read whole, however they are cut', async () => {
  const { events } = await modules("export { events } from './api/events.ts'");
  const bytes = Buffer.from('data: {"a":"ü"}\n\n: comment\n\ndata: [DONE]\n\n');
  for (let size = 1; size < bytes.length; ++size) {
    const body = new ReadableStream({
      start(controller) {
        for (let at = 0; at < bytes.length; at += size) controller.enqueue(new Uint8Array(bytes.subarray(at, at + size)));
        controller.close();
      },
    });
    const read = [];
    for await (const data of events(body)) read.push(data);
    assert.deepEqual(read, ['{"a":"ü"}', '[DONE]']);
  }
});

test('branches', async () => {
  const { pathTo, siblingsOf, newestLeaf } = await modules("export * from './data/tree.ts'");
  const list = [['a', null], ['b', 'a'], ['c', 'a'], ['d', 'c'], ['e', 'b']].map(([id, parent], created) => ({ id, parent, role: 'user', created }));
  const messages = new Map(list.map((message) => [message.id, message]));
  const ids = (found) => found.map((message) => message.id).join('');
  assert.equal(ids(pathTo(messages, 'd')), 'acd');
  assert.equal(ids(siblingsOf(messages, messages.get('b'))), 'bc');
  assert.equal(newestLeaf(messages, 'a'), 'd');
  assert.equal(newestLeaf(messages, 'b'), 'e');
});

test('an export is imported as it was, under new names', async () => {
  const { exportText, importText } = await modules("export * from './data/transfer.ts'");
  const { defaultParams } = await modules("export * from './data/types.ts'");
  const params = { ...defaultParams, temperature: 0.5, stop: 'x' };
  const conversations = [{ id: 'c', title: 'T', created: 1, updated: 2, leaf: 'm2', system: 's', tools: '[]', params }];
  const messages = [
    { id: 'm1', conversation: 'c', parent: null, role: 'user', created: 1, content: 'q', files: [{ name: 'f', text: 't' }] },
    { id: 'm2', conversation: 'c', parent: 'm1', role: 'assistant', created: 2, content: 'a', reasoning: 'r', status: 'done' },
  ];
  const read = importText(exportText({ conversations, messages }));
  const renamed = (text) => JSON.parse(JSON.stringify(text).replaceAll(read.conversations[0].id, 'c').replaceAll(read.messages[0].id, 'm1').replaceAll(read.messages[1].id, 'm2'));
  assert.deepEqual(renamed(read.conversations), conversations);
  const sorted = (message) => Object.fromEntries(Object.entries(message).sort());
  assert.deepEqual(renamed(read.messages).map(sorted), messages.map(sorted));
  assert.notEqual(read.conversations[0].id, 'c');
  for (const bad of ['', '[]', '{}', '{"format":"foretoken-conversations","conversations":[]}']) assert.throws(() => importText(bad));
});

test('figures by depth', async () => {
  const { byDepth, speed, times } = await modules("export * from './data/figures.ts'");
  const node = (depth, accepted) => ({ token: 't', parent: depth - 2, depth, probability: 0.5, source: 'model', accepted });
  const steps = [
    { draft: 0, verify: 9, commit: 0, tree: [], tokens: 1 },
    { draft: 1, verify: 2, commit: 1, tree: [node(1, true), node(2, true), node(3, false)], tokens: 3 },
    { draft: 1, verify: 2, commit: 1, tree: [node(1, false), node(1, false)], tokens: 1 },
  ];
  assert.deepEqual(byDepth(steps), [{ drafted: 2, accepted: 1 }, { drafted: 1, accepted: 1 }, { drafted: 1, accepted: 0 }]);
  assert.deepEqual(times(steps), { draft: 2, verify: 4, commit: 2 });
  const figures = speed({ steps, tokens: Array(5).fill({}) });
  assert.equal(figures.perStep, 2);
  assert.equal(figures.perSecond, 500);
});
