// node screenshots.mjs SERVER: the pictures of docs/page, with replies of the nano model.
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Bench, desktop, phone } from './harness.mjs';

const out = fileURLToPath(new URL('../../docs/page/', import.meta.url));
mkdirSync(out, { recursive: true });
const bench = await Bench.start();

const QUESTIONS = [
  'What is 39 kilometers in meters?',
  'Make a numbered list: grass, needle, wind',
  'Write a Python function that returns the largest item of a list.',
];

async function asked(options, questions) {
  const open = await bench.open({ deviceScaleFactor: 1.5, ...options }, bench.live.url);
  const { page } = open;
  await page.click('[title^="System prompt"]');
  await page.getByLabel('Temperature').fill('0');
  await page.getByLabel('Temperature').press('Tab');
  await page.keyboard.press('Escape');
  for (const earlier of options.earlier ?? []) {
    await open.ask(earlier);
    await page.keyboard.press('Control+Shift+O');
  }
  for (const question of questions) await open.ask(question);
  await page.mouse.move(700, 300);
  await page.waitForTimeout(300);
  return open;
}

const earlier = ['Which is heavier, a kilogram or a pound?', 'What day comes before Wednesday?', 'Is 81 even or odd?'];
const size = { ...desktop, viewport: { width: 1280, height: 800 } };
for (const colorScheme of ['light', 'dark']) {
  const open = await asked({ ...size, colorScheme, earlier }, QUESTIONS);
  await open.page.screenshot({ path: `${out}chat-${colorScheme}.png` });
  await open.close();
}

const glass = await asked({ ...desktop, deviceScaleFactor: 1.5, earlier }, ['Tell me a short story about a fox.']);
await glass.page.click('.glass-switch');
await glass.page.locator('.reply > .tokens').waitFor();
// A step in which something fell away, and something was kept.
const steps = Number(await glass.page.getByLabel('Step', { exact: true }).getAttribute('max'));
for (let step = 1; step < steps; ++step) {
  await glass.page.getByLabel('Step', { exact: true }).fill(String(step));
  const kept = await glass.count('.tree .accepted');
  const fell = await glass.count('.tree .node.rejected');
  if (kept > 2 && fell > 2) break;
}
await glass.page.locator('.reply > .tokens .tok.model').nth(8).hover();
await glass.page.waitForTimeout(200);
await glass.page.screenshot({ path: `${out}glass-box.png` });
await glass.page.getByRole('button', { name: 'Run it' }).click();
await glass.page.locator('.verdict.good').waitFor();
await glass.page.locator('.compare').scrollIntoViewIfNeeded();
await glass.page.locator('.glass-body').screenshot({ path: `${out}comparison.png` });
await glass.close();

const small = await asked({ ...phone, deviceScaleFactor: 2 }, QUESTIONS.slice(1));
await small.page.screenshot({ path: `${out}phone.png` });
await small.close();
await bench.stop();
