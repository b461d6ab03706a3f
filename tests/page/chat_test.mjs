// The chat against the live server.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { temporary } from './harness.mjs';
import { bench } from './bench.mjs';

const ITALY = 'What is the capital of Italy?';

test('a message is answered, with the reasoning folded', async () => {
  const open = await bench.all.open(undefined, bench.all.live.url);
  await open.set('Temperature', '0');
  await open.ask(ITALY);
  assert.equal(await open.lastText(), 'The capital of Italy is Rome.');
  const reasoning = open.page.locator('.reasoning');
  assert.match(await reasoning.locator('summary').innerText(), /^Thought (briefly|for [\d.]+ s)$/);
  assert.equal(await reasoning.locator('.md').count(), 0);
  await reasoning.locator('summary').click();
  assert.match(await reasoning.locator('.md').innerText(), /Rome/);
  assert.match(await open.page.locator('.figures').innerText(), /\d+ tokens · [\d.]+ a step · [\d,.]+ tokens\/s/);
  assert.equal(await open.page.title(), `${ITALY} · Foretoken`);
  assert.equal(await open.page.locator('h1.title').innerText(), ITALY);
  await open.close();
});

test('thinking can be switched off', async () => {
  const open = await bench.all.open(undefined, bench.all.live.url);
  await open.set('Temperature', '0');
  await open.page.selectOption('.select select', 'off');
  await open.ask(ITALY);
  assert.equal(await open.count('.reasoning'), 0);
  assert.match(await open.lastText(), /./);
  await open.close();
});

test('the live server takes every thinking mode, tools, a system prompt and all parameters', async () => {
  const open = await bench.all.open();
  const { page } = open;
  await page.click('[title^="System prompt"]');
  await page.getByRole('textbox', { name: 'System prompt' }).fill('You are terse.');
  await page.getByRole('button', { name: 'Take the example' }).click();
  const values = {
    Temperature: '0.7', 'Top p': '0.9', 'Top k': '40', 'Min p': '0.01', 'Presence penalty': '0.1',
    'Frequency penalty': '0.1', 'Repetition penalty': '1.1', 'Longest reply': '40', Seed: '7', 'Rows a step': '6',
  };
  for (const [label, value] of Object.entries(values)) {
    await page.getByLabel(label, { exact: false }).first().fill(value);
    await page.keyboard.press('Tab');
  }
  await page.getByLabel('Stop at').fill('STOP\nEND');
  await page.getByLabel('Shape of drafts').selectOption('chain');
  await page.keyboard.press('Escape');
  for (const mode of ['default', 'off', 'high', 'max']) {
    await page.selectOption('.select select', mode);
    await open.ask('What is 12+30?');
    assert.equal(await open.count('.failure'), 0);
  }
  const sent = bench.all.scripted.state.requests.at(-1);
  assert.equal(sent.messages[0].content, 'You are terse.');
  assert.equal(sent.tools[0].function.name, 'get_weather');
  assert.equal(sent.reasoning_effort, 'max');
  for (const [name, value] of Object.entries({
    temperature: 0.7, top_p: 0.9, top_k: 40, min_p: 0.01, presence_penalty: 0.1, frequency_penalty: 0.1,
    repetition_penalty: 1.1, max_tokens: 40, seed: 7,
  })) assert.equal(sent[name], value, name);
  assert.deepEqual(sent.stop, ['STOP', 'END']);
  assert.deepEqual(sent.speculation, { enabled: true, tree: 'chain', max_nodes: 6 });
  await open.close();
});

test('a reply streams, and stops when asked', async () => {
  const open = await bench.all.open();
  await open.type('script:slow');
  const text = open.page.locator('.reply .md').last();
  await text.waitFor();
  const early = (await text.innerText()).length;
  await open.page.waitForFunction((length) => document.querySelector('.reply .md').innerText.length > length, early + 20);
  await open.page.click('.send.stop');
  await open.whole();
  const stopped = await open.lastText();
  await open.page.waitForTimeout(300);
  assert.equal(await open.lastText(), stopped);
  assert.ok(stopped.length < 1000, 'it was stopped in time');
  // The server is told, too: the request is gone.
  assert.equal(await open.page.getByRole('button', { name: 'Continue' }).count(), 1);
  await open.close();
});

