import { type Contender, judge, type Verdict } from '../../src/registry/gate.ts';
import { findPolicy } from '../../src/registry/policy.ts';

/** Judges a candidate by the table of a policy; the last one of the history is live. */
export function judged(table: object, candidate: Contender, ...history: Contender[]): Verdict {
  const policy = findPolicy({ production: table }, 'config.toml', 'm', 'production');
  if (policy === undefined) throw new Error('No policy');
  const live = history.at(-1);
  return judge(policy, candidate, { history, ...(live && { live }) });
}

export const table = {
  weights: { bleu4: 0.75, loss: 0.25 },
  lower_is_better: ['loss', 'latency_ms'],
  min_improvement: 0.01,
  limits: { bleu4: { min: 0.2 }, latency_ms: { max: 50 } },
  regress: { bleu4: 0.01 },
};
/** Lacks a metric of the policy. */
const old = { version: 'v0.9.0', metrics: { loss: 1 } };
export const rival = { version: 'v1.0.0', metrics: { bleu4: 0.25, loss: 0.5, latency_ms: 41.5 } };
export const better = { version: 'v1.1.0', metrics: { bleu4: 0.29, loss: 0.5, latency_ms: 38 } };
export const worse = { version: 'v1.1.0', metrics: { bleu4: 0.19, loss: 0.61, latency_ms: 61.25 } };
export const passed = judged(table, better, old, rival);
export const refused = judged(table, worse, old, rival);
export const first = judged(table, rival);
