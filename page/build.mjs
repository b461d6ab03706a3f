// Bundles src/ into dist/page.html.gz, one file that needs no other, and writes the policy that it is served with.
// node build.mjs [FOLDER]: into another folder than dist.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { licences } from './licences.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2] ?? join(here, 'dist'));
const WEIGHT_MAX = 400_000;

const result = await build({
  absWorkingDir: here,
  entryPoints: ['src/main.tsx'],
  bundle: true,
  minify: true,
  charset: 'utf8',
  legalComments: 'none', // dist/licences.txt has them
  target: ['chrome111', 'firefox115', 'safari16.4'],
  jsx: 'automatic',
  jsxImportSource: 'preact',
  loader: { '.woff2': 'dataurl' },
  outdir: 'out',
  write: false,
  metafile: true,
});
const text = (suffix) => result.outputFiles.find((file) => file.path.endsWith(suffix)).text.trimEnd();
const script = text('.js');
const style = text('.css');
const hash = (content) => `'sha256-${createHash('sha256').update(content).digest('base64')}'`;

// Functions as replacements: the code is full of `$`, which means something in a replacement's text.
const html = readFileSync(join(here, 'src/page.html'), 'utf8')
  .replace('/*style*/', () => style)
  .replace('/*script*/', () => script);
const policy = [
  "default-src 'none'",
  `script-src ${hash(script)}`,
  `style-src ${hash(style)}`,
  'font-src data:',
  'img-src data:',
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  'trusted-types dompurify',
].join('; ');

const compressed = gzipSync(html, { level: 9 });
compressed[9] = 255; // the system it was made on: unknown
mkdirSync(out, { recursive: true });
writeFileSync(join(out, 'page.html.gz'), compressed);
writeFileSync(join(out, 'policy.txt'), `${policy}\n`);
writeFileSync(join(out, 'licences.txt'), licences(here, result.metafile));
const size = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;
console.log(`${out}/page.html.gz: ${size(compressed.length)} (${size(html.length)} unpacked)`);
if (compressed.length > WEIGHT_MAX) throw new Error(`the page is heavier than ${size(WEIGHT_MAX)}`);
