// The examples of docs/clients.md: each is a program, and the quoted line behind it is what it prints.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import test from 'node:test';
import { promisify } from 'node:util';
import { startServer } from './support.mjs';

test('the examples of the documents', async (t) => {
  const server = await startServer(t);
  const examples = [...(await readFile('clients.md', 'utf8')).matchAll(/```js\n(.*?)```\n\n> (.*?)\n/gs)];
  assert.ok(examples.length >= 5);
  for (const [, program, printed] of examples) {
    const [, name] = /from '(?!node:)(.*?)'/.exec(program);
    await t.test(name, async () => {
      assert.ok(program.includes('http://127.0.0.1:8000'));
      await writeFile('example.mjs', program.replaceAll('http://127.0.0.1:8000', server.url));
      const { stdout } = await promisify(execFile)('node', ['example.mjs']);
      assert.equal(stdout.trim(), printed);
    });
  }
});
