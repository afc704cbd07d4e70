import type * as http from 'node:http';

/** A policy of IAM, as far as mstore writes them. */
export interface S3Policy {
  readonly Statement: ReadonlyArray<{
    readonly Effect: 'Allow' | 'Deny';
    readonly Action: readonly string[];
    readonly Resource: readonly string[];
    readonly Condition?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  }>;
}

/** A request, as far as rights go by it. */
export interface S3Question {
  readonly method: string;
  readonly bucket: string;
  readonly key: string;
  readonly query: URLSearchParams;
  readonly headers: http.IncomingHttpHeaders;
}

/** Tells whether a policy allows a request: a statement allows it, and none denies it. */
export function allowsRequest({ Statement }: S3Policy, question: S3Question): boolean {
  const action = actionOf(question);
  const { bucket, key } = question;
  const resource = `arn:aws:s3:::${bucket}${key === '' ? '' : `/${key}`}`;
  const facts = factsOf(question, action);
  const applying = Statement.filter(
    ({ Action, Resource, Condition = {} }) =>
      Action.some((pattern) => fits(pattern, action)) &&
      Resource.some((pattern) => fits(pattern, resource)) &&
      Object.entries(Condition).every(([operator, rules]) => holds(operator, rules, facts)),
  );
  const effects = new Set(applying.map(({ Effect }) => Effect));
  return effects.has('Allow') && !effects.has('Deny');
}

function actionOf({ method, key, query }: S3Question): string {
  if (key === '') {
    if (query.has('uploads')) return 's3:ListBucketMultipartUploads';
    if (query.has('versioning')) return 's3:GetBucketVersioning';
    return query.has('object-lock') ? 's3:GetBucketObjectLockConfiguration' : 's3:ListBucket';
  }
  if (query.has('uploadId') && method === 'DELETE') return 's3:AbortMultipartUpload';
  if (query.has('uploadId') && method === 'GET') return 's3:ListMultipartUploadParts';
  if (method === 'DELETE') return 's3:DeleteObject';
  return method === 'PUT' || method === 'POST' ? 's3:PutObject' : 's3:GetObject';
}

type Facts = Readonly<Record<string, string | undefined>>;

function factsOf({ method, query, headers }: S3Question, action: string): Facts {
  // A part, and the begin of an upload, make no object appear.
  const isPart = query.has('uploads') || (query.has('uploadId') && method === 'PUT');
  return {
    's3:prefix': action === 's3:ListBucket' ? (query.get('prefix') ?? '') : undefined,
    's3:if-none-match': headers['if-none-match'],
    's3:ObjectCreationOperation': String(!isPart),
  };
}

function holds(operator: string, rules: Readonly<Record<string, unknown>>, facts: Facts): boolean {
  return Object.entries(rules).every(([name, wanted]) => {
    if (!(name in facts)) throw new Error(`The condition ${name} is not known`);
    const fact = facts[name];
    const values = [wanted].flat().map(String);
    if (operator === 'Null') return values.includes(String(fact === undefined));
    if (operator === 'Bool') return values.includes(String(fact));
    if (operator !== 'StringLike') throw new Error(`The operator ${operator} is not known`);
    return fact !== undefined && values.some((pattern) => fits(pattern, fact));
  });
}

/** A star stands for any text, slashes too. */
function fits(pattern: string, text: string): boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`, 's').test(text);
}
