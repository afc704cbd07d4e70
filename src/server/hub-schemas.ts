/* What requests to the routes of the Hub look like: the Hub's own documentation describes the answers. */

const text = { type: 'string' } as const;
const name = { ...text, maxLength: 256, description: 'Name of a model, perhaps ORG/NAME' } as const;
const rev = {
  ...text,
  maxLength: 256,
  description: 'A version, an environment, main, or a commit',
} as const;
const path = { ...text, maxLength: 4096 } as const;
const security = [{ token: [] }];
const tags = ['Hugging Face Hub'];

const route = (summary: string, params: object = {}) => ({
  summary,
  tags,
  security,
  params: { type: 'object', properties: params },
});

/** One schema a route. */
export const hubSchemas = {
  models: { summary: 'All models', tags, security },
  model: route('A model at its latest version, with its files', { name }),
  revision: route('A model at a revision, with its files', { name, rev }),
  tree: route('The files of a revision, in pages', { name, rev }),
  treeBelow: route('The files of a folder of a revision, in pages', { name, rev, '*': path }),
  pathsInfo: route('What some paths of a revision are', { name, rev }),
  refs: route('Environments as branches, versions as tags', { name }),
  file: route('A file of a revision, or a range of it', { name, rev, '*': path }),
  raw: route('The same', { name, rev, '*': path }),
  authCheck: route('Whether one may read a model', { name }),
  whoami: { summary: 'Whom the token lets in', tags, security },
} as const;
