// What goes wrong, and what makes one wait.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { desktop, liveServer, liveServerAt } from './harness.mjs';
import { bench } from './bench.mjs';
import { sleep } from './scripted_server.mjs';

test('an error in the stream keeps what came and can be tried again', async () => {
  const open = await bench.all.open();
  await open.ask('script:error');
  assert.match(await open.page.locator('.failure').innerText(), /The server failed\s+the engine stumbled/);
  assert.equal(await open.lastText(), 'This begins well');
  await open.close();
});

test('a connection that breaks off is continued', async () => {
  const open = await bench.all.open();
  await open.ask('script:drop');
  assert.match(await open.page.locator('.failure').innerText(), /The connection broke off/);
  await open.page.locator('.failure').getByRole('button', { name: 'Continue' }).click();
  await open.page.waitForFunction(() => document.querySelector('.reply .md')?.innerText === 'This is cut and is continued.');
  assert.equal(await open.count('.failure'), 0);
  const { messages } = bench.all.scripted.state.requests.at(-1);
  assert.deepEqual(messages.at(-1), { role: 'assistant', content: 'This is cut', prefix: true });
  await open.close();
});

test('a server that dies is noticed, and again when it is back', async () => {
  const live = await liveServer();
  const open = await bench.all.open(undefined, live.url);
  await open.set('Temperature', '0');
  await live.kill();
  await open.type('Are you there?');
  await open.page.locator('.failure').waitFor();
  assert.match(await open.page.locator('.failure').innerText(), /The server cannot be reached/);
  await open.page.locator('.banner.bad').waitFor();
  assert.match(await open.page.locator('.banner').innerText(), /cannot be reached/);
  const again = await liveServerAt(new URL(live.url).port);
  await open.ready();
  assert.equal(await open.count('.banner'), 0);
  await open.page.getByRole('button', { name: 'Try again' }).click();
  await open.page.waitForFunction(() => document.querySelectorAll('.reply:not(.running) .md').length === 1);
  await again.kill();
  await open.close();
});

test('a server that dies within a reply leaves what had come', async () => {
  const live = await liveServer();
  const open = await bench.all.open(undefined, live.url);
  const { page } = open;
  await open.set('Longest reply', '8000');
  await open.type('Tell me a long story about a red fox.');
  await page.locator('.reasoning, .reply .md').first().waitFor();
  await live.kill();
  await open.whole();
  assert.ok((await open.count('.failure')) === 1 || (await open.lastText()).length > 0);
  await open.close();
});

test('a model that loads is waited for', async () => {
  const { state } = bench.all.scripted;
  state.health = { status: 'loading', progress: 0.42 };
  const open = await bench.all.open({ ...desktop, waits: false });
  await open.page.locator('.banner progress').waitFor();
  assert.match(await open.page.locator('.banner').innerText(), /The model is loading\s+42 %/);
  await open.page.fill('#message', 'hello');
  assert.equal(await open.page.locator('.send').isDisabled(), true);
  state.health = { status: 'failed' };
  await open.page.getByText("The server's engine has failed.").waitFor();
  state.health = null;
  await open.ready();
  assert.equal(await open.count('.banner'), 0);
  assert.equal(await open.page.locator('.send').isDisabled(), false);
  await open.close();
});

test('a full queue is said, and the next try is taken', async () => {
  const open = await bench.all.open();
  await open.ask('script:busy');
  assert.match(await open.page.locator('.failure').innerText(), /The server is busy\s+the queue is full: 64 requests wait/);
  await open.page.getByRole('button', { name: 'Try again' }).click();
  await open.page.waitForFunction(() => document.querySelector('.reply:not(.running) .md')?.innerText === 'Now there was room.');
  await open.close();
});

test('a place in the queue is shown', async () => {
  const open = await bench.all.open();
  await open.type('script:queue');
  await open.page.getByText('Waiting in line, 3 in the queue').waitFor();
  await open.whole();
  assert.equal(await open.lastText(), 'At last.');
  await open.close();
});

test('a reply that was cut is continued', async () => {
  const open = await bench.all.open();
  await open.ask('script:length');
  assert.equal(await open.count('.note'), 1);
  await open.page.getByRole('button', { name: 'Continue this reply' }).or(open.page.getByRole('button', { name: 'Continue' })).click();
  await open.page.waitForFunction(() => document.querySelector('.reply:not(.running) .md')?.innerText === 'one two three');
  assert.equal(await open.count('.note'), 0);
  await open.close();
});

test('a context that is nearly full is said', async () => {
  const open = await bench.all.open();
  await open.ask('script:context');
  assert.match(await open.page.locator('.context.full').innerText(), /nearly full: 7,900 of 8,192 tokens/);
  await open.close();
});

test('a prompt that does not fit is refused in words', async () => {
  const open = await bench.all.open();
  await open.ask('fox '.repeat(12_000));
  assert.match(await open.page.locator('.failure').innerText(), /The server does not take this request[\s\S]*8192/);
  await open.close();
});

test('a page that is closed within a reply finds what had come', async () => {
  const open = await bench.all.open();
  await open.type('script:slow');
  await open.page.locator('.reply .md').waitFor();
  await sleep(1300);
  await open.page.reload();
  await open.ready();
  await open.page.locator('.failure').waitFor();
  assert.match(await open.page.locator('.failure').innerText(), /The page was closed/);
  assert.match(await open.lastText(), /^one two/);
  await open.close();
});

test('a key is asked for, and kept', async () => {
  const live = await liveServer('--api-key', 'sesame');
  const open = await bench.all.open({ waits: false }, live.url);
  const { page } = open;
  await page.getByLabel('This server wants a key:').fill('wrong');
  await page.keyboard.press('Enter');
  await page.getByLabel('The server does not know this key.').fill('sesame');
  await page.keyboard.press('Enter');
  await open.ready();
  await open.ask('What is the capital of Italy?');
  assert.equal(await open.count('.failure'), 0);
  await page.reload();
  await open.ready();
  await live.kill();
  await open.close();
});