test('replies of two conversations are written side by side', async () => {
  const open = await bench.all.open();
  const { page } = open;
  await open.type('script:slow one slow reply '.padEnd(1600, 'and on '));
  await page.locator('.reply .md').waitFor();
  await page.getByRole('button', { name: 'New chat' }).click();
  await open.ask('script:say quick');
  assert.equal(await open.lastText(), 'quick');
  assert.equal(await open.count('.entry .writing'), 1);
  await page.locator('.entry-title').filter({ hasText: 'slow' }).click();
  await page.locator('.reply.running').waitFor();
  await open.whole();
  assert.match(await open.lastText(), /^one slow reply and on .*/s);
  assert.equal(await open.count('.entry .writing'), 0);
  await open.close();
});

test('the end of a reply stays in view, unless one scrolls up', async () => {
  const open = await bench.all.open();
  const { page } = open;
  const distance = () => page.locator('.thread').evaluate((box) => box.scrollHeight - box.scrollTop - box.clientHeight);
  await open.ask('script:long 1500 0');
  await page.waitForTimeout(200);
  assert.ok((await distance()) < 2, `${await distance()} pixels from the end`);
  await open.type('script:long 3000 1');
  await page.waitForTimeout(500);
  await page.locator('.thread').hover();
  await page.mouse.wheel(0, -600);
  await page.waitForTimeout(300);
  const top = await page.locator('.thread').evaluate((box) => box.scrollTop);
  await page.waitForTimeout(500);
  assert.equal(await page.locator('.thread').evaluate((box) => box.scrollTop), top);
  await page.getByRole('button', { name: 'To the latest' }).click();
  await open.whole();
  await page.waitForTimeout(200);
  assert.ok((await distance()) < 2, `${await distance()} pixels from the end`);
  await open.close();
});

// What the page has begun to write is in the browser's store: a later transaction waits for earlier ones.
const written = (page) =>
  page.evaluate(
    () =>
      new Promise((done, fail) => {
        const opening = indexedDB.open('foretoken');
        opening.onerror = fail;
        opening.onsuccess = () => {
          const transaction = opening.result.transaction(['conversations', 'messages'], 'readonly');
          transaction.objectStore('conversations').count();
          transaction.objectStore('messages').count();
          transaction.onerror = fail;
          transaction.oncomplete = () => {
            opening.result.close();
            done();
          };
        };
      }),
  );

test('regenerating and editing make branches, and a reload finds them', async () => {
  const open = await bench.all.open();
  const { page } = open;
  await open.ask('script:say first');
  await page.getByRole('button', { name: 'Regenerate' }).click();
  await page.locator('.reply .branches').waitFor();
  await open.whole();
  assert.match(await page.locator('.reply .branches').innerText(), /2 \/ 2/);

  await page.locator('.question').hover();
  await page.getByRole('button', { name: 'Edit and resend' }).click();
  await page.locator('.edit textarea').fill('script:say second');
  await page.getByRole('button', { name: 'Send as a new branch' }).click();
  await page.locator('.question .branches').waitFor();
  await open.whole();
  assert.equal(await open.lastText(), 'second');
  await open.ask('script:say deeper');

  await page.locator('.question .branches').getByRole('button', { name: 'Previous branch' }).click();
  await page.waitForFunction(() => document.querySelector('.question .bubble').innerText === 'script:say first');
  assert.equal(await open.lastText(), 'first');
  await page.locator('.question .branches').getByRole('button', { name: 'Next branch' }).click();
  await page.waitForFunction(() => document.querySelectorAll('.question').length === 2);
  assert.equal(await open.lastText(), 'deeper');

  await written(page);
  await page.reload();
  await open.ready();
  await page.locator('.reply').nth(1).waitFor();
  assert.equal(await open.lastText(), 'deeper');
  assert.match(await page.locator('.question .branches').first().innerText(), /2 \/ 2/);
  await open.close();
});

