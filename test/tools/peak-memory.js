/*
 * Runs the command line in this process and says at the end, as the last line of standard error, how
 * many bytes of memory the process had at its peak.
 */
import { main } from '../../dist/cli/main.js';

process.exitCode = await main(process.argv.slice(2));
process.stderr.write(`peak ${process.resourceUsage().maxRSS * 1024}\n`);
