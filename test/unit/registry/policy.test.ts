import { parse } from 'smol-toml';
import { describe, expect, it } from 'vitest';
import { findPolicy, type Policy, policyNames } from '../../../src/registry/policy.ts';

const file = '/w/.modelstore/config.toml';

function find(toml: string, model = 'caption_model', environment = 'production') {
  return findPolicy(parse(toml)['policy'], file, model, environment);
}

/** The policy for production of the lines of one table. */
const policyOf = (lines: string): Policy | undefined => find(`[policy.production]\n${lines}`);

const invalid = (message: RegExp, hint: RegExp) =>
  expect.objectContaining({
    code: 'config-invalid',
    message: expect.stringMatching(message) as string,
    hint: expect.stringMatching(hint) as string,
  }) as Error;

describe('findPolicy', () => {
  it('reads all that a policy may ask for, sorted by the names of metrics', () => {
    const toml = `
      [policy.production]
      weights = { rougeL_precision = 0.10, bleu1 = 0.10, bleu2 = 0.15, bleu3 = 0.25, bleu4 = 0.40 }
      lower_is_better = ["latency_ms"]
      min_improvement = 0.001
      compare_with = "v1.2.0"
      [policy.production.limits]
      latency_ms = { max = 50 }
      bleu4 = { min = 0.2, max = 1 }
      [policy.production.regress]
      bleu1 = 0.01
    `;
    expect(find(toml)).toEqual({
      name: 'production',
      weights: [
        { metric: 'bleu1', weight: 0.1 },
        { metric: 'bleu2', weight: 0.15 },
        { metric: 'bleu3', weight: 0.25 },
        { metric: 'bleu4', weight: 0.4 },
        { metric: 'rougeL_precision', weight: 0.1 },
      ],
      lowerIsBetter: new Set(['latency_ms']),
      minImprovement: 0.001,
      compareWith: 'v1.2.0',
      limits: [
        { metric: 'bleu4', min: 0.2, max: 1 },
        { metric: 'latency_ms', max: 50 },
      ],
      regress: [{ metric: 'bleu1', allowed: 0.01 }],
    });
  });

  it('compares with the best by default, and without weights with what is live', () => {
    expect(policyOf('weights = { a = 1 }')).toMatchObject({
      compareWith: 'best',
      minImprovement: 0,
    });
    expect(policyOf('regress = { a = 0 }')).toMatchObject({ compareWith: 'live', weights: [] });
  });

  it('takes the policy of the model before that of the environment, and joins them never', () => {
    const toml = `
      [policy.production]
      limits = { a = { min = 1 } }
      [policy."caption_model@production"]
      regress = { b = 1 }
      [policy."caption_model@eu.staging"]
      regress = { c = 1 }
    `;
    expect(find(toml)).toMatchObject({ name: 'caption_model@production', limits: [] });
    expect(find(toml, 'other')).toMatchObject({ name: 'production', regress: [] });
    expect(find(toml, 'caption_model', 'eu.staging')?.name).toBe('caption_model@eu.staging');
    expect(find(toml, 'other', 'eu.staging')).toBeUndefined();
    expect(find(toml, 'caption_model', 'toString')).toBeUndefined();
    expect(policyNames(parse(toml)['policy'], file)).toEqual([
      'caption_model@eu.staging',
      'caption_model@production',
      'production',
    ]);
  });

  it('finds none where there are none', () => {
    expect(find('')).toBeUndefined();
    expect(find('[policy]')).toBeUndefined();
    expect(policyNames(undefined, file)).toEqual([]);
  });

  it('takes names with dots in quotes and, as files of metrics, without', () => {
    const policy = policyOf(
      'weights = { eval.loss = 0.5, "eval.f1" = 0.5 }\nlower_is_better = ["eval.loss"]\nlimits.eval = { loss = { max = 2 }, min = { min = 1 } }\nregress."eval.loss" = 1',
    );
    expect(policy).toMatchObject({
      weights: [
        { metric: 'eval.f1', weight: 0.5 },
        { metric: 'eval.loss', weight: 0.5 },
      ],
      limits: [
        { metric: 'eval.loss', max: 2 },
        { metric: 'eval.min', min: 1 },
      ],
      regress: [{ metric: 'eval.loss', allowed: 1 }],
    });
  });

  it('takes weights whose sum is off by no more than their notation', () => {
    const third = 'weights = { a = 0.3333333333, b = 0.3333333333, c = 0.3333333333 }';
    expect(policyOf(third)?.weights).toHaveLength(3);
    expect(policyOf('weights = { a = 1, b = 0 }')?.weights).toHaveLength(2);
  });

  it.each([
    ['weights = { a = 0.5, b = 0.4 }', /weights sums to 0\.9 instead of 1/, /correct one/],
    ['weights = { a = 1.00000001 }', /weights sums to 1\.00000001 instead/, /correct one/],
    ['weights = { a = 1.5, b = -0.5 }', /weights\.b is below 0/, /lower_is_better/],
    ['weights = { a = nan }', /weights\.a is no finite number/, /0\.25/],
    ['weights = { a = inf }', /weights\.a is no finite number/, /0\.25/],
    ['weights = { a = "1" }', /weights\.a is no finite number/, /0\.25/],
    ['weights = { a = 2020-01-01 }', /weights\.a is no finite number/, /0\.25/],
    ['weights = { a = 1, b = {} }', /weights\.b is no finite number/, /0\.25/],
    ['weights = { "a.b" = 0.5, a = { b = 0.5 } }', /weights\."a\.b" stands twice/, /Remove/],
    ['weights = {}', /weights is empty/, /Name metrics/],
    ['weights = [1]', /weights is no table/, /Write \[policy\.production\.weights\]/],
    ['weights = 2020-01-01', /weights is no table/, /Write/],
    ['', /policy\.production asks for nothing/, /weights, limits or regress/],
    ['compare_with = "live"', /asks for nothing/, /weights/],
    ['wieghts = { a = 1 }', /has no key wieghts/, /^Did you mean weights\?$/],
    ['frob = 1', /has no key frob/, /^Keys: weights, .*, regress$/],
    ['eu = { weights = { a = 1 } }', /has no key eu/, /write \[policy\."production\.eu"\]/],
    ['weights = { a = 1 }\nmin_improvement = -1', /min_improvement is below 0/, /Write 0/],
    ['weights = { a = 1 }\nmin_improvement = nan', /min_improvement is no finite/, /0\.25/],
    ['regress = { a = 1 }\nmin_improvement = 0', /min_improvement needs weights/, /Add/],
    ['regress = { a = 1 }\ncompare_with = "best"', /compare_with needs weights/, /"live"/],
    ['weights = { a = 1 }\ncompare_with = "Best"', /compare_with names no version/, /"best"/],
    ['weights = { a = 1 }\ncompare_with = 3', /compare_with names no version/, /"best"/],
    ['regress = { a = -1 }', /regress\.a is below 0/, /how much it may get worse/],
    ['limits = { a = 1 }', /limits\.a is no table/, /min = 0\.2/],
    ['limits = { a = {} }', /limits\.a bounds nothing/, /min = 0\.2/],
    ['limits = { a = { mim = 1 } }', /limits\.a has no key mim/, /min = 0\.2/],
    ['limits = { a = { min = "1" } }', /limits\.a\.min is no finite number/, /0\.25/],
    ['limits = { a = { min = 2, max = 1 } }', /limits\.a can never hold/, /Correct/],
    ['regress = { a = 1 }\nlower_is_better = ["loss"]', /names loss, which the policy/, /Take/],
    [
      'regress = { loss = 1 }\nlower_is_better = ["lost"]',
      /names lost, which/,
      /Did you mean loss/,
    ],
    ['regress = { a = 1 }\nlower_is_better = "a"', /lower_is_better is no list/, /\["loss"/],
    ['regress = { a = 1 }\nlower_is_better = [1]', /lower_is_better is no list/, /\["loss"/],
  ])('refuses %j', (lines, message, hint) => {
    const full = new RegExp(`${message.source}.*\\(${file}\\)$`);
    expect(() => policyOf(lines)).toThrow(invalid(full, hint));
  });

  it.each([
    ['policy = 3', /^policy is no table/, /Write \[policy\]/],
    ['[policy]\nproduction = 1', /^policy\.production is no table/, /Write/],
    ['[policy.Production]', /Production names no environment: it has capital/, /"caption_model@/],
    ['[policy."a@b@c"]', /a@b@c names no environment/, /\[policy\.production\]/],
    ['[policy."@production"]', /names no environment: it is empty/, /"caption_model@production"/],
    ['[policy."caption_model@"]', /names no environment: it is empty/, /"caption_model@/],
    ['[policy."a@latest"]', /names no environment: "latest" is computed/, /./],
    ['[policy."a\\u001b@b"]', /a\\u\{1b\}@b names no environment/, /./],
    ['[policy.""]', /names no environment: it is empty/, /./],
  ])('refuses %j', (toml, message, hint) => {
    expect(() => find(toml)).toThrow(invalid(message, hint));
  });

  it('shows a mistake in a policy that does not apply', () => {
    const toml =
      '[policy.production]\nregress = { a = 1 }\n[policy.staging]\nweights = { a = 0.5 }';
    expect(() => find(toml)).toThrow(invalid(/^policy\.staging\.weights sums to 0\.5/, /./));
  });

  it('bounds the levels of names', () => {
    let table: object = { a: 1 };
    for (let i = 0; i < 100; i++) table = { a: table };
    expect(() => findPolicy({ production: { weights: table } }, file, 'm', 'production')).toThrow(
      invalid(/too many levels/, /./),
    );
  });
});
