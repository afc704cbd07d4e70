/*
 * What requests and answers look like, for the check of requests and the OpenAPI document. Answers are
 * described, and sent as they are: what is not described here is not left out.
 */

import { outcomeBounds } from '../monitor/outcome.ts';

const text = { type: 'string' } as const;
const number = { type: 'integer' } as const;
const model = { type: 'string', maxLength: 128, description: 'Name of a model' } as const;
const version = {
  type: 'string',
  maxLength: 128,
  description: 'A version, an environment, or latest',
} as const;
const security = [{ token: [] }];
const tags = ['models'];

const error = {
  description: 'Why it was refused',
  type: 'object',
  properties: {
    error: {
      type: 'object',
      properties: { code: text, message: text, hint: text },
      additionalProperties: true,
    },
  },
} as const;

const answers = (description: string, properties: object) => ({
  200: { description, type: 'object', properties, additionalProperties: true },
  '4xx': error,
  '5xx': error,
});

const list = (properties: object) => ({
  type: 'array',
  items: { type: 'object', properties, additionalProperties: true },
});

const ofModel = { type: 'object', properties: { model }, required: ['model'] };
const live = list({ environment: text, version: text });
const flag = { type: 'boolean', default: false };
const name = { ...text, maxLength: 128 };
const force = { ...flag, description: 'Pass the rules; needs a reason' };

const side = {
  type: 'object',
  properties: { size: number, sha256: text, link: text },
  additionalProperties: true,
} as const;
const share = {
  stored: { ...number, description: 'Bytes of its chunks as they are stored, each once' },
  own: { ...number, description: 'Bytes of those that none of the others has' },
  absent: { ...number, description: 'Blobs that are not all there' },
} as const;
const compared = {
  type: 'object',
  properties: { version: text, state: text, created: text, size: number, ...share },
  additionalProperties: true,
} as const;

const move = (
  summary: string,
  properties: Readonly<Record<string, object>>,
  required: readonly string[],
) => ({
  summary,
  tags: ['environments'],
  security,
  params: ofModel,
  body: {
    type: 'object',
    properties: {
      ...properties,
      reason: { ...text, maxLength: 2000, description: 'Why; the history keeps it' },
      dryRun: { ...flag, description: 'Say what would be done, and change nothing' },
    },
    required,
    additionalProperties: false,
  },
  response: answers('What was done', {
    model: text,
    environment: text,
    action: text,
    version: text,
    before: text,
    number,
    unchanged: { type: 'boolean' },
    dryRun: { type: 'boolean' },
    warnings: { type: 'array', items: text },
  }),
});

const ofVersion = { type: 'object', properties: { model, version } };

