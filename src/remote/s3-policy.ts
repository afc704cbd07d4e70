import type { AccessGrant, AccessPolicy } from './remote.ts';
import type { BucketPlace } from './service.ts';

/**
 * Writes the policy of IAM that gives somebody the least rights in a folder of a bucket. Amazon's own service is told
 * to refuse writes over what is there; others do not know the condition.
 */
export function s3Policy(
  { bucket, prefix }: BucketPlace,
  { creates, deletes, never }: AccessGrant,
  isAmazon: boolean,
): AccessPolicy {
  const arn = (pattern: string): string => `arn:aws:s3:::${bucket}/${prefix}${pattern}`;
  const statements: object[] = [
    {
      Sid: 'List',
      Effect: 'Allow',
      Action: ['s3:ListBucket'],
      Resource: [`arn:aws:s3:::${bucket}`],
      Condition: { StringLike: { 's3:prefix': [`${prefix}*`] } },
    },
    { Sid: 'Read', Effect: 'Allow', Action: ['s3:GetObject'], Resource: [arn('*')] },
  ];
  if (creates.length > 0) {
    statements.push(
      {
        Sid: 'ListUploads',
        Effect: 'Allow',
        Action: ['s3:ListBucketMultipartUploads'],
        Resource: [`arn:aws:s3:::${bucket}`],
      },
      {
        Sid: 'Create',
        Effect: 'Allow',
        Action: ['s3:PutObject', 's3:AbortMultipartUpload', 's3:ListMultipartUploadParts'],
        Resource: creates.map(arn),
      },
    );
  }
  if (deletes.length > 0) {
    statements.push({
      Sid: 'Delete',
      Effect: 'Allow',
      Action: ['s3:DeleteObject'],
      Resource: deletes.map(arn),
    });
  }
  if (never.length > 0) {
    statements.push({
      Sid: 'NeverCreate',
      Effect: 'Deny',
      Action: ['s3:PutObject'],
      Resource: never.map(arn),
    });
  }
  if (creates.length > 0 && isAmazon) {
    statements.push({
      Sid: 'NeverOverwrite',
      Effect: 'Deny',
      Action: ['s3:PutObject'],
      Resource: [arn('*')],
      Condition: {
        Null: { 's3:if-none-match': 'true' },
        Bool: { 's3:ObjectCreationOperation': 'true' },
      },
    });
  }
  return {
    kind: 'IAM of S3',
    document: { Version: '2012-10-17', Statement: statements },
    commands: [
      'aws iam put-user-policy --user-name NAME --policy-name models --policy-document file://policy.json',
    ],
  };
}
