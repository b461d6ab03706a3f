// Runs a program from npm in a folder and a home of its own.
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

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
