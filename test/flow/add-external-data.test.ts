import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { makePlainProject, type Project, settle } from '../support/flow-project.ts';
import { openedBelow } from '../support/flow-state.ts';
import { externalTensor, field, onnxModel } from '../support/onnx.ts';
import { weightBytes } from '../support/weights.ts';

const kib = 1024;
const pageBytes = 4096;

/** A model and the data file it names, each tensor on a page of its own as PyTorch writes them. */
function exported(location: string, tensors: readonly Buffer[]): { model: Buffer; data: Buffer } {
  let offset = 0;
  const fields: Buffer[] = [];
  const pages: Buffer[] = [];
  for (const [i, bytes] of tensors.entries()) {
    const place = { location, offset: `${offset}`, length: `${bytes.length}` };
    fields.push(field(5, externalTensor(`t${i}`, place)));
    const padded = Math.ceil(bytes.length / pageBytes) * pageBytes;
    pages.push(bytes, Buffer.alloc(padded - bytes.length));
    offset += padded;
  }
  return { model: onnxModel(fields), data: Buffer.concat(pages) };
}

const tensors = Array.from({ length: 12 }, (_, i) => weightBytes(i + 1, (400 + 30 * i) * kib));
/** One tensor in the middle has another size, which moves all behind it. */
const grown = tensors.map((bytes, i) => (i === 5 ? weightBytes(99, 701 * kib + 20) : bytes));
const gate = 702 * kib * 1.02 + 64 * kib;

async function addBoth(
  project: Project,
  tracked: string,
  write: (tensors: readonly Buffer[]) => void,
): Promise<number> {
  write(tensors);
  await project.add(tracked);
  write(grown);
  return (await project.add(tracked)).bytesNew;
}

describe('add of external data of ONNX models', () => {
  it.each([
    ['beside the model', 'model.onnx', 'model.onnx_data', 'model.onnx_data'],
    ['with a dot in front', 'a/b/model.onnx', './model.onnx_data', 'a/b/model.onnx_data'],
    ['in a folder below', 'a/model.onnx', 'weights/part/0.bin', 'a/weights/part/0.bin'],
  ])('shares the tensors that stayed the same, %s', async (_, model, location, data) => {
    const project = await makePlainProject();
    const bytesNew = await addBoth(project, 'm', (parts) => {
      const files = exported(location, parts);
      project.write(`m/${model}`, files.model);
      project.write(`m/${data}`, files.data);
    });
    expect(bytesNew).toBeLessThanOrEqual(gate);
    const bytes = project.read(`m/${data}`);
    fs.rmSync(project.at('m'), { recursive: true });
    await project.checkout();
    expect(project.read(`m/${data}`).equals(bytes)).toBe(true);
  });

  it('shares them in a data file that is tracked on its own', async () => {
    const project = await makePlainProject();
    const bytesNew = await addBoth(project, 'm/weights.bin', (parts) => {
      const files = exported('weights.bin', parts);
      project.write('m/model.onnx', files.model);
      project.write('m/weights.bin', files.data);
    });
    expect(bytesNew).toBeLessThanOrEqual(gate);
  });

  it('takes models together: each tells of its own tensors', async () => {
    const project = await makePlainProject();
    const bytesNew = await addBoth(project, 'm', (parts) => {
      const files = exported('data', parts);
      const half = onnxModel([
        field(5, externalTensor('t', { location: 'data', length: `${parts[0]?.length}` })),
      ]);
      project.write('m/a.onnx', half);
      project.write('m/b.onnx', files.model);
      project.write('m/c.onnx', Buffer.from('no model'));
      project.write('m/data', files.data);
    });
    expect(bytesNew).toBeLessThanOrEqual(gate);
  });

  it('costs more where models name no plain path to the file', async () => {
    const bad = ['other', '../m/data', '/data', 'x/../data', './/data', 'da\\ta', 'data\0', '.'];
    const project = await makePlainProject();
    const bytesNew = await addBoth(project, 'm', (parts) => {
      for (const [i, location] of bad.entries()) {
        project.write(`m/${i}.onnx`, exported(location, parts).model);
      }
      project.write('m/data', exported('', parts).data);
    });
    expect(bytesNew).toBeGreaterThan(gate);
  });

  it('passes over tensors that end behind the file', async () => {
    const project = await makePlainProject();
    const { model, data } = exported('data', tensors);
    project.write('m/model.onnx', model);
    project.write('m/data', data.subarray(0, 3_000_000));
    await project.add('m');
    fs.rmSync(project.at('m'), { recursive: true });
    await project.checkout();
    expect(project.read('m/data').equals(data.subarray(0, 3_000_000))).toBe(true);
  });

  it('passes over a model that is a link or cannot be read', async () => {
    const project = await makePlainProject();
    const { data } = exported('data', tensors);
    project.write('m/data', data);
    fs.symlinkSync('data', project.at('m/model.onnx'));
    fs.mkdirSync(project.at('m/folder.onnx'));
    expect((await project.add('m/data')).bytesNew).toBe(data.length);
    const whole = await makePlainProject();
    whole.write('m/data', data);
    fs.symlinkSync('data', whole.at('m/model.onnx'));
    expect((await whole.add('m')).paths).toMatchObject([{ files: 1 }]);
  });

  it('reads models only where a file must be read that has no header', async () => {
    const project = await makePlainProject();
    const { model, data } = exported('data', tensors.slice(0, 2));
    project.write('m/model.onnx', model);
    project.write('m/data', data);
    await settle();
    await project.add('m');
    const opened = async () => openedBelow(project.root, () => project.add('m'));
    project.write('m/small.txt', 'changed');
    await settle();
    expect(await opened()).not.toContain('m/model.onnx');
    project.write('m/data', Buffer.concat([data, data]));
    await settle();
    expect(await opened()).toContain('m/model.onnx');
  });
});
