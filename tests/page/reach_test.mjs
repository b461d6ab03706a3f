// Who can use it, and where: keyboard, screen readers, small screens, dark, without motion.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { desktop, phone } from './harness.mjs';
import { bench } from './bench.mjs';

const axe = readFileSync(new URL('../../page/node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');

// Serious and critical findings.
async function findings(open, what) {
  // The page's policy admits no script of ours: the debugger's way in is not held to it.
  const session = await open.context.newCDPSession(open.page);
  const evaluate = async (expression) => {
    const { result, exceptionDetails } = await session.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails));
    return result.value;
  };
  await evaluate(`${axe}; undefined`);
  const found = await evaluate('axe.run({resultTypes: ["violations"]}).then((r) => r.violations.map((v) => ({id: v.id, impact: v.impact, nodes: v.nodes.map((n) => n.html.slice(0, 160) + " | " + n.failureSummary)})))');
  await session.detach();
  return found.filter((one) => one.impact === 'serious' || one.impact === 'critical').map((one) => `${what}: ${one.id}: ${one.nodes.join('; ')}`);
}

for (const scheme of ['light', 'dark']) {
  for (const [name, size] of Object.entries({ desktop, phone })) {
    test(`axe finds nothing serious: ${name}, ${scheme}`, async () => {
      const open = await bench.all.open({ ...size, colorScheme: scheme, reducedMotion: 'reduce' });
      const { page } = open;
      const found = [...(await findings(open, 'empty'))];
      await open.ask('script:markdown');
      await page.locator('.reasoning summary').click();
      found.push(...(await findings(open, 'reply')));
      await page.click('.glass-switch');
      await page.locator('.reply > .tokens').waitFor();
      await page.locator('.reply > .tokens').focus();
      await page.keyboard.press('Home');
      found.push(...(await findings(open, 'glass box')));
      await page.getByRole('button', { name: 'Close the glass box' }).click();
      await open.ask('script:tools');
      await open.ask('script:error');
      found.push(...(await findings(open, 'tools and error')));
      await page.click('[title^="System prompt"]');
      found.push(...(await findings(open, 'settings')));
      await page.keyboard.press('Escape');
      await page.evaluate(() => document.activeElement.blur());
      await page.keyboard.press('?');
      found.push(...(await findings(open, 'shortcuts')));
      await page.keyboard.press('Escape');
      await page.keyboard.press('Control+k');
      await page.getByRole('button', { name: /^More for/ }).first().click();
      found.push(...(await findings(open, 'menu')));
      assert.deepEqual(found, []);
      await open.close();
    });
  }
}

test('everything works by keyboard alone', async () => {
  const open = await bench.all.open();
  const { page } = open;
  const focused = () => page.evaluate(() => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent);
  const tabTo = async (name) => {
    for (let i = 0; i < 60; ++i) {
      if ((await focused()) === name) return;
      await page.keyboard.press('Tab');
    }
    assert.fail(`Tab does not reach ${name}`);
  };
  assert.equal(await focused(), 'Message'); // ready to type
  await page.keyboard.type('script:say hello');
  await page.keyboard.press('Shift+Enter');
  await page.keyboard.type('line two');
  await page.keyboard.press('Enter');
  await page.locator('.reply .md').waitFor();
  await open.whole();
  assert.equal(await open.lastText(), 'hello line two');

  await tabTo('Regenerate');
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assert.equal(outline, 'solid'); // the focus is seen
  await page.keyboard.press('Enter');
  await page.locator('.reply .branches').waitFor();
  await open.whole();
  await tabTo('Previous branch');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => /1 \/ 2/.test(document.querySelector('.reply .branches').innerText));

  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor();
  await page.keyboard.press('Escape');
  await page.keyboard.press('g');
  await page.locator('.glass').waitFor();
  await page.keyboard.press('g');
  await page.waitForFunction(() => !document.querySelector('.glass'));
  await page.keyboard.press('s');
  await page.getByRole('dialog', { name: 'This conversation' }).waitFor();
  await page.keyboard.press('Escape');
  await page.keyboard.press('Control+k');
  await page.waitForFunction(() => document.activeElement.id === 'search');
  await page.keyboard.press('Control+Shift+O');
  await page.waitForFunction(() => document.querySelector('h1.title').innerText === 'New chat');
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press('/');
  await page.waitForFunction(() => document.activeElement.id === 'message');
  await page.keyboard.type('script:slow');
  await page.keyboard.press('Enter');
  await page.locator('.reply .md').waitFor();
  await page.keyboard.press('Escape');
  await open.whole();
  await open.close();
});

test('a phone shows everything in its width', async () => {
  const open = await bench.all.open(phone);
  const { page } = open;
  const wide = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.equal(await page.locator('.sidebar').isVisible(), false);
  await open.ask('script:markdown');
  assert.equal(await wide(), 0);
  await page.click('.glass-switch');
  await page.locator('.glass').waitFor();
  assert.equal(await wide(), 0);
  await page.getByRole('button', { name: 'Close the glass box' }).click();
  await page.getByRole('button', { name: 'Show the list of conversations' }).click();
  await page.locator('.sidebar').waitFor();
  await page.locator('.entry-title').click();
  await page.waitForFunction(() => !document.querySelector('.sidebar.open'));
  await open.close();
});

test('dark follows the system', async () => {
  const colours = [];
  for (const colorScheme of ['light', 'dark']) {
    const open = await bench.all.open({ ...desktop, colorScheme });
    const [r, g, b] = await open.page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number));
    colours.push((r + g + b) / 3);
    await open.close();
  }
  assert.ok(colours[0] > 200 && colours[1] < 60, String(colours));
});

test('nothing moves where less motion is wanted', async () => {
  const open = await bench.all.open({ ...desktop, reducedMotion: 'reduce' });
  await open.type('script:slow');
  await open.page.locator('.reply').waitFor();
  const moving = await open.page.evaluate(() =>
    document.getAnimations().filter((animation) => animation.effect.getComputedTiming().endTime > 100).length,
  );
  assert.equal(moving, 0);
  await open.page.keyboard.press('Escape');
  await open.close();
});
