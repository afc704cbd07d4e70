import { setTimeout as delay } from 'node:timers/promises';
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { deploy } from '../../src/flow/environments.ts';
import { chooseRemote } from '../../src/flow/remotes.ts';
import type { EnvironmentEntry } from '../../src/registry/entry.ts';
import { Registry } from '../../src/registry/registry.ts';
import { openRemote } from '../../src/remote/open.ts';
import { expectAccessible } from '../support/browser.ts';
import { serveScene } from '../support/web-scene.ts';
import { webSuite } from '../support/web-suite.ts';

const { signedIn, show, settled, picture, ...suite } = webSuite();
const overview = '/#/models/ocr';

/** The history of an environment on the remote, as the registry itself reads it. */
async function historyOf(environment: string): Promise<EnvironmentEntry[]> {
  const registry = new Registry(await openRemote(suite.scene().remote, { base: '/' }));
  const entries = await registry.history('ocr', environment);
  return entries.map(({ value }) => value);
}

/** What the focus is on: the text by which a screen reader calls it, or its kind. */
function focused(page: Page): Promise<string> {
  return page.evaluate(`(() => {
    const { activeElement: at } = document;
    const label = at.labels?.[0]?.firstChild?.textContent;
    return (label ?? at.textContent.slice(0, 60) ?? '').trim() || at.tagName;
  })()`);
}

/** Presses the key that goes to the next element until one is reached, by no other way. */
async function tabTo(page: Page, name: RegExp): Promise<void> {
  const passed: string[] = [];
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press('Tab');
    const at = await focused(page);
    if (!name.test(at)) {
      passed.push(at);
      continue;
    }
    const outline = await page.evaluate('getComputedStyle(document.activeElement).outlineStyle');
    expect(outline, at).not.toBe('none');
    return;
  }
  throw new Error(`The keyboard does not reach ${name}: ${passed.join(', ')}`);
}

describe('an environment', () => {
  it('is rolled back with a reason, by the keyboard alone', async () => {
    await signedIn('owner', {}, async (tab) => {
      const { page } = tab;
      const before = await historyOf('production');
      await show(tab, '/#/');
      await tabTo(page, /^Skip to the content$/);
      await page.keyboard.press('Enter');
      expect(await focused(page)).toBe('Models');
      await tabTo(page, /^ocr$/);
      await page.keyboard.press('Enter');
      await settled(tab);
      // A view begins at its heading.
      expect(await focused(page)).toBe('ocr');
      await tabTo(page, /^Roll back production/);
      await page.keyboard.press('Enter');
      await page.getByRole('dialog', { name: 'Roll back ocr' }).waitFor();
      await page.keyboard.press('Escape');
      await expect.poll(() => page.getByRole('dialog').count()).toBe(0);
      expect(await focused(page)).toMatch(/^Roll back production/);

      await page.keyboard.press('Enter');
      await tabTo(page, /^Reason/);
      await page.keyboard.type('Reads faxes upside down');
      await picture(tab, 'rollback-light');
      await tabTo(page, /^See what would be done$/);
      await page.keyboard.press('Enter');
      await page.getByText('production goes from v1.3.0 to v1.1.0').waitFor();
      expect(await historyOf('production')).toEqual(before);
      await expectAccessible(page);
      await picture(tab, 'rollback-preview-light');
      await tabTo(page, /^Roll back now$/);
      await page.keyboard.press('Enter');
      await page.getByText('production of ocr is now v1.1.0; it was v1.3.0.').waitFor();
      await expect.poll(() => page.getByRole('dialog').count()).toBe(0);
      expect(await focused(page)).toMatch(/^Roll back production/);
      await settled(tab);
      const card = page.getByRole('article', { name: 'production' });
      await card.getByText('Reads faxes upside down').waitFor();
      await picture(tab, 'rollback-done-light');
    });
    expect((await historyOf('production')).at(-1)).toMatchObject({
      action: 'rollback',
      version: 'v1.1.0',
      reason: 'Reads faxes upside down',
      by: 'owner (token)',
    });
  });

  it('keeps the focus in the dialog as long as that is open', async () => {
    await signedIn('owner', { colorScheme: 'dark', width: 360 }, async (tab) => {
      const { page } = tab;
      await show(tab, overview);
      await page.getByRole('button', { name: 'Promote what is live in staging' }).click();
      await page.getByRole('dialog', { name: 'Promote ocr' }).waitFor();
      for (let i = 0; i < 12; i++) {
        await page.keyboard.press('Tab');
        expect(
          await page.evaluate(
            "document.activeElement === document.body || document.querySelector('dialog').contains(document.activeElement)",
          ),
        ).toBe(true);
      }
      await expectAccessible(page);
      await picture(tab, 'promote-dark-360');
    });
  });

  it('gets what a rule refuses only by force, with a reason', async () => {
    await signedIn('owner', {}, async (tab) => {
      const { page } = tab;
      await show(tab, '/#/models/ocr/versions/v1.2.0');
      await page.getByRole('button', { name: 'Deploy' }).click();
      await page.getByRole('combobox', { name: 'Environment' }).fill('production');
      expect(await page.getByRole('checkbox').count()).toBe(0);
      await page.getByRole('button', { name: 'See what would be done' }).click();
      const refusal = page.getByRole('alert').getByText('was never live in staging');
      await refusal.waitFor();
      await page.getByRole('checkbox', { name: 'Do it against the rules' }).check();
      await expectAccessible(page);
      await picture(tab, 'deploy-refused-light');
      await page.getByRole('button', { name: 'See what would be done' }).click();
      // The browser itself asks for the reason.
      expect(await page.evaluate('document.activeElement.tagName')).toBe('TEXTAREA');
      await page.getByRole('textbox', { name: 'Reason' }).fill('For the auditors');
      await page.getByRole('button', { name: 'See what would be done' }).click();
      await page.getByText('production goes from v1.1.0 to v1.2.0').waitFor();
      await page.getByText(/^Passed by force: The gate of production refuses/).waitFor();
      await picture(tab, 'deploy-forced-light');
      await page.getByRole('button', { name: 'Deploy now' }).click();
      await page.getByText('production of ocr is now v1.2.0').waitFor();
      await show(tab, '/#/models/ocr/history');
      const entry = page.getByRole('listitem').filter({ hasText: 'For the auditors' });
      await entry.getByText('by force').waitFor();
      await entry.getByText('gate refused').waitFor();
    });
    expect((await historyOf('production')).at(-1)).toMatchObject({
      action: 'deploy',
      version: 'v1.2.0',
      forced: true,
    });
  });

  it('is not moved from where it was not seen to be', async () => {
    await signedIn('owner', {}, async (tab) => {
      const { page } = tab;
      await show(tab, overview);
      await page.getByRole('button', { name: 'Promote what is live in staging' }).click();
      await page.getByRole('button', { name: 'See what would be done' }).click();
      await page.getByText('production goes from v1.2.0 to v1.6.0').waitFor();
      await page.getByText('gate passed').first().waitFor();
      const workspace = await suite.scene().open();
      const remote = await chooseRemote(workspace, undefined, workspace.root);
      const elsewhere = { model: 'ocr', version: 'v1.4.0', environment: 'production' };
      await deploy(workspace, elsewhere, { remote, force: true, reason: 'Somebody was faster' });
      await page.getByRole('button', { name: 'Promote now' }).click();
      await page.getByText('production was moved meanwhile').waitFor();
      await page.getByText('production goes from v1.4.0 to v1.6.0').waitFor();
      expect((await historyOf('production')).at(-1)?.version).toBe('v1.4.0');
      await page.getByRole('button', { name: 'Promote now' }).click();
      await page.getByText('production of ocr is now v1.6.0; it was v1.4.0.').waitFor();
      await settled(tab);
      await page.getByRole('button', { name: 'Dismiss' }).click();
      expect(await page.getByText('production of ocr is now').count()).toBe(0);
    });
  });

  it('that has the version already is left as it is', async () => {
    const before = await historyOf('production');
    await signedIn('owner', {}, async (tab) => {
      const { page } = tab;
      await show(tab, overview);
      await page.getByRole('button', { name: 'Deploy' }).click();
      await page.getByRole('combobox', { name: 'Version', exact: true }).selectOption('v1.6.0');
      await page.getByRole('combobox', { name: 'Environment' }).fill('production');
      await page.getByRole('button', { name: 'See what would be done' }).click();
      await page.getByText('nothing would be done').waitFor();
      expect(await page.getByRole('button', { name: 'Deploy now' }).count()).toBe(0);
      await page.getByRole('button', { name: 'Close' }).click();
    });
    expect(await historyOf('production')).toEqual(before);
  });
});

