import { describe, expect, it } from 'vitest';
import type { EnvironmentEntry } from '../../src/registry/entry.ts';
import { environmentLog, Registry } from '../../src/registry/registry.ts';
import type { Sealed } from '../../src/registry/sealed.ts';
import { openRemote } from '../../src/remote/open.ts';
import { expectAccessible } from '../support/browser.ts';
import { hostile, sceneTokens, serveScene } from '../support/web-scene.ts';
import { webSuite } from '../support/web-suite.ts';

const { inTab, signedIn, signIn, show, settled, picture, ...suite } = webSuite();

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
  degraded: '/#/models/captions',
  wide: '/#/models/wide',
  'wide-versions': '/#/models/wide/versions?page=4',
  'not-there': '/#/models/nobody',
  nowhere: '/#/nowhere',
} as const;

describe('every view', () => {
  it.each([
    ['light', 1200],
    ['dark', 1200],
    ['light', 360],
  ] as const)('is there for all, %s at %i', async (colorScheme, width) => {
    await signedIn('owner', { colorScheme, width }, async (tab) => {
      for (const [name, address] of Object.entries(views)) {
        await show(tab, address);
        await picture(tab, `${name}-${colorScheme}-${width}`);
        await expectAccessible(tab.page);
        const wide = await tab.page.evaluate('document.documentElement.scrollWidth');
        expect(wide, name).toBeLessThanOrEqual(width);
      }
    });
  });

  it('has an address that shows the same again', async () => {
    await signedIn('reader', {}, async (tab) => {
      const { page } = tab;
      for (const address of [views.compare, '/#/models/wide/versions?q=ann&page=2&sort=-size']) {
        await show(tab, address);
        const shown = await page.locator('main').textContent();
        await page.reload();
        await settled(tab);
        expect(await page.locator('main').textContent()).toBe(shown);
      }
      await show(tab, views.overview);
      await page.getByRole('link', { name: 'Versions' }).click();
      await page.getByRole('link', { name: 'v1.2.0' }).click();
      await page.getByRole('heading', { level: 1, name: 'v1.2.0' }).waitFor();
      await page.goBack();
      await page.getByRole('heading', { level: 2, name: 'Versions' }).waitFor();
    });
  });

  it('shows what models and people are called as text', async () => {
    await signedIn('owner', {}, async (tab) => {
      await show(tab, views.hostile);
      const { page } = tab;
      expect(await page.getByText(hostile, { exact: true }).count()).toBeGreaterThanOrEqual(4);
      await page.getByText('metadata', { exact: true }).click();
      await page.getByText(`"${hostile.slice(0, 10)}`).waitFor();
      expect(await page.locator('main img, main script').count()).toBe(0);
      expect(await page.title()).toBe('captions@v1 · mstore');
      await show(tab, views.degraded);
      // The reason and who it was, of what is live and of its history.
      expect(await page.getByText(hostile).count()).toBeGreaterThanOrEqual(4);
      const card = page.getByRole('article', { name: 'staging' });
      await card.getByText('degraded').click();
      await card.getByText('None of its files is of a format of models').waitFor();
      expect(await page.locator('main img, main script').count()).toBe(0);
      expect(await page.title()).toBe('captions · mstore');
    });
  });
});

