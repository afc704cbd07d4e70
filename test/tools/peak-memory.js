/*
 * Runs the command line in this process and says at the end, as the last line of standard error, how
 * many bytes of memory the process had at its peak.
 */
import * as fs from 'node:fs';
import { main } from '../../dist/cli/main.cjs';

process.exitCode = await main(process.argv.slice(2));
process.stderr.write(`peak ${peakBytes()}\n`);

function peakBytes() {
  try {
    // The maximum of the usage starts at what the process had that started this one.
    const status = fs.readFileSync('/proc/self/status', 'utf8');
    return Number(/^VmHWM:\s*(\d+) kB$/m.exec(status)?.[1]) * 1024;
  } catch {
    return process.resourceUsage().maxRSS * 1024;
  }
}
