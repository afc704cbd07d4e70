import { findPolicy, policyNames } from '../registry/policy.ts';
import type { Workspace } from './workspace.ts';

/** What the policies of a workspace say of the metrics of a model. */
export interface MetricPreferences {
  /** By metric; the highest weight where several policies have one. */
  readonly weights: ReadonlyMap<string, number>;
  /** Metrics of which less is better by one of the policies. */
  readonly lowerIsBetter: ReadonlySet<string>;
}

/**
 * Gathers what the policies that apply to a model in any environment say of its metrics.
 * @throws MstoreError `config-invalid`
 */
export function metricPreferences({ config }: Workspace, model: string): MetricPreferences {
  const { value, file } = config.policies;
  const weights = new Map<string, number>();
  const lowerIsBetter = new Set<string>();
  for (const name of policyNames(value, file)) {
    const environment = name.slice(name.indexOf('@') + 1);
    const policy = findPolicy(value, file, model, environment);
    for (const { metric, weight } of policy?.weights ?? []) {
      weights.set(metric, Math.max(weight, weights.get(metric) ?? 0));
    }
    for (const metric of policy?.lowerIsBetter ?? []) lowerIsBetter.add(metric);
  }
  return { weights, lowerIsBetter };
}
