/** Parts of a model that have a view of their own. */
export const modelTabs = [
  'overview',
  'versions',
  'metrics',
  'history',
  'storage',
  'compare',
] as const;
export type ModelTab = (typeof modelTabs)[number];

/** What is shown, as the address says it. */
export type Route =
  | { readonly view: 'models' }
  | { readonly view: 'model'; readonly model: string; readonly tab: ModelTab }
  | { readonly view: 'version'; readonly model: string; readonly version: string }
  | { readonly view: 'unknown' };

/** A route with what was asked of its view: a filter, a page. */
export interface Place {
  readonly route: Route;
  readonly query: URLSearchParams;
}

/**
 * Reads the fragment of an address: `#/models/ocr/versions?page=2`. It stays in the browser, so that one path leads to
 * the page, below whatever path a proxy puts it.
 */
export function parsePlace(fragment: string): Place {
  const [path = '', query = ''] = fragment.replace(/^#/, '').split('?', 2);
  return { route: routeOf(path), query: new URLSearchParams(query) };
}

function routeOf(path: string): Route {
  const parts = partsOf(path);
  if (parts === undefined) return { view: 'unknown' };
  const [top, model, tab = 'overview', version, ...rest] = parts;
  if (top === undefined) return { view: 'models' };
  if (top !== 'models' || rest.length > 0) return { view: 'unknown' };
  if (model === undefined) return { view: 'models' };
  if (version !== undefined) {
    return tab === 'versions' ? { view: 'version', model, version } : { view: 'unknown' };
  }
  const known = modelTabs.find((one) => one === tab);
  return known === undefined ? { view: 'unknown' } : { view: 'model', model, tab: known };
}

function partsOf(path: string): string[] | undefined {
  try {
    return path
      .split('/')
      .filter((part) => part !== '')
      .map(decodeURIComponent);
  } catch {
    return undefined;
  }
}

/** Writes the address of a view of a model. */
export function linkToModel(
  model: string,
  tab: ModelTab = 'overview',
  query: Readonly<Record<string, string>> = {},
): string {
  const path = `#/models/${encodeURIComponent(model)}${tab === 'overview' ? '' : `/${tab}`}`;
  const asked = new URLSearchParams(query).toString();
  return asked === '' ? path : `${path}?${asked}`;
}

/** Writes the address of a version. */
export function linkToVersion(model: string, version: string): string {
  return `#/models/${encodeURIComponent(model)}/versions/${encodeURIComponent(version)}`;
}

/** Names the view for the title of the window. */
export function titleOf(route: Route): string {
  switch (route.view) {
    case 'models':
      return 'Models';
    case 'model':
      return route.tab === 'overview' ? route.model : `${capital(route.tab)} of ${route.model}`;
    case 'version':
      return `${route.model}@${route.version}`;
    case 'unknown':
      return 'Nothing here';
  }
}

/** Writes a word as the first of a sentence. */
export function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}
