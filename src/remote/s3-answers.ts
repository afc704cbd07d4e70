import { Readable, Transform } from 'node:stream';
import type { S3Client } from '@aws-sdk/client-s3';

/** A page of a list has a thousand names of a thousand bytes and what belongs to each. */
const answerBytesMax = 16 * 1024 * 1024;

/** What of an answer is looked at; the SDK passes it through its middleware. */
interface RawAnswer {
  readonly statusCode?: number;
  body?: unknown;
}

/**
 * Bounds what the SDK reads into memory: an answer that is parsed, or an error, of whatever the service or
 * something in between sends. Bodies of objects are handed out as they come, and bounded by their reader.
 */
export function boundAnswers(client: S3Client): void {
  client.middlewareStack.add(
    (next, { commandName }) =>
      async (args) => {
        const result = await next(args);
        const answer = result.response as RawAnswer;
        const isObject = commandName === 'GetObjectCommand' && (answer.statusCode ?? 0) < 300;
        if (!isObject && answer.body instanceof Readable) answer.body = bounded(answer.body);
        return result;
      },
    // Nearer to the network than what parses.
    { step: 'deserialize', priority: 'low', name: 'mstoreBoundAnswers' },
  );
}

function bounded(body: Readable): Readable {
  let received = 0;
  const counter = new Transform({
    transform(block: Buffer, _encoding, done) {
      received += block.length;
      if (received <= answerBytesMax) return done(null, block);
      done(Object.assign(new Error('The answer is too long'), { code: 'ERR_ANSWER_TOO_LONG' }));
    },
  });
  body.once('error', (error) => counter.destroy(error));
  counter.once('close', () => body.destroy());
  return body.pipe(counter);
}
