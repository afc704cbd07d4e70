import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';

/** Bytes that are handed to a socket at once: over TLS as many are held once more, encrypted. */
const sliceBytes = 256 * 1024;

/**
 * How a body is protected on its way. `signed`: its SHA-256 is part of the signature, which every service
 * checks. `checksum`: TLS guards the connection and the service compares a CRC-32, at a quarter of the cost.
 */
export type BodyProtection = 'signed' | 'checksum';

/** The members of a middleware that are used: a command of the SDK has them. */
interface Command {
  readonly middlewareStack: {
    add(
      middleware: (next: (args: never) => unknown) => (args: never) => unknown,
      options: { step: 'build'; priority: 'low'; name: string },
    ): void;
  };
}

interface BuildArguments {
  readonly request: { readonly protocol: string; readonly headers: Record<string, string> };
}

/** A body with what protects it on its way. */
interface ProtectedBody {
  /** Members of the request, and of the one that ends an upload in parts. */
  readonly checksum: { readonly ChecksumCRC32?: string };
  /**
   * Starts reading, for one try.
   * @param moved called with the bytes that were handed on
   */
  open(moved: (bytes: number) => void): Readable | Uint8Array;
  /** Has the request say how the body is protected. */
  on<C>(command: C): C;
}

/**
 * Prepares bytes to be sent. Their digest is computed once, however often they are sent.
 * @param bytes must not change until they have been sent
 */
export function protectedBody(protection: BodyProtection, bytes: Uint8Array): ProtectedBody {
  let digest: string | undefined;
  const digestFor = (protocol: string): string => {
    // Where the connection is open to others, whatever the settings led one to expect.
    if (protection === 'checksum' && protocol === 'https:') return 'UNSIGNED-PAYLOAD';
    digest ??= createHash('sha256').update(bytes).digest('hex');
    return digest;
  };
  return {
    checksum: protection === 'checksum' ? { ChecksumCRC32: base64(crc32(bytes)) } : {},
    open: (moved) => (bytes.length === 0 ? bytes : Readable.from(slices(bytes, moved))),
    on(command) {
      (command as Command).middlewareStack.add(
        (next) => (args: BuildArguments) => {
          const { headers, protocol } = args.request;
          headers['x-amz-content-sha256'] = digestFor(protocol);
          return next(args as never);
        },
        { step: 'build', priority: 'low', name: 'mstoreBodyDigest' },
      );
      return command;
    },
  };
}

function* slices(
  bytes: Uint8Array,
  moved: (bytes: number) => void,
): Generator<Uint8Array, void, void> {
  for (let at = 0; at < bytes.length; at += sliceBytes) {
    const slice = bytes.subarray(at, at + sliceBytes);
    yield slice;
    moved(slice.length);
  }
}

function base64(checksum: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(checksum);
  return bytes.toString('base64');
}
