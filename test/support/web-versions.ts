import type { VersionSummary } from '../../src/web/wire.ts';

/** A version as the server lists it, of nothing in particular. */
export function summary(version: string, change: Partial<VersionSummary> = {}): VersionSummary {
  const base = { created: '2026-01-02T03:04:05.678Z', author: 'Ann', path: 'm', size: 5 };
  return { version, ...base, state: 'active', live: [], metrics: {}, ...change };
}
