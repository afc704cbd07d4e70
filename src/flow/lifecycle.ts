import { MstoreError } from '../base/errors.ts';
import type { Registry } from '../registry/registry.ts';
import type { Workspace } from './workspace.ts';

/** The order of environments that the workspace configures; empty where it configures none. */
export function lifecycleOf({ config }: Workspace): string[] {
  return config.string('registry.lifecycle')?.split(',') ?? [];
}

/**
 * Finds out between which environments a promotion is; where the workspace has a lifecycle, the step that is to be done
 * next is found by itself.
 * @throws MstoreError `usage`, `unknown-environment`
 */
export async function promotionOf(
  workspace: Workspace,
  registry: Registry,
  {
    model,
    from,
    to,
  }: {
    readonly model: string;
    readonly from?: string | undefined;
    readonly to?: string | undefined;
  },
): Promise<{ readonly from: string; readonly to: string }> {
  if (from !== undefined && to !== undefined) return { from, to };
  const order = lifecycleOf(workspace);
  if (order.length < 2) {
    throw new MstoreError('usage', 'A promotion needs --from and --to', {
      hint: 'Write both, or configure the order once: mstore config set registry.lifecycle staging,production',
    });
  }
  const live = await Promise.all(
    order.map(async (name) => (await registry.live(model, name))?.value.version),
  );
  const steps = order.slice(1).flatMap((next, i) => {
    const here = order[i] as string;
    const waits = live[i] !== undefined && live[i] !== live[i + 1];
    const asked = (from ?? here) === here && (to ?? next) === next;
    return waits && asked ? [{ from: here, to: next, version: live[i] as string }] : [];
  });
  const [only, second] = steps;
  if (only !== undefined && second === undefined) return only;
  const told = steps.map((step) => `${step.version} from ${step.from} to ${step.to}`);
  throw new MstoreError(
    only === undefined ? 'unknown-environment' : 'usage',
    only === undefined
      ? `${model} has no version that waits for the next of ${order.join(', ')}`
      : `Several versions of ${model} could be promoted: ${told.join('; ')}`,
    {
      hint: 'Say which with --from and --to',
      details: { model },
    },
  );
}
