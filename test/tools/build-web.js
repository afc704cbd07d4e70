import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as zlib from 'node:zlib';
import { build } from 'esbuild';

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** Codings that each file is kept in beside itself, the best one first. */
const codings = {
  br: (bytes) =>
    zlib.brotliCompressSync(bytes, {
      params: { [zlib.constants.BROTLI_PARAM_QUALITY]: zlib.constants.BROTLI_MAX_QUALITY },
    }),
  gzip: (bytes) => zlib.gzipSync(bytes, { level: 9 }),
};

/**
 * Builds the page of `mstore serve` into dist/web: its script and style, named by their digests, the page that loads
 * them, and `files.json`, which lists what the server gives out (src/server/page.ts).
 */
export async function buildWeb(root) {
  const source = path.join(root, 'src/web');
  // It goes with the script, which holds the package; nothing else of it is installed with mstore.
  const license = fs.readFileSync(path.join(root, 'node_modules/preact/LICENSE'), 'utf8').trim();
  const folder = path.join(root, 'dist/web');
  fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(folder, { recursive: true });
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: { main: 'src/web/main.tsx', style: 'src/web/main.css' },
    outdir: folder,
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    // Browsers of spring 2024: modal dialogs, color-mix, AbortSignal.any, arrays that are copied.
    target: ['chrome116', 'firefox124', 'safari17.4'],
    jsx: 'automatic',
    jsxImportSource: 'preact',
    tsconfigRaw: '{}',
    banner: { js: `/*! Preact\n${license}\n*/` },
    legalComments: 'none',
    logLevel: 'warning',
    write: false,
  });
  const files = [];
  const keep = (file, facts, bytes) => {
    fs.writeFileSync(path.join(folder, file), bytes);
    const kept = Object.entries(codings).filter(([name, code]) => {
      const coded = code(bytes);
      if (coded.length > bytes.length * 0.9) return false;
      fs.writeFileSync(path.join(folder, `${file}.${name}`), coded);
      return true;
    });
    files.push({ ...facts, file, sha256: sha256(bytes), codings: kept.map(([name]) => name) });
  };
  const named = (name, extension, type, bytes) => {
    const file = `${name}-${sha256(bytes).slice(0, 12)}.${extension}`;
    keep(file, { path: `/web/${file}`, type, isFixed: true }, bytes);
    // Relative, so that a proxy may put the page below any path.
    return `web/${file}`;
  };
  const built = (name) =>
    Buffer.from(outputFiles.find((one) => path.basename(one.path) === name).contents);
  const places = {
    script: named('main', 'js', 'text/javascript; charset=utf-8', built('main.js')),
    style: named('style', 'css', 'text/css; charset=utf-8', built('style.css')),
    icon: named('icon', 'svg', 'image/svg+xml', fs.readFileSync(path.join(source, 'icon.svg'))),
  };
  const page = fs
    .readFileSync(path.join(source, 'page.html'), 'utf8')
    .replaceAll(/%(\w+)%/g, (_, name) => places[name]);
  const type = 'text/html; charset=utf-8';
  keep('page.html', { path: '/', type, isFixed: false }, Buffer.from(page));
  fs.writeFileSync(path.join(folder, 'files.json'), JSON.stringify(files));
}
