// Whatever a model says stays text.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bench } from './bench.mjs';

test('hostile Markdown and HTML do nothing', async () => {
  const open = await bench.all.open(); // close() fails if anything was asked of another host
  const { page } = open;
  await open.ask('script:hostile');
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  const text = page.locator('.reply .md');
  for (const tag of ['script', 'img', 'iframe', 'style', 'form', 'svg', 'object', 'embed', 'link', 'meta']) {
    assert.equal(await text.locator(tag).count(), 0, tag);
  }
  const attributes = await text.evaluate((root) =>
    [...root.querySelectorAll('*')].flatMap((element) => [...element.attributes].map(({ name, value }) => `${name}=${value}`)),
  );
  const bad = attributes.filter((one) => /^on|^(id|name|src|srcdoc|action|formaction)=|^[\w:-]*href=(?!https?:)/i.test(one));
  assert.deepEqual(bad, []);
  assert.equal(await text.locator('a[href]').count(), 2); // the image as a link, and the good link
  assert.equal(await text.locator('a[href]').last().getAttribute('rel'), 'noopener noreferrer nofollow');
  assert.equal(await page.locator('#app').count(), 1);
  // The same in the view of tokens, and in the panel beside it.
  await page.click('.glass-switch');
  await page.locator('.reply > .tokens').waitFor();
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  await open.close();
});

test('a hostile system prompt, title, file and tool stay text', async () => {
  const open = await bench.all.open();
  const { page } = open;
  const evil = '<img src=x onerror="window.hacked=1">';
  await open.ask(`script:say ${evil}`);
  assert.match(await page.locator('h1.title').innerText(), /<img/);
  assert.match(await page.locator('.bubble').innerText(), /<img/);
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  await open.close();
});

for (const kind of ['word', 'quotes', 'stars', 'brackets']) {
  test(`the page stays responsive with a reply of one huge piece: ${kind}`, async () => {
    const open = await bench.all.open();
    const { page } = open;
    const begun = Date.now();
    await open.ask(`script:huge ${kind}`);
    await page.click('[title^="System prompt"]');
    await page.getByRole('dialog').waitFor();
    const spent = Date.now() - begun;
    assert.ok(spent < 8000, `${spent} ms`);
    await open.close();
  });
}

test('an import cannot bring code in', async () => {
  const open = await bench.all.open();
  const { page } = open;
  const evil = '<script>window.hacked=1</script>[x](javascript:window.hacked=2)';
  const file = {
    format: 'foretoken-conversations',
    version: 1,
    conversations: [{ id: 'a', title: evil, leaf: 'n', system: 5, params: { temperature: 'hot', __proto__: { x: 1 } }, tools: [] }],
    messages: [
      { id: 'm', conversation: 'a', parent: 'n', role: 'user', content: evil }, // a circle
      { id: 'n', conversation: 'a', parent: 'm', role: 'assistant', content: evil, calls: [{ name: evil, arguments: evil }] },
    ],
  };
  const [chooser] = await Promise.all([page.waitForEvent('filechooser'), page.getByRole('button', { name: 'Import' }).click()]);
  await chooser.setFiles({ name: 'evil.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify(file)) });
  await page.locator('.entry-title').click();
  await page.locator('.reply').first().waitFor();
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  assert.equal(await open.count('.reply a[href^="javascript"]'), 0);
  await open.close();
});
