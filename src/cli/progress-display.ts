import { createRequire } from 'node:module';
import type { Clock } from '../base/clock.ts';
import { formatBytes } from '../base/format-bytes.ts';
import { printable } from '../base/names.ts';
import type { Progress, ProgressPhase } from '../base/progress.ts';
import { formatSeconds } from './text.ts';

/** Where progress is shown. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

const phaseNames: Record<ProgressPhase, string> = {
  scan: 'Listing files',
  add: 'Storing',
  check: 'Checking files',
  push: 'Pushing',
  fetch: 'Fetching',
  checkout: 'Writing files',
  package: 'Packing',
  publish: 'Publishing',
  import: 'Importing',
  unpackage: 'Unpacking',
  verify: 'Verifying',
  wait: 'Waiting for a clean-up',
  gc: 'Cleaning up',
};

/** Milliseconds before anything is shown: short work stays silent. */
const silentMs = 500;
/** Milliseconds between two plain lines. */
const plainEveryMs = 5_000;

/** What has been done of a phase. */
interface Tally {
  readonly phase: ProgressPhase;
  readonly bytesTotal: number | undefined;
  readonly filesTotal: number | undefined;
  readonly startedMs: number;
  bytes: number;
  files: number;
}

function tally(
  phase: ProgressPhase,
  amounts: Parameters<Progress['start']>[1],
  nowMs: number,
): Tally {
  return {
    phase,
    bytesTotal: amounts?.bytesTotal,
    filesTotal: amounts?.filesTotal,
    startedMs: nowMs,
    bytes: 0,
    files: 0,
  };
}

/** Amount, rate and time left of a phase, as text. */
function describe(t: Tally, nowMs: number): string {
  const seconds = Math.max(0.001, (nowMs - t.startedMs) / 1000);
  const rate = t.bytes / seconds;
  const parts: string[] = [];
  if (t.bytesTotal !== undefined && t.bytesTotal > 0) {
    parts.push(`${formatBytes(t.bytes)} of ${formatBytes(t.bytesTotal)}`);
  } else if (t.bytes > 0) {
    parts.push(formatBytes(t.bytes));
  }
  if (t.filesTotal !== undefined && t.filesTotal > 1)
    parts.push(`${t.files} of ${t.filesTotal} files`);
  if (t.bytes > 0) parts.push(`${formatBytes(Math.round(rate))}/s`);
  if (t.bytesTotal !== undefined && t.bytes > 0 && t.bytes < t.bytesTotal) {
    parts.push(`${formatSeconds((t.bytesTotal - t.bytes) / rate)} left`);
  }
  return parts.join(', ');
}

/** Prints a plain line every few seconds: for logs, where bars would be noise. */
export function plainProgress(stream: ProgressStream, clock: Clock): Progress {
  let now: Tally | undefined;
  let shownMs = 0;
  return {
    start(phase, amounts) {
      now = tally(phase, amounts, clock.monotonic());
      shownMs = now.startedMs;
    },
    advance({ bytes = 0, files = 0 }) {
      if (now === undefined) return;
      now.bytes += bytes;
      now.files += files;
      const nowMs = clock.monotonic();
      if (nowMs - shownMs < plainEveryMs) return;
      shownMs = nowMs;
      stream.write(`${phaseNames[now.phase]}: ${describe(now, nowMs)}\n`);
    },
    finish() {
      now = undefined;
    },
  };
}

/** Writes one JSON event a line: for programs that follow long work. */
export function eventProgress(stream: ProgressStream, clock: Clock): Progress {
  let now: Tally | undefined;
  let shownMs = 0;
  const emit = (event: string): void => {
    if (now === undefined) return;
    const { phase, bytes, files, bytesTotal, filesTotal } = now;
    stream.write(`${JSON.stringify({ event, phase, bytes, bytesTotal, files, filesTotal })}\n`);
  };
  return {
    start(phase, amounts) {
      now = tally(phase, amounts, clock.monotonic());
      shownMs = now.startedMs;
      emit('start');
    },
    advance({ bytes = 0, files = 0 }) {
      if (now === undefined) return;
      now.bytes += bytes;
      now.files += files;
      if (clock.monotonic() - shownMs < 200) return;
      shownMs = clock.monotonic();
      emit('progress');
    },
    finish() {
      emit('finish');
      now = undefined;
    },
  };
}

/** Shows a bar on a terminal once work takes longer than half a second. */
export function barProgress(stream: ProgressStream, clock: Clock): Progress {
  let now: Tally | undefined;
  let bar: { update(value: number, payload: object): void; stop(): void } | undefined;
  let shownMs = 0;
  const open = (t: Tally): NonNullable<typeof bar> => {
    // Loaded only when a bar is shown; the package is CommonJS.
    const { SingleBar } = createRequire(import.meta.url)(
      'cli-progress',
    ) as typeof import('cli-progress');
    const known = (t.bytesTotal ?? 0) > 0;
    const single = new SingleBar({
      format: known ? '{phase} {bar} {percentage} %  {text}' : '{phase}  {text}',
      barCompleteChar: '█',
      barIncompleteChar: '░',
      barsize: 24,
      hideCursor: true,
      clearOnComplete: true,
      stream: stream as NodeJS.WriteStream,
    });
    single.start(Math.max(1, t.bytesTotal ?? 1), t.bytes, { phase: phaseNames[t.phase], text: '' });
    return single;
  };
  return {
    start(phase, amounts) {
      bar?.stop();
      bar = undefined;
      now = tally(phase, amounts, clock.monotonic());
      shownMs = now.startedMs;
    },
    advance({ bytes = 0, files = 0, name }) {
      if (now === undefined) return;
      now.bytes += bytes;
      now.files += files;
      const nowMs = clock.monotonic();
      if (nowMs - now.startedMs < silentMs || nowMs - shownMs < 100) return;
      shownMs = nowMs;
      bar ??= open(now);
      const at = name === undefined ? '' : `  ${printable(name).slice(0, 40)}`;
      bar.update(Math.min(now.bytes, now.bytesTotal ?? now.bytes), {
        text: describe(now, nowMs) + at,
      });
    },
    finish() {
      bar?.stop();
      bar = undefined;
      now = undefined;
    },
  };
}
