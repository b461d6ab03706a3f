// Calls of tools.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bench } from './bench.mjs';

test('calls are cards, and typed results are sent', async () => {
  const open = await bench.all.open();
  const { page } = open;
  await open.ask('script:tools');
  const cards = page.locator('.tool');
  assert.equal(await cards.count(), 2);
  assert.equal(await cards.first().locator('h3').innerText(), 'get_weather');
  assert.deepEqual(JSON.parse(await cards.first().getByLabel('Arguments').innerText()), { city: 'Rome' });
  await cards.nth(0).locator('textarea').fill('sunny');
  await cards.nth(1).locator('textarea').fill('12:00');
  await page.getByRole('button', { name: 'Send results' }).click();
  await page.locator('.reply').nth(1).waitFor();
  await open.whole();
  assert.equal(await open.lastText(), 'The tools said: sunny and 12:00.');
  const { messages } = bench.all.scripted.state.requests.at(-1);
  assert.deepEqual(messages.slice(-3), [
    {
      role: 'assistant',
      content: 'I look it up.',
      tool_calls: [
        { id: 'call_1', type: 'function', function: { name: 'get_weather', arguments: '{"city": "Rome"}' } },
        { id: 'call_2', type: 'function', function: { name: 'get_time', arguments: '{"zone": "CET"}' } },
      ],
    },
    { role: 'tool', tool_call_id: 'call_1', content: 'sunny' },
    { role: 'tool', tool_call_id: 'call_2', content: '12:00' },
  ]);
  assert.match(await cards.first().innerText(), /sunny/);
  assert.equal(await page.locator('.tool textarea').count(), 0);
  await open.close();
});

test('tools that are not JSON are said and not sent', async () => {
  const open = await bench.all.open();
  const { page } = open;
  await page.click('[title^="System prompt"]');
  await page.getByRole('textbox', { name: /^Tools/ }).fill('[{');
  await page.getByText('This is not JSON').waitFor();
  await page.getByRole('textbox', { name: /^Tools/ }).fill('{}');
  await page.getByText('The tools are a JSON array').waitFor();
  await page.keyboard.press('Escape');
  await open.ask('What is 12+30?');
  assert.equal('tools' in bench.all.scripted.state.requests.at(-1), false);
  await open.close();
});
