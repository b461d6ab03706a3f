// Runs a program from npm in a folder and a home of its own.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from '../support.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));

/** The tool server that knows what time it is in Hamburg. */
export const clockServer = path.join(here, 'clock.mjs');

/** An empty folder with a home beside it, until the test `t` ends. `files`: {name: text} to begin with. */
export async function workplace(t, files = {}) {
  const root = await mkdtemp(path.join(tmpdir(), 'foretoken-client-'));
  t.after(() => rm(root, { recursive: true, force: true, maxRetries: 10 }));
  const folder = path.join(root, 'work');
  const home = path.join(root, 'home');
  for (const [name, text] of Object.entries({ 'work/README.md': '# Example\n', 'home/.keep': '', ...files })) {
    await mkdir(path.dirname(path.join(root, name)), { recursive: true });
    await writeFile(path.join(root, name), text);
  }
  return { folder, home };
}

/**
 * Runs `name` of node_modules/.bin with nothing but these arguments and variables; with `until`, until it has printed
 * what matches.
 */
export function runProgram({ folder, home }, name, args, variables = {}, until = undefined) {
  const seconds = 180;
  return new Promise((resolve) => {
    const child = execFile(
      path.join(here, 'node_modules/.bin', name),
      args,
      { cwd: folder, env: { PATH: process.env.PATH, HOME: home, ...variables }, timeout: 1000 * seconds, maxBuffer: 1 << 26 },
      (error, stdout, stderr) => resolve({ code: error ? (error.code ?? -1) : 0, stdout, stderr }),
    );
    child.stdin.end();
    let printed = '';
    const look = (more) => {
      printed += more;
      if (until?.test(printed)) child.kill();
    };
    child.stdout.on('data', look);
    child.stderr.on('data', look);
  });
}

/** The JSON values of a text's lines; other lines are left out. */
export function jsonLines(text) {
  return text.split('\n').flatMap((line) => {
    try {
      return [JSON.parse(line)];
    } catch {
      return [];
    }
  });
}

/**
 * What `attempt` returns first that is not empty, of a few. The programs let the model sample, on a prompt that names the
 * day and the folder: any one reply may lack what a test is about, and a test that hung on one would fail by chance.
 */
export async function sampled(what, attempt, tries = 20) {
  for (let i = 0; i < tries; ++i) {
    const found = await attempt();
    if (found) return found;
  }
  assert.fail(`in ${tries} attempts, the model never ${what}`);
}

/**
 * The run of a program, by `start`, in which the model said something: `said(run)`, which checks what holds of every run,
 * has text. The nano model may end a reply within its reasoning; then the log of `server` must say that it did, since
 * text that was sent must be shown.
 */
export const answered = (server, start, said) =>
  sampled('said anything', async () => {
    const before = server.log().length;
    const run = await start();
    if (said(run)) return run;
    const silent = / stop prompt=\d+ cached=\d+ completion=(\d+) reasoning=\1 /;
    await eventually(() => silent.test(server.log().slice(before)), `a reply without text, as shown: ${run.stdout}`);
    return undefined;
  });
