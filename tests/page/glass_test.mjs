// The glass box, on what the live server tells.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bench } from './bench.mjs';

const QUESTION = 'Write a Python function that returns the largest item of a list.';

async function asked() {
  const open = await bench.all.open(undefined, bench.all.live.url);
  await open.set('Seed', '1');
  await open.ask(QUESTION);
  await open.page.click('.glass-switch');
  await open.page.locator('.reply > .tokens .tok').last().waitFor();
  // Blocks of tokens out of sight are not laid out (content-visibility) and have no inner text.
  await open.page.locator('.reply > .tokens').scrollIntoViewIfNeeded();
  await open.page.waitForFunction(() => document.querySelector('.reply > .tokens').innerText !== '');
  return open;
}

test('tokens are tinted by how they came, and make up the text', async () => {
  const open = await asked();
  const { page } = open;
  const text = await page.locator('.reply > .tokens').innerText();
  await page.click('.glass-switch');
  const shown = await page.evaluate(async () => {
    const db = await new Promise((resolve) => (indexedDB.open('foretoken').onsuccess = (event) => resolve(event.target.result)));
    const all = await new Promise((resolve) => (db.transaction('messages').objectStore('messages').getAll().onsuccess = (event) => resolve(event.target.result)));
    return all.find((message) => message.role === 'assistant').content;
  });
  assert.equal(text.trim(), shown.trim());
  await page.click('.glass-switch');
  assert.ok((await open.count('.reply > .tokens .tok.model')) > 0, 'some were drafted');
  assert.ok((await open.count('.reply > .tokens .tok.own')) > 0, "some are the target's own");
  await open.close();
});

test('a token says its probability, alternatives, source, depth and step', async () => {
  const open = await asked();
  await open.page.locator('.reply > .tokens .tok.model').first().hover();
  const words = await open.page.locator('.tooltip').innerText();
  assert.match(words, /Drafted by DSpark at depth \d+, accepted/);
  assert.match(words, /Estimated before verification: [<>]?\d+ %/);
  assert.match(words, /Step \d+/);
  assert.equal(await open.count('.tooltip .alternatives tr'), 5);
  await open.close();
});

test('the tokens are reached by keyboard', async () => {
  const open = await asked();
  const { page } = open;
  await page.locator('.reply > .tokens').focus();
  await page.keyboard.press('Home');
  const first = await page.locator('.tooltip-token code').innerText();
  await page.keyboard.press('ArrowRight');
  assert.notEqual(await page.locator('.tooltip-token code').innerText(), first);
  await page.keyboard.press('Enter');
  assert.match(await page.locator('.step-head h3').innerText(), /^Step \d+/);
  await open.close();
});

test('figures agree with the server\'s own report', async () => {
  const open = await asked();
  const { page } = open;
  const report = await page.evaluate(async () => {
    const db = await new Promise((resolve) => (indexedDB.open('foretoken').onsuccess = (event) => resolve(event.target.result)));
    const all = await new Promise((resolve) => (db.transaction('messages').objectStore('messages').getAll().onsuccess = (event) => resolve(event.target.result)));
    return all.find((message) => message.role === 'assistant').report;
  });
  const rows = await page.locator('.depths tbody tr').evaluateAll((rows) =>
    rows.map((row) => /(\d+) of (\d+)/.exec(row.lastElementChild.innerText).slice(1).map(Number)),
  );
  // A step that only ended the reply shows no token, and is not in the list.
  const near = (a, b) => a === b || a === b - 1;
  rows.forEach(([accepted, drafted], i) => {
    assert.ok(near(accepted, report.accepted_per_position[i]), `depth ${i + 1}: ${accepted}`);
    assert.ok(near(drafted, report.drafted_per_position[i]), `depth ${i + 1}: ${drafted}`);
  });
  const steps = Number(await page.locator('.headline dd').nth(2).innerText());
  assert.ok(near(steps, report.num_spec_steps), `${steps} steps`);
  await open.close();
});

test('a step\'s tree shows what was kept and what fell away', async () => {
  const open = await asked();
  const { page } = open;
  await page.getByLabel('Step', { exact: true }).fill('2');
  const said = await page.locator('.glass section p.muted').filter({ hasText: 'drafted' }).innerText();
  const [, drafted, kept] = /(\d+) drafted, (\d+) kept/.exec(said).map(Number);
  assert.equal(await open.count('.tree .node.accepted'), kept);
  assert.equal(await open.count('.tree .node.rejected'), drafted - kept);
  assert.equal(await open.count('.tree .node.anchor'), 1);
  await open.close();
});

test('the same request without speculation gives the same text', async () => {
  const open = await asked();
  const { page } = open;
  await page.getByRole('button', { name: 'Run it' }).click();
  await page.locator('.verdict.good').waitFor();
  assert.match(await page.locator('.verdict').innerText(), /The same [\d,]+ characters/);
  const [left, right] = await page.locator('.hash code').allInnerTexts();
  assert.equal(left, right);
  const columns = await page.locator('.compare-column').allInnerTexts();
  assert.match(columns[1], /1\.00 tokens each/);
  assert.doesNotMatch(columns[0], / 1\.00 tokens each/);
  const texts = await page.locator('.compare-text').allInnerTexts();
  assert.equal(texts[0], texts[1]);
  await open.close();
});

test('how a reply came is still known after a reload', async () => {
  const open = await asked();
  const figures = await open.page.locator('.figures').innerText();
  await open.page.reload();
  await open.page.locator('.reply > .tokens').waitFor();
  assert.equal(await open.page.locator('.figures').innerText(), figures);
  await open.close();
});
