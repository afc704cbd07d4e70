import { describe, expect, it } from 'vitest';
import { startFakeGcsServer } from '../support/gcs-servers.ts';

const { endpoint, bucket } = await startFakeGcsServer();

function object(name: string): string {
  return `${endpoint}/storage/v1/b/${bucket}/o/${encodeURIComponent(name)}?alt=media`;
}

async function create(name: string, body: string): Promise<number> {
  const query = `uploadType=media&ifGenerationMatch=0&name=${encodeURIComponent(name)}`;
  const url = `${endpoint}/upload/storage/v1/b/${bucket}/o?${query}`;
  const answer = await fetch(url, { method: 'POST', body });
  await answer.arrayBuffer();
  return answer.status;
}

async function read(name: string, headers: Record<string, string> = {}): Promise<string> {
  return (await fetch(object(name), { headers })).text();
}

describe('fake-gcs-server', () => {
  it('creates an object once', async () => {
    expect(await create('a/b', 'first')).toBe(200);
    expect(await create('a/b', 'second')).toBe(412);
    expect(await read('a/b')).toBe('first');
    expect(await read('a/b', { range: 'bytes=1-2' })).toBe('ir');
  });

  it('has one winner among 32', async () => {
    const writers = Array.from({ length: 32 }, (_, n) => n);
    const answers = await Promise.all(writers.map((n) => create('race', `writer ${n}`)));
    const winners = writers.filter((n) => answers[n] === 200);
    expect(winners).toHaveLength(1);
    expect(answers.filter((status) => status === 412)).toHaveLength(31);
    expect(await read('race')).toBe(`writer ${winners[0]}`);
  });
});
