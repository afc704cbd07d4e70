import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect } from 'vitest';
import { openTab, startBrowser, type Tab, type TabOptions } from './browser.ts';
import {
  makeWebScene,
  type SceneServer,
  sceneTokens,
  serveScene,
  type WebScene,
} from './web-scene.ts';

/** Where pictures of views are left, to be looked at. */
const pictures = path.join(os.tmpdir(), 'mstore-web-pictures');

/** What the tests of a file do in a browser, with a scene and a server that are theirs. */
export interface WebSuite {
  readonly folder: string;
  scene(): WebScene;
  server(): SceneServer;
  /** Runs a test in a tab, which must have reached nothing but the server, and complained of nothing. */
  inTab(
    options: TabOptions & { readonly origin?: string },
    work: (tab: Tab) => Promise<void>,
  ): Promise<void>;
  /** The same, signed in. */
  signedIn(
    who: keyof typeof sceneTokens,
    options: TabOptions & { readonly origin?: string },
    work: (tab: Tab) => Promise<void>,
  ): Promise<void>;
  signIn(tab: Tab, token: string): Promise<void>;
  /** Goes to a view, and waits until all of it is there. */
  show(tab: Tab, address: string): Promise<void>;
  settled(tab: Tab): Promise<void>;
  picture(tab: Tab, name: string): Promise<void>;
}

/** Starts a browser and a server before the tests of a file, and ends them after. */
export function webSuite(): WebSuite {
  const folder = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'mstore-web-'));
  let browser: Browser | undefined;
  let scene: WebScene | undefined;
  let server: SceneServer | undefined;

  beforeAll(async () => {
    browser = await startBrowser();
    scene = await makeWebScene(folder, Date.now());
    server = await serveScene(scene, folder, '--token-file', scene.tokenFile);
    fs.mkdirSync(pictures, { recursive: true });
  }, 600_000);

  afterAll(async () => {
    await browser?.close();
    await server?.stop();
    fs.rmSync(folder, { recursive: true, force: true });
  });

  const inTab: WebSuite['inTab'] = async (options, work) => {
    const origin = options.origin ?? (server as SceneServer).origin;
    const tab = await openTab(browser as Browser, origin, options);
    try {
      await work(tab);
      expect(tab.elsewhere).toEqual([]);
      expect(tab.complaints).toEqual([]);
    } finally {
      await tab.close();
    }
  };
  return {
    folder,
    scene: () => scene as WebScene,
    server: () => server as SceneServer,
    inTab,
    signedIn: (who, options, work) =>
      inTab(options, async (tab) => {
        await signIn(tab, sceneTokens[who].token);
        await tab.page.getByRole('heading', { level: 1, name: 'Models' }).waitFor();
        await work(tab);
      }),
    signIn,
    show,
    settled,
    picture,
  };
}

async function signIn({ page }: Tab, token: string): Promise<void> {
  await page.goto('/');
  await page.getByLabel('Token').fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

/** Goes to a view, and waits until all of it is there. */
async function show(tab: Tab, address: string): Promise<void> {
  await tab.page.goto(address);
  await settled(tab);
}

async function settled({ page }: Tab): Promise<void> {
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
