// A live server, a scripted one in front of it, and a browser; what every test of the page starts from.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from '../../page/node_modules/playwright-core/index.mjs';
import { scriptedServer, sleep } from './scripted_server.mjs';

const [, , program] = process.argv;

export const phone = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
export const desktop = { viewport: { width: 1440, height: 900 } };

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

// The program itself, on the nano model with a context that a test can fill.
export async function liveServer(...flags) {
  return liveServerAt(await freePort(), ...flags);
}

export async function liveServerAt(port, ...flags) {
  const fixed = ['--port', String(port), '--context', '8192', '--log-level', 'error', '--state-dir', ''];
  const child = spawn(program, [...fixed, ...flags], { stdio: 'inherit' });
  const url = `http://127.0.0.1:${port}/`;
  for (let i = 0; i < 600; ++i) {
    if (child.exitCode !== null) throw new Error('the server ended');
    const answer = await fetch(`${url}health`).catch(() => null);
    if (answer?.ok) break;
    await sleep(50);
  }
  return {
    url,
    async kill() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

export function browserPath() {
  return ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
}

export async function openBrowser() {
  return chromium.launch({
    executablePath: browserPath(),
    headless: true,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync',
    ],
  });
}

export class Bench {
  static async start() {
    const bench = new Bench();
    bench.live = await liveServer('--tree-nodes', '8'); // else the machine decides whether drafting pays
    bench.scripted = await scriptedServer(bench.live.url);
    bench.browser = await openBrowser();
    return bench;
  }
  async stop() {
    await this.browser.close();
    await this.scripted.close();
    await this.live.kill();
  }
  // A page of a fresh profile. `close` fails if anything went to another host, broke the policy or threw.
  async open(options = desktop, url = this.scripted.url) {
    const context = await this.browser.newContext({ acceptDownloads: true, permissions: ['clipboard-read', 'clipboard-write'], ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(10_000);
    const wrong = [];
    const own = new URL(url).origin;
    page.on('request', (request) => {
      if (!/^(data|blob):/.test(request.url()) && new URL(request.url()).origin !== own) wrong.push(`asked ${request.url()}`);
    });
    page.on('pageerror', (error) => wrong.push(`threw ${error.stack}`));
    page.on('console', (message) => {
      if (/Content Security Policy|Trusted Type/i.test(message.text())) wrong.push(message.text());
    });
    await page.goto(url);
    const opened = new OpenPage(page, context, wrong);
    if (options.waits !== false) await opened.ready();
    return opened;
  }
}

export class OpenPage {
  constructor(page, context, wrong) {
    Object.assign(this, { page, context, wrong });
  }
  ready() {
    return this.page.waitForSelector('.server.ok');
  }
  async close() {
    await this.context.close();
    assert.deepEqual(this.wrong, []);
  }
  async type(text) {
    await this.page.fill('#message', text);
    await this.page.press('#message', 'Enter');
  }
  // Sends, and waits for the whole reply.
  async ask(text) {
    const before = await this.page.locator('.reply').count();
    await this.type(text);
    await this.page.locator('.reply').nth(before).waitFor();
    await this.whole();
  }
  // What requests say of `label`: a reply that a test hangs on is greedy or has a seed.
  async set(label, value) {
    await this.page.click('[title^="System prompt"]');
    await this.page.getByLabel(label).fill(value);
    await this.page.getByLabel(label).press('Tab');
    await this.page.keyboard.press('Escape');
  }
  whole() {
    return this.page.waitForFunction(() => !document.querySelector('.reply.running'), null, { timeout: 30_000 });
  }
  // The text of the last reply, without its reasoning.
  lastText() {
    return this.page.locator('.reply').last().locator('> .md').innerText();
  }
  count(selector) {
    return this.page.locator(selector).count();
  }
}

export function temporary(name) {
  return join(mkdtempSync(join(tmpdir(), 'foretoken-page-')), name);
}