/** One schema a route. */
export const schemas = {
  models: {
    summary: 'All models, and what is live where',
    tags,
    security,
    response: answers('Models, sorted by name', {
      models: list({
        model: text,
        versions: number,
        retired: number,
        latest: { type: ['string', 'null'] },
        live,
        changed: text,
      }),
    }),
  },
  model: {
    summary: 'One model in short',
    tags,
    security,
    params: ofModel,
    response: answers('A model', { model: text, latest: { type: ['string', 'null'] }, live }),
  },
  versions: {
    summary: 'The versions of a model with their metrics',
    tags,
    security,
    params: ofModel,
    querystring: {
      type: 'object',
      properties: {
        all: { ...flag, description: 'Also versions that were archived or deleted' },
        sort: { ...text, maxLength: 256, description: 'version, created, or a metric' },
        reverse: flag,
      },
    },
    response: answers('Versions', {
      model: text,
      latest: { type: ['string', 'null'] },
      judged: {
        type: 'array',
        items: text,
        description: 'Metrics that the gates of the workspace judge',
      },
      lowerIsBetter: { type: 'array', items: text, description: 'Those of which less is better' },
      versions: list({
        version: text,
        created: text,
        sha256: text,
        size: number,
        state: text,
        live: { type: 'array', items: text },
        metrics: { type: 'object', additionalProperties: { type: 'number' } },
      }),
    }),
  },
  environments: {
    summary: 'What is live in each environment',
    tags,
    security,
    params: ofModel,
    response: answers('Environments', {
      model: text,
      lifecycle: {
        type: 'array',
        items: text,
        description: 'The order of environments that the workspace configures',
      },
      environments: list({
        environment: text,
        version: text,
        since: text,
        number,
        action: text,
        by: text,
        reason: text,
      }),
    }),
  },
  history: {
    summary: 'What was live where and when, who made it so, and why',
    tags,
    security,
    params: ofModel,
    querystring: {
      type: 'object',
      properties: {
        environment: { ...text, maxLength: 128 },
        limit: { type: 'integer', minimum: 1, maximum: 10_000, default: 100 },
      },
    },
    response: answers('Entries, the newest first', {
      model: text,
      total: number,
      entries: list({ environment: text, version: text, number, at: text, by: text, action: text }),
    }),
  },
  health: {
    summary: 'Whether a version can be had and loaded',
    tags,
    security,
    params: ofModel,
    querystring: {
      type: 'object',
      properties: {
        environment: { ...name, default: 'production', description: 'Whose version is meant' },
        version: { ...name, description: 'A version, in the place of an environment' },
      },
    },
    response: answers('How it is', {
      model: text,
      model_type: { type: ['string', 'null'] },
      version: text,
      status: { type: 'string', enum: ['healthy', 'degraded', 'unavailable'] },
      available: { type: 'boolean' },
      loadable: { type: 'boolean' },
      metadata: {
        type: 'object',
        properties: { version: text, deployed_at: { type: ['string', 'null'] } },
        additionalProperties: true,
      },
      problems: { type: 'array', items: text },
    }),
  },
  compare: {
    summary: 'How two versions differ, and what they share',
    tags,
    security,
    params: ofModel,
    querystring: {
      type: 'object',
      properties: {
        from: { ...name, description: 'A version, an environment, or latest' },
        to: { ...name, description: 'The same' },
        limit: { type: 'integer', minimum: 1, maximum: 10_000, default: 1000 },
        offset: { type: 'integer', minimum: 0, maximum: 100_000_000, default: 0 },
      },
      required: ['from', 'to'],
    },
    response: answers('What differs', {
      model: text,
      from: compared,
      to: compared,
      shared: { ...number, description: 'Bytes of the chunks that both have' },
      files: {
        type: 'object',
        properties: {
          added: number,
          removed: number,
          modified: number,
          mode: number,
          same: number,
        },
      },
      changes: list({ path: text, change: text, before: side, after: side }),
      metrics: list({ name: text, before: { type: 'number' }, after: { type: 'number' } }),
      fields: list({ name: text }),
    }),
  },
  sharing: {
    summary: 'What the versions of a model take on the remote, and share there',
    tags,
    security,
    params: ofModel,
    querystring: {
      type: 'object',
      properties: {
        limit: { type: 'integer', minimum: 1, maximum: 100, default: 30 },
      },
    },
    response: answers('Versions, the oldest first', {
      model: text,
      older: { ...number, description: 'Versions that were left out by the limit' },
      size: number,
      stored: number,
      versions: list({
        version: text,
        created: text,
        size: number,
        ...share,
        added: { ...number, description: 'Bytes of chunks that none before it has' },
      }),
    }),
  },
  version: {
    summary: 'Everything that is known of a version',
    tags,
    security,
    params: ofVersion,
    response: answers('A version', {
      sha256: text,
      record: { type: 'object', additionalProperties: true },
      states: list({}),
      live: list({ environment: text, since: text }),
    }),
  },
  files: {
    summary: 'The files of a version',
    tags,
    security,
    params: ofVersion,
    response: answers('Files', { files: list({ path: text, size: number, sha256: text }) }),
  },
  deploy: move(
    'Make a version live in an environment',
    { version: name, environment: name, force },
    ['version', 'environment'],
  ),
  promote: move(
    'Make what is live in one environment live in the next',
    { from: name, to: name, force },
    [],
  ),
  rollback: move(
    'Go back to the version that was live before, or to a given one',
    { environment: name, to: name },
    ['environment'],
  ),
  outcomes: {
    summary: 'Tell what became of calls of a model',
    tags: ['monitor'],
    security,
    params: ofModel,
    body: {
      type: 'object',
      properties: {
        environment: { ...name, default: 'production' },
        outcomes: {
          type: 'array',
          minItems: 1,
          maxItems: outcomeBounds.atOnce,
          items: {
            type: 'object',
            properties: {
              version: { ...name, minLength: 1, description: 'The version that was called' },
              kind: { type: 'string', enum: ['call', 'load'], default: 'call' },
              ok: { type: 'boolean' },
              latency_ms: { type: 'number', minimum: 0, maximum: outcomeBounds.latencyMs },
              prediction: {
                description: 'What was predicted: a label, or a number',
                type: ['string', 'number'],
                minLength: 1,
                maxLength: outcomeBounds.label,
              },
              count: {
                type: 'integer',
                minimum: 1,
                maximum: outcomeBounds.count,
                default: 1,
                description: 'How many were alike',
              },
            },
            required: ['version', 'ok'],
            additionalProperties: false,
          },
        },
      },
      required: ['outcomes'],
      additionalProperties: false,
    },
    response: answers('They were counted', { taken: number }),
  },
  monitor: {
    summary: 'How what is live is doing, by the outcomes that hosts told of',
    tags: ['monitor'],
    security,
    params: ofModel,
    response: answers('Environments that are watched', {
      model: text,
      environments: list({
        environment: text,
        version: text,
        number,
        rules: { type: ['object', 'null'], additionalProperties: true },
        measured: { type: 'object', additionalProperties: true },
        broken: list({ rule: text, value: { type: 'number' }, limit: { type: 'number' } }),
      }),
    }),
  },
  file: {
    summary: 'A file of a version, or a range of it; its SHA-256 is its ETag',
    tags,
    security,
    params: { type: 'object', properties: { model, version, '*': { type: 'string' } } },
    headers: {
      type: 'object',
      properties: { range: text, 'if-none-match': text, 'if-range': text },
    },
  },
} as const;