describe('what is shown', () => {
  it('is what the registry says', async () => {
    await signedIn('reader', {}, async (tab) => {
      const { page } = tab;
      await show(tab, views.models);
      const row = page.getByRole('row', { name: 'ocr' });
      expect(await row.textContent()).toMatch(/production\s*v1\.3\.0\s*●\s*staging\s*v1\.6\.0/);
      await show(tab, views.overview);
      const card = page.getByRole('article', { name: 'production' });
      await card.getByText('healthy').waitFor();
      expect(await card.textContent()).toContain('Invoices of one customer came out empty');
      const plot = page.getByRole('img', { name: 'accuracy over versions' });
      expect(await plot.locator('desc').textContent()).toContain('highest 0.946 at v1.6.0');
      await page.getByText('As a table: accuracy').click();
      await page.getByRole('cell', { name: '0.871' }).waitFor();
      await plot.hover({ position: { x: 60, y: 90 } });
      expect(await page.locator('.reading').first().textContent()).toContain('v1.0.0');
    });
  });

  it('is compared', async () => {
    await signedIn('reader', {}, async (tab) => {
      const { page } = tab;
      await show(tab, '/#/models/ocr/versions');
      for (const version of ['v1.3.0', 'v1.6.0'])
        await page.getByLabel(`Compare ${version}`).check();
      await page.getByRole('link', { name: 'Compare v1.3.0 with v1.6.0' }).click();
      await page.getByRole('row', { name: 'accuracy 0.912 0.946 +0.034' }).waitFor();
      expect(await page.getByRole('row', { name: /^latency_ms/ }).textContent()).toContain(
        'better',
      );
      expect(await page.getByRole('row', { name: /^loss/ }).textContent()).not.toContain('better');
      await page.getByRole('row', { name: 'tokenizer/vocab.txt added – 8 bytes' }).waitFor();
      await page.getByRole('button', { name: 'Swap the versions' }).click();
      await page.getByRole('row', { name: 'tokenizer/vocab.txt removed 8 bytes –' }).waitFor();
      await page.getByRole('combobox', { name: 'To' }).selectOption('v1.6.0');
      await page.getByText('All files are the same').waitFor();
    });
  });

  it('stays usable with 500 versions', async () => {
    await signedIn('reader', {}, async (tab) => {
      const { page } = tab;
      await show(tab, '/#/models/wide/versions');
      const rows = page.getByRole('row');
      expect(await rows.count()).toBe(51);
      await page.getByRole('button', { name: 'Next' }).click();
      await page.getByText('51–100 of 500').waitFor();
      await page.getByRole('searchbox', { name: 'Find' }).fill('v0.49');
      await page.getByText('11 of 500 versions').waitFor();
      expect(await rows.count()).toBe(12);
      await page.getByRole('button', { name: 'loss' }).click();
      expect(await rows.nth(1).textContent()).toContain('v0.49.0');
      await page.getByRole('button', { name: 'loss' }).click();
      expect(await rows.nth(1).textContent()).toContain('v0.499.0');
      expect(await page.getByRole('columnheader', { name: 'loss' }).getAttribute('aria-sort')).toBe(
        'ascending',
      );
      // One history entry: a filter is no step.
      await page.goBack();
      await page.getByRole('heading', { level: 1, name: 'Models' }).waitFor();
      await show(tab, '/#/models/wide/metrics');
      await page.getByRole('combobox', { name: 'Versions' }).selectOption('20');
      const plot = page.getByRole('img', { name: 'loss over versions' });
      expect(await plot.locator('desc').textContent()).toContain('over 20 versions');
    });
  });

  it('has facts of the history that this page does not know, folded away', async () => {
    const registry = new Registry(await openRemote(suite.scene().remote, { base: '/' }));
    const last = (await registry.live('ocr', 'staging')) as Sealed<EnvironmentEntry>;
    const log = environmentLog('ocr', 'staging');
    const { number: _, previous: __, ...draft } = last.value;
    const evidence = { rule: 'max_error_rate', accuracy: 0.4, note: hostile };
    await registry.append(log, { ...draft, by: 'watcher', evidence } as never, last);
    await signedIn('reader', {}, async (tab) => {
      await show(tab, '/#/models/ocr/history?env=staging');
      const entry = tab.page.getByRole('listitem').filter({ hasText: 'by watcher' });
      await entry.getByText('More facts').click();
      await entry.getByText('"accuracy": 0.4').waitFor();
      expect(await entry.textContent()).toContain('evidence');
      expect(await tab.page.getByRole('listitem').filter({ hasText: 'production' }).count()).toBe(
        0,
      );
    });
  });
});

describe('who may look', () => {
  it('says who one is, and forgets the token when one signs out', async () => {
    await signedIn('reader', {}, async (tab) => {
      const { page } = tab;
      await page.getByText('reader', { exact: true }).waitFor();
      expect(await page.getByRole('button', { name: 'Deploy' }).count()).toBe(0);
      await show(tab, views.overview);
      expect(await page.getByRole('button', { name: /Roll back|Promote|Deploy/ }).count()).toBe(0);
      await page.getByRole('button', { name: 'Sign out' }).click();
      await page.getByRole('heading', { name: 'Sign in to mstore' }).waitFor();
      expect(await page.evaluate('JSON.stringify({ ...sessionStorage, ...localStorage })')).toBe(
        '{}',
      );
      expect(await page.evaluate('document.cookie')).toBe('');
      // The view is still that of the address.
      await page.getByLabel('Token').fill(sceneTokens.owner.token);
      await page.keyboard.press('Enter');
      await page.getByRole('button', { name: 'Roll back production' }).waitFor();
    });
  });

  it('is told why a token does not do, and may try another one', async () => {
    const refused = [
      ['mst_wrong', 'The token is not known here'],
      ['mst_expired', 'The token has expired'],
      ['mst_pusher', 'The token pusher may not read'],
      ['no token ⚡', 'This is no token'],
    ] as const;
    await inTab({}, async (tab) => {
      const { page } = tab;
      for (const [token, text] of refused) {
        await signIn(tab, token);
        await page.getByRole('alert').getByText(text).waitFor();
        expect(await page.evaluate('sessionStorage.length')).toBe(0);
        await expect
          .poll(() => page.evaluate("document.activeElement.matches('[type=password]')"))
          .toBe(true);
        await expectAccessible(page);
      }
      await picture(tab, 'sign-in-light');
      await signIn(tab, 'mst_reader');
      await page.getByRole('heading', { level: 1, name: 'Models' }).waitFor();
    });
  });

  it('is asked again when the token is taken back meanwhile', async () => {
    await signedIn('reader', {}, async (tab) => {
      const { page } = tab;
      await page.evaluate("sessionStorage.setItem('mstore-token', 'mst_expired')");
      await page.reload();
      await page.getByRole('alert').getByText('The token has expired').waitFor();
      expect(await page.evaluate('sessionStorage.length')).toBe(0);
    });
  });

  it('may be everybody, who signs in to do more', async () => {
    const open = await serveScene(suite.scene(), suite.folder, '--anonymous', 'read');
    const closed = await serveScene(suite.scene(), suite.folder, '--no-page');
    try {
      expect((await fetch(closed.origin)).status).toBe(404);
      await inTab({ origin: open.origin }, async (tab) => {
        const { page } = tab;
        await show(tab, views.overview);
        await page.getByText('anonymous').waitFor();
        expect(await page.getByRole('button', { name: 'Roll back' }).count()).toBe(0);
        await page.getByRole('button', { name: 'Sign in' }).click();
        await page.getByRole('button', { name: 'Cancel' }).click();
        await page.getByRole('heading', { level: 1, name: 'ocr' }).waitFor();
      });
    } finally {
      await Promise.all([open.stop(), closed.stop()]);
    }
  });
});
