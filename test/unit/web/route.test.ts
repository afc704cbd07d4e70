import { describe, expect, it } from 'vitest';
import { linkToModel, linkToVersion, parsePlace, titleOf } from '../../../src/web/route.ts';

describe('the address of a view', () => {
  it.each([
    ['', { view: 'models' }],
    ['#/', { view: 'models' }],
    ['#/models', { view: 'models' }],
    ['#/models/ocr', { view: 'model', model: 'ocr', tab: 'overview' }],
    ['#/models/ocr/', { view: 'model', model: 'ocr', tab: 'overview' }],
    ['#/models/ocr/storage?last=10', { view: 'model', model: 'ocr', tab: 'storage' }],
    ['#/models/ocr/versions/v1.0', { view: 'version', model: 'ocr', version: 'v1.0' }],
    ['#/models/a%2Fb', { view: 'model', model: 'a/b', tab: 'overview' }],
    ['#/models/ocr/nothing', { view: 'unknown' }],
    ['#/models/ocr/history/v1', { view: 'unknown' }],
    ['#/models/ocr/versions/v1/more', { view: 'unknown' }],
    ['#/elsewhere', { view: 'unknown' }],
    ['#/models/%', { view: 'unknown' }],
    ['#top', { view: 'unknown' }],
  ])('%j leads to a view', (fragment, route) => {
    expect(parsePlace(fragment).route).toEqual(route);
  });

  it('comes back as it was written', () => {
    const link = linkToModel('a&b?c#d', 'compare', { from: 'v1', to: 'x y' });
    const { route, query } = parsePlace(link);
    expect(route).toEqual({ view: 'model', model: 'a&b?c#d', tab: 'compare' });
    expect([query.get('from'), query.get('to')]).toEqual(['v1', 'x y']);
    expect(parsePlace(linkToVersion('m', 'v/1')).route).toEqual({
      view: 'version',
      model: 'm',
      version: 'v/1',
    });
  });

  it('has a title', () => {
    const titles = ['', '#/models/ocr', '#/models/ocr/history', '#/models/ocr/versions/v1', '#x'];
    expect(titles.map((fragment) => titleOf(parsePlace(fragment).route))).toEqual([
      'Models',
      'ocr',
      'History of ocr',
      'ocr@v1',
      'Nothing here',
    ]);
  });
});