describe('a server', () => {
  it('that is gone is noticed, and asked again until it is back', async () => {
    const { scene, folder } = suite;
    const first = await serveScene(scene(), folder, '--token-file', scene().tokenFile);
    const { port } = new URL(first.origin);
    await signedIn('owner', { origin: first.origin }, async (tab) => {
      const { page } = tab;
      await show(tab, overview);
      await first.stop();
      await page.getByRole('button', { name: 'Reload' }).click();
      const gone = page.getByRole('alert').getByText('The server does not answer');
      await gone.waitFor();
      // What was there stays.
      await page.getByRole('article', { name: 'production' }).waitFor();
      await picture(tab, 'gone-light');
      await expectAccessible(page);
      await page.getByRole('link', { name: 'Storage' }).click();
      await page.getByText('Waiting for the server').waitFor();
      const args = ['--token-file', scene().tokenFile, '--port', port];
      const second = await serveScene(scene(), folder, ...args);
      try {
        await page.getByText('Stored on the remote').waitFor();
        expect(await gone.count()).toBe(0);
      } finally {
        await second.stop();
      }
    });
  });

  it('is waited for without anything that moves, where that is not wanted', async () => {
    await signedIn('reader', { reducedMotion: 'reduce' }, async (tab) => {
      const { page } = tab;
      await page.route('**/api/v1/ml-models/ocr/**', async (route) => {
        await delay(700);
        await route.continue();
      });
      await page.goto(overview);
      await page.getByText('Waiting for the versions of ocr').waitFor();
      const moving = 'getComputedStyle(document.querySelector(".spinner")).animationName';
      expect(await page.evaluate(moving)).toBe('none');
      await picture(tab, 'waiting-light');
      await expectAccessible(page);
      await settled(tab);
    });
  });

  it('whose answers are those of a proxy is told from one that is right', async () => {
    await signedIn('reader', {}, async (tab) => {
      const { page } = tab;
      const html = { status: 502, contentType: 'text/html', body: '<h1>Bad gateway</h1>' };
      await page.route('**/api/v1/ml-models/ocr/versions**', (route) => route.fulfill(html));
      await show(tab, overview);
      await page.getByRole('alert').getByText('Something answered with 502').waitFor();
      await page.unroute('**/api/v1/ml-models/ocr/versions**');
      await page.getByRole('button', { name: 'Reload' }).click();
      await page.getByRole('article', { name: 'production' }).waitFor();
    });
  });
});
