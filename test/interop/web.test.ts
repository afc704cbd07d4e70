import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  expectAccessible,
  openTab,
  startBrowser,
  type Tab,
  type TabOptions,
} from '../support/browser.ts';
import { endServers, startServerProcess } from '../support/server-process.ts';
import { hostile, makeWebScene, sceneTokens, type WebScene } from '../support/web-scene.ts';

const program = fileURLToPath(new URL('../../bin/mstore.js', import.meta.url));
const folder = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'mstore-web-'));
/** Where pictures of each view are left, to be looked at. */
const pictures = path.join(os.tmpdir(), 'mstore-web-pictures');

let browser: Browser;
let scene: WebScene;
let origin: string;

beforeAll(async () => {
  browser = await startBrowser();
  scene = await makeWebScene(folder, Date.now());
  const { port } = await startServerProcess(({ folder: state, port }) => ({
    program: process.execPath,
    args: [
      program,
      ...['-C', scene.root, 'serve', '--port', String(port), '--state', state],
      ...['--token-file', scene.tokenFile],
    ],
  }));
  origin = `http://127.0.0.1:${port}`;
  fs.mkdirSync(pictures, { recursive: true });
}, 600_000);

afterAll(async () => {
  await browser?.close();
  await endServers();
  fs.rmSync(folder, { recursive: true, force: true });
});

/** A tab in which somebody has signed in. */
async function signedIn(who: keyof typeof sceneTokens, options: TabOptions = {}): Promise<Tab> {
  const tab = await openTab(browser, origin, options);
  await tab.page.goto('/');
  await tab.page.getByLabel('Token').fill(sceneTokens[who].token);
  await tab.page.getByRole('button', { name: 'Sign in' }).click();
  await tab.page.getByRole('heading', { level: 1, name: 'Models' }).waitFor();
  return tab;
}

/** Goes to a view, and waits until all of it is there. */
async function show({ page }: Tab, address: string): Promise<void> {
  await page.goto(address);
  // Two frames: in the first one the address is noticed.
  await page.evaluate(
    'new Promise((is) => requestAnimationFrame(() => requestAnimationFrame(is)))',
  );
  const pending = page.locator('main .waiting, main [aria-busy=true], main .checking');
  await expect.poll(() => pending.count(), { timeout: 15_000 }).toBe(0);
}

async function picture({ page }: Tab, name: string): Promise<void> {
  await page.screenshot({ path: path.join(pictures, `${name}.png`), fullPage: true });
}

const views = {
  models: '/#/',
  overview: '/#/models/ocr',
  versions: '/#/models/ocr/versions',
  version: '/#/models/ocr/versions/v1.6.0',
  metrics: '/#/models/ocr/metrics',
  history: '/#/models/ocr/history',
  storage: '/#/models/ocr/storage',
  compare: '/#/models/ocr/compare?from=v1.3.0&to=v1.6.0',
  hostile: '/#/models/captions/versions/v1',
  wide: '/#/models/wide',
  'wide-versions': '/#/models/wide/versions?page=4',
} as const;

describe('the page in a browser', () => {
  it.each([
    ['light', 1200],
    ['dark', 1200],
    ['light', 360],
  ] as const)('shows every view, %s at %i', async (colorScheme, width) => {
    const tab = await signedIn('owner', { colorScheme, width });
    for (const [name, address] of Object.entries(views)) {
      await show(tab, address);
      await picture(tab, `${name}-${colorScheme}-${width}`);
      await expectAccessible(tab.page);
    }
    expect(tab.elsewhere).toEqual([]);
    expect(tab.complaints).toEqual([]);
    await tab.close();
  });

  it('takes nothing that models and people are called for markup', async () => {
    const tab = await signedIn('owner');
    await show(tab, '/#/models/captions/versions/v1');
    const { page } = tab;
    expect(await page.getByText(hostile, { exact: true }).count()).toBeGreaterThanOrEqual(4);
    await page.getByText('metadata', { exact: true }).click();
    await page.getByText(`"${hostile.slice(0, 10)}`).waitFor();
    expect(await page.locator('main img, main script').count()).toBe(0);
    expect(await page.title()).toBe('captions@v1 · mstore');
    expect(tab.complaints).toEqual([]);
    await tab.close();
  });
});
