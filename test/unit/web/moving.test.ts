import { describe, expect, it } from 'vitest';
import {
  bodyOf,
  type Draft,
  environmentNames,
  firstDraft,
  mayOverrule,
  pinned,
} from '../../../src/web/moving.ts';
import type { LiveEnvironment } from '../../../src/web/wire.ts';

const draft: Draft = {
  version: 'v2',
  environment: 'production',
  from: 'staging',
  reason: '  better ',
  force: true,
};

function live(environment: string): LiveEnvironment {
  const facts = { version: 'v1', number: 1, action: 'deploy', by: 'Ann', since: '2026-01-01' };
  return { environment, ...facts };
}

describe('the body of a move', () => {
  it.each([
    ['deploy', { version: 'v2', environment: 'production', reason: 'better', force: true }],
    ['promote', { from: 'staging', to: 'production', reason: 'better', force: true }],
    // What was live has passed its gate: there is nothing to be forced.
    ['rollback', { environment: 'production', to: 'v2', reason: 'better' }],
  ] as const)('of a %s', (action, body) => {
    expect(bodyOf(action, draft, false)).toEqual(body);
    expect(bodyOf(action, draft, true)).toEqual({ ...body, dryRun: true });
  });

  it('leaves out what was not said', () => {
    const bare = { ...draft, version: '', reason: ' ', force: false };
    expect(bodyOf('rollback', bare, false)).toEqual({ environment: 'production' });
  });

  it('names the version that was seen', () => {
    const seen = { version: 'v7' } as Parameters<typeof pinned>[2];
    const blank = { ...draft, version: '' };
    expect(bodyOf('rollback', pinned('rollback', blank, seen), false)).toMatchObject({ to: 'v7' });
    expect(bodyOf('promote', pinned('promote', blank, seen), false)).not.toHaveProperty('version');
  });
});

describe('what is filled in', () => {
  const places = {
    lifecycle: ['staging', 'production'],
    environments: [live('canary'), live('production')],
  };

  it('is what the dialog was opened for, else the first step', () => {
    expect(environmentNames(places)).toEqual(['staging', 'production', 'canary']);
    expect(firstDraft({ action: 'deploy' }, places).environment).toBe('staging');
    expect(firstDraft({ action: 'rollback', environment: 'canary' }, places)).toMatchObject({
      environment: 'canary',
      version: '',
    });
    const asked = { action: 'promote', from: 'staging' } as const;
    expect(firstDraft(asked, places)).toMatchObject({ from: 'staging', environment: '' });
    expect(firstDraft({ ...asked, to: 'production' }, places).environment).toBe('production');
  });
});

describe('what was refused', () => {
  it('may be done all the same where a rule refused it', () => {
    expect(mayOverrule('deploy', { code: 'gate-refused' })).toBe(true);
    expect(mayOverrule('promote', { code: 'step-skipped' })).toBe(true);
    expect(mayOverrule('rollback', { code: 'version-retired' })).toBe(false);
    expect(mayOverrule('deploy', { code: 'unknown-version' })).toBe(false);
    expect(mayOverrule('deploy', undefined)).toBe(false);
  });
});