test('conversations are listed, found, renamed, exported, deleted and imported', async () => {
  const open = await bench.all.open();
  const { page } = open;
  await open.ask('script:say a walrus sings');
  await page.getByRole('button', { name: 'New chat' }).click();
  await open.ask('script:say a lantern burns');
  const titles = () => page.locator('.entry-title').allInnerTexts();
  assert.deepEqual(await titles(), ['script:say a lantern burns', 'script:say a walrus sings']);

  await page.fill('#search', 'walrus sings');
  await page.waitForFunction(() => document.querySelectorAll('.entry').length === 1);
  await page.locator('.entry-title').click();
  await page.waitForFunction(() => document.querySelector('.reply .md')?.innerText === 'a walrus sings');
  await page.fill('#search', '');
  await page.waitForFunction(() => document.querySelectorAll('.entry').length === 2);

  await page.getByRole('button', { name: 'More for script:say a walrus sings' }).click();
  await page.getByRole('button', { name: 'Rename' }).click();
  await page.getByLabel('Title').fill('The walrus');
  await page.getByLabel('Title').press('Enter');
  assert.equal(await page.locator('h1.title').innerText(), 'The walrus');

  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Export', exact: true }).click(),
  ]);
  const file = temporary('chats.json');
  await download.saveAs(file);
  const exported = JSON.parse(readFileSync(file, 'utf8'));
  assert.equal(exported.conversations.length, 2);
  assert.equal(exported.messages.length, 4);

  await page.getByRole('button', { name: 'More for The walrus' }).click();
  await page.getByRole('button', { name: 'Delete' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await page.waitForFunction(() => document.querySelectorAll('.entry').length === 1);
  assert.equal(await open.count('.reply'), 0);

  const choose = async (path) => {
    const [chooser] = await Promise.all([page.waitForEvent('filechooser'), page.getByRole('button', { name: 'Import' }).click()]);
    await chooser.setFiles(path);
  };
  await choose(file);
  await page.waitForFunction(() => document.querySelectorAll('.entry').length === 3);
  await page.getByRole('button', { name: 'The walrus', exact: true }).click();
  await page.waitForFunction(() => document.querySelector('.reply .md')?.innerText === 'a walrus sings');

  writeFileSync(file, '{"format": "something else"}');
  await choose(file);
  await page.getByText('Not imported: the file is not an export of this page.').waitFor();
  await open.close();
});

test('text files are attached and sent, others are refused', async () => {
  const open = await bench.all.open();
  const { page } = open;
  const drop = (name, bytes) =>
    page.evaluate(
      ([name, bytes]) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(bytes)], name));
        document.querySelector('main').dispatchEvent(new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer: transfer }));
      },
      [name, [...bytes]],
    );
  await drop('picture.png', [0x89, 0x50, 0, 0xff]);
  await page.getByText('picture.png is not a text file.').waitFor();
  await drop('notes.txt', Buffer.from('four ```` ticks'));
  await page.locator('.attached li').waitFor();
  await open.ask('What do the notes say?');
  const { content } = bench.all.scripted.state.requests.at(-1).messages.at(-1);
  assert.equal(content, 'File notes.txt:\n`````\nfour ```` ticks\n`````\n\nWhat do the notes say?');
  assert.equal(await page.locator('.question .file summary').innerText(), 'notes.txt');
  await open.close();
});

test('code and replies are copied', async () => {
  const open = await bench.all.open();
  const { page } = open;
  await open.ask('script:markdown');
  await page.getByRole('button', { name: 'Copy code' }).click();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^def expected_tokens/);
  await page.getByRole('button', { name: 'Copy reply' }).click();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /## How much it gains/);
  await open.close();
});
