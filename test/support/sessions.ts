import { EventEmitter } from 'node:events';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { sha256 } from '../../src/base/digest.ts';
import type { FileEntry } from '../../src/base/tree.ts';
import { type OpenModelOptions, openModel } from '../../src/flow/session/open-model.ts';
import type { ModelPlace } from '../../src/flow/session/verified-files.ts';
import type { LoadedModel } from '../../src/session/loaded-model.ts';
import type { ModelEventMap } from '../../src/session/model-events.ts';
import { scratchFolder } from './flow-scratch.ts';

/** Writes files into a folder of their own, as a resolved version has them. */
export function modelPlace(files: Readonly<Record<string, Uint8Array | string>>): ModelPlace {
  const directory = scratchFolder();
  const list = Object.entries(files).map(([name, content]): FileEntry => {
    const bytes = Buffer.from(content as string);
    const full = path.join(directory, name);
    fs.mkdirSync(path.dirname(full), { recursive: true });
    fs.writeFileSync(full, bytes);
    return { path: name, size: bytes.length, sha256: sha256(bytes) };
  });
  return {
    reference: 'm@v1',
    exact: 'm@v1#sha256=0',
    model: 'm',
    version: 'v1',
    directory,
    files: list,
  };
}

/** Opens a model where no policy has a say. */
export function openAt(place: ModelPlace, options: OpenModelOptions = {}): Promise<LoadedModel> {
  return openModel(place, options, { clock: systemClock, judge: () => [] });
}

/** Where events go, and all that came. */
export function listening(): {
  readonly events: EventEmitter<ModelEventMap>;
  readonly heard: Array<[string, object]>;
} {
  const events = new EventEmitter<ModelEventMap>();
  const heard: Array<[string, object]> = [];
  for (const name of ['loaded', 'predicted', 'failed'] as const)
    events.on(name, (event: object) => void heard.push([name, event]));
  return { events, heard };
}
