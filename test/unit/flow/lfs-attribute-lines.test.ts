import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, it } from 'vitest';
import { attributeLines } from '../../../src/flow/lfs/attribute-lines.ts';
import { tempFolder } from '../../support/temp.ts';

it('finds the lines that track nothing any more, and leaves all others', () => {
  const root = tempFolder();
  fs.mkdirSync(path.join(root, 'models/bert'), { recursive: true });
  const lfs = 'filter=lfs diff=lfs merge=lfs -text';
  const top = [
    `models/a.bin ${lfs}`,
    `models/b.bin ${lfs}`,
    `*.bin ${lfs}`,
    `*.onnx ${lfs}`,
    `models ${lfs}`,
    `"models/c d.bin" ${lfs}`,
    `# models/a.bin ${lfs}`,
    `models/a.bin text`,
    `[attr]models/a.bin ${lfs}`,
    `models/a.bin filter=lfs-other`,
    '',
  ];
  fs.writeFileSync(path.join(root, '.gitattributes'), top.join('\r\n'));
  fs.writeFileSync(path.join(root, 'models/.gitattributes'), `/a.bin ${lfs}\nbert/*.bin ${lfs}`);
  fs.writeFileSync(path.join(root, 'models/bert/.gitattributes'), `x.bin ${lfs}\n`);
  const taken = ['models/a.bin', 'models/bert/x.bin', 'models/deep.onnx'];
  expect(attributeLines(root, taken, ['models/b.bin', 'other/y.bin'])).toEqual({
    literal: [
      { file: '.gitattributes', text: `models/a.bin ${lfs}` },
      { file: 'models/.gitattributes', text: `/a.bin ${lfs}` },
      { file: 'models/bert/.gitattributes', text: `x.bin ${lfs}` },
    ],
    patterns: [
      { file: '.gitattributes', text: `*.onnx ${lfs}` },
      { file: 'models/.gitattributes', text: `bert/*.bin ${lfs}` },
    ],
  });
});
