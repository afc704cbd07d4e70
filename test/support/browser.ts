import * as fs from 'node:fs';
import { createRequire } from 'node:module';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { expect } from 'vitest';
import { installDebian } from './debian.ts';

const axe = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Starts the Chromium of Debian, which is installed where it is missing. */
export async function startBrowser(): Promise<Browser> {
  await installDebian('chromium', 'chromium', 'fonts-dejavu-core');
  // Tests run as root, where its sandbox does not start; it is shown what the tests serve, and nothing else.
  return chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
}

/** How a tab is. */
export interface TabOptions {
  readonly colorScheme?: 'light' | 'dark';
  readonly width?: number;
  readonly reducedMotion?: 'reduce' | 'no-preference';
}

/** A tab that reaches one server alone, and what it did. */
export interface Tab {
  readonly page: Page;
  readonly context: BrowserContext;
  /** Requests that went elsewhere, none of which left the machine. */
  readonly elsewhere: readonly string[];
  /** Errors that the page threw, and what the browser refused. */
  readonly complaints: readonly string[];
  close(): Promise<void>;
}

/** Opens a tab of its own, with nothing kept from others. */
export async function openTab(
  browser: Browser,
  origin: string,
  { colorScheme = 'light', width = 1200, reducedMotion = 'reduce' }: TabOptions = {},
): Promise<Tab> {
  const context = await browser.newContext({
    baseURL: origin,
    colorScheme,
    reducedMotion,
    viewport: { width, height: 860 },
    locale: 'en-GB',
    timezoneId: 'Europe/Berlin',
  });
  const elsewhere: string[] = [];
  await context.route(
    (url) => url.origin !== origin && url.protocol !== 'data:',
    (route) => {
      elsewhere.push(route.request().url());
      return route.abort();
    },
  );
  await context.addInitScript({ content: axe });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    // That a request was answered with an error is told by the page.
    const isAnswer = message.text().startsWith('Failed to load resource');
    if (message.type() === 'error' && !isAnswer) complaints.push(message.text());
  });
  return { page, context, elsewhere, complaints, close: () => context.close() };
}

/** Checks a page by axe: every rule of WCAG 2.2 to AA, and what its authors call best practice. */
export async function expectAccessible(page: Page): Promise<void> {
  const violations = await page.evaluate(async () => {
    const { axe: judge } = globalThis as unknown as {
      axe: {
        run(options: object): Promise<{
          violations: Array<{ id: string; help: string; nodes: Array<{ html: string }> }>;
        }>;
      };
    };
    const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
    const found = await judge.run({ runOnly: { type: 'tag', values: tags } });
    return found.violations.map(
      ({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html }) => html).join(' | ')}`,
    );
  });
  expect(violations, page.url()).toEqual([]);
}
