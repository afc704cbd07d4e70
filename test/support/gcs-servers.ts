import { type GcsTarget, gcsTarget } from './gcs-target.ts';
import { type GoProgram, installGoProgram } from './go-program.ts';
import { startServerProcess } from './server-process.ts';

/** The emulator of Cloud Storage. */
export const fakeGcsServer: GoProgram = {
  from: 'github.com/fsouza/fake-gcs-server',
  version: 'v1.56.1',
  name: 'fake-gcs-server',
};

/**
 * Starts fake-gcs-server over a folder, and makes a bucket. It asks for no credentials.
 * @param publicUrl where it says that its objects are; by default where it listens
 */
export async function startFakeGcsServer(publicUrl?: string): Promise<GcsTarget> {
  const program = await installGoProgram(fakeGcsServer);
  const { port } = await startServerProcess(({ folder, port }) => {
    const address = `127.0.0.1:${port}`;
    const options = {
      scheme: 'http',
      host: '127.0.0.1',
      port,
      'filesystem-root': `${folder}/data`,
      'public-host': address,
      'external-url': publicUrl ?? `http://${address}`,
      'log-level': 'warn',
    };
    const args = Object.entries(options).flatMap(([name, value]) => [`-${name}`, `${value}`]);
    return { program, args };
  });
  const target = gcsTarget({
    name: 'fake-gcs-server',
    endpoint: `http://127.0.0.1:${port}`,
    signedIn: false,
    bucket: 'models',
    prefix: '',
  });
  const made = await fetch(`${target.endpoint}/storage/v1/b?project=test`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name: target.bucket }),
  });
  if (!made.ok) throw new Error(`fake-gcs-server makes no bucket: ${made.status}`);
  return target;
}
