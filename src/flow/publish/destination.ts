import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import { parseReference } from '../../registry/reference.ts';

/** Where a version is published to. */
export type Destination =
  | { readonly kind: 'hf'; readonly repository: string; readonly branch: string }
  | { readonly kind: 'mlflow'; readonly model: string };

const forms = 'hf:ORG/NAME, hf:ORG/NAME@BRANCH or mlflow:NAME';

/**
 * Reads where a version is published to.
 * @throws MstoreError `usage`
 */
export function parseDestination(text: string): Destination {
  const mlflow = /^mlflow:(?!models:)(.*)$/s.exec(text)?.[1];
  if (mlflow !== undefined) return { kind: 'mlflow', model: mlflowName(mlflow) };
  const reference = parseReference(text);
  if (reference.kind !== 'hf') {
    throw new MstoreError('usage', `Nothing is published to ${printable(text)}`, {
      hint: `Write ${forms}`,
    });
  }
  const { repository, revision: branch = 'main' } = reference;
  if (!repository.includes('/')) {
    throw new MstoreError('usage', `${printable(text)} does not say whose model it is to be`, {
      hint: `Write hf:ORG/${repository}, with your own name or that of an organization`,
    });
  }
  return { kind: 'hf', repository, branch };
}

/** What `models:/NAME/VERSION` of MLflow can name. */
function mlflowName(name: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/.test(name)) return name;
  throw new MstoreError('usage', 'A registered model of MLflow cannot have this name here', {
    hint: 'Write mlflow:NAME with letters, digits, ".", "_" and "-"',
  });
}
